// Package eventflow starts functions when time passes or an event arrives.
//
// This package is the vocabulary: flows, events, clocks, deliveries, and what a broker is. It starts no goroutine and
// does no I/O. Package runner is the loop that brings them together, package broker has a broker in memory, package
// store what remembers which runs have been.
//
// # Flows
//
// A [Flow] is a function with a name. [NewFlow] takes an event's payload and returns a result, [NewSink] only takes,
// [NewSource] only returns, [NewJob] does neither:
//
//	thumbnail := eventflow.NewFlow("thumbnail", func(ctx context.Context, up Upload) (Thumb, error) {
//		return render(ctx, up)
//	})
//
// What the types of parameter and result may be, from a struct to [Batch] and [Many], stands at NewFlow. A flow with
// several parameters has a struct with an [EventParameter] for the one that takes the event; clocks may set the others,
// see [Parameters].
//
// The name is part of every run's identity, so renaming a flow makes it another: it runs again what the old one ran.
//
// # Clocks
//
// What starts a flow is a clock. A [TimeClock] computes instants, as [Every], [Cron], [EveryDays] and its like, [RRule]
// and [Dates] do; it is pure, so that replicas and restarts agree on every fire. An [EventClock] waits for events; a
// [Subscriber] of a broker's topic is one. Types of your own may be either.
//
// Several clocks are a [Schedule]: [Entry] gives each a name, bounds, parameters and labels, a [Filter] says which fires
// pass, an [Adjustment] where they are moved, and [Preview] tells a person what will run and what will not, and why. A
// clock's String is its name; MarshalText gives its whole text, and [ParseClock] the clock of a text.
//
// # Events and deliveries
//
// An [Event] is a CloudEvents event. What a broker hands over is a [Delivery]: an event, the lane that orders it, how
// often it failed, and the means to settle it. A settlement is a mark that its subscriber writes; the first one wins. A
// runner settles by itself, so only loops of your own and brokers meet this type.
//
// # Runs
//
// A [Run] is what a flow may know of the call it is in: [RunFrom] gives it. Its [Key] identifies it for deduplication,
// the same for each attempt; the IDs of the results derive from it. So a run that is repeated after a crash publishes
// events that the next flow recognises.
//
// How a run ends is an [Outcome]. A flow that returns nil has succeeded, and any error is a failed attempt, unless it
// says more: [Permanent], [Busy], [Skip]. When the runner cancels a run, [context.Cause] says why: [ErrLockLost],
// [ErrShutdown], [ErrOverlap].
//
// # Errors
//
// What cannot be is a *[ConfigError] with the field, the value and what is allowed. It matches [ErrFatal], as does
// everything that waiting does not mend; any other error of a broker or a clock is temporary.
//
// # Without a runner
//
// Each part works alone. [Flow.Call] is one attempt without any policy, clocks are values to ask, and [Codec] and
// [Encode] make events for programs that only publish.
package eventflow
