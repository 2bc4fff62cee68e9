package runner

import (
	"math"
	"time"

	"github.com/eventflow-go/eventflow"
)

// What is in this file runs under FlowRunner.mu: the way of tasks into lanes, from there to workers, and back.

// push takes in a hand-over of one source. It gives what must go back at once: the broker may have handed it over before
// the head of its lane was handed back, and then it would overtake that.
func (r *FlowRunner) push(s *source, ds []*eventflow.Delivery) (back []*task) {
	if len(s.lanes) > 4*r.c.maxInFlight {
		s.sweepLanes()
	}
	r.tally.received += int64(len(ds))
	r.tally.inFlight += int64(len(ds))
	s.inFlight += len(ds)
	var now time.Time
	if r.c.batchWait > 0 {
		now = time.Now()
	}
	for i, d := range ds {
		s.held += len(d.Event.Data)
		t := r.newTask()
		r.seq++
		t.d, t.src, t.attempts, t.seq, t.came = d, s, max(d.Attempts, 0), r.seq, now
		t.key = r.keyOf(s, d)
		if t.key.ID == "" {
			t.key.ID = r.anonymous()
		}
		if t.lane = s.found[i]; t.lane == nil && d.Lane != "" {
			t.lane = s.newLane(d.Lane)
		}
		if t.lane != nil && t.lane.back > s.asked {
			t.verdict = verdict{turn: turnUnrun, reason: reasonRetry}
			back = append(back, t)
			continue
		}
		r.enqueue(t, false)
	}
	r.wake()
	return back
}

// keyOf is the run key of a delivery. Its ID is empty when the event brought none.
func (r *FlowRunner) keyOf(s *source, d *eventflow.Delivery) eventflow.Key {
	k := eventflow.Key{Flow: r.flow.Name(), Binding: s.name, Source: d.Event.Source, ID: d.Event.ID, Redrive: d.Redrive}
	if k.Source == "" {
		k.Source = s.name
	}
	return k
}

// find looks for the lanes of what was received. It is for the receiver, without the lock: nobody else changes the map,
// and workers would wait for the lock meanwhile.
func (s *source) find(ds []*eventflow.Delivery) {
	s.found = s.found[:0]
	var l *lane
	for _, d := range ds {
		if d.Lane == "" {
			l = nil
		} else if l == nil || l.name != d.Lane { // neighbours often share one
			if l = s.lanes[d.Lane]; l != nil {
				l.used = true
			}
		}
		s.found = append(s.found, l)
	}
}

// newLane gives the lane of a name that find did not know; the one before may have brought it.
func (s *source) newLane(name string) *lane {
	l := s.lanes[name]
	if l == nil {
		l = &lane{name: name, src: s, used: true}
		s.lanes[name] = l
	}
	return l
}

// sweepLanes forgets the lanes that nobody used since the last sweep. Keeping them a while saves the map two writes an
// event; 4 × MaxInFlight bounds them.
func (s *source) sweepLanes() {
	for name, l := range s.lanes {
		if !l.used && l.head == nil && l.busy == 0 && !l.queued && l.back <= s.asked {
			delete(s.lanes, name)
		}
		l.used = false
	}
}

// enqueue puts a task where a worker finds it.
func (r *FlowRunner) enqueue(t *task, front bool) {
	s, l := t.src, t.lane
	switch {
	case t.fire != nil && t.fire.skip != "":
		r.marks.pushBack(t)
		r.startMarks()
		return
	case t.fire != nil:
		r.fires.pushBack(t)
		r.startFires()
		return
	case t.stage != stageRun:
		s.ready.pushFront(ready{t: t}) // it ran already: its lane stays busy until the rest of its way is done
		r.readyCount++
		return
	case l == nil && s.loose != nil:
		l = s.loose
	case l == nil:
		if front {
			s.ready.pushFront(ready{t: t})
		} else {
			s.ready.pushBack(ready{t: t})
		}
		r.readyCount++
		return
	}
	if front {
		l.putBack(t)
	} else {
		l.pushBack(t)
	}
	r.offer(l, front)
}

// offer makes a lane ready when something of it may start.
func (r *FlowRunner) offer(l *lane, front bool) {
	if l.head == nil || l.busy > 0 || l.queued {
		return
	}
	if r.c.batchWait > 0 && l.n < r.c.batchMax && !l.due && !r.stopping {
		if !l.timed {
			l.timed = true
			r.delays.push(delayed{at: l.head.came.Add(r.c.batchWait), lane: l})
			r.pokeKeeper()
		}
		return
	}
	l.queued = true
	if front {
		l.src.ready.pushFront(ready{l: l})
	} else {
		l.src.ready.pushBack(ready{l: l})
	}
	r.readyCount++
}

// take fills c with what one worker does next: tasks of one source, those of one lane side by side and in order. It
// gives false when nothing is ready.
func (r *FlowRunner) take(c *chunk) bool {
	c.tasks, c.src, c.batch = c.tasks[:0], nil, false
	s := r.pick()
	if s == nil {
		return false
	}
	c.src, c.group = s, &s.group
	most := r.chunkSize()
	for len(c.tasks) < most && s.ready.len() > 0 {
		if t := s.ready.ring[s.ready.head].t; t != nil && (t.stage != stageRun || t.solo) && len(c.tasks) > 0 {
			break // it goes alone
		}
		e := s.ready.popFront()
		r.readyCount--
		if e.t != nil {
			c.tasks = append(c.tasks, e.t)
			if e.t.stage != stageRun || e.t.solo {
				break
			}
			continue
		}
		l := e.l
		l.queued, l.due = false, false
		if r.flow.IsBatch() {
			if l.head == nil {
				continue
			}
			c.batch = true
			r.takeBatch(c, l)
			break
		}
		if l.busy > 0 || l.head == nil {
			continue
		}
		if l.head.solo && len(c.tasks) > 0 {
			r.offer(l, true) // it goes alone: next time
			break
		}
		solo := l.head.solo
		r.hold(c, l)
		for l.head != nil && len(c.tasks) < most && (!l.head.solo || len(c.tasks) == 0) {
			c.tasks = append(c.tasks, l.popFront())
			if solo {
				break
			}
		}
		if solo {
			break
		}
	}
	return len(c.tasks) > 0
}

// takeBatch takes one run's events from a lane.
func (r *FlowRunner) takeBatch(c *chunk, l *lane) {
	most := r.c.batchMax
	for l.head != nil && len(c.tasks) < most {
		if split := l.head.split; split > 0 {
			if most = min(most, split); len(c.tasks) >= most {
				break
			}
		}
		if l.head.solo && len(c.tasks) > 0 {
			break
		}
		t := l.popFront()
		c.tasks = append(c.tasks, t)
		if t.solo {
			break
		}
	}
	if l == l.src.loose {
		r.offer(l, true) // its events are in no order: another worker may take the next batch
		return
	}
	r.hold(c, l)
}

// hold makes the chunk the lane's: nothing else of it starts until the chunk is retired.
func (r *FlowRunner) hold(c *chunk, l *lane) {
	l.busy++
	c.lanes = append(c.lanes, l)
}

// pick chooses the source whose turn it is, by smooth weighted round robin
// (https://github.com/nginx/nginx/commit/52327e0627f49dbda1e8db695e63a4b0af4448b1).
func (r *FlowRunner) pick() *source {
	if len(r.c.sources) == 1 {
		if s := r.c.sources[0]; s.ready.len() > 0 {
			return s
		}
		return nil
	}
	var best *source
	total := 0
	for _, s := range r.c.sources {
		if s.ready.len() == 0 {
			continue
		}
		s.credit += s.weight
		total += s.weight
		if best == nil || s.credit > best.credit {
			best = s
		}
	}
	if best != nil {
		best.credit -= total
	}
	return best
}

const (
	mostChunk = 32                      // a kept delivery keeps its neighbours: see Delivery.Bind
	chunkTime = time.Millisecond        // about how long a chunk may hold back what it has done
	tinyRun   = 2 * time.Microsecond    // below it they mostly wait for each other's locks
	quickRun  = 20 * time.Microsecond   // below it more goroutines than cores only take turns
	slowest   = float64(math.MaxUint32) // ns, in the average
)

// chunkSize gives how many tasks one worker takes: about 1 ms of work, and 1 of what is slower or was never timed.
func (r *FlowRunner) chunkSize() int {
	if r.perRun <= 0 {
		return 1
	}
	return min(max(int(float64(chunkTime)/r.perRun), 1), mostChunk)
}

// timed notes how long n runs took. The average follows a slower flow at once and a faster one over a few chunks.
func (r *FlowRunner) timed(took time.Duration, n int) {
	per := min(max(float64(took)/float64(n), 1), slowest)
	if r.perRun <= 0 || per > r.perRun {
		r.perRun = per
		return
	}
	r.perRun += (per - r.perRun) / 4
}

// wake starts or wakes a worker when there is something to do for one more. Each worker that takes a chunk calls it
// again, so a backlog wakes them one by one; for quick runs no more than cores, as the others would only take turns.
func (r *FlowRunner) wake() {
	r.enough = false
	if r.readyCount == 0 {
		return
	}
	if r.perRun > 0 && r.perRun < float64(quickRun) {
		most := r.procs
		if r.perRun < float64(tinyRun) {
			most = max(1, r.procs/2)
		}
		if r.active+r.waking >= most {
			r.enough = true
			r.watchOver() // one of them may block: the keeper sees it, and takes it off active
			return
		}
	}
	if n := len(r.idle); n > 0 {
		w := r.idle[n-1]
		r.idle = r.idle[:n-1]
		r.waking++
		if r.woken == nil {
			r.woken = w // unlock tells it: it would only wait for the lock
		} else {
			w.wake <- struct{}{}
		}
		return
	}
	if len(r.workers) < r.c.maxRuns && !r.closing {
		r.startWorker()
	}
}

// unlock gives FlowRunner.mu up, wakes the worker that wake chose, has handed back what resume found too late, and tells
// the hooks what was decided under the lock.
func (r *FlowRunner) unlock() {
	w := r.woken
	r.woken = nil
	var untold []Decision
	if len(r.untold) > 0 {
		untold, r.untold = r.untold, nil
	}
	if len(r.late.out) > 0 {
		late := r.late
		r.late = retirement{}
		r.goroutines++
		go func() {
			c := &chunk{io: r.io, stop: r.stop}
			r.giveBack(c, late.out)
			r.reopen(c, late.drained)
			r.mu.Lock()
			r.goroutineEnds()
			r.unlock()
		}()
	}
	r.mu.Unlock()
	if w != nil {
		w.wake <- struct{}{}
	}
	for i := range untold {
		for _, h := range r.c.hooks {
			h.Decided(untold[i])
		}
	}
}

// newTask takes a task from the pool and registers it.
func (r *FlowRunner) newTask() *task {
	var t *task
	if n := len(r.free); n > 0 {
		t = r.free[n-1]
		r.free = r.free[:n-1]
	} else {
		t = new(task)
	}
	if !r.renewal && r.poke != nil {
		r.renewal = true
		r.pokeKeeper()
	}
	t.index = len(r.tasks)
	r.tasks = append(r.tasks, t)
	return t
}

// drop ends a task's registration and pools it. What waited behind its key goes on.
func (r *FlowRunner) drop(t *task) {
	last := len(r.tasks) - 1
	r.tasks[t.index] = r.tasks[last]
	r.tasks[t.index].index = t.index
	r.tasks[last] = nil
	r.tasks = r.tasks[:last]
	if len(r.parked) > 0 {
		r.unpark(t.key)
	}
	t.reset()
	if len(r.free) < r.c.maxInFlight {
		r.free = append(r.free, t)
	}
}

func (r *FlowRunner) unpark(key eventflow.Key) {
	behind := r.parked[key]
	if behind == nil {
		return
	}
	delete(r.parked, key)
	for _, t := range behind {
		r.resume(t)
	}
}

// resume makes a task that waited ready again, in front of its lane.
func (r *FlowRunner) resume(t *task) {
	if t.stage == stageRun {
		if t.holds {
			t.lane.busy--
			t.holds = false
		}
		if t.follows() {
			t.verdict = verdict{turn: turnUnrun, reason: reasonRetry}
			r.late.out = append(r.late.out, t)
			r.follow(&r.late, t)
			return
		}
	}
	r.enqueue(t, true)
}

// live gives whether a run of the key is live in this process, other than t's.
func (r *FlowRunner) live(t *task) bool {
	for _, o := range r.tasks {
		if o != t && o.leased.Load() != 0 && o.key == t.key {
			return true
		}
	}
	return false
}
