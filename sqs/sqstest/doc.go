// Package sqstest is Amazon SQS inside a test: a server of its JSON protocol with standard and FIFO queues, for whoever
// uses an AWS SDK and wants to test against more than a mock, without docker and without an account.
//
//	server := sqstest.New(t, sqstest.Options{Queues: map[string]sqstest.Queue{
//		"orders":      {VisibilityTimeout: time.Minute, DeadLetterQueue: "orders-dead", MaxReceiveCount: 3},
//		"orders-dead": {},
//		"carts.fifo":  {ContentBasedDeduplication: true},
//	}})
//	client := sqs.NewFromConfig(server.Config())
//	_, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(server.QueueURL("orders")), MessageBody: aws.String("one coffee")})
//
// The server listens on loopback and ends with the test. Each server is an account and region of its own; tests need
// not share one. The command cmd/sqstest is the same server for clients in any language.
//
// # What is here
//
// All actions on queues and messages, their batches, dead letters and their way back, tags; long polls; delays,
// visibility and retention; groups, deduplication in five minutes and attempts of FIFO queues; the service's limits and
// its errors, by code and status; access keys with fewer rights than all ([Server.Grant]) and roles to assume
// ([Server.GrantRole]).
//
// # Time
//
// Everything is measured by [Options.Clock]. With a [ManualClock] a test of a timeout takes no time. With
// [Options.InMemory] client and server fit into a bubble of testing/synctest: the server is an [net/http.RoundTripper],
// which [Server.Config] gives to clients.
//
// # Faults and counts
//
// [Server.Intercept] and [Server.FailNext] make single requests fail as networks and services fail: refused,
// throttled, late, lost, or done with the answer lost; batches in part; messages twice. [Server.ExpireVisibility] acts
// at once. A [Proxy] does the same before any server of the protocol. [Server.Requests] counts what arrived, which is
// what the service bills; a GET on the endpoint gives the counts as JSON, for a server in another process.
//
// # What is known to differ
//
// Queues are consistent: what was sent can be received at once, messages come in the order in which they became
// visible, and nothing comes twice unless a fault asks for it. A purge, a deletion and a change of attributes are done
// when they are answered. Signatures are not checked, and a key that no Grant made may do everything. There are no
// permissions between accounts, no encryption, no metrics and no limits on throughput, and policies and keys are
// attributes without effect. AddPermission and RemovePermission are not here, nor is the older query protocol.
//
// What a stale receipt handle does is not documented in full. Here a message that was received again is changed and
// deleted by its latest handle alone: an older one deletes nothing, without an error from a standard queue and with one
// from a FIFO queue, and changes no visibility, with an error.
//
// # Limits
//
// All queues together hold [Options.MaxBytes], there are at most 100,000 queues, a request has at most 16 MiB, and
// [Options.MaxConnections] are open. Messages in flight are limited by [Options.MaxInFlight].
package sqstest
