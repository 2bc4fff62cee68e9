// Package sqs is a broker on Amazon SQS, with the SDK github.com/aws/aws-sdk-go-v2: standard and FIFO queues, at the
// least number of requests that SQS allows, with the visibility of every message held for as long as its flow runs.
//
//	cfg, err := config.LoadDefaultConfig(ctx)
//	…
//	b := sqs.New(cfg)
//	r, err := runner.New(thumbnail,
//		runner.On(b.Subscriber("uploads.fifo", sqs.DeadLetterQueue("dead.fifo"))),
//		runner.PublishTo(b.Publisher("thumbs")),
//	)
//
// # Queues and rights
//
// A queue is named by its URL, its ARN or its name. A subscriber of a URL or an ARN needs exactly the rights
// sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility and sqs:GetQueueAttributes; a publisher needs
// sqs:SendMessage. A name needs sqs:GetQueueUrl too. [AssumeRole] uses a role, of the same or another account. A
// subscriber asks for each right when it starts, with requests that can do nothing, and says which one is missing of which
// queue in an [*AccessError].
//
// A queue that is missing at the start, or a right, is final. One that is deleted or taken away later is waited for, and
// found again.
//
// # Requests
//
// What is received, deleted, given back and published shares requests, ten messages each: under load an event costs 0.2
// requests to consume and 0.1 to publish. A settlement waits for others for at most 100 ms (10 ms of a FIFO queue), and
// not at all when nothing else is held. An idle queue costs one request in 20 s ([LongPoll]). The number of receives at
// once grows while they come back full ([Polls]), and never beyond what can start.
//
// # Locks
//
// A message is invisible to others for the queue's visibility timeout, or [Visibility]. It is put off at half that time,
// ten messages in a request, until the settlement is confirmed. When it can be confirmed no longer the delivery is fenced,
// and its flow cancelled, a second before the message is visible again; so it is when the queue says that somebody else
// has it. SQS holds a message for 12 hours at most.
//
// A subscriber's close lets the long poll under way finish, because a cut one would leave messages invisible to all.
// When its context does not leave the time for that, the broker's Close waits.
//
// # Order
//
// The lane of a FIFO queue's message is its group. Event.Key is the group, or what the group was made of where SQS does
// not take it as it is; an event without a key gets a group of its own. The deduplication ID is made of the event's
// source and ID, so what is published again within five minutes is absorbed by the queue. Messages of a standard queue
// have no lane; a key is kept in an attribute.
//
// An event that goes back to its queue has its group wait for it; what was received behind it goes back as well.
//
// # Dead letters
//
// An exhausted event is sent to the [DeadLetterQueue] with attributes that begin with "eventflow-" (reason, flow,
// version, attempts, trigger, origin, redrive) and is deleted then. Without one it is left to the queue's own redrive policy: it is
// made visible, received and made visible again, unrun, until it was received as often as the policy says, and the reason
// goes to the log. A subscriber of a runner that has neither, nor a dead-letter publisher of its own, does not start,
// unless it is told to [LeavePoison].
//
// SQS counts receives, not attempts: hand-backs and lapsed locks count as well. The policy's maxReceiveCount must
// therefore be at least the runner's attempts and slack, which is checked at the start.
//
// # Messages
//
// Events are CloudEvents in binary mode, as message attributes "ce-id", "ce-source" and so on, and "content-type"; or in
// structured mode ([Structured]). Both are read, also with the prefixes "ce_" and "cloudEvents_". A message that is no
// CloudEvent has the queue's ARN as its source and its message ID as its ID, and the time when it was sent.
//
// What SQS cannot hold is in one more attribute, "eventflow", in JSON: that the body is in base64, because it is not
// UTF-8 or has characters that SQS refuses; extensions beyond the ten attributes of a message, of odd names, repeated or
// of odd values; their order. The values of extensions keep their types. A message larger than 1 MiB is refused with a
// [*SizeError] before it is sent; see [MaxBytes].
//
// # What SQS cannot do
//
// These are what Features denies, and the rules of brokertest and runnertest that are not kept, with the reason. A test
// compares this table with them.
//
//	Groups        consumers of a queue compete; SQS has no groups
//	                GroupsEachSeeEveryEvent
//	                GroupsSettleApart
//	ExactAttempt  SQS counts receives, and has no place for attempts
//	                AttemptedCountsAndKeepsTheDelivery
//	                AttemptsAreOfOneEvent
//	                AttemptsSurviveTheirConsumer
//	                NackCountsAnAttempt
//	                ReleaseCountsNoAttempt
//	Capacity      a queue holds any number of messages
//	                FullGroupMakesPublishersWait
//	Lanes         messages of a standard queue have no lanes
//	                AbandonedEventHoldsItsLane
//	                AckMakesRoomForAWaitingNext
//	                AckPastAGapKeepsTheGap
//	                ClosedConsumersLaneComesBackInOrder
//	                DelayedEventHoldsItsLaneAndNoOther
//	                LaneHasOneConsumerAtATime
//	                LaneKeepsItsOrder
//	                LaneKeepsItsOrderAcrossRestarts
//	                NackedEventComesBackBeforeItsLane
//	                NextKeepsWithinPerLaneOverCalls
//	                PerLaneLetsOtherLanesPass
//	                ReceiveLimitBuriesNoNeighbour
//	                ReleasedEventComesBackBeforeItsLane
//	                ReleasedLaneComesBackInOrder
//	                SlowLaneDelaysNoOther
//	                UnwritableDeadLetterHoldsItsLane
package sqs
