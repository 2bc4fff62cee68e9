package runner

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/eventflow-go/eventflow"
)

// source is an event trigger.
type source struct {
	clock    eventflow.EventClock
	name     string
	filter   func(*eventflow.Event) bool
	weight   int
	share    int // of MaxInFlight
	codec    eventflow.Codec
	codecs   *eventflow.Codecs // for its runs; nil: the flow's
	tx       bool              // transactional: no store
	confirms bool              // a Subscriber: it tells when settlements are confirmed
	probe    probe

	group runGroup // of its runs; made by Listen

	found []*lane // its receiver's: the lanes of what it has just received, nil where there is none yet

	// Guarded by FlowRunner.mu.
	ready    deque[ready]
	lanes    map[string]*lane // changed by its receiver only, which therefore reads it without the lock
	loose    *lane            // of a batch flow: the events that are lanes of their own
	inFlight int
	held     int   // bytes of payload
	credit   int   // of the weighted round robin
	backs    int64 // hand-backs of lanes so far
	asked    int64 // backs when Next was called
	paused   bool
	waiting  bool            // its receiver waits for room
	room     chan struct{}   // capacity 1: a settlement made room, or a pause ended; made by Listen
	next     context.Context // of Next; a pause cuts it
	cutNext  context.CancelFunc
}

// ready is one thing that may start: a task of its own, or the head of a lane.
type ready struct {
	t *task
	l *lane
}

// timer is a time trigger. A runner may have very many, most of them idle, so it is laid out for size.
type timer struct {
	clock      eventflow.TimeClock
	name       string
	params     eventflow.Parameters
	labels     []string
	missedAge  time.Duration
	jitter     time.Duration
	missedMost int32
	overlap    OverlapPolicy
	missed     MissedMode
	definition [8]byte

	// Of the clocks' goroutine.
	next time.Time // the nominal time waited for; zero: none
	due  time.Time // next and its jitter
	last time.Time // the newest fire that the store knew of when the runner started; zero: none

	// Guarded by FlowRunner.mu.
	paused   bool
	live     int32         // fires that have begun and not ended
	buffered []*task       // fires that wait for those to end
	rested   chan struct{} // closed when nothing of it is live any more, for a backfill that waits; nil: none does
}

// fire is one firing on its way.
type fire struct {
	eventflow.Fire
	timer *timer // nil: Run's caller is the clock
	skip  string // why it is not run: it only leaves its mark in the store
	live  bool   // it counts among its timer's live fires
	ran   bool   // an attempt has failed, so the store knows of it; guarded by FlowRunner.mu
	late  bool   // it is made up for: it waits for those before it, whatever the policy

	backfill bool          // it waits for whoever runs its clock, or itself, whatever the policy
	stir     chan struct{} // of a backfilled one, capacity 1: it is cancelled, and need not wait for its next attempt

	rc atomic.Pointer[runContext] // of its run, or of the last. Not under the lock: a thousand clocks may fire at once
}

// timer gives the time trigger of that name, nil when there is none.
func (r *FlowRunner) timer(name string) *timer {
	for _, tm := range r.c.timers {
		if tm.name == name {
			return tm
		}
	}
	return nil
}

// trigger gives the name of what started the task.
func (t *task) trigger() string { return t.key.Binding }
