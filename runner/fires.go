package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// setTimers gives every clock the first fire to wait for: the one after the newest that the store knows of, so that
// those missed in a downtime are seen; now for a clock that is new, or defined anew.
func (r *FlowRunner) setTimers(c *chunk) bool {
	now := r.c.now()
	for _, tm := range r.c.timers {
		tm.definition = definition(tm)
		from := now
		if !r.c.private {
			for n := 1; ; n++ {
				cursor, err := r.c.store.Cursor(c.io, r.flow.Name(), tm.name, tm.definition)
				if err == nil {
					if !cursor.IsZero() && cursor.Before(now) {
						from = cursor
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

// definition is a hash of what the clock says of itself: the cursor of another definition is not this clock's.
func definition(tm *timer) string {
	text := tm.name
	if s, ok := tm.clock.(fmt.Stringer); ok {
		text = s.String()
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// fireDue starts the fires that are due and gives how long to wait for the next. The caller holds FlowRunner.mu.
func (r *FlowRunner) fireDue() time.Duration {
	if r.stopping {
		return keeperLook
	}
	for r.timers.len() > 0 {
		tm := r.timers.items[0]
		now := r.c.now() // again for each: Next of a clock takes time
		if left := tm.due.Sub(now); left > 0 {
			return min(left, keeperLook)
		}
		r.timers.pop()
		r.fire(tm, now)
		if tm.next.IsZero() {
			r.liveTimers--
			r.settleDown()
			continue
		}
		r.timers.push(tm)
	}
	return keeperLook
}

// fire brings a clock up to now: the fire that is due, and those that were missed before it, each run or skipped by the
// clock's policies.
func (r *FlowRunner) fire(tm *timer, now time.Time) {
	latest, missed, more := r.scan(tm, now)
	late := now.Sub(latest.Due) > missedAfter
	if late {
		missed = append(missed, latest.Nominal)
	}
	young := 0 // the first of missed that is not too old
	for young < len(missed) && now.Sub(missed[young]) > tm.missedAge {
		young++
	}
	switch {
	case tm.missed == MissedAll && young < len(missed):
		from := max(young, len(missed)-tm.missedMost)
		r.skipAll(tm, missed[:from])
		for _, at := range missed[from:] {
			r.begin(tm, eventflow.Fire{Nominal: at, Due: tm.jittered(r.flow.Name(), at).UTC()}, true)
		}
	case tm.missed == MissedLatest && late && young < len(missed):
		last := len(missed) - 1
		r.skipAll(tm, missed[:last])
		latest.Missed, latest.MissedMore = missed[:last:last], more
		r.begin(tm, latest, true)
		return
	default:
		r.skipAll(tm, missed)
	}
	if !late {
		if tm.missed == MissedLatest { // it makes up for them
			latest.Missed, latest.MissedMore = missed, more
		}
		r.begin(tm, latest, false)
	}
}

// scan moves a clock past now. It gives the latest fire that is due, and those before it that nobody started, the newest
// 10,000: when there are more it leaves out what lies between those that it saw first, which it counts as skipped, and
// about the newest half of what it may remember.
func (r *FlowRunner) scan(tm *timer, now time.Time) (latest eventflow.Fire, missed []time.Time, more bool) {
	first := tm.next
	latest, missed, whole := r.walk(tm, first, now)
	if whole {
		return latest, missed, false
	}
	note := r.tally.note(eventflow.Skipped, reasonMissed)
	for range missed {
		r.fireReceived()
		r.tally.endFire(note)
	}
	// As far back from now as half of that many fires took. A clock whose fires come closer now is tried from nearer.
	for back := latest.Nominal.Sub(first) / 2; !whole; back /= 2 {
		from := tm.clock.Next(now.Add(-back))
		if from.IsZero() || tm.jittered(r.flow.Name(), from).After(now) {
			from = latest.Nominal // there is nothing due so near: what follows is no more than a few
		}
		latest, missed, whole = r.walk(tm, from, now)
	}
	return latest, missed, true
}

// walk goes from one fire to the newest that is due, at most 10,000 further. It moves the clock on when it got there.
func (r *FlowRunner) walk(tm *timer, from, now time.Time) (latest eventflow.Fire, missed []time.Time, whole bool) {
	latest = eventflow.Fire{Nominal: from.UTC(), Due: tm.jittered(r.flow.Name(), from).UTC()}
	for len(missed) < scanMost {
		next := tm.clock.Next(latest.Nominal)
		due := tm.jittered(r.flow.Name(), next)
		if next.IsZero() || due.After(now) {
			tm.next, tm.due = next, due
			return latest, missed, true
		}
		missed = append(missed, latest.Nominal)
		latest = eventflow.Fire{Nominal: next.UTC(), Due: due.UTC()}
	}
	return latest, missed, false
}

// skipAll counts missed fires that are not run. The last of them leaves its mark in the store, so that no other replica and no
// restart makes up for them.
func (r *FlowRunner) skipAll(tm *timer, at []time.Time) {
	note := r.tally.note(eventflow.Skipped, reasonMissed)
	for i, nominal := range at {
		if i == len(at)-1 {
			r.enqueue(r.newFire(tm, eventflow.Fire{Nominal: nominal, Due: nominal}, reasonMissed), false)
			return
		}
		r.fireReceived()
		r.tally.endFire(note)
	}
}

// begin runs a fire, or does with it what the clock's overlap policy says. One that is made up for waits for those
// before it, whatever the policy.
func (r *FlowRunner) begin(tm *timer, f eventflow.Fire, late bool) {
	busy := tm.live > 0 || len(tm.buffered) > 0
	skip := ""
	switch {
	case tm.paused:
		skip = reasonPaused
	case !busy || tm.overlap == OverlapAllowAll:
	case late && len(tm.buffered) < scanMost,
		tm.overlap == OverlapBufferOne && len(tm.buffered) == 0,
		tm.overlap == OverlapBufferAll && len(tm.buffered) < bufferMost:
		tm.buffered = append(tm.buffered, r.newFire(tm, f, ""))
		return
	case tm.overlap == OverlapCancelOther:
		for _, t := range tm.buffered { // it is superseded before it began
			t.fire.skip = reasonOverlap
			r.enqueue(t, false)
		}
		tm.buffered = append(tm.buffered[:0], r.newFire(tm, f, ""))
		r.cancelFires(tm)
		return
	default:
		skip = reasonOverlap
	}
	t := r.newFire(tm, f, skip)
	if skip == "" {
		r.goLive(t)
	}
	r.enqueue(t, false)
}

// newFire makes the task of a fire and counts it as received.
func (r *FlowRunner) newFire(tm *timer, f eventflow.Fire, skip string) *task {
	r.fireReceived()
	f.Clock, f.Parameters, f.Labels = tm.name, tm.params, tm.labels
	t := r.newTask()
	t.fire = &fire{Fire: f, timer: tm, skip: skip}
	t.key = eventflow.FireKey(r.flow.Name(), tm.name, f.Nominal)
	t.claim.Fire = &store.Fire{Definition: tm.definition, Nominal: f.Nominal, NotBefore: f.Due}
	return t
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

// cancelFires cancels the live runs of a clock: the one that runs by its context, one that waits before it runs again.
func (r *FlowRunner) cancelFires(tm *timer) {
	for _, t := range r.tasks {
		if t.fire == nil || t.fire.timer != tm || !t.fire.live {
			continue
		}
		t.cancel.Store(true)
		if rc := t.rc.Load(); rc != nil {
			rc.cancel(eventflow.ErrOverlap)
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
	r.restFire(t)
	r.tally.endFire(note)
}

// restFire takes a fire off those that others of its clock overlap, and lets the next one begin that waited for it.
func (r *FlowRunner) restFire(t *task) {
	tm := t.fire.timer
	if !t.fire.live {
		return
	}
	t.fire.live = false
	if tm.live--; tm.live == 0 && len(tm.buffered) > 0 && !r.stopping {
		next := tm.buffered[0]
		tm.buffered = tm.buffered[1:]
		r.goLive(next)
		r.enqueue(next, false)
	}
}
