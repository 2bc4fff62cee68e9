package runner

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// worker is a goroutine that runs chunks. Listen's end waits for it.
type worker struct {
	wake  chan struct{} // capacity 1
	chunk chunk

	// Guarded by FlowRunner.mu.
	turn    uint32 // chunks begun
	seen    uint32 // turn when the keeper last looked
	busy    bool   // has a chunk
	blocked bool   // has been at the same run for a look of the keeper: it is not counted as active
}

// chunk is what a worker does at a time: claimed at once, run one after another, then published, finished and settled
// at once.
type chunk struct {
	src    *source         // nil: fires, and the user's own loop
	group  *runGroup       // of the runs of deliveries
	tasks  []*task         // taken
	run    []*task         // granted, in order; fixed while progress is set
	base   context.Context // of the runs
	io     context.Context // of publish, finish and dead letters: it outlives the runs' by HardStop
	asking context.Context // of claims: it ends when the runner stops, or the caller of Handle or Run does
	stop   <-chan struct{} // closed when waiting makes no sense any more
	stir   <-chan struct{} // ends a pause early; nil: never
	direct bool            // Handle's or Run's: what becomes of its task is their caller's business
	lanes  []*lane         // those that it holds; guarded by FlowRunner.mu
	ahead  *flushing       // what was taken out of it and comes before the task that stayed, in its lane; nil: nothing
	last   *flushing       // of what was taken out: the same; nil: nobody waits
	batch  bool            // one run for all tasks

	err     error     // the store's final one
	start   time.Time // of the runs
	slow    bool      // the store took its time to grant them
	current *task     // running, or the last that ran
	pending []*task   // what is being flushed

	// progress is how far the runs are, so that the keeper can take from a worker whose run blocks what is done and
	// what has not begun: the number of tasks in the upper half (0: not running, taken: see below), how many were
	// started in the lower.
	progress atomic.Uint64
	seen     uint64 // progress when the keeper last looked; guarded by FlowRunner.mu

	// Scratch, reused.
	scratch *eventflow.Run // of a delivery's run under way: a flow that asks is given another; nil: fires
	claims  []store.Claim
	ends    []store.Finish
	out     []eventflow.Event
	acks    []*eventflow.Delivery
	with    []*task

	contexts []runContext // for the next runs; none was used yet
}

const taken = uint64(1<<32-1) << 32

func (r *FlowRunner) startWorker() {
	w := &worker{}
	r.workers = append(r.workers, w)
	r.waking++
	r.goroutines++
	go r.work(w)
}

// work runs chunks until the runner closes.
func (r *FlowRunner) work(w *worker) {
	returned := false
	defer func() {
		if !returned { // a flow called runtime.Goexit, as a test's FailNow does: its goroutine is gone, its chunk is not
			go r.workOn(w)
		}
	}()
	w.wake = make(chan struct{}, 1)
	r.mu.Lock()
	r.waking--
	r.serve(w)
	returned = true
}

// workOn is a worker's new goroutine after a Goexit in the middle of a chunk.
func (r *FlowRunner) workOn(w *worker) {
	returned := false
	defer func() {
		if !returned {
			go r.workOn(w)
		}
	}()
	r.goOn(&w.chunk)
	r.mu.Lock()
	r.rest(w)
	r.serve(w)
	returned = true
}

// serve takes chunk after chunk. It is entered with FlowRunner.mu held and leaves without it.
func (r *FlowRunner) serve(w *worker) {
	c := &w.chunk
	c.base, c.io, c.asking, c.stop = r.base, r.io, r.asking, r.stop
	if c.scratch == nil {
		c.scratch = new(eventflow.Run)
	}
	for {
		if !r.take(c) {
			if r.closing {
				break
			}
			r.idle = append(r.idle, w)
			r.settleDown()
			r.unlock()
			<-w.wake
			r.mu.Lock()
			r.waking--
			continue
		}
		r.arm(c)
		r.active++
		w.busy = true
		w.turn++
		r.wake()
		if len(c.tasks) > 1 {
			r.watchOver()
		}
		r.unlock()
		r.do(c)
		if c.contexts == nil { // as many as this time, and not under the lock
			c.contexts = make([]runContext, len(c.tasks))
		}
		r.mu.Lock()
		r.rest(w)
	}
	r.goroutineEnds()
	r.unlock()
}

// arm gives the deliveries of a chunk the contexts of their runs, so that who finds one's lock lost can cancel it. The
// caller holds FlowRunner.mu.
func (r *FlowRunner) arm(c *chunk) {
	if c.batch || c.tasks[0].stage != stageRun {
		return
	}
	if len(c.contexts) < len(c.tasks) {
		c.contexts = make([]runContext, len(c.tasks))
	}
	for i, t := range c.tasks {
		t.rc = &c.contexts[i]
		t.rc.of, t.rc.d = c.group, t.d
	}
	c.contexts = nil
}

// rest notes that a worker is done with its chunk. The caller holds FlowRunner.mu.
func (r *FlowRunner) rest(w *worker) {
	if !w.blocked {
		r.active--
	}
	w.busy, w.blocked = false, false
}

// do brings a chunk the whole way. It is the work of one worker, one fire's goroutine, or the user's own loop.
func (r *FlowRunner) do(c *chunk) {
	c.current, c.pending = nil, nil
	clear(c.out)
	c.out = c.out[:0]
	c.start = time.Time{}
	if !r.c.private {
		c.start = time.Now()
	}
	if c.tasks[0].stage == stageRun && r.claim(c) && len(c.run) > 0 {
		if !r.c.private { // the store's time is not the runs'; that of a store in memory is too little to ask for it
			r.answeredLate(c)
		}
		if !c.batch && len(c.tasks) > 1 {
			c.progress.Store(uint64(len(c.run)) << 32)
			if c.slow { // by now the keeper may have found that there is nothing to look after
				r.mu.Lock()
				r.watchOver()
				r.unlock()
			}
		}
		r.goOn(c)
		return
	}
	r.flushOf(c, c.tasks)
}

// flushOf flushes what the chunk still has, and remembers that, should a hook leave by a Goexit.
func (r *FlowRunner) flushOf(c *chunk, ts []*task) {
	c.pending = ts
	r.flush(c, ts)
}

// goOn runs what of a claimed chunk has not run yet, and flushes it.
func (r *FlowRunner) goOn(c *chunk) {
	if c.pending != nil {
		r.flush(c, c.pending)
		return
	}
	ran := 1
	switch {
	case c.batch:
		if c.current == nil {
			r.spare(c)
			r.runBatch(c)
		}
		ran = len(c.run)
	case len(c.tasks) == 1:
		if c.current == nil {
			c.current = c.run[0]
			r.runOne(c, c.current)
		}
	default:
		var whole bool
		if ran, whole = r.runAll(c); !whole {
			c.forget()
			c.out = nil // who took the chunk publishes from it
			r.took(c.start, ran)
			if c.current != nil {
				r.flushBehind(c)
			}
			return
		}
	}
	c.forget()
	r.took(c.start, ran)
	r.flushOf(c, c.tasks)
}

// forget lets go of the last run: a worker that rests keeps no event.
func (c *chunk) forget() {
	if c.scratch != nil {
		*c.scratch = eventflow.Run{}
	}
}

func (r *FlowRunner) took(start time.Time, n int) {
	took := time.Since(start)
	r.mu.Lock()
	r.timed(took, max(n, 1))
	r.unlock()
}

// runAll runs the chunk's tasks one after another, how many it says. It gives false when the keeper took the others
// away; the task that was running then is c.current, and still the worker's.
func (r *FlowRunner) runAll(c *chunk) (ran int, whole bool) {
	n := uint64(len(c.run))
	var stopped *lane // its task did not end: what is behind it must wait
	if t := c.current; t != nil && !t.verdict.passes() {
		stopped = t.lane // a Goexit left the loop there
	}
	for {
		p := c.progress.Add(1)
		if p >= taken {
			return ran, false
		}
		i := p&(1<<32-1) - 1
		if i >= n {
			c.progress.Store(0)
			return ran, true
		}
		t := c.run[i]
		if c.current = t; stopped != nil && t.lane == stopped {
			t.verdict = verdict{turn: turnUnrun}
			continue
		}
		r.runOne(c, t)
		if stopped = nil; !t.verdict.passes() {
			stopped = t.lane
		}
		ran++
	}
}

// passes reports whether what is behind the task in its lane may run: it has a result that the rest of the way only
// records.
func (v *verdict) passes() bool {
	return v.turn == turnEnd && v.outcome != eventflow.HandedBack
}

// putBack puts tasks that were taken and not run in front of where they came from, in their order.
func (r *FlowRunner) putBack(ts []*task) {
	for _, t := range slices.Backward(ts) {
		r.enqueue(t, true)
	}
}

// release gives up a chunk's hold of its lanes.
func (r *FlowRunner) release(c *chunk) {
	for _, l := range c.lanes {
		l.busy--
		r.offer(l, false)
	}
	c.lanes = c.lanes[:0]
}

// pause waits. It gives false when the runner, or the caller of Handle or Run, stops first.
func (c *chunk) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.stir:
		return true
	case <-c.stop:
		return false
	case <-c.io.Done():
		return false
	}
}
