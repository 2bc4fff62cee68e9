package runner

import (
	"runtime"
	"slices"
	"time"

	"github.com/eventflow-go/eventflow"
)

// due is what a clock that is due comes to: what runs, what only counts.
type due struct {
	since   time.Time        // the first of all
	passed  int              // how many a bounded scan passed over
	skipped []time.Time      // missed, and not made up for
	late    []eventflow.Fire // missed, and made up for
	now     eventflow.Fire   // on time; its Nominal is zero when there is none
}

// keepClocks is the goroutine of a listening runner that waits for its clocks, all of them in one heap with one timer.
// It is not the keeper, and asks without FlowRunner.mu: Next of a user's own clock may take its time, and retries,
// leases and events must not wait for it. It ends when the runner closes.
func (r *FlowRunner) keepClocks() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var spun time.Time
	for {
		select {
		case <-timer.C:
		case <-r.closed:
			return
		}
		wait := r.fireDue()
		for wait <= timerSlack && time.Since(spun) >= spinEvery && spin(wait) {
			spun = time.Now()
			wait = r.fireDue()
		}
		if wait > timerSlack && wait < keeperLook {
			wait -= timerSlack
		}
		timer.Reset(wait)
	}
}

const (
	// timerSlack is how late a timer of an idle process may be: where it waits for the network, Go counts in whole
	// milliseconds. A clock's goroutine wakes up so much before a fire is due, and yields its processor until then.
	timerSlack = 1200 * time.Microsecond
	// spinEvery keeps that within 2.4 % of one core, however many fires there are.
	spinEvery = 50 * time.Millisecond
)

// spin waits for a time that is too short for a timer. It gives up where time stands still while somebody looks: in a
// test's bubble of virtual time.
func spin(wait time.Duration) bool {
	began := time.Now()
	for last := began; last.Sub(began) < wait; {
		runtime.Gosched()
		now := time.Now()
		if !now.After(last) {
			return false
		}
		last = now
	}
	return true
}

// fireDue starts the fires that are due and gives how long to wait for the next.
func (r *FlowRunner) fireDue() time.Duration {
	for r.timers.len() > 0 && !r.halted.Load() {
		tm := r.timers.items[0]
		now := r.c.now() // again for each: Next of a clock takes time
		if now.Before(r.newest.Add(-keeperLook)) {
			r.rewind(now)
			tm = r.timers.items[0]
		}
		r.newest = now
		if left := tm.due.Sub(now); left > 0 {
			return min(left, keeperLook)
		}
		r.timers.pop()
		d := r.scan(tm, now)
		r.mu.Lock()
		if r.stopping || r.closing { // meanwhile: nobody would run it. The cursor has not moved, so the next listener sees it
			r.unlock()
			return keeperLook
		}
		r.fire(tm, d)
		if tm.next.IsZero() {
			r.liveTimers--
			r.settleDown()
		}
		r.unlock()
		if !tm.next.IsZero() {
			r.timers.push(tm)
		}
	}
	return keeperLook
}

// rewind makes the clocks fire from now on, after the wall clock was ahead for a while and is right again: they would wait
// for as long as it was ahead. What ran already is a duplicate.
func (r *FlowRunner) rewind(now time.Time) {
	if now.Before(r.began) {
		r.began = now
	}
	for _, tm := range r.timers.items {
		tm.next = tm.clock.Next(now)
		tm.due = tm.jittered(r.flow.Name(), tm.next)
	}
	r.timers.order()
}

// scan brings a clock up to now and says what that comes to by its policy for missed fires. It holds no lock: what it
// changes of the clock is its goroutine's alone.
func (r *FlowRunner) scan(tm *timer, now time.Time) (d due) {
	d.since = tm.next
	latest, missed, passed := r.look(tm, now)
	d.passed = passed
	r.sayGaveUp(tm, latest.Nominal)
	if latest, missed = r.own(tm, latest, missed); latest.Nominal.IsZero() {
		return d
	}
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
		from := max(young, len(missed)-int(tm.missedMost))
		d.skipped = missed[:from]
		for _, at := range missed[from:] {
			d.late = append(d.late, r.fireAt(tm, at))
		}
	case tm.missed == MissedLatest && late && young < len(missed):
		last := len(missed) - 1
		d.skipped = missed[:last]
		latest.Missed, latest.MissedMore = missed[:last:last], passed > 0
		d.late = append(d.late, latest)
	default:
		d.skipped = missed
	}
	if !late {
		if tm.missed == MissedLatest { // it makes up for them
			latest.Missed, latest.MissedMore = missed, passed > 0
		}
		d.now = latest
	}
	return d
}

// look moves a clock past now. It gives the latest fire that is due, and those before it that nobody started, the newest
// 10,000: when there are more it leaves out what lies between those that it saw first, which it only counts, and about
// the newest half of what it may remember. However many there are, it walks over 40,000 at most.
func (r *FlowRunner) look(tm *timer, now time.Time) (latest eventflow.Fire, missed []time.Time, passed int) {
	first := tm.next
	latest, missed, whole := r.walk(tm, first, now)
	if whole {
		return latest, missed, 0
	}
	head, last := missed, r.lastDue(tm, latest.Nominal, now)
	// As far back from the last as half of that many fires took. A clock whose fires come closer there is tried from nearer.
	back := latest.Nominal.Sub(first) / 2
	for range scanTries {
		from := tm.clock.Next(last.Add(-back))
		passed, _ = slices.BinarySearchFunc(head, from, time.Time.Compare) // it may be one of them
		if latest, missed, whole = r.walk(tm, from, now); whole {
			return latest, missed, passed
		}
		back = min(back, latest.Nominal.Sub(from)) / 2
	}
	// They come ever closer, or it would have got there: what it left out behind these is not even counted.
	tm.next = tm.clock.Next(last)
	tm.due = tm.jittered(r.flow.Name(), tm.next)
	return r.fireAt(tm, last), missed, passed
}

// lastDue finds the last fire of a clock that is due, from one that is: by halves, as there may be very many between.
func (r *FlowRunner) lastDue(tm *timer, last, now time.Time) time.Time {
	for until := now; until.Sub(last) > 1; {
		mid := last.Add(until.Sub(last) / 2)
		if next := tm.clock.Next(mid); next.IsZero() || tm.jittered(r.flow.Name(), next).After(now) {
			until = mid
		} else {
			last = next
		}
	}
	return last
}

// walk goes from one fire to the newest that is due, at most 10,000 further. It moves the clock on when it got there.
func (r *FlowRunner) walk(tm *timer, from, now time.Time) (latest eventflow.Fire, missed []time.Time, whole bool) {
	latest = r.fireAt(tm, from)
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

// fireAt is the clock's fire of a nominal time.
func (r *FlowRunner) fireAt(tm *timer, nominal time.Time) eventflow.Fire {
	return eventflow.Fire{Nominal: nominal.UTC(), Due: tm.jittered(r.flow.Name(), nominal).UTC()}
}

// fire runs and skips what a clock came to. The caller holds FlowRunner.mu.
func (r *FlowRunner) fire(tm *timer, d due) {
	if tm.paused {
		r.passOver(tm, d)
		return
	}
	newer := len(d.late) > 0 || !d.now.Nominal.IsZero()
	switch n := len(d.skipped); {
	case n > 0:
		r.sayMissed(tm, n+d.passed, d.passed > 0)
		last := d.skipped[n-1]
		if newer { // its claim is their mark
			r.skip(tm, reasonMissed, n+d.passed, d.since, last)
			break
		}
		// The last of them leaves its mark in the store, so that no other replica and no restart makes up for them.
		if n += d.passed - 1; n > 0 {
			r.skip(tm, reasonMissed, n, d.since, d.skipped[max(len(d.skipped)-2, 0)])
		}
		r.mark(r.newFire(tm, eventflow.Fire{Nominal: last, Due: last}, reasonMissed))
	case d.passed > 0:
		r.skip(tm, reasonMissed, d.passed, d.since, d.since)
	}
	for _, f := range d.late {
		r.begin(tm, f, true)
	}
	if !d.now.Nominal.IsZero() {
		r.begin(tm, d.now, false)
	}
}

// passOver counts the fires of a paused clock. They leave no mark in the store: another replica may run them.
func (r *FlowRunner) passOver(tm *timer, d due) {
	n, last := d.passed+len(d.skipped)+len(d.late), d.since
	switch {
	case !d.now.Nominal.IsZero():
		n, last = n+1, d.now.Nominal
	case len(d.late) > 0:
		last = d.late[len(d.late)-1].Nominal
	case len(d.skipped) > 0:
		last = d.skipped[len(d.skipped)-1]
	}
	if n > 0 {
		r.skip(tm, reasonPaused, n, d.since, last)
	}
}

// skip counts n fires of a clock that no run and no claim is made for, from the first to the last.
func (r *FlowRunner) skip(tm *timer, reason string, n int, first, last time.Time) {
	note := r.tally.note(eventflow.Skipped, reason)
	for range n {
		r.fireReceived()
		r.tally.endFire(note)
	}
	d := Decision{Key: eventflow.FireKey(r.flow.Name(), tm.name, last), Outcome: eventflow.Skipped, Reason: reason}
	if n > 1 {
		d.Fires, d.First = n, first.UTC()
	}
	r.decide(d)
}
