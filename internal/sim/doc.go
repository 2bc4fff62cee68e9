// Package sim plays whole runners against storms of faults, and checks from a record of effects that every promise is
// kept. It holds nothing but tests.
//
// # A script
//
// A seed fixes a script: three or four processes that share one store and one memory broker, 200 events and more, what
// each flow does with each of them, and what goes wrong. Every process runs three flows: "first" takes topic in and
// publishes to mid; "second" takes mid and a clock, "third" takes mid in batches. All of it happens in a bubble of virtual
// time: a storm of 15 s, and a calm in which nothing goes wrong any more and everything must come to its end. What a
// seed does not fix is the order of goroutines: a script that failed is played again, on one core, up to 200 times, and
// shrunk.
//
// A process is a set of wrapped handles of broker and store, and of flows. When it dies, at one of the steps of a run's
// way, nothing that it does from then on reaches broker, store or record; its locks and leases lapse; another one takes
// its slot. When it stands still, all of that waits, while its own timers go on, as if it were cut off; its locks lapse
// when that lasts, and it wakes up fenced.
//
// # The record
//
// The wrappers and the flows write it, the runner does not: what each topic took, what the store answered, which run
// began and ended when, what was settled. The calls of store and publishers are recorded in the order in which they took
// effect. A call is judged by when it was made: what was under way when a lock went cannot be called back.
//
// # The promises
//
// Each is a rule of the record, and its name is what a failing seed prints.
//
//   - Nothing is lost. In the calm every event that in or mid took ends, for each flow of the topic: a terminal record in
//     the store, or a dead letter. It ends as the script wants it: as succeeded only if a run of it was content, as skipped
//     only if the flow said so; poison, what cannot be decoded and what fails for good as a dead letter.
//   - One end for each key. At most one grant of a key ends it, and none is granted after that.
//   - Runs begin under a live claim: the newest grant of the key is this runner's, has not ended and has not lapsed, and
//     the lock was not lost before. A claim counts as live while its runner was told that its Finish failed.
//   - What has run is not run again: no second run of a delivery with which the flow was content. (An item behind a failure
//     of its batch and lane is.)
//   - Order in each lane. At the first start of an event, each event that the topic took before it in its lane has ended
//     for that flow, or the flow was content with it in the same runner, or it is in the same batch. Reruns are not
//     looked at: a redelivery may come behind what has succeeded.
//   - Results in the order of each lane: what a run publishes is offered to the publisher when it has taken what the runs
//     before it in its lane publish in the same runner, or with that. It is not asked of runs that met with trouble: a call
//     about them that failed, a lost lock.
//   - One run of a lane at a time. Two runs of a lane overlap only in two processes, and only when the older one has lost
//     its lock or its claim.
//   - Acknowledged after the end is recorded: when an Ack arrives, the store has the end of the key, or its dead letter is
//     written.
//   - Ended after its results are taken: a run is finished as succeeded when each of its results was taken by a Publish that
//     said so.
//   - Dead letter before the end: a run is finished as dead-lettered, or a fire as failed where dead letters have a topic,
//     when its dead letter was taken.
//   - Nothing from a fenced run: each result that is handed to Publish belongs to a run of that runner with which the flow
//     was content, and of which one event at least has its claim and its lock.
//   - Attempts are failed runs: a Finish as failed, an attempt mark and a Nack only after a run under that claim
//     failed. Busy, cancelled and handed back are none.
//   - Dead-lettered after exactly its attempts. Reason exhausted: at least three runs failed or died with their claims; and
//     exactly three failed when nothing else happened to the event. Reason permanent: a run said so. Reason decode: the
//     payload does not fit.
//   - Result IDs: the same for each attempt of a run, or of the same batch, and different for all others.
//   - A lost lock cancels: when a run ends by itself, none of its locks was lost before this instant and no claim of it has
//     lapsed, or its context has ended; with ErrLockLost, ErrShutdown, ErrOverlap or ErrRunEnded, and nothing else.
//   - Grace: no context ends with ErrShutdown before the stop and the grace period.
//   - Handed back at shutdown: 250 ms after the stop a process holds no delivery that has not begun, unless another delivery
//     of it runs there or, in batches, its lane does. When Listen has returned nothing is held, no claim is left to lapse, and
//     nothing begins, is published, dead-lettered, acknowledged or ended. None of it is asked of a process that stood
//     still, and no promptness while broker or store were down, or 11 s after something else went wrong for it.
//   - Bounds: never more deliveries, of a lane or in all, or bytes than the options say (one event beyond for bytes), nor runs
//     at a time.
//   - Counters balance in every sample, also while runs are under way; when Listen has returned nothing is in flight, and as
//     much was received as was handed over.
//   - Only live claims are renewed: none that was ended before this instant, as far as the runner was told.
//   - Fires: each that was claimed has ended when the calm is over; and each is claimed for which a process was well, with the
//     clock known, from before the next one was due and for 6 s (overlap policy Skip).
//   - Fires in time: none is claimed or begins before it is due by the store's clock, whatever the process's own says; in the
//     calm each has ended and began at most 1 s late.
//   - Cursor: it is where the newest claimed fire is.
//   - Overlap: no two fires run at a time, by any policy but AllowAll, unless the older one's claim has lapsed.
//   - Listen ends well: with nil, or naming the runs that ignored their context; not before it was told to stop; and no
//     goroutine is left in the end.
//
// Every kind of fault must have struck in a run of 100 seeds or more: a fault that never strikes proves nothing. And the
// simulation is itself tested: TestPlantedFaultsAreFound makes mistakes in the runner's source, one at a time, and each
// must be found.
//
// # How to run it
//
//	go test ./internal/sim                                       a few seeds
//	go test -race ./internal/sim -sim.seeds=200
//	go test ./internal/sim -sim.planted=60                       builds the runner with each mistake
//	go test ./internal/sim -sim.replay=FILE -sim.trace=ID        what a script that failed did with an event
//	go test ./internal/sim -sim.replay=FILE -sim.save=DIR        shrink it
package sim
