package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
)

// PanicError is the error of a run whose flow panicked, or called runtime.Goexit. It is an attempt like any other
// failure.
type PanicError struct {
	Value any    // what it panicked with; nil after a Goexit
	Stack []byte // of the panic
}

func (e *PanicError) Error() string {
	if e.Value == nil {
		return "flow called runtime.Goexit"
	}
	return fmt.Sprintf("flow panicked: %v", e.Value)
}

// runOne runs the flow for one task and gives it a verdict.
func (r *FlowRunner) runOne(c *chunk, t *task) {
	t.tried = t.failed() + 1
	rc, run := t.rc, c.scratch
	if t.d == nil {
		rc, run = r.fireRun(c, t)
	} else {
		rc.source, rc.id, rc.attempt = t.key.Source, t.key.ID, t.tried
	}
	if !r.admit(t, rc) {
		return
	}
	if t.d == nil {
		run.Attempt, run.Fence, run.Deadline = t.tried, rc.fence, rc.deadline
	} else {
		rc.tell(run)
	}
	before := len(c.out)
	out, err := r.call(c, t, rc, run)
	if cause := rc.end(); cause != nil && err != nil {
		t.verdict = r.cancelled(t, cause, err)
		return
	}
	t.verdict = r.judge(t, t.tried, err)
	t.verdict.started = c.start
	if t.verdict.outcome == eventflow.Succeeded && len(out) > before {
		c.out, t.out = out, out[before:len(out):len(out)]
	}
}

// fireRun makes the run of a fire and its context.
func (r *FlowRunner) fireRun(c *chunk, t *task) (*runContext, *eventflow.Run) {
	w := r.newWholeRun(c.base)
	w.run.Init(r.flow, t.key)
	w.run.Fire = &t.fire.Fire
	r.useCodecs(&w.run, nil)
	t.fire.rc.Store(&w.runContext)
	return &w.runContext, &w.run
}

// admit does what is due right before a run. It gives false when the run must not start.
func (r *FlowRunner) admit(t *task, rc *runContext) bool {
	rc.fence = t.claim.Fence
	if r.c.timeout > 0 {
		rc.deadline = time.Now().Add(r.c.timeout)
	}
	if !t.open() { // asked after rc is visible: a lock that goes from now on cancels it
		t.verdict = handBack(reasonLost, 0)
		return false
	}
	if t.follows() { // one before it went back to the broker
		t.verdict = handBack(reasonRetry, 0)
		return false
	}
	if !t.direct && r.halted.Load() { // it would only be cancelled
		t.verdict = verdict{turn: turnUnrun}
		return false
	}
	if t.cancel.Load() {
		t.verdict = verdict{turn: turnEnd, outcome: eventflow.Skipped, reason: reasonOverlap}
		return false
	}
	if t.failed() >= r.c.maxAttempts { // its runs died with their processes: it would take this one along too
		t.tried = t.failed()
		t.verdict = r.giveUpUnrun(t, reasonExhausted, errDied)
		return false
	}
	if t.fire != nil && t.fire.skip != "" {
		t.verdict = verdict{turn: turnEnd, outcome: eventflow.Skipped, reason: t.fire.skip}
		return false
	}
	if t.fire != nil && !r.comeLive(t) {
		t.tried, t.verdict = t.failed(), verdict{turn: turnParked, reason: reasonOverlap}
		return false
	}
	if r.c.maxAge > 0 && t.d != nil && !t.d.Event.Time.IsZero() && r.c.now().Sub(t.d.Event.Time) > r.c.maxAge {
		t.verdict = verdict{turn: turnEnd, outcome: eventflow.Expired, reason: reasonAge, verb: eventflow.Ack}
		return false
	}
	return true
}

var errDied = errors.New("runner: the processes of its attempts died")

var errFiltered = eventflow.Skip(reasonFilter)

// call calls the flow and turns a panic into an error. On a Goexit it leaves with the verdict set: see worker.
func (r *FlowRunner) call(c *chunk, t *task, rc *runContext, run *eventflow.Run) (out []eventflow.Event, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		out = c.out
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
			return
		}
		rc.end()
		t.verdict = r.judge(t, t.tried, &PanicError{Stack: debug.Stack()})
	}()
	if t.src != nil && t.src.filter != nil && !t.src.filter(t.event()) {
		out, err = c.out, errFiltered
	} else {
		out, err = r.flow.Call(rc, run, c.out)
	}
	returned = true
	return out, err
}

// cancelled is the verdict of a run that the runner cancelled and that returned an error: no attempt.
func (r *FlowRunner) cancelled(t *task, cause, err error) verdict {
	if errors.Is(cause, eventflow.ErrOverlap) {
		return verdict{turn: turnEnd, outcome: eventflow.Skipped, reason: reasonOverlap, err: err}
	}
	v := handBack(reasonShutdown, 0)
	if errors.Is(cause, eventflow.ErrLockLost) || !t.open() {
		v.reason = reasonLost
	}
	v.err = err
	return v
}

// judge is the verdict of a run that ended by itself.
func (r *FlowRunner) judge(t *task, attempt int, err error) verdict {
	if err == nil {
		if t.src != nil {
			r.decoded(t.src)
		}
		return verdict{turn: turnEnd, outcome: eventflow.Succeeded, verb: eventflow.Ack}
	}
	var (
		skip   *eventflow.SkipError
		busy   *eventflow.BusyError
		decode *eventflow.DecodeError
		encode *eventflow.EncodeError
	)
	if !errors.As(err, &decode) && t.src != nil && !errors.Is(err, errFiltered) { // what is filtered was not decoded
		r.decoded(t.src)
	}
	switch {
	case errors.Is(err, errFiltered):
		return verdict{turn: turnEnd, outcome: eventflow.Skipped, reason: reasonFilter, verb: eventflow.Ack}
	case errors.As(err, &skip):
		return verdict{turn: turnEnd, outcome: eventflow.Skipped, reason: ownReason(skip.Reason), verb: eventflow.Ack}
	case errors.As(err, &busy):
		return r.later(t, verdict{reason: reasonBusy, err: err, after: busy.After, verb: eventflow.Release})
	case decode != nil:
		return r.undecodable(t, err)
	case errors.As(err, &encode), eventflow.IsPermanent(err):
		return r.giveUp(t, reasonPermanent, err)
	case attempt >= r.c.maxAttempts:
		return r.giveUp(t, reasonExhausted, err)
	}
	after := max(r.c.backoff(attempt), 0)
	if t.lane != nil {
		after = min(after, r.c.maxLaneDelay)
	}
	return r.later(t, verdict{reason: reasonRetry, err: err, after: after, verb: eventflow.Nack, counted: true})
}

const maxReason = 256 // bytes

// ownReason is what the runner keeps of a reason that a flow gave: it outlives the run in counts, log and store, and may
// have been cut out of a payload that must not.
func ownReason(reason string) string {
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	return strings.Clone(reason)
}

// later keeps a task for its next try, or leaves the delay to the broker when it is longer than MaxHold. Behind an
// EventClock of the user's own there may be no broker: nobody would deliver it again.
func (r *FlowRunner) later(t *task, v verdict) verdict {
	if v.turn = turnWait; v.after > r.c.maxHold && t.d != nil && t.d.Bound() {
		v.turn, v.outcome = turnEnd, eventflow.HandedBack
	}
	return v
}

// giveUp is the verdict of a run that will not be tried again: its dead letter is written next.
func (r *FlowRunner) giveUp(t *task, reason string, err error) verdict {
	v := verdict{turn: turnEnd, outcome: eventflow.DeadLettered, reason: reason, err: err, verb: eventflow.Ack, counted: true}
	if t.d == nil {
		v.outcome = eventflow.Failed
	}
	t.stage, t.ended = stageBury, v
	return verdict{turn: turnBury, reason: reason, err: err, counted: true}
}

// giveUpUnrun is giveUp of what no run failed for: should its dead letter never be written, it was no attempt.
func (r *FlowRunner) giveUpUnrun(t *task, reason string, err error) verdict {
	v := r.giveUp(t, reason, err)
	v.counted, t.ended.counted = false, false
	return v
}

// runBatch runs the flow once for all tasks of the chunk.
func (r *FlowRunner) runBatch(c *chunk) {
	first := c.run[0]
	c.current = first
	w := r.newWholeRun(c.base)
	rc := &w.runContext
	r.mu.Lock()
	for _, t := range c.run {
		t.rc = rc
	}
	r.unlock()
	var events []*eventflow.Event
	open, attempt := c.run[:0:0], 0
	turnedAway := false // the lane's head was: what is behind it must not overtake it
	for _, t := range c.run {
		if turnedAway {
			t.verdict = verdict{turn: turnUnrun}
			continue
		}
		if !r.admit(t, rc) {
			turnedAway = t.lane != nil && !t.verdict.passes()
			continue
		}
		if t.src != nil && t.src.filter != nil && !t.src.filter(&t.d.Event) {
			t.verdict = r.judge(t, 1, errFiltered)
			continue
		}
		t.tried = t.failed() + 1
		attempt = max(attempt, t.tried)
		events, open = append(events, &t.d.Event), append(open, t)
	}
	if len(open) == 0 {
		return
	}
	w.run.Init(r.flow, open[0].key, events...)
	w.run.Attempt, w.run.Deadline, w.run.Fence = attempt, rc.deadline, rc.fence
	r.useCodecs(&w.run, open[0].src)
	before := len(c.out)
	out, err := r.callBatch(c, w, open)
	cause := rc.end()
	if cause != nil && err != nil {
		r.cancelledBatch(c, open, cause, err)
	} else {
		r.judgeBatch(c, open, err)
	}
	if len(out) > before {
		for _, t := range open {
			if t.verdict.outcome == eventflow.Succeeded { // the results are the run's; the first that succeeded carries them
				c.out, t.out = out, out[before:len(out):len(out)]
				break
			}
		}
	}
}

// cancelledBatch gives each task of a batch's run that the runner cancelled its verdict. An item that the flow's error
// does not name, or names as skipped, is done all the same, unless it comes behind one of its lane that is not.
func (r *FlowRunner) cancelledBatch(c *chunk, ts []*task, cause, err error) {
	errs := itemErrors(err, len(ts))
	stopped := false
	for i, t := range ts {
		one := err
		if errs != nil {
			one = errs[i]
		}
		var skip *eventflow.SkipError
		switch done := one == nil || errs != nil && errors.As(one, &skip); {
		case done && !stopped:
			t.verdict = r.judge(t, t.tried, one)
			t.verdict.started = c.start
			continue
		case done:
			t.verdict = verdict{turn: turnUnrun}
		default:
			if t.verdict = r.cancelled(t, cause, one); t.verdict.reason == reasonLost && t.open() {
				t.verdict = verdict{turn: turnUnrun} // a neighbour's lock went, not its own
			}
		}
		stopped = t.lane != nil
	}
}

// itemErrors gives the error of each of n items of a batch; nil when the batch's error does not tell them apart.
func itemErrors(err error, n int) []error {
	var some *eventflow.BatchError
	if !errors.As(err, &some) || some == nil {
		return nil
	}
	errs := make([]error, n)
	for _, it := range some.Items {
		if it.Index < 0 || it.Index >= n {
			return nil // it names an item that is not there: the whole batch failed
		}
		errs[it.Index] = errors.Join(errs[it.Index], it.Err)
	}
	return errs
}

// judgeBatch gives each task of a batch's run its verdict.
func (r *FlowRunner) judgeBatch(c *chunk, ts []*task, err error) {
	errs := itemErrors(err, len(ts))
	stopped := false
	for i, t := range ts {
		one := err
		if errs != nil {
			one = errs[i]
		}
		n := t.tried
		switch {
		case stopped:
			// In an ordered lane the first failure fails what is behind it: it runs again, and is no attempt.
			t.verdict = verdict{turn: turnUnrun}
		case errs == nil && err != nil && len(ts) > 1 && !definite(err):
			// Nobody knows which of them it was: halve the batch until it is alone. Halving is no attempt.
			t.split = max(1, len(ts)/2)
			if t.verdict = (verdict{turn: turnUnrun}); i == 0 {
				t.verdict = r.later(t, verdict{reason: reasonRetry, err: err, after: max(r.c.backoff(n), 0), verb: eventflow.Release})
			}
		default:
			t.verdict = r.judge(t, n, one)
		}
		t.verdict.started = c.start
		if t.lane != nil && !t.verdict.passes() && t.verdict.turn != turnBury {
			stopped = true
		}
	}
}

// definite reports whether an error of a whole batch is meant for every item of it.
func definite(err error) bool {
	var (
		skip *eventflow.SkipError
		busy *eventflow.BusyError
	)
	return errors.As(err, &skip) || errors.As(err, &busy)
}

// callBatch is call for a batch: a Goexit leaves with the verdicts of open set.
func (r *FlowRunner) callBatch(c *chunk, w *wholeRun, open []*task) (out []eventflow.Event, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		out = c.out
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
			return
		}
		w.end()
		r.judgeBatch(c, open, &PanicError{Stack: debug.Stack()})
	}()
	out, err = r.flow.Call(&w.runContext, &w.run, c.out)
	returned = true
	return out, err
}

// causeOfLoss is the error that a run's context ends with when its lock or claim is gone.
func causeOfLoss(err error) error {
	if err != nil && errors.Is(err, eventflow.ErrLockLost) {
		return err
	}
	return eventflow.ErrLockLost
}

var _ context.Context = (*runContext)(nil)
