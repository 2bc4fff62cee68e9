// Package kafka is the eventflow broker on Apache Kafka and what speaks its protocol: Redpanda, Amazon MSK, Azure Event
// Hubs ([EventHubs]). It stands on franz-go.
//
//	cluster, err := kafka.New(kafka.Config{Seeds: []string{"kafka-1:9092", "kafka-2:9092"}})
//	…
//	orders, err := cluster.OpenSubscriber("orders", eventflow.Group("billing"), kafka.KeyLanes)
//	invoices, err := cluster.OpenPublisher("invoices")
//
// # Connections
//
// A [Broker] is one cluster; a process may have several. Opening does no I/O. All publishers of a broker share a client,
// each subscriber has its own. [Config] has TLS ([TLS] reads PEM) and SASL: [Plain], [ScramSHA256], [ScramSHA512],
// [OAuthBearer], [MSKIAM]. Any option of franz-go may be passed through; those that would break a promise are refused by
// name, with what to use instead. [Scheme] opens a broker by URL.
//
// What the cluster refuses is an [*Error]: the addresses, the topic, the cause and what to do, and never a secret. At the
// start of a subscriber a wrong password ([ErrCredentials]), a missing ACL ([ErrNotAuthorised]), a missing topic
// (eventflow.ErrNoTopic) and TLS that does not match ([ErrTLS]) are final; a cluster that cannot be reached
// ([ErrUnreachable]) is waited for, and so is everything after a start that succeeded.
//
// # Events and records
//
// A record that is a CloudEvent, in binary or in structured mode, is read as one. Any other gets the ID
// "cluster ID/topic ID/partition/offset", which the same offset of a topic that was deleted and made again does not
// share, the source "kafka/TOPIC" and the record's timestamp. The record's key is Event.Key; a record without a value, a
// tombstone, has nil Data.
//
// Publishers write binary mode, or structured mode by [Structured]. Headers keep their order and may repeat. An attribute
// whose value is a []byte is a header of its own name, as headers of other producers are read; any other is a header of
// CloudEvents, "ce_" before its name, and so a text: what was published as a number, a truth or a time comes back as a
// string in its canonical form. Structured mode keeps int32 and bool. An event without an ID is given one when it is
// published, one without a Source the publisher's. The record's timestamp is the time of publishing, because retention
// goes by it; Event.Time is the attribute "time".
//
// # Publishing
//
// Publish hands its slice to the client as a whole and returns when all in-sync replicas have it. The producer is
// idempotent: its own retries neither repeat nor reorder. Which events were not taken is a PublishError with an [*Error]
// for each. A publish whose context ends while events are on their way does not know what became of them and reports
// them as not taken: published again, they are there twice with the same ID. At most 256 MiB and 50,000 events wait in the client, beyond
// which Publish waits too. An event may be as large as MaxEventBytes,
// less 16 KiB for its key, headers and frame; topics that take less refuse it with eventflow.ErrTooLarge.
//
// # Subscribing
//
// A subscriber is a member of its group with a client of its own, and hands over its partitions' records in one of three
// modes, an option of OpenSubscriber: [PartitionLanes] (the default), [KeyLanes] and [Unordered]; a fourth, [ShareGroup], is
// told of below. [ServerSideBalancer]
// joins by the protocol of KIP-848, [StaticMember] by name. The first consumer of a group begins at the earliest record.
//
// A settlement is a mark. The committer of the subscriber writes the marks: the offset below which everything is settled,
// never more, and beside it, in the commit's metadata, what is settled beyond, the failed attempts, and how many
// consumers began there and did not end cleanly. So an event that is settled is not run again after a crash although one
// before it in its partition was not, attempts survive, and where two processes have died at one offset, records are run
// one at a time, each attempt committed before it starts: one that kills its process is dead-lettered in the end, and
// its neighbours are not. Metadata of another topic of the same name, or that somebody else has written, is ignored. Of
// topics with less than the usual 4,096 bytes (offset.metadata.max.bytes) as much is kept as fits, the offset always.
//
// One commit is under way at a time, and until it is answered what it confirms counts as held. So with flows that take
// microseconds it is runner.MaxInFlight that bounds how many events a second there can be: about half of it for each
// round trip of a commit. 4,096 in place of the default 1,024 is more throughput there, and as many more events that run
// again when the process dies.
//
// The lock of an event is the membership: it lasts for the session timeout from the last heartbeat that was answered. A
// tenth of that before its end, everything held is taken back, and runs are cancelled with an error that matches
// eventflow.ErrLockLost. A partition that is revoked is drained first, for at most the grace period and the rebalance
// timeout less 10 s; then what still runs is cancelled, the marks are committed, and later ones are nobody's. A process
// that was stopped or whose machine slept finds itself fenced when it wakes; between its waking and that, a run may still
// end.
//
// Records that are gone before they were seen, because of retention, a truncated log or a batch that unpacks to more than
// half of what may be held, end the subscription with a [*GapError], unless [OnGap] says otherwise.
//
// Which modes promise which Features, and the rules of brokertest and runnertest that they are excused from:
//
//	Lanes          PartitionLanes, KeyLanes
//	Groups         all
//	ExactAttempt   PartitionLanes, KeyLanes, Unordered
//	DeadLetter     all
//	MaxNack        all: 24h, in this process's memory
//	MaxLock        all: the session timeout; of ShareGroup the group's share.record.lock.duration.ms
//
// Excused in all modes: ExtensionsKeepTheirTypes (binary mode writes texts), LostLockIsToldAndFenced,
// SettlementAfterTheLossDoesNothing and LostLockCancelsTheRunAndFencesIt (no broker takes the lock of one event),
// ReceivesCountHandOvers, ReceiveLimitDeadLettersOnlyItsEvent, ReceiveLimitBuriesNoNeighbour and
// ReceiveLimitBelowTheAttemptsFailsTheStart (Kafka counts no hand-overs), RedrivenEventSaysSo and RedrivenEventRunsAgain
// (it has no redrive), and FullGroupMakesPublishersWait (a topic holds what its retention allows). Unordered and ShareGroup
// are excused from the rules about lanes. ShareGroup counts hand-overs, and so keeps ReceivesCountHandOvers; the others of
// receives it is excused from because a share group drops what was delivered too often. It counts no attempts:
// NackCountsAnAttempt, ReleaseCountsNoAttempt, AttemptsAreOfOneEvent, AttemptedCountsAndKeepsTheDelivery and
// AttemptsSurviveTheirConsumer are not asked of it.
//
// # Share groups
//
// In the mode [ShareGroup] a subscriber is a member of a share group (KIP-932, Apache Kafka 4.2). The broker hands it single
// records, as many as Next asks for, locks each, and counts its deliveries (Delivery.Receives). An event is accepted when it
// was acknowledged and never otherwise. Its lock is renewed until the broker has confirmed the settlement; without a
// confirmed renewal the run is cancelled before the lock ends. What is given back with a delay is held under its lock until
// then. Close releases what is unsettled. Failed attempts are counted by the runner's store alone.
//
// A group is configured in the cluster, and nothing is changed there: share.auto.offset.reset has to be earliest, or a new
// group does not see what was published before it began, which is warned of; share.delivery.count.limit, 5 by default, has to
// be at least the runner's attempts and its slack, or Start fails: the group drops a record that was delivered more often.
// Whoever holds a record for the last of its deliveries keeps it, tries it again in its own process, and writes it to the
// dead-letter topic when it closes; if its process dies then, the record is lost. Of an answer with a batch that cannot be
// read (a wrong sum, or more than may be held) the other batches are handed over, and [OnGap] says what becomes of that one:
// the subscription ends and it is released, or it is rejected, logged and noted in [Broker.Gaps]. A broker releases all that a member holds
// when their connection ends, so an abandoned event may be another's before its lock ends, and one whose connection was cut
// at once: a flow that still runs is told, and the claim in the store is the fence.
//
// # Exactly once
//
// With [ExactlyOnce] the results of a flow, its dead letters and the group's offsets are one transaction of Kafka: whoever
// reads them with [ReadCommitted] sees those of each event exactly once, whatever dies on the way. The publishers must be of
// the same [Broker], the subscriber the runner's only trigger, and a store is refused: it would finish what a transaction
// aborts. What is settled at the same time shares a transaction. One is aborted when a partition is lost before its offsets
// were sent, when the cluster fences it ([ErrFenced]) or when it takes longer than its timeout; it is then tried again with the
// same results, without running the flow, as long as the locks are held. When the answer to a commit is missing, the group's
// offsets tell whether it was one. What a flow does outside of the transaction may be done more than once.
//
// # Dead letters
//
// Delivery.DeadLetter writes to the topic's name with ".dlq" after it, or to [DeadLetterTopic], and the offset moves only
// when the cluster has the dead letter: key, value and headers of the record as they were, and headers that say why:
// eventflow-reason, -flow, -version, -attempts, -topic, -partition, -offset, -trigger and -error, the type of the error.
// Of these the last are left out where the record would be too large for the topic. Neither topic is made by itself, and
// a runner without dead letters of its own does not start when the topic is missing or may not be written to.
//
// # Operations
//
// [Broker.Topics], [Broker.Partitions] and [Broker.Lag] ask the cluster, for metrics and for whoever operates it;
// [Broker.Gaps] tells which records were lost on the way.
package kafka
