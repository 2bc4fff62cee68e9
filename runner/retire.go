package runner

import (
	"slices"
	"time"

	"github.com/eventflow-go/eventflow"
)

// retirement is one chunk's way back: what of it is handed back, and from which lanes.
type retirement struct {
	back    []*task // goes back in front of where it came from
	out     []*task // is handed back, without the lock
	drained []*lane // emptied, and closed until what was in them is back with its broker
}

// retire takes a chunk's tasks back: those that ended are dropped, the others wait or go back in front of their lane.
func (r *FlowRunner) retire(c *chunk, ts []*task) {
	var re retirement
	r.mu.Lock()
	r.keepOrder(ts)
	for _, t := range ts {
		switch v := &t.verdict; v.turn {
		case turnEnd:
			if v.outcome == eventflow.HandedBack && t.lane != nil {
				r.follow(&re, t)
			}
			r.ended(t)
		case turnUnrun:
			r.retireUnrun(&re, t)
		case turnParked:
			r.park(&re, t)
		default:
			r.retireWaiting(&re, t)
		}
	}
	r.putBack(re.back)
	r.release(c)
	r.signalRoom()
	r.wake()
	r.unlock()
	r.giveBack(c, re.out)
	r.reopen(c, re.drained)
}

// follow makes what is in a lane follow a task back to the broker: nothing may overtake it. What is on its way in a chunk
// or waits follows when it comes back: see task.follows.
func (r *FlowRunner) follow(re *retirement, t *task) {
	l := t.lane
	l.cut.Store(r.seq)
	if l.head == nil && slices.Contains(re.drained, l) {
		return
	}
	re.out = r.drain(l, t.verdict.reason, re.out)
	l.busy++
	re.drained = append(re.drained, l)
}

// retireUnrun takes back a task that has not run.
func (r *FlowRunner) retireUnrun(re *retirement, t *task) {
	if t.lane != nil && !t.kept {
		t.leased.Store(0)
	}
	t.kept = false
	switch {
	case r.stopping:
		t.verdict.reason = reasonShutdown
		re.out = append(re.out, t)
	case t.follows():
		t.verdict.reason = reasonRetry
		re.out = append(re.out, t)
		r.follow(re, t) // what came behind it meanwhile
	default:
		re.back = append(re.back, t)
	}
}

// retireWaiting makes a task wait for its next turn, here if there is room.
func (r *FlowRunner) retireWaiting(re *retirement, t *task) {
	v := &t.verdict
	if t.stage == stageRun && !t.kept {
		t.leased.Store(0)
	}
	t.kept = false
	if v.counted {
		r.tally.tries++
		if t.fire != nil {
			t.fire.ran = true
		}
	}
	switch {
	case r.stopping:
		v.reason = reasonShutdown
		re.out = append(re.out, t)
	case t.stage == stageRun && t.follows():
		v.after = 0
		re.out = append(re.out, t)
		r.follow(re, t)
	case v.turn == turnWait && t.d != nil && t.d.Bound() && r.delayedCount >= r.c.maxDelayed:
		re.out = append(re.out, t)
		if t.lane != nil {
			r.follow(re, t)
		}
	default:
		r.delay(t, v.after)
	}
}

// reopen opens lanes whose head was handed back. What came into them meanwhile goes back too, and so will what the
// broker handed over before it had the head again: see push.
func (r *FlowRunner) reopen(c *chunk, ls []*lane) {
	for _, l := range ls {
		for {
			r.mu.Lock()
			out := r.drain(l, reasonRetry, nil)
			if len(out) == 0 {
				break
			}
			r.unlock()
			r.giveBack(c, out)
		}
		l.cut.Store(r.seq)
		l.src.backs++
		l.back = l.src.backs
		l.busy--
		r.offer(l, false)
		r.wake()
		r.unlock()
	}
}

// keepOrder sees to it that behind what waits nothing of its lane waits too: it goes back.
func (r *FlowRunner) keepOrder(ts []*task) {
	for i, t := range slices.Backward(ts) {
		if t.lane != nil && t.verdict.turn == turnParked && r.waitsBefore(ts[:i], t.lane) {
			t.verdict.turn = turnUnrun
		}
	}
}

// waitsBefore reports whether something of the lane, ahead in the chunk, has not ended, or went back to its broker.
func (r *FlowRunner) waitsBefore(ts []*task, l *lane) bool {
	for _, t := range ts {
		if t.lane == l && !t.verdict.passes() {
			return true
		}
	}
	return false
}

// ended drops a task. The settlement's confirmation counts it, when there will be one.
func (r *FlowRunner) ended(t *task) {
	v := &t.verdict
	note := r.tally.note(v.outcome, v.reason)
	switch {
	case t.fire != nil:
		r.fireEnded(t, note)
	case t.src == nil:
		r.tally.end(note)
	case t.d.Lost():
		r.confirmed(t.src, t.d, r.tally.note(eventflow.HandedBack, reasonLost))
		if v.outcome != eventflow.HandedBack || v.reason != reasonLost { // what was told did not come to pass
			r.decide(Decision{Key: t.key, Attempt: t.tried, Outcome: eventflow.HandedBack, Reason: reasonLost})
		}
	case !t.src.confirms || !t.d.Bound():
		r.confirmed(t.src, t.d, note)
	}
	if t.holds {
		t.lane.busy--
		r.offer(t.lane, false)
	}
	r.drop(t)
}

// confirmed counts the end of a delivery of a source.
func (r *FlowRunner) confirmed(s *source, d *eventflow.Delivery, note uint16) {
	r.tally.end(note)
	s.inFlight--
	s.held -= len(d.Event.Data)
}

// park holds a task behind the live run of its key in this process. One that is held elsewhere waits in its lane, or,
// having none, is handed back until the other's lease ends. A fire that came by its claim while a backfilled one of its
// clock runs waits for that.
func (r *FlowRunner) park(re *retirement, t *task) {
	v := &t.verdict
	switch {
	case r.stopping:
		v.reason = reasonShutdown
		re.out = append(re.out, t)
	case t.follows():
		*v = verdict{turn: turnUnrun, reason: reasonRetry}
		re.out = append(re.out, t)
		r.follow(re, t)
	case t.fire != nil && v.reason == reasonOverlap: // its claim is given back until the other has ended
		if !t.kept {
			t.leased.Store(0)
		}
		t.kept, t.claim.Fire.Overlap = false, ""
		if tm := t.fire.timer; tm.live > 0 {
			tm.buffered = slices.Insert(tm.buffered, 0, t)
			r.decideHeld(t, reasonOverlap, 0)
			return
		}
		r.goLive(t)
		r.enqueue(t, false)
	case r.live(t):
		r.holdLane(t)
		r.parked[t.key] = append(r.parked[t.key], t)
		r.decideHeld(t, reasonHere, 0)
	case t.faults < 3: // its holder may have ended, or be another worker that has not noted its claim yet
		t.faults++
		r.delay(t, time.Duration(t.faults)*time.Millisecond)
	case t.lane != nil || t.d == nil || !t.d.Bound():
		t.faults = 0
		if t.fire != nil {
			r.restFire(t) // it runs elsewhere: the clock's next fire does not overlap it here
			v.after = min(v.after, time.Second)
		}
		r.decideHeld(t, reasonElsewhere, v.after)
		r.delay(t, v.after)
	default:
		v.after += fullJitter(time.Second, time.Second, 1)
		re.out = append(re.out, t)
	}
}

// holdLane makes a lane wait for its task.
func (r *FlowRunner) holdLane(t *task) {
	if t.lane != nil && !t.holds {
		t.holds = true
		t.lane.busy++
	}
}

// drain takes everything that waits in a lane out, to be handed back: its head went back to the broker, and nothing may
// overtake it.
func (r *FlowRunner) drain(l *lane, reason string, out []*task) []*task {
	for l.head != nil {
		t := l.popFront()
		t.verdict = verdict{turn: turnUnrun, reason: reason} // not what an earlier turn left
		out = append(out, t)
	}
	return out
}

// giveBack hands tasks back to their broker. The caller does not hold FlowRunner.mu.
func (r *FlowRunner) giveBack(c *chunk, ts []*task) {
	if len(ts) == 0 {
		return
	}
	for _, t := range ts {
		after, verb := time.Duration(0), eventflow.Release
		switch v := &t.verdict; {
		case v.turn == turnWait && v.reason != reasonShutdown:
			after = v.after // the attempt is marked already
		case v.turn == turnParked && v.reason != reasonShutdown:
			after = v.after
		case v.turn == turnBury && t.ended.counted: // its dead letter is not written: the next run will be its last again
			verb, v.counted = eventflow.Nack, true
		}
		counted := t.verdict.counted
		t.verdict = handBack(t.verdict.reason, after)
		t.verdict.verb, t.verdict.counted = verb, counted && verb == eventflow.Nack
		if t.d == nil {
			t.verdict.reason, t.verdict.after = reasonShutdown, 0
		}
	}
	r.end(c, ts)
	for _, t := range ts {
		if t.verdict.turn != turnEnd { // the store did not take the release: the lease lapses
			t.verdict = handBack(reasonShutdown, 0)
		}
	}
	r.settle(c, ts)
	r.tellAll(ts)
	r.mu.Lock()
	for _, t := range ts {
		r.ended(t)
	}
	r.signalRoom()
	r.settleDown()
	r.unlock()
}
