package runner

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/eventflow-go/eventflow"
)

// flush brings tasks that ran, or need not, the rest of the way: publish → finish → settle, each at once for all.
func (r *FlowRunner) flush(c *chunk, ts []*task) {
	for _, t := range ts {
		r.restore(t)
	}
	if c.src != nil && c.src.tx {
		r.transact(c, ts)
		r.fence(ts)
	} else {
		r.publish(c, ts)
		r.bury(c, ts)
		r.fence(ts)
		r.end(c, ts)
	}
	r.keepUnbound(c, ts)
	if len(r.c.hooks) > 0 {
		for _, t := range ts {
			r.tell(t)
		}
	}
	r.settle(c, ts)
	if !c.direct {
		r.retire(c, ts)
	}
}

// restore gives a task whose turn begins behind the run the verdict that this turn completes.
func (r *FlowRunner) restore(t *task) {
	switch t.stage {
	case stageRun:
		return
	case stagePublish:
		t.verdict = verdict{turn: turnEnd, outcome: eventflow.Succeeded, verb: eventflow.Ack, started: t.verdict.started}
	case stageBury:
		if t.verdict.turn != turnBury {
			t.verdict = verdict{turn: turnBury, reason: t.ended.reason, err: t.ended.err}
		}
	case stageFinish:
		t.verdict = t.ended
	}
}

// fence turns away what lost its lock or its claim on the way.
func (r *FlowRunner) fence(ts []*task) {
	for _, t := range ts {
		if t.verdict.turn == turnEnd && t.verdict.outcome != eventflow.HandedBack && !t.buried && !t.open() {
			t.verdict = handBack(reasonLost, 0)
		}
	}
}

// keepUnbound makes deliveries wait here that would be handed back although no broker stands behind them: nobody would
// deliver them again.
func (r *FlowRunner) keepUnbound(c *chunk, ts []*task) {
	if c.direct || r.halted.Load() {
		return
	}
	for _, t := range ts {
		v := &t.verdict
		if v.turn != turnEnd || v.outcome != eventflow.HandedBack || t.d == nil || t.d.Bound() {
			continue
		}
		t.stage, t.out, t.pubs = stageRun, nil, nil
		t.fenced.Store(false)
		*v = verdict{turn: turnWait, reason: v.reason, err: v.err, after: max(v.after, 100*time.Millisecond)}
	}
}

// publish hands the results of the chunk to each publisher, in one call.
func (r *FlowRunner) publish(c *chunk, ts []*task) {
	if len(r.c.pubs) == 0 {
		return
	}
	for _, t := range ts { // what a publisher refused before
		if t.stage == stagePublish && t.verdict.turn == turnEnd {
			r.republish(c, t)
		}
	}
	with := r.withResults(c, ts)
	if len(with) == 0 {
		return
	}
	n := 0
	for _, t := range with {
		n += len(t.out)
	}
	events := c.out
	if len(events) != n {
		events = make([]eventflow.Event, 0, n)
		for _, t := range with {
			events = append(events, t.out...)
		}
	}
	for p := range r.c.pubs {
		err := r.c.pubs[p].to.Publish(c.io, events...)
		r.published(p, err)
		if err != nil {
			r.refused(with, events, p, err)
		}
	}
	if c.batch {
		r.shareFate(c, with[0], ts)
	}
	for _, t := range with {
		t.out = nil
		if len(t.pubs) > 0 && t.verdict.passes() {
			r.wait(t, turnPublish, reasonPublish, errRefused)
		}
	}
	clear(c.out)
	c.out = c.out[:0]
}

// withResults gives the tasks whose results may be published. Those that lost their lock or claim are turned away; the
// results of a batch go with another of its events then, because they belong to all of them.
func (r *FlowRunner) withResults(c *chunk, ts []*task) []*task {
	with := c.with[:0]
	var orphaned []eventflow.Event
	for _, t := range ts {
		out := t.out
		if c.batch && t.verdict.passes() && t.verdict.outcome == eventflow.Succeeded && orphaned != nil {
			out, orphaned = orphaned, nil
		}
		switch {
		case len(out) == 0 || t.stage == stagePublish:
			continue
		case !t.open():
			t.verdict, t.out = handBack(reasonLost, 0), nil
			orphaned = out
			continue
		}
		t.out = out
		with = append(with, t)
	}
	c.with = with
	return with
}

// shareFate makes the events of a batch wait for the results that one of them carries, and end as it does: none may be
// acknowledged before they are taken.
func (r *FlowRunner) shareFate(c *chunk, carrier *task, ts []*task) {
	for n := 1; len(carrier.pubs) > 0 && carrier.verdict.passes(); n++ {
		if !c.pause(fullJitter(100*time.Millisecond, 30*time.Second, n)) {
			carrier.verdict = handBack(reasonShutdown, 0)
			break
		}
		r.republish(c, carrier)
	}
	if carrier.verdict.passes() {
		return
	}
	for _, t := range ts {
		switch {
		case t == carrier || !t.verdict.passes() || t.verdict.outcome != eventflow.Succeeded:
		case carrier.verdict.turn == turnBury:
			t.verdict = r.giveUp(t, carrier.verdict.reason, carrier.verdict.err)
		case carrier.verdict.reason == reasonLost:
			t.verdict = handBack(reasonPublish, 0) // its own lock is fine
		default:
			t.verdict = carrier.verdict
		}
	}
}

// refused notes what a publisher did not take, with the tasks whose results it was, or gives up those for which no retry
// will help.
func (r *FlowRunner) refused(with []*task, events []eventflow.Event, p int, err error) {
	var some *eventflow.PublishError
	partial := errors.As(err, &some)
	at, i := 0, 0 // in events, in some.Failed
	for _, t := range with {
		from := at
		at += len(t.out)
		pending := pendingPublish{publisher: p}
		if !partial {
			pending.events = append(pending.events, events[from:at]...)
		}
		last := err
		for ; partial && i < len(some.Failed) && some.Failed[i].Index < at; i++ {
			if k := some.Failed[i].Index; k >= from {
				pending.events = append(pending.events, events[k])
				if last = some.Failed[i].Err; eventflow.IsPermanent(last) {
					break // one that will never be taken decides
				}
			}
		}
		if len(pending.events) == 0 {
			continue
		}
		if eventflow.IsPermanent(last) {
			t.pubs = nil
			t.verdict = r.giveUp(t, reasonPermanent, last)
			continue
		}
		t.pubs = append(t.pubs, pending)
	}
}

// republish offers a task's refused results again, and only those.
func (r *FlowRunner) republish(c *chunk, t *task) {
	pubs := t.pubs
	t.pubs = nil
	if !t.open() {
		t.verdict = handBack(reasonLost, 0)
		return
	}
	for _, p := range pubs {
		err := r.c.pubs[p.publisher].to.Publish(c.io, p.events...)
		r.published(p.publisher, err)
		if err == nil {
			continue
		}
		t.out = p.events
		one := [1]*task{t}
		r.refused(one[:], p.events, p.publisher, err)
		t.out = nil
	}
	if len(t.pubs) > 0 && t.verdict.turn == turnEnd && !c.batch {
		r.wait(t, turnPublish, reasonPublish, errRefused)
	}
}

var errRefused = errors.New("runner: a publisher refused results; they are offered again")

// published says a lasting fault of a publisher once, and its end.
func (r *FlowRunner) published(p int, err error) {
	switch {
	case err == nil:
		r.faults.clear(r.logger(), p)
	case errors.Is(err, context.Canceled):
	default:
		r.faults.say(r.logger(), p, "a publisher refuses results; they are offered again", err)
	}
}

// settle marks the ends, one call for neighbours that end alike.
func (r *FlowRunner) settle(c *chunk, ts []*task) {
	var last eventflow.Settlement
	c.acks = c.acks[:0]
	done := func() {
		if len(c.acks) > 0 {
			eventflow.SettleAll(c.acks, last)
		}
		c.acks = c.acks[:0]
	}
	for _, t := range ts {
		v := &t.verdict
		switch {
		case t.d == nil:
			continue
		case v.turn == turnEnd:
		case v.counted && !c.direct: // of Handle's the hand-back tells
			t.attempts = t.tried
			t.d.Attempted()
			continue
		default:
			continue
		}
		s := eventflow.Settlement{Verb: v.verb, Note: r.note(v.outcome, v.reason), After: v.after}
		if s != last {
			done()
			last = s
		}
		c.acks = append(c.acks, t.d)
	}
	done()
	clear(c.acks[:cap(c.acks)])
}

// note packs an outcome and its reason for the settlement's confirmation.
func (r *FlowRunner) note(o eventflow.Outcome, reason string) uint16 {
	if reason == "" {
		return uint16(o)
	}
	r.mu.Lock()
	defer r.unlock()
	return r.tally.note(o, reason)
}

// retire takes a chunk's tasks back: those that ended are dropped, the others wait or go back in front of their lane.
func (r *FlowRunner) retire(c *chunk, ts []*task) {
	var out []*task // to hand back, without the lock
	var drained []*lane
	r.mu.Lock()
	r.keepOrder(ts)
	var stopped *lane
	var back []*task
	for _, t := range ts {
		v := &t.verdict
		switch v.turn {
		case turnEnd:
			if l := t.lane; l != nil && v.outcome == eventflow.HandedBack && l != stopped {
				if stopped = l; l.head == nil || l.head.key != t.key { // else it is back already, in front of what waits
					out = r.drain(l, v.reason, out)
					drained = r.emptied(l, drained)
				}
			}
			r.ended(t)
		case turnUnrun:
			if t.lane != nil && !t.kept {
				t.leased.Store(0)
			}
			t.kept = false
			switch {
			case r.stopping:
				out = append(out, t)
				v.reason = reasonShutdown
			case t.lane != nil && t.lane == stopped:
				out = append(out, t)
				v.reason = reasonRetry
			default:
				back = append(back, t)
			}
		case turnParked:
			out = r.park(t, out)
		default:
			if t.stage == stageRun && !t.kept {
				t.leased.Store(0)
			}
			t.kept = false
			if v.counted {
				r.tally.tries++
			}
			switch {
			case r.stopping:
				out = append(out, t)
				v.reason = reasonShutdown
			case t.d != nil && t.d.Bound() && v.turn == turnWait && r.delayedCount >= r.c.maxDelayed:
				out = append(out, t)
				if t.lane != nil && t.lane != stopped { // nothing may overtake it
					stopped = t.lane
					out = r.drain(t.lane, v.reason, out)
					drained = r.emptied(t.lane, drained)
				}
			default:
				r.delay(t, v.after)
			}
		}
	}
	r.putBack(back)
	r.release(c)
	r.signalRoom()
	r.wake()
	r.unlock()
	r.giveBack(c, out)
	r.reopen(c, drained)
}

// emptied keeps a lane closed until what was drained from it is back with its broker.
func (r *FlowRunner) emptied(l *lane, ls []*lane) []*lane {
	l.busy++
	return append(ls, l)
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
// having none, is handed back until the other's lease ends.
func (r *FlowRunner) park(t *task, out []*task) []*task {
	v := &t.verdict
	switch {
	case r.stopping:
		v.reason = reasonShutdown
		return append(out, t)
	case r.live(t):
		r.holdLane(t)
		r.parked[t.key] = append(r.parked[t.key], t)
		return out
	case t.faults < 3: // its holder may have ended, or be another worker that has not noted its claim yet
		t.faults++
		r.delay(t, time.Duration(t.faults)*time.Millisecond)
		return out
	case t.lane != nil || t.d == nil || !t.d.Bound():
		t.faults = 0
		if t.fire != nil {
			r.restFire(t) // it runs elsewhere: the clock's next fire does not overlap it here
			v.after = min(v.after, time.Second)
		}
		r.delay(t, v.after)
		return out
	}
	v.after += fullJitter(time.Second, time.Second, 1)
	return append(out, t)
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
		case v.turn == turnBury: // its dead letter is not written: the next run will be its last again
			verb, v.counted = eventflow.Nack, true
		}
		counted := t.verdict.counted
		t.verdict = handBack(t.verdict.reason, after)
		t.verdict.verb, t.verdict.counted = verb, counted && verb == eventflow.Nack
		if t.d == nil {
			t.verdict = verdict{turn: turnEnd, outcome: eventflow.HandedBack, reason: reasonShutdown}
		}
	}
	r.end(c, ts)
	for _, t := range ts {
		if t.verdict.turn != turnEnd { // the store did not take the release: the lease lapses
			t.verdict = handBack(reasonShutdown, 0)
		}
	}
	r.settle(c, ts)
	if len(r.c.hooks) > 0 {
		for _, t := range ts {
			r.tell(t)
		}
	}
	r.mu.Lock()
	for _, t := range ts {
		r.ended(t)
	}
	r.signalRoom()
	r.settleDown()
	r.unlock()
}
