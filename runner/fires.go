package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// setTimers gives every clock the first fire to wait for: the one after the newest that the store knows of, so that
// those missed in a downtime are seen; now for a clock that is new, or defined anew.
func (r *FlowRunner) setTimers(c *chunk) bool {
	now := r.c.now()
	r.began = now
	if r.c.private && len(r.c.timers) > 0 {
		r.logger().Info("fires that fall into a time when nobody listens are not made up for: the store is in memory", "flow", r.flow.Name())
	}
	for _, tm := range r.c.timers {
		tm.definition = define(tm)
		from := now
		if !r.c.private {
			for n := 1; ; n++ {
				cursor, err := r.c.store.Cursor(c.io, r.flow.Name(), tm.name, hex.EncodeToString(tm.definition[:]))
				if err == nil {
					if !cursor.IsZero() && !cursor.After(now) {
						from, tm.last = cursor, cursor
					}
					break
				}
				r.faults.say(r.logger(), "store", "the store does not answer; clocks wait until it does", err)
				if !c.pause(fullJitter(100*time.Millisecond, 10*time.Second, n)) {
					return false
				}
			}
		}
		tm.next = tm.clock.Next(from)
		tm.due = tm.jittered(r.flow.Name(), tm.next)
		r.sayGaveUp(tm, from)
	}
	r.mu.Lock()
	defer r.unlock()
	for _, tm := range r.c.timers {
		if !tm.next.IsZero() {
			r.timers.push(tm)
			r.liveTimers++
		}
	}
	return true
}

// define is a hash of what the clock says of itself: the cursor of another definition is not this clock's.
func define(tm *timer) (d [8]byte) {
	text := tm.name
	if s, ok := tm.clock.(fmt.Stringer); ok {
		text = s.String()
	}
	sum := sha256.Sum256([]byte(text))
	copy(d[:], sum[:])
	return d
}

// begin runs a fire, or does with it what the clock's overlap policy says. One that is made up for waits for those
// before it, whatever the policy.
func (r *FlowRunner) begin(tm *timer, f eventflow.Fire, late bool) {
	busy := tm.live > 0 || len(tm.buffered) > 0
	skip := ""
	switch {
	case !busy, tm.overlap == OverlapAllowAll && (int(tm.live) < r.c.fireSlots+bufferMost || late && tm.live < scanMost):
	case late && len(tm.buffered) < scanMost,
		tm.overlap == OverlapBufferOne && len(tm.buffered) == 0,
		tm.overlap == OverlapBufferAll && len(tm.buffered) < bufferMost:
		t := r.newFire(tm, f, "")
		t.fire.late = late
		tm.buffered = append(tm.buffered, t)
		r.decideHeld(t, reasonOverlap, 0)
		return
	case tm.overlap == OverlapCancelOther:
		for _, t := range tm.buffered { // it is superseded before it began
			t.fire.skip = reasonOverlap
			r.mark(t)
		}
		t := r.newFire(tm, f, "")
		tm.buffered = append(tm.buffered[:0], t)
		r.decideHeld(t, reasonOverlap, 0)
		r.cancelFires(tm)
		return
	default:
		skip = reasonOverlap
	}
	t := r.newFire(tm, f, skip)
	t.fire.late = late
	if skip != "" {
		r.mark(t)
		return
	}
	r.goLive(t)
	r.enqueue(t, false)
}

// mark leaves the mark of a fire that is skipped in the store, so that no other replica and no restart runs it. It takes
// no slot. While the store is away marks wait, as many as there is room for: what is beyond is only counted.
func (r *FlowRunner) mark(t *task) {
	r.keepCursor(t)
	if r.marks.len() < bufferMost+len(r.c.timers) {
		r.enqueue(t, false)
		return
	}
	t.verdict = verdict{turn: turnEnd, outcome: eventflow.Skipped, reason: t.fire.skip}
	r.decide(Decision{Key: t.key, Outcome: eventflow.Skipped, Reason: t.fire.skip})
	r.ended(t)
}

// keepCursor keeps the claim of a fire from moving its clock past older fires that nobody has claimed yet, as they wait
// for a run to end, for a slot, or for the store: should this process end first, they are missed fires.
func (r *FlowRunner) keepCursor(t *task) {
	if t.claim.Fire != nil && slices.ContainsFunc(r.tasks, t.comesBehind) {
		t.claim.Fire.Definition = ""
	}
}

// comesBehind reports whether o is an older fire of t's clock that waits for its first claim.
func (t *task) comesBehind(o *task) bool {
	if o.fire == nil || o.fire.timer != t.fire.timer || o.fire.backfill || !o.fire.Nominal.Before(t.fire.Nominal) {
		return false
	}
	return o.fire.live && !o.fire.ran && o.leased.Load() == 0 || slices.Contains(o.fire.timer.buffered, o)
}

// startMarks has the marks written that wait, many at a time. One goroutine does so while there are any.
func (r *FlowRunner) startMarks() {
	if r.marking || r.marks.len() == 0 || r.closing {
		return
	}
	c := &chunk{base: r.base, io: r.io, asking: r.asking, stop: r.stop}
	for r.marks.len() > 0 && len(c.tasks) < mostChunk {
		c.tasks = append(c.tasks, r.marks.popFront())
	}
	r.marking = true
	r.goroutines++
	go func() {
		r.do(c)
		r.mu.Lock()
		r.marking = false
		r.startMarks()
		r.goroutineEnds()
		r.unlock()
	}()
}

// newFire makes the task of a fire and counts it as received.
func (r *FlowRunner) newFire(tm *timer, f eventflow.Fire, skip string) *task {
	r.fireReceived()
	t := r.newTask()
	t.fire = &fire{Fire: tm.fireOf(f), timer: tm, skip: skip}
	t.key = eventflow.FireKey(r.flow.Name(), tm.name, f.Nominal)
	t.claim.Fire = &store.Fire{Definition: hex.EncodeToString(tm.definition[:]), Nominal: f.Nominal, NotBefore: f.Due}
	return t
}

// fireOf gives a fire its clock's name, and parameters and labels that no other run shares.
func (tm *timer) fireOf(f eventflow.Fire) eventflow.Fire {
	f.Clock, f.Parameters, f.Labels = tm.name, maps.Clone(tm.params), slices.Clone(tm.labels)
	return f
}

// goLive makes a fire one that others of its clock overlap.
func (r *FlowRunner) goLive(t *task) {
	tm := t.fire.timer
	t.fire.live = true
	tm.live++
	if tm.overlap != OverlapAllowAll {
		t.claim.Fire.Overlap = tm.name
	}
}

// comeLive makes a fire live again that was not while somebody else ran it: its claim is granted. It gives false when
// another of its clock is live by now; of live ones the store sees to that, of backfilled ones nobody else.
func (r *FlowRunner) comeLive(t *task) bool {
	tm := t.fire.timer
	if tm == nil || t.fire.live {
		return true
	}
	r.mu.Lock()
	defer r.unlock()
	if tm.overlap != OverlapAllowAll && tm.live > 0 {
		return false
	}
	t.fire.live = true
	tm.live++
	return true
}

// cancelFires cancels the live runs of a clock: the one that runs by its context, one that waits before it runs again.
func (r *FlowRunner) cancelFires(tm *timer) {
	for _, t := range r.tasks {
		if t.fire == nil || t.fire.timer != tm || !t.fire.live {
			continue
		}
		t.cancel.Store(true)
		if rc := t.context(); rc != nil {
			rc.cancel(eventflow.ErrOverlap)
		}
		select {
		case t.fire.stir <- struct{}{}: // of a backfilled one; it is stirred already when there is no room
		default:
		}
	}
	for i := range r.delays.items {
		if t := r.delays.items[i].task; t != nil && t.cancel.Load() {
			r.delays.items[i].at = time.Time{}
		}
	}
	r.delays.order()
	r.pokeKeeper()
}

func (r *FlowRunner) fireReceived() {
	r.tally.received++
	r.tally.inFlight++
	r.tally.fires++
	r.tally.firesFlying++
}

// startFires gives waiting fires the slots that are free. Each fire has a goroutine while it runs.
func (r *FlowRunner) startFires() {
	for r.fires.len() > 0 && r.firing < r.c.fireSlots && !r.closing {
		t := r.fires.popFront()
		if t.fire.timer != nil && t.fire.timer.overlap == OverlapAllowAll && t.fire.timer.live > 1 {
			r.keepCursor(t)
		}
		r.firing++
		r.goroutines++
		c := &chunk{tasks: []*task{t}, base: r.base, io: r.io, asking: r.asking, stop: r.stop}
		go r.runFire(c, false)
	}
}

func (r *FlowRunner) runFire(c *chunk, goOn bool) {
	returned := false
	defer func() {
		if !returned { // the flow called runtime.Goexit: the rest of the way needs a goroutine
			go r.runFire(c, true)
			return
		}
		r.mu.Lock()
		r.firing--
		r.startFires()
		r.goroutineEnds()
		r.unlock()
	}()
	if goOn {
		r.goOn(c)
	} else {
		r.do(c)
	}
	returned = true
}

// fireEnded counts the end of a fire.
func (r *FlowRunner) fireEnded(t *task, note uint16) {
	r.makeUp(t)
	r.restFire(t)
	r.tally.endFire(note)
}

// makeUp goes on to the one before when the latest of the missed turns out to have been skipped when it was due: the one
// that it was skipped for may never have begun.
func (r *FlowRunner) makeUp(t *task) {
	before := len(t.fire.Missed) - 1
	if t.verdict.outcome != eventflow.Duplicate || t.claim.Outcome != eventflow.Skipped || !t.fire.late || before < 0 || r.stopping || r.closing {
		return
	}
	if nominal := t.fire.Missed[before]; r.c.now().Sub(nominal) <= t.fire.timer.missedAge {
		// It is due since long, so its jitter does not matter.
		r.begin(t.fire.timer, eventflow.Fire{Nominal: nominal, Due: nominal, Missed: t.fire.Missed[:before], MissedMore: t.fire.MissedMore}, true)
	}
}

// restFire takes a fire off those that others of its clock overlap, and lets the next one begin that waited for it.
func (r *FlowRunner) restFire(t *task) {
	tm := t.fire.timer
	if !t.fire.live {
		return
	}
	t.fire.live = false
	if tm.live--; tm.live > 0 {
		return
	}
	if len(tm.buffered) > 0 && !r.stopping {
		next := tm.buffered[0]
		tm.buffered = tm.buffered[1:]
		r.goLive(next)
		r.enqueue(next, false)
		return
	}
	if tm.rested != nil {
		close(tm.rested)
		tm.rested = nil
	}
}
