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
	for _, t := range c.tasks {
		t.verdict = verdict{}
		if t.leased.Load() == 0 {
			c.claims = append(c.claims, store.Claim{Key: t.key, Fire: t.claim.Fire})
		}
	}
	if len(c.claims) > 0 && r.c.store != nil && !r.claimAll(c) {
		for _, t := range c.tasks {
			t.verdict = handBack(reasonShutdown, 0)
			t.verdict.err = c.err
		}
		return false
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

// died reports whether a run of the task died with its process: it may be what killed it, so it runs with no other of
// its chunk at stake.
func (t *task) died() bool {
	known := t.attempts
	return t.claim.Attempts > known && !t.solo
}

// claimAll asks until the store answers: nothing runs unclaimed. A full store is asked for less. One that says it will
// never answer ends the runner.
func (r *FlowRunner) claimAll(c *chunk) bool {
	for n := 1; ; n++ {
		err := r.c.store.Claim(c.asking, r.c.owner, r.c.lease, c.claims)
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
			r.fail(c.err)
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
		t.verdict = verdict{turn: turnWait, reason: "early", after: time.Until(t.claim.Until)}
	case store.Overlapping:
		if o := t.fire.timer.overlap; o != OverlapSkip { // the run elsewhere is what it waits for
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
			t.kept = true // the claim: its next turn needs no other
		case f.Fenced && f.State == store.Terminal:
			t.verdict = handBack(reasonLost, 0) // another run of the key decides
		}
	}
	clear(c.ends)
}

// wait makes a step after the run be tried again, with the runner's backoff for steps.
func (r *FlowRunner) wait(t *task, as turn, reason string, err error) {
	t.faults++
	after := fullJitter(100*time.Millisecond, 30*time.Second, t.faults)
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
