package runner

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventflow-go/eventflow"
)

// FlowRunner runs one flow. Make it with [New]. It listens once; Handle and Run may be used beside Listen or without
// it. All methods may be called by many goroutines.
type FlowRunner struct {
	flow      *eventflow.Flow
	c         *config
	codecs    *eventflow.Codecs // of runs whose source names none
	faults    faults
	decisions decisions
	ready     chan struct{}

	halted atomic.Bool // stopping, for who does not hold mu

	mu      sync.Mutex // guards what follows, and the fields of sources, timers and lanes that say so
	state   State
	tally   tally
	tasks   []*task // all that are in flight and not ended
	free    []*task
	directs int // of tasks: Handle's and Run's
	parked  map[eventflow.Key][]*task
	nonce   string
	named   int64      // events that got a name of ours
	seq     int64      // of the newest delivery
	late    retirement // come back into a lane that went back to its broker: unlock hands them back
	untold  []Decision // made under the lock: unlock tells the hooks

	// Of a listening runner.
	base          context.Context // of the runs
	cancelRuns    context.CancelCauseFunc
	io            context.Context // of publish, finish and dead letters
	asking        context.Context // of claims
	stopAsking    context.CancelFunc
	stopReceiving context.CancelFunc
	stop          chan struct{} // closed when the runner begins to stop
	over          chan struct{} // closed when nothing is left, and nothing will come
	closed        chan struct{} // closed to end the keeper and the clocks' goroutine
	gone          chan struct{} // closed when the last goroutine has ended, after closing
	failed        chan error    // capacity 1: a source's final error
	poke          chan struct{} // capacity 1
	workers       []*worker
	idle          []*worker
	goroutines    int // workers and those of fires, renewals, flushes; not receivers
	receivers     int
	readyCount    int     // in the ready queues of all sources
	active        int     // workers that run a chunk, but for those that were seen to block
	enough        bool    // wake found that as many are active as pay
	woken         *worker // to be woken by unlock
	waking        int     // workers that were woken and have not taken anything yet
	procs         int
	perRun        float64 // average ns of a run
	delays        heap[delayed]
	delayedCount  int          // deliveries among delays
	timers        heap[*timer] // of the clocks' goroutine
	newest        time.Time    // of the clocks' goroutine: the wall time that it saw last
	began         time.Time    // where new clocks begin; of the clocks' goroutine
	liveTimers    int
	fires         deque[*task] // due, and waiting for a slot
	firing        int
	marks         deque[*task] // fires that are skipped, and leave their mark in the store
	marking       bool
	watching      bool
	idleLooks     int
	renewal       bool // the keeper looks at leases
	renewing      bool
	nextRenewal   int64 // monotonic ns
	nextSweep     int64 // monotonic ns
	swept         bool  // a sweep has been answered
	sweeping      bool
	stopping      bool
	stopped       time.Time // when stopping began
	closing       bool
	overDone      bool
	goneDone      bool
}

// New makes a runner of the flow. It checks everything that options show, does no I/O, and gives every mistake at once,
// each a *[eventflow.ConfigError], joined: use errors.As, or print it.
func New(f *eventflow.Flow, opts ...Option) (*FlowRunner, error) {
	c := newConfig()
	for _, o := range opts {
		if o == nil {
			c.fail("runner.New option", "nil", "an Option")
			continue
		}
		o.apply(c)
	}
	if err := c.check(f); err != nil {
		return nil, err
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails: see its documentation
	r := &FlowRunner{
		flow: f, c: c, ready: make(chan struct{}), parked: map[eventflow.Key][]*task{},
		nonce: hex.EncodeToString(id[:]), procs: runtime.GOMAXPROCS(0),
	}
	c.owner = f.Name() + "@" + r.nonce
	r.faults.flow, r.decisions.most = f.Name(), c.decisionLog
	if c.codecs.Encode != nil {
		r.codecs = &c.codecs
	}
	for _, s := range c.sources {
		if s.codec != nil {
			s.codecs = &eventflow.Codecs{Decode: s.codec, Encode: c.codecs.Encode}
		}
	}
	r.delays.before = func(a, b delayed) bool { return a.at.Before(b.at) }
	r.timers.before = func(a, b *timer) bool { return a.due.Before(b.due) }
	return r, nil
}

// Flow gives the flow that the runner runs.
func (r *FlowRunner) Flow() *eventflow.Flow { return r.flow }

// String describes the runner: the flow, its triggers, and every option with the value in force, one a line.
func (r *FlowRunner) String() string {
	s := "flow " + r.flow.Name()
	if v := r.flow.Version(); v != "" {
		s += " " + v
	}
	return s + "\n" + r.c.String()
}

func (r *FlowRunner) logger() *slog.Logger {
	if r.c.logger != nil {
		return r.c.logger
	}
	return slog.Default()
}

// anonymous gives an event that brought no ID one that never repeats.
func (r *FlowRunner) anonymous() string {
	r.named++
	return r.nonce + "-" + strconv.FormatInt(r.named, 10)
}
