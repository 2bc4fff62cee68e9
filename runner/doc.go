// Package runner runs a flow: a [FlowRunner] merges its clocks, of time and of events, and brings each event and each
// fire to its end.
//
//	r, err := runner.New(thumbnail,
//		runner.On(uploads),
//		runner.At(eventflow.Cron("0 3 * * *", lisbon)),
//		runner.PublishTo(thumbs),
//	)
//	if err != nil {
//		return err
//	}
//	return r.Listen(ctx)
//
// [New] does no I/O and gives everything that is wrong with the options at once. [FlowRunner.Listen] works until its
// context ends; package function [Listen] does so with several runners. [FlowRunner.Handle] and [FlowRunner.Run] are for
// loops and schedulers of the user's own: one delivery, or one fire, the whole way.
//
// # What Listen does
//
// First it starts each subscriber, which connects and checks what only its broker knows, and asks the store how far each
// clock has come. Only when all of that has worked is anything received, and [FlowRunner.Ready] closed. From then on,
// for each event:
//
//  1. Receive. One goroutine for each event clock asks it for as many events as there is room for: within [MaxInFlight],
//     of which sources have shares by their [Weight], [MaxPerLane] and [MaxHeldBytes]. A slow flow therefore slows the
//     receiving.
//  2. Queue. Each event joins its lane, and the sources take turns by weight.
//  3. Claim. A worker, one of at most [MaxRuns], takes a chunk: of quick runs about a millisecond's worth, at most 32
//     events, of slow ones a single event. It asks the store for the right to run all of them in one call. What has been
//     run before is acknowledged as a duplicate; what is running in this process waits behind that run; what is running
//     in another is handed back, or waits if its lane is ordered. When the store does not answer the chunk waits:
//     nothing runs unclaimed.
//  4. Run. The payload is decoded into the flow's parameter and the flow is called, one event of the chunk after another.
//     A panic, and a runtime.Goexit, is a failed attempt.
//  5. Publish. The results of the chunk go to each publisher in one call, if lock and claim are still held. What a
//     publisher refuses is offered again, under the lock, without running the flow again.
//  6. Finish. The store is told how each run ended.
//  7. Settle. The event is acknowledged; it counts when the broker has confirmed that.
//
// A crash between two steps repeats the run: its results have the same IDs as before, so that the next flow's claims
// recognise them. When a run blocks, what its chunk has done goes on its way without it, and what has not begun is run by
// others.
//
// # Lanes
//
// A lane is the unit of order: a key, a partition, a session, as the broker has it. Its events run one after another, in
// order, and different lanes run side by side. An event that waits for its next attempt keeps what is behind it in its
// lane waiting. Their results are handed to a publisher in the lane's order; one that it refuses is offered again, and
// comes behind those that it took in the same call. Events without a lane are in no order.
//
// # Attempts
//
// An attempt is a run that failed, or that died with its process. Receives are no attempts, nor are runs that the
// runner cancelled. After a failed attempt the event keeps its lock and waits in this process for [Backoff], without a
// run slot; when the delay exceeds [MaxHold], or [MaxDelayed] deliveries wait already, it is handed back to the broker
// with its delay. In an ordered lane, where others wait behind it, the delay is at most [MaxLaneDelay]. eventflow.Busy
// waits likewise, as long as the flow says, and counts nothing.
//
// An event has reached its end as a failure when [MaxAttempts] are used up ("exhausted"), when the flow's error is
// eventflow.Permanent, or its result cannot be encoded or is too large ("permanent"), or when its payload does not fit
// the parameter ("decode"). When many in a row do not fit, see [PauseAfterDecodeFailures], it is probably the flow that is
// wrong: the trigger is paused, what it holds is handed back, and one event at a time is tried until one fits.
//
// # Dead letters
//
// It is then dead-lettered: published by the publisher that [DeadLetterTo] names, otherwise handed to its broker's own
// dead letters, and acknowledged after that. A dead letter that cannot be written holds its event and its lane, and says
// so; it is never dropped. A fire has no event: it ends as failed, and is copied to the dead-letter publisher where
// there is one. An event of a clock without a broker behind it, and without such a publisher, ends as failed and is
// logged.
//
// # Time clocks
//
// A fire goes the same way from its claim on, in one of the slots of [FireSlots], which events cannot take. It is known
// by flow, clock and nominal time, so replicas that share a store run it once. One that was given
// back at a shutdown, or whose process died, is known to the store alone: each runner of the flow sweeps for such fires
// once a [Lease] and takes them over. A fire that comes while a run of the same
// clock is live is skipped, unless [Overlap] says otherwise. Of several that were missed only the latest runs, unless it is
// older than 24 hours, and its Fire.Missed lists those before it; [Missed] chooses. [Jitter] spreads the fires of many
// clocks. [New] probes that a clock gives the same fire whenever it is asked, and refuses one that does not.
//
// A wall clock that is stepped, or a machine that slept, is noticed within a minute: what a step forward leaves out was
// missed, and what a step back brings again runs once. [FlowRunner.Pause] stops a clock of this runner and of no other.
// [FlowRunner.Backfill] runs the fires of a time that has passed, with the identities that they have live, so none runs
// twice. One goroutine and one timer wait for all clocks; an idle clock takes about 230 bytes.
//
// # Locks and leases
//
// The subscriber renews the lock of each delivery until its settlement is confirmed; the runner renews the claims in the
// store when a third of the [Lease] has passed. When either is lost, or a claim can no longer be confirmed in time, the
// run's context ends with the cause eventflow.ErrLockLost, and nothing of it is published, finished or settled any more.
// A flow that does not look at its context runs on all the same.
//
// # Shutdown
//
// When Listen's context ends, receiving stops at once and what has not started is handed back. Runs have [Grace] to
// finish; then their contexts end with the cause eventflow.ErrShutdown, and their events are handed back, which is no
// attempt. After [HardStop] Listen returns an *eventflow.AbandonedError with the names of the runs that are still going;
// those are fenced and their locks lapse. Subscribers are closed in any case, within what is left of Grace and HardStop. When no run was abandoned and no source or
// store failed for good, Listen returns nil: cancellation is not failure. The runner's goroutines have ended by then,
// except those of abandoned runs.
//
// # Being watched
//
// [FlowRunner.Counts] is one consistent snapshot of what was received and how it ended, [Hooks] are told each decision with
// its reason, [FlowRunner.State] says where the runner is, and [Logger] is told of failures: when a lasting one begins, once a
// minute, and when it is over. The String of a runner lists its triggers and every option in force.
//
// The runner remembers its newest decisions, see [DecisionLog]. [FlowRunner.Why] answers from them, and from what is in
// flight, why an event or a fire did not run.
//
// # Defaults
//
//	MaxRuns                  64
//	FireSlots                1                                 one per clock, at most 64
//	MaxInFlight              1024
//	MaxPerLane               64                                MaxInFlight / 16
//	MaxDelayed               512                               MaxInFlight / 2
//	MaxHeldBytes             67108864
//	MaxAttempts              5
//	Slack                    5
//	Backoff                  1s doubling to 1m0s, full jitter
//	MaxHold                  5m0s
//	MaxLaneDelay             5m0s
//	MaxAge                   none
//	PauseAfterDecodeFailures 20
//	Timeout                  none
//	Lease                    30s
//	Grace                    30s
//	HardStop                 10s
//	DecisionLog              10000
//
// The store is one in memory unless [Store] names another: deduplication then ends with the process. Dead letters go to
// the event's own broker. A batch takes at most 100 events and waits for none, see [BatchOf].
package runner
