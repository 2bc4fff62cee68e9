package eventflow

import (
	"context"
	"time"
)

// TimeClock computes fires. It is the method set of the field's cron schedules on purpose: robfig/cron's plug in.
//
// Its law: Next(t) equals Next(after) for every t in [after, Next(after)). A clock is a function of its definition, not
// of when it is asked, so that replicas and restarts agree on every fire. runner.New probes the law and refuses by name
// what breaks it, such as a clock that adds a duration to its argument: use [Every].
//
// A clock that is misconfigured says so by an Err() error method, which runner.New asks.
type TimeClock interface {
	// Next gives the first fire strictly after the instant, the zero time when there is none. It must be safe for
	// concurrent use.
	Next(after time.Time) time.Time
}

// Want bounds one call of [EventClock].Next.
type Want struct {
	Events int // deliveries of this call; below 1 is 1
	// PerLane bounds the unsettled deliveries of any one lane, earlier calls included, so that one slow lane cannot take
	// every slot; 0: no bound. Deliveries with Lane "" are not bounded.
	PerLane int
	// Bytes bounds the sum of len(Data) in this call; a larger single event is handed over alone; 0: no bound.
	Bytes int
}

// EventClock waits for events. A [Subscriber] is one; so is a type of the user's own that polls a directory or an API:
// it returns &Delivery{Event: …} and need not bind them.
//
// Event.Source and Event.ID identify an event: give them, or the same thing seen twice runs twice. A runner gives an
// event without an ID one that never repeats.
type EventClock interface {
	// Next waits for at least one event and returns within the three bounds, deliveries or an error, never both. ErrEnd:
	// there will never be another. ErrFatal, ErrClosed: do not ask again. Any other error is temporary: the runner asks
	// again, with backoff. When ctx ends it returns what it has in hand, else ctx's error. It is called by one goroutine
	// at a time.
	Next(ctx context.Context, want Want) ([]*Delivery, error)
}
