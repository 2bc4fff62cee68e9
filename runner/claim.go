package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// claim asks the store for the chunk's keys, in one call, and sorts the tasks: those to run into c.run, the others get
// their verdict. It gives false when the runner stopped before the store answered.
func (r *FlowRunner) claim(c *chunk) bool {
	c.run, c.claims = c.run[:0], c.claims[:0]
	sure := r.makeSure(c)
	for _, t := range c.tasks {
		t.verdict = verdict{}
		if t.leased.Load() == 0 {
			c.claims = append(c.claims, store.Claim{Key: t.key, Fire: t.claim.Fire})
		}
	}
	if !sure || len(c.claims) > 0 && r.c.store != nil && !r.ask(c, nil) {
		for _, t := range c.tasks {
			t.verdict = handBack(reasonShutdown, 0)
			t.verdict.err = c.err
		}
		return false
	}
	if c.start.IsZero() {
		c.start = r.asked(c.claims)
	}
	sent := monotonicAt(c.start) // of the claim that was answered
	var stopped *lane
	next := 0
	for _, t := range c.tasks {
		if t.leased.Load() == 0 && next < len(c.claims) {
			t.claim = c.claims[next]
			if next++; r.c.store == nil {
				t.claim.Status = store.Granted
			}
			r.answered(t, sent)
		} else if t.leased.Load() == 0 {
			t.verdict = verdict{turn: turnUnrun} // a store that is nearly full took fewer
		}
		switch {
		case t.lane != nil && t.lane == stopped && (t.leased.Load() != 0 || !t.verdict.passes()):
			t.verdict = verdict{turn: turnUnrun}
		case t.leased.Load() == 0: // its verdict is known
			if !t.verdict.passes() {
				stopped = t.lane
			}
		case len(c.tasks) > 1 && !c.batch && t.died():
			t.solo = true
			t.verdict, stopped = verdict{turn: turnUnrun}, t.lane
		default:
			c.run = append(c.run, t)
		}
	}
	return true
}

// answeredLate begins the runs of a chunk that a store granted. A claim whose answer took most of its lease may be over
// before the keeper looks at it.
func (r *FlowRunner) answeredLate(c *chunk) {
	sent, now := monotonicAt(c.start), time.Now()
	took := now.Sub(c.start)
	c.slow, c.start = took > watchEvery, now
	if took < r.c.lease-r.c.lease/leaseLeft {
		r.faults.clear(r.logger(), "lease")
		return
	}
	for _, t := range c.run {
		if t.leased.Load() == sent {
			t.fenced.Store(true)
		}
	}
	r.faults.say(r.logger(), "lease", "the store takes as long to grant claims as the Lease lasts; nothing runs until it is faster, or Lease longer", errLate)
	c.pause(fullJitter(time.Second, time.Second, 1)) // it is asked again at once
}

var errLate = errors.New("runner: claims are answered too late")

// makeSure asks the store about claims of which it is not known whether they were given up: it did not answer when they
// were, and may have done it all the same. It gives false when the runner stopped before the store answered.
func (r *FlowRunner) makeSure(c *chunk) bool {
	var claims []*store.Claim
	for _, t := range c.tasks {
		if t.unsure {
			claims = append(claims, &t.claim)
		}
	}
	if claims == nil {
		return true
	}
	r.mu.Lock() // the keeper reads claims that are leased
	for _, t := range c.tasks {
		if t.unsure {
			t.leased.Store(0)
		}
	}
	r.unlock()
	c.start = time.Now()
	if !r.ask(c, claims) {
		for _, t := range c.tasks {
			if t.unsure {
				t.leased.Store(base0) // what hands it back gives it up once more
			}
		}
		return false
	}
	for _, t := range c.tasks {
		if t.unsure && t.claim.Status == store.Granted {
			t.leased.Store(monotonicAt(c.start))
		}
		t.unsure = false
	}
	return true
}

// asked gives when the runner's own store granted one of the claims. It lies in this process and has just read the clock:
// reading it again would be a twentieth of an event's way.
func (r *FlowRunner) asked(cs []store.Claim) time.Time {
	for i := range cs {
		if cs[i].Status == store.Granted {
			return cs[i].Until.Add(-r.c.lease)
		}
	}
	return time.Now()
}

// died reports whether a run of the task died with its process: it may be what killed it, so it runs with no other of
// its chunk at stake.
func (t *task) died() bool {
	known := t.attempts
	return t.claim.Attempts > known && !t.solo
}

// ask claims what is in c.claims, or renews, until the store answers: nothing runs unclaimed. A full store is asked for
// less. One that says it will never answer ends the runner.
func (r *FlowRunner) ask(c *chunk, renew []*store.Claim) bool {
	for n := 1; ; n++ {
		var err error
		if renew != nil {
			err = r.c.store.Renew(c.asking, r.c.owner, r.c.lease, renew)
		} else {
			err = r.c.store.Claim(c.asking, r.c.owner, r.c.lease, c.claims)
		}
		if err == nil {
			r.faults.clear(r.logger(), "store")
			return true
		}
		if len(c.claims) > 1 && errors.Is(err, store.ErrFull) {
			c.claims = c.claims[:len(c.claims)/2]
			continue
		}
		if errors.Is(err, eventflow.ErrFatal) || errors.Is(err, eventflow.ErrClosed) {
			c.err = fmt.Errorf("runner: store of flow %q: %w", r.flow.Name(), err)
			r.mu.Lock()
			r.fail(c.err)
			r.unlock()
			return false
		}
		if c.asking.Err() != nil { // not the store's fault
			return false
		}
		r.faults.say(r.logger(), "store", "the store does not answer; events are held until it does", err)
		if !c.pause(fullJitter(100*time.Millisecond, 10*time.Second, n)) {
			return false
		}
		c.start = time.Now()
	}
}

// answered reads the store's answer to one claim.
func (r *FlowRunner) answered(t *task, sent int64) {
	switch t.claim.Status {
	case store.Granted:
		t.leased.Store(sent)
	case store.Done:
		t.verdict = verdict{turn: turnEnd, outcome: eventflow.Duplicate, reason: t.claim.Outcome.String(), verb: eventflow.Ack}
	case store.Early:
		// By the store's clock, which may be behind ours for long: then it is asked again and again, ever more slowly.
		t.faults++
		least := min(10*time.Millisecond<<min(t.faults, 5), 250*time.Millisecond)
		t.verdict = verdict{turn: turnWait, reason: reasonEarly, after: max(t.claim.Until.Sub(r.c.now()), least)}
	case store.Overlapping:
		if t.fire.late || t.fire.timer.overlap != OverlapSkip { // the run elsewhere is what it waits for
			t.verdict = verdict{turn: turnWait, reason: reasonOverlap, after: min(max(time.Until(t.claim.Until), 0), time.Second)}
			return
		}
		// Claimed again without the slot, to leave its mark: a skipped fire is over for every replica.
		t.fire.skip = reasonOverlap
		t.claim.Fire = &store.Fire{Definition: t.claim.Fire.Definition, Nominal: t.claim.Fire.Nominal, NotBefore: t.claim.Fire.NotBefore}
		t.verdict = verdict{turn: turnWait, reason: reasonOverlap}
	default: // Held, or no answer at all: somebody else's
		t.verdict = verdict{turn: turnParked, reason: reasonElsewhere, after: max(time.Until(t.claim.Until), 0)}
	}
}

// handBack is the verdict that gives an event back to its broker, untried.
func handBack(reason string, after time.Duration) verdict {
	return verdict{turn: turnEnd, outcome: eventflow.HandedBack, reason: reason, verb: eventflow.Release, after: after}
}

// lostAfter is the verdict of what lost its lock or its claim behind its run. A run that failed has failed all the same:
// if the claim is still there, it is written down.
func lostAfter(v *verdict) verdict {
	back := handBack(reasonLost, 0)
	if v.counted {
		back.counted, back.verb, back.err = true, eventflow.Nack, v.err
	}
	return back
}

// end writes the ends of the chunk's claims into the store, in one call. What the store does not take keeps its task,
// unless the runner stops: then the event is given back, and a rerun publishes the same results again.
func (r *FlowRunner) end(c *chunk, ts []*task) {
	c.ends = c.ends[:0]
	for _, t := range ts {
		if t.leased.Load() == 0 || r.c.store == nil {
			continue
		}
		v := &t.verdict
		f := store.Finish{Claim: &t.claim, StartedAt: v.started}
		switch {
		case v.turn == turnEnd && v.outcome.Final():
			f.State, f.Outcome, f.Reason, f.Err = store.Terminal, v.outcome, v.reason, r.errText(v.err)
		case v.turn == turnEnd || v.turn == turnWait || v.turn == turnParked || v.turn == turnUnrun && t.lane != nil:
			// What goes back into a lane keeps no claim: two lanes that wait for each other's would wait for ever.
			if f.State = store.Released; v.counted {
				f.State, f.Err = store.Failed, r.errText(v.err)
			}
		default:
			continue // it keeps its claim
		}
		c.ends = append(c.ends, f)
	}
	if len(c.ends) == 0 {
		return
	}
	ctx := c.io
	if ctx.Err() != nil { // the runner stops: what it gives back must be free at once all the same
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), max(r.c.hardStop/2, time.Second))
		defer cancel()
	}
	err := r.c.store.Finish(ctx, r.c.owner, c.ends)
	if err != nil {
		r.faults.say(r.logger(), "store", "the store does not take the end of runs; their events are held until it does", err)
	} else {
		r.faults.clear(r.logger(), "store")
	}
	next := 0
	for _, t := range ts {
		if next == len(c.ends) {
			break
		}
		f := &c.ends[next]
		if f.Claim != &t.claim {
			continue
		}
		next++
		switch {
		case err != nil && f.State == store.Terminal:
			r.wait(t, turnFinish, reasonStore, err)
		case err != nil:
			t.kept, t.unsure = true, true // the claim, as far as we know
		case f.Fenced && f.State == store.Terminal:
			t.verdict = handBack(reasonLost, 0) // another run of the key decides
		}
	}
	clear(c.ends)
}

// wait makes a step after the run be tried again, with the runner's backoff for steps.
func (r *FlowRunner) wait(t *task, as turn, reason string, err error) {
	t.faults++
	after := fullJitter(100*time.Millisecond, longestPause, t.faults)
	end := t.verdict
	switch as {
	case turnPublish:
		t.stage = stagePublish
	case turnBury:
		t.stage = stageBury
	case turnFinish:
		t.stage, t.ended = stageFinish, end
	}
	t.verdict = verdict{turn: as, reason: reason, err: err, after: after, started: end.started}
}
