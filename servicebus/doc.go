// Package servicebus is Azure Service Bus as an eventflow.Broker, on Microsoft's azservicebus: queues, topics with
// subscriptions, sessions, dead-letter queues. Package servicebustest, beneath it, is a server for tests.
//
//	bus, err := servicebus.New(servicebus.Config{ConnectionString: os.Getenv("SERVICEBUS_CONNECTION_STRING")})
//	if err != nil {
//		return err
//	}
//	defer bus.Close(context.WithoutCancel(ctx))
//
//	r, err := runner.New(thumbnail,
//		runner.On(bus.Queue("uploads")),
//		runner.PublishTo(bus.Publisher("thumbs")),
//	)
//
// In place of a connection string, Config takes a namespace and any azcore.TokenCredential. [Scheme] and [SchemeWith] open
// a broker by URL.
//
// # Locks
//
// A message is locked while it is held, from its receipt to the service's confirmation of its settlement, and its lock is
// renewed when half of it is over: those of messages each, that of a session for all of its events. A lock that cannot be
// confirmed ends the run before it ends itself, by the clock of this process; a lock that the service takes away ends it
// at once. Settlements are written many at a time, each with a deadline, and again for as long as the lock is held.
//
// A subscriber asks the service for no more than its runner has room for, and holds nothing else: a message that waits in
// a client for its turn is a dead letter to be. When the runner pauses or stops, what was asked for is taken back.
//
// # Attempts, delays, dead letters
//
// The service counts deliveries, hand-backs and lapsed locks included, and dead-letters what exceeds the entity's
// MaxDeliveryCount, which must be at least the runner's attempts and slack (5 and 5 by default). That cannot be checked
// with the right to listen alone, and is not. Failed attempts are counted apart, in a property of the message that is
// written when it is given back.
//
// Retries and Busy wait in the process, under the lock, and so do longer delays, up to 24 hours; at most 10,000 messages
// wait beyond the runner's MaxHold, the first of them coming early when there are more. With [DelayByCopy] such delays leave the
// process.
//
// A dead letter goes to the entity's own dead-letter queue, with its reason and description. [DeadLetters] consumes it. A
// dead letter that is sent back, with its properties, is not taken for done: Delivery.Redrive is one higher.
//
// # Sessions
//
// With [Sessions] an entity's sessions are lanes: Event.Key is the session ID. Several are held at one time, and each is
// given up when it has been idle. What is given back stays with its session's holder, and counts no delivery.
// [Subscriber.Session] gives a run its session's state. A session receives one event in a round trip, because the client
// gives back what arrives between two receives, and what is behind it would overtake it: throughput comes from many
// sessions.
//
// # Events
//
// Events are published as CloudEvents over AMQP in binary mode, with properties "cloudEvents:…", or with [Structured] in
// structured mode; read are both, and "cloudEvents_…". All types of attributes survive, times to the nanosecond, and so do order
// and repetition, for which a property of our own stands beside the others where it is needed. Key is the session ID,
// which partitioned entities take for the partition key too. The message ID is the event's ID: give events of different sources that go to one
// entity with duplicate detection different IDs.
//
// A message that is no CloudEvent is an event with the message's properties as attributes, its label as Subject, and an
// identity of namespace, entity, sequence number and time of arrival; see [UseMessageIDs]. Delivery.Native is the
// *azservicebus.ReceivedMessage: it must not be settled by anybody else.
//
// # What is promised
//
// Broker.Features, and below it the rules of brokertest and runnertest that are not asked, and why.
//
//	Lanes true with Sessions, Groups false, ExactAttempt true, DeadLetter true, MaxNack 24h, MaxLock 5m, MaxEvent 192 KiB
//
//	all            GroupsEachSeeEveryEvent                    no groups: each subscription sees every event
//	all            GroupsSettleApart                          no groups: each subscription sees every event
//	all            FullGroupMakesPublishersWait               an entity without room refuses, and lets nobody wait
//	all            ReceiveLimitBelowTheAttemptsFailsTheStart  reading the limit takes a right that consuming does not
//	no sessions    AckMakesRoomForAWaitingNext                an entity without sessions has no order
//	no sessions    NextKeepsWithinPerLaneOverCalls            an entity without sessions has no order
//	no sessions    PerLaneLetsOtherLanesPass                  an entity without sessions has no order
//	no sessions    AckPastAGapKeepsTheGap                     an entity without sessions has no order
//	no sessions    LaneKeepsItsOrder                          an entity without sessions has no order
//	no sessions    NackedEventComesBackBeforeItsLane          an entity without sessions has no order
//	no sessions    ReleasedEventComesBackBeforeItsLane        an entity without sessions has no order
//	no sessions    DelayedEventHoldsItsLaneAndNoOther         an entity without sessions has no order
//	no sessions    ReleasedLaneComesBackInOrder               an entity without sessions has no order
//	no sessions    ClosedConsumersLaneComesBackInOrder        an entity without sessions has no order
//	no sessions    LaneHasOneConsumerAtATime                  an entity without sessions has no order
//	no sessions    AbandonedEventHoldsItsLane                 an entity without sessions has no order
//	no sessions    UnwritableDeadLetterHoldsItsLane           an entity without sessions has no order
//	no sessions    ReceiveLimitBuriesNoNeighbour              an entity without sessions has no order
//	no sessions    LaneKeepsItsOrderAcrossRestarts            an entity without sessions has no order
//	no sessions    SlowLaneDelaysNoOther                      an entity without sessions has no order
//	sessions       PerLaneDoesNotBoundEventsWithoutALane      a session takes no event without a key
//	sessions       ReceiveLimitDeadLettersOnlyItsEvent        what is given back stays with the session's holder
//	sessions       ReceivesCountHandOvers                     what is given back stays with the session's holder
package servicebus
