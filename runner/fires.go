package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

const (
	missedMost = 10_000         // a scan for missed fires stops here, and says so
	missedAge  = 24 * time.Hour // an older missed fire is not made up for
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
	}
	r.mu.Lock()
	defer r.mu.Unlock()
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
		if left := tm.next.Sub(now); left > 0 {
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

// fire makes up for all fires of a clock up to now by the latest, and moves the clock on.
func (r *FlowRunner) fire(tm *timer, now time.Time) {
	f := &fire{Fire: eventflow.Fire{Clock: tm.name, Nominal: tm.next.UTC(), Parameters: tm.params, Labels: tm.labels}, timer: tm}
	next := tm.clock.Next(tm.next)
	for !next.IsZero() && !next.After(now) {
		if len(f.Missed) == missedMost {
			f.MissedMore = true
			next = tm.clock.Next(now)
			break
		}
		f.Missed = append(f.Missed, f.Nominal)
		f.Nominal, next = next.UTC(), tm.clock.Next(next)
	}
	tm.next, f.Due = next, f.Nominal

	missed := r.tally.note(eventflow.Skipped, reasonMissed)
	for range f.Missed {
		r.fireReceived()
		r.tally.endFire(missed)
	}
	r.fireReceived()
	switch {
	case tm.paused:
		f.skip = reasonPaused
	case now.Sub(f.Nominal) > missedAge:
		f.skip = reasonMissed
	case tm.live > 0:
		f.skip = reasonOverlap
	}
	if f.skip == "" {
		f.live = true
		tm.live++
	}
	t := r.newTask()
	t.fire = f
	t.key = eventflow.FireKey(r.flow.Name(), tm.name, f.Nominal)
	t.claim.Fire = &store.Fire{Definition: tm.definition, Nominal: f.Nominal, NotBefore: f.Due}
	if f.skip == "" {
		t.claim.Fire.Overlap = r.flow.Name() + "/" + tm.name
	}
	r.enqueue(t, false)
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
		c := &chunk{tasks: []*task{t}, base: r.base, io: r.io, stop: r.stop}
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
		r.mu.Unlock()
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
	if t.fire.live {
		t.fire.timer.live--
	}
	r.tally.endFire(note)
}
