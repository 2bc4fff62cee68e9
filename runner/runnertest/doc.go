// Package runnertest states what a runner promises on a broker and a store, rule by rule, and asks any pair of them to
// keep it: that nothing is lost in a crash, that an event completes one run, that order, counts and bounds hold, that a
// lost lock ends a run, that a shutdown hands back. It takes the harness that brokertest takes, and a store:
//
//	func TestPromisesOnMyBroker(t *testing.T) {
//		runnertest.Run(t, runnertest.Harness{
//			Broker: brokertest.Harness{Open: open, Lock: 2 * time.Second},
//			Store:  func(t runnertest.T) store.Store { return openMyStore(t) },
//			Excused: map[string]string{
//				"LostLockCancelsTheRunAndFencesIt": "mybroker has no locks",
//			},
//		})
//	}
//
// Whoever has a broker alone leaves Store out, and whoever has a store alone Broker.Open: the other is the memory's.
//
// brokertest and storetest ask a broker and a store alone; this suite asks what comes of the two with a runner between
// them. Run those first: a broker that fails here and not there breaks no contract of its own, and one that fails both
// is understood sooner there. It stands on testing and testing/synctest alone.
//
// # Processes
//
// A rule that needs several processes runs several runners, each with handles of its own to the broker and the store,
// which are watched: what is received, claimed, run, published, finished and settled goes into a record that the runner
// has no part in, and that the rules read. A process that is killed at a step of its way does nothing any more: its
// calls fail without reaching the broker or the store, [brokertest.Fixture].Crash ends its consumers, and its lock and
// its leases lapse. The next one must take over.
//
// # Time and excuses
//
// Both are the broker's harness's: with Virtual, the store must live in the process too. Lock, Quiet and Patience are
// waited for, and so is Lease; as rules mostly wait, give go test a -parallel of 16 where time is real. A rule that
// needs what the broker's Features or its fixture lack is not asked, and must be named in Excused with the reason; Run
// logs which rules were asked, and [Rules] lists them all.
package runnertest
