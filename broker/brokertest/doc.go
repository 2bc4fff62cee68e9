// Package brokertest states what an eventflow.Broker must do, rule by rule, and asks any broker to do it: the one in
// memory, Kafka, SQS, Service Bus, or one of your own. It stands on testing and testing/synctest alone.
//
// A broker is asked through a [Harness], and the smallest one has an Open that gives a broker and a fresh topic:
//
//	func TestMyBroker(t *testing.T) {
//		brokertest.Run(t, brokertest.Harness{
//			Open: func(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
//				b := mybroker.New(mybroker.LockFor(s.Lock))
//				f := &brokertest.Fixture{Broker: b}
//				for range s.Topics {
//					f.Topics = append(f.Topics, b.CreateTopic(t, uniqueName()))
//				}
//				return f
//			},
//			Lock: 2 * time.Second, // the shortest that the broker can do
//			Excused: map[string]string{
//				"DeadLettersHoldTheEventAndItsReason": "mybroker has no dead letters",
//			},
//		})
//	}
//
// # Writing a harness
//
// Open is called once by every rule, and by several at the same time unless Virtual is set. What it opens is its own to
// end, with t.Cleanup: servers, connections, topics. The broker itself is closed by the suite before that. Topics must
// be new and empty: use a name that no other rule has, such as one with a counter and a random part.
//
// A [Setup] says what a rule would like: how many topics, which groups, how long a lock is, how many receives an event
// may have, how much a group may hold. A [Fixture] says what it got. Of these only the number of topics is a must; a
// harness leaves the fields of Fixture zero for what its broker cannot do, and the rules that need them are not asked.
//
// Topics should have room for several lanes (a Kafka topic: three or more partitions), because some rules watch one
// lane while another is held. Where two keys may share a lane, give Fixture.Keys.
//
// The functions of a Fixture read dead letters and break things: [Fixture].Lose takes a lock away behind the
// subscriber's back, [Fixture].Stall lets no renewal be confirmed any more, [Fixture].Crash ends a consumer without its
// Close. Each that is given makes the suite ask more.
//
// # Time
//
// A broker that lives in the test's process and keeps time with package time alone sets Virtual: each rule then runs in
// a synctest bubble, where minutes cost nothing. Any other broker waits for real: Lock, Delay and Quiet are what it is
// made to wait for again and again, so they should be as short as the broker allows; Patience is spent by a failing rule
// only and should be generous.
//
// No rule relies on a redelivery being instantaneous, nor on one Next returning all that is there.
//
// # Excuses
//
// What a broker's Features or a Fixture cannot do excuses rules. The harness must name each of them in Excused, with the
// reason, and the suite fails when it does not: nobody passes by promising less. A rule that is asked and cannot be kept
// is excused by the same map. Run logs which rules were asked and which were not; [Rules] lists them all.
package brokertest
