package runner

import "slices"

// A worker whose run takes long has to keep nothing from its end but that run: see relieve.

// flushing is the way to its end of what was taken out of a chunk, for the run of a lane that was left in it.
type flushing struct {
	lane *lane
	done chan struct{} // closed when nothing ahead of that run is under way
}

// watchOver makes the keeper look after chunks of several tasks.
func (r *FlowRunner) watchOver() {
	if !r.watching {
		r.watching = true
		r.pokeKeeper()
	}
}

// relieve looks for workers whose run has been blocking since the last look. Their slots are taken, but they do not keep
// a core busy: others may start in their stead. What they have done is taken from them to be published and acknowledged,
// and what they have not begun for others to run. It gives whether there is reason for another look. The caller holds
// FlowRunner.mu.
func (r *FlowRunner) relieve() (again bool) {
	again = r.enough && r.readyCount > 0
	for _, w := range r.workers {
		c := &w.chunk
		p := c.progress.Load()
		still := w.busy && w.turn == w.seen && p == c.seen
		w.seen, c.seen = w.turn, p
		if still && !w.blocked {
			w.blocked = true
			r.active--
		}
		n, started := p>>32, p&(1<<32-1)
		if p >= taken || n == 0 {
			continue
		}
		again = true
		if still && started > 0 && started <= n && c.progress.CompareAndSwap(p, taken) {
			r.relieveOf(c, int(started)-1)
		}
	}
	return again
}

// relieveOf splits a chunk whose task run[at] is running. The lanes of the chunk stay held by what is flushed of it,
// that of the running task by both.
func (r *FlowRunner) relieveOf(c *chunk, at int) {
	running := c.run[at]
	rest := &chunk{src: c.src, lanes: c.lanes, base: c.base, io: c.io, asking: c.asking, stop: c.stop}
	if c.lanes, c.ahead = nil, nil; running.lane != nil {
		running.lane.busy++
		c.lanes = []*lane{running.lane}
	}
	var back []*task // have no lane: others may run them at once
	var stopped *lane
	next := 0 // of c.run
	for _, t := range c.tasks {
		ran := next < len(c.run) && c.run[next] == t
		if ran {
			next++
		}
		unrun := ran && next-1 > at
		switch {
		case t == running:
			stopped = t.lane
			continue
		case unrun && t.lane == nil:
			back = append(back, t)
			continue
		case stopped == nil && t.lane != nil && t.lane == running.lane && c.ahead == nil:
			c.ahead = &flushing{lane: t.lane, done: make(chan struct{})}
		case unrun, !ran && t.verdict.turn != turnEnd && t.lane != nil && t.lane == stopped:
			t.verdict, stopped = verdict{turn: turnUnrun}, t.lane
		}
		rest.tasks = append(rest.tasks, t)
	}
	if r.stopping {
		for _, t := range back {
			t.verdict = verdict{turn: turnUnrun}
		}
		rest.tasks = append(rest.tasks, back...)
	} else {
		r.putBack(back)
	}
	r.wake()
	rest.last = c.ahead
	r.flushBeside(rest)
}

// flushBeside flushes what was taken out of a chunk, and does not keep the chunk waiting. The caller holds FlowRunner.mu.
func (r *FlowRunner) flushBeside(rest *chunk) {
	if len(rest.tasks) == 0 {
		r.release(rest)
		return
	}
	r.goroutines++
	go func() {
		r.flush(rest, rest.tasks)
		r.flushed(rest)
	}()
}

// flushed ends a goroutine that flushed a chunk.
func (r *FlowRunner) flushed(c *chunk) {
	if c.last != nil {
		close(c.last.done)
	}
	r.mu.Lock()
	r.goroutineEnds()
	r.unlock()
}

// flushBehind flushes the task that ran while the rest of its chunk was taken, after what ran before it in its lane:
// results are published, and settled, in the order of the lane. A worker does not wait for that, as a publisher may
// refuse what is ahead for long.
func (r *FlowRunner) flushBehind(c *chunk) {
	ahead := c.ahead
	if ahead == nil {
		r.flushOf(c, []*task{c.current})
		return
	}
	select {
	case <-ahead.done:
		r.goAfter(c.current)
		r.flushOf(c, []*task{c.current})
		return
	default:
	}
	rest := &chunk{src: c.src, base: c.base, io: c.io, asking: c.asking, stop: c.stop, tasks: []*task{c.current}}
	r.mu.Lock()
	rest.lanes, c.lanes = c.lanes, nil
	r.goroutines++
	r.unlock()
	go func() {
		<-ahead.done
		r.goAfter(rest.tasks[0])
		r.flush(rest, rest.tasks)
		r.flushed(rest)
	}()
}

// goAfter hands a task back that ran, when what ran before it in its lane went back: that runs again, and this behind it.
func (r *FlowRunner) goAfter(t *task) {
	if t.follows() && t.verdict.passes() {
		t.verdict, t.out = handBack(reasonRetry, 0), nil
	}
}

// spare takes out of a batch's chunk what was not granted: it need not wait for the run.
func (r *FlowRunner) spare(c *chunk) {
	if len(c.run) == len(c.tasks) {
		return
	}
	rest := &chunk{src: c.src, base: c.base, io: c.io, asking: c.asking, stop: c.stop}
	next := 0
	for _, t := range c.tasks {
		if next < len(c.run) && c.run[next] == t {
			next++
			continue
		}
		if t.lane != nil && t.verdict.turn != turnEnd {
			t.verdict = verdict{turn: turnUnrun} // behind what runs: it must not hold their lane
		}
		rest.tasks = append(rest.tasks, t)
	}
	c.tasks = append(c.tasks[:0], c.run...)
	r.mu.Lock()
	defer r.unlock()
	rest.lanes = slices.Clone(c.lanes)
	for _, l := range rest.lanes {
		l.busy++
	}
	r.flushBeside(rest)
}
