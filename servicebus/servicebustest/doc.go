// Package servicebustest is Azure Service Bus inside a test: an AMQP 1.0 server with the service's queues, topics and
// sessions, for whoever uses azservicebus or another of Microsoft's clients and wants to test against more than a mock,
// without docker and without an account.
//
//	server := servicebustest.New(t, servicebustest.Options{
//		Queues: map[string]servicebustest.Queue{"orders": {LockDuration: 30 * time.Second, MaxDeliveryCount: 3}},
//		Topics: map[string]servicebustest.Topic{"events": {Subscriptions: map[string]servicebustest.Subscription{"audit": {}}}},
//	})
//	client, err := azservicebus.NewClientFromConnectionString(server.ConnectionString(), nil)
//
// The server listens on loopback, without TLS: its connection strings say that it is an emulator, which is what makes
// clients do without. It ends with the test. Each server is a namespace of its own; tests need not share one.
//
// # What is here
//
// Queues, topics and subscriptions with correlation filters; sessions, their locks and their state; peek-lock and
// receive-and-delete; lock durations, delivery counts, dead-letter queues; scheduled and deferred messages, duplicate
// detection, times to live, batches, peeking; shared access signatures, checked, and keys with fewer rights than all
// ([Server.Grant]).
//
// # Time
//
// Locks, times to live and the like are measured by [Options.Clock]. With a [ManualClock] a test of a lock that runs out
// takes no time. With [Options.InMemory] and [Server.Dial] client and server fit into a bubble of testing/synctest.
//
// # Faults
//
// [Server.Intercept] and [Server.FailNext] make single operations fail as networks and services fail: refused,
// throttled, late, lost, or done with the answer lost; with the link or the connection gone, or not.
// [Server.CutConnections], [Server.DetachLinks] and [Server.ExpireLocks] act at once.
//
// # What is known to differ
//
// There are no transactions, no auto-forwarding, no SQL filters and no actions of rules, no partitioned entities, no
// HTTP interface for administration, and nothing outlives the process. Links are not closed when they are idle or
// when their token expires; a token is looked at when a link is opened and when a request is made. A session is free
// as soon as its receiver's link or connection is gone, where the service may need a moment to notice.
//
// As the service documents it, DeadLetterSource is set on a dead letter that was auto-forwarded only, so it is never
// set here; and the delivery count of a session's messages rises when the session's lock runs out, not when the
// session is closed.
//
// # Limits
//
// A frame is at most 64 KiB; a message [Options.MaxMessage]; an entity [Queue.MaxBytes]; the connections
// [Options.MaxConnections], with 1,000 AMQP sessions each and 1,000 links in each of those. A connection whose client
// does not read is neither delivered to nor read from until it does.
package servicebustest
