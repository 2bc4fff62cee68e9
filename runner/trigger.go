package runner

import (
	"context"
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

	// Guarded by FlowRunner.mu.
	ready    deque[ready]
	lanes    map[string]*lane
	loose    *lane // of a batch flow: the events that are lanes of their own
	last     *lane // of the event before: neighbours often share one
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

// timer is a time trigger.
type timer struct {
	clock      eventflow.TimeClock
	name       string
	definition string
	params     eventflow.Parameters
	labels     []string
	overlap    OverlapPolicy
	missed     MissedMode
	missedAge  time.Duration
	missedMost int
	jitter     time.Duration

	// Guarded by FlowRunner.mu.
	next     time.Time // the nominal time waited for; zero: none
	due      time.Time // next and its jitter
	live     int       // fires that have begun and not ended
	buffered []*task   // fires that wait for those to end
	paused   bool
}

// fire is one firing on its way.
type fire struct {
	eventflow.Fire
	timer *timer // nil: Run's caller is the clock
	skip  string // why it is not run: it only leaves its mark in the store
	live  bool   // it counts among its timer's live fires
}

// trigger gives the name of what started the task.
func (t *task) trigger() string { return t.key.Binding }
