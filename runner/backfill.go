package runner

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
)

// Backfilled says what became of the fires of a [FlowRunner.Backfill].
type Backfilled struct {
	Fires    int                       // that the clock has in the range; 0 when the context ended before they were counted
	Outcomes map[eventflow.Outcome]int // of those that have reached their end
}

// String tells it in a line: "31 fires = 24 succeeded + 7 duplicate", with what has not reached its end, if anything has not.
func (b Backfilled) String() string {
	left := b.Fires
	for _, n := range b.Outcomes {
		left -= n
	}
	return strconv.Itoa(b.Fires) + " fires" + balance(func(o eventflow.Outcome) int64 { return int64(b.Outcomes[o]) }, int64(left), "not done")
}

// BackfillError says how far a [FlowRunner.Backfill] came that ended early. Unwrap gives why: the context's error, or the
// store's.
type BackfillError struct {
	Flow, Clock string
	From        time.Time // every fire before has reached its end: another backfill may begin here
	Err         error
}

func (e *BackfillError) Error() string {
	return fmt.Sprintf("runner: backfill of %q of flow %q got as far as %s: %v", e.Clock, e.Flow, e.From.Format(time.RFC3339Nano), e.Err)
}

// Unwrap gives why it ended.
func (e *BackfillError) Unwrap() error { return e.Err }

const backfillMost = 10_000 // fires of one Backfill

// Backfill runs the fires that a clock of this runner has from the instant from, inclusive, until to, exclusive: a downtime
// that no policy made up for, a clock that is newer than what it should have done. clock is the trigger's name. It returns
// when each of them has reached its end, or with a *[BackfillError] when ctx ends first.
//
// Each fire has the identity that it has live: flow, clock and nominal time, and so do its parameters and labels. What the
// store knows to have reached its end, run or skipped, is a duplicate: backfilling a range twice runs it once, and so do
// two replicas that backfill it at once, or beside live fires. A fire that another process runs is waited for, and is not
// live here meanwhile. Failed attempts are tried again as those of a live fire.
//
// Fires run one after another, the oldest first, and take no slot from live ones ([FireSlots]). Of the policies of
// [Overlap] all but OverlapAllowAll hold between them and the live fires of this runner: a backfilled fire waits until
// nothing of its clock is live; a live one that is due while a backfilled one runs is skipped, buffered, or cancels it, as
// the clock says. Those of other processes are not waited for. With OverlapAllowAll as many of one Backfill run at once
// as there are fire slots. A flow that backfills its own clock from a run of that clock waits for itself.
//
// A Backfill works beside Listen, before it, after it and without it, on a paused clock too; Listen does not wait for it.
// How far the clock has come by the store is not changed. What it leaves when ctx ends is taken over by nobody: backfill
// the rest.
//
// A range that reaches into the future, or that has more than 10,000 fires (those counted that are another clock's of its
// schedule), and an unknown clock, are a *[eventflow.ConfigError], and nothing runs. A fire that [Jitter] still delays is
// left to the live clock.
func (r *FlowRunner) Backfill(ctx context.Context, clock string, from, to time.Time) (Backfilled, error) {
	tm := r.timer(clock)
	if tm == nil {
		return Backfilled{}, r.unknown("runner.Backfill clock", clock, nil)
	}
	fires, err := r.firesBetween(ctx, tm, from, to)
	if err != nil {
		return Backfilled{}, err
	}
	b := backfill{r: r, tm: tm, fires: fires, results: make([]eventflow.Outcome, len(fires))}
	workers := 1
	if tm.overlap == OverlapAllowAll {
		workers = min(r.c.fireSlots, len(fires))
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { b.work(ctx) })
	}
	wg.Wait()
	r.faults.rest(r.logger(), true)
	return b.result()
}

// firesBetween gives the fires of a range, or what is wrong with it.
func (r *FlowRunner) firesBetween(ctx context.Context, tm *timer, from, to time.Time) ([]eventflow.Fire, error) {
	now := r.c.now()
	if to.After(now) {
		return nil, &eventflow.ConfigError{Field: "runner.Backfill to", Value: to.Format(time.RFC3339Nano), Allowed: "no later than now: fires to come are the live clock's"}
	}
	if to.Before(from) {
		return nil, &eventflow.ConfigError{Field: "runner.Backfill to", Value: to.Format(time.RFC3339Nano), Allowed: "not before from, which is " + from.Format(time.RFC3339Nano)}
	}
	var fires []eventflow.Fire
	looked := 0
	for at := tm.clock.Next(from.Add(-1)); !at.IsZero() && at.Before(to); at = tm.clock.Next(at) {
		if ctx.Err() != nil {
			return nil, &BackfillError{Flow: r.flow.Name(), Clock: tm.name, From: from.UTC(), Err: context.Cause(ctx)}
		}
		f := r.fireAt(tm, at)
		if f.Due.After(now) {
			break
		}
		if looked++; looked > backfillMost {
			return nil, &eventflow.ConfigError{
				Field: "runner.Backfill to", Value: to.Format(time.RFC3339Nano),
				Allowed: fmt.Sprintf("a range of at most %d fires, which ends at %s", backfillMost, at.UTC().Format(time.RFC3339Nano)),
			}
		}
		if tm.repeats(at) {
			continue
		}
		f.Clock, f.Parameters, f.Labels = tm.name, tm.params, tm.labels
		fires = append(fires, f)
	}
	return fires, nil
}

// backfill is one call of Backfill.
type backfill struct {
	r       *FlowRunner
	tm      *timer
	fires   []eventflow.Fire
	results []eventflow.Outcome // of fires; 0: none yet

	mu   sync.Mutex // guards what follows
	next int        // the first that no worker took
	err  error      // why it ends early
}

// work runs one fire after another until there is no more, or one ended without an end.
func (b *backfill) work(ctx context.Context) {
	for {
		b.mu.Lock()
		i := b.next
		if b.next++; i >= len(b.fires) || b.err != nil {
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		res := b.r.backfillOne(ctx, b.tm, b.fires[i])
		b.mu.Lock()
		if res.Outcome != eventflow.HandedBack {
			b.results[i] = res.Outcome
		} else if b.err == nil {
			b.err = res.Err
		}
		b.mu.Unlock()
	}
}

func (b *backfill) result() (Backfilled, error) {
	done := Backfilled{Fires: len(b.fires), Outcomes: map[eventflow.Outcome]int{}}
	first := -1
	for i, o := range b.results {
		if o != 0 {
			done.Outcomes[o]++
		} else if first < 0 {
			first = i
		}
	}
	if first < 0 {
		return done, nil
	}
	return done, &BackfillError{Flow: b.r.flow.Name(), Clock: b.tm.name, From: b.fires[first].Nominal, Err: b.err}
}

// backfillOne brings one fire to its end; HandedBack, and why, when that cannot be.
func (r *FlowRunner) backfillOne(ctx context.Context, tm *timer, f eventflow.Fire) Result {
	for {
		t := r.backfillTask(ctx, tm, f)
		if t == nil {
			return Result{Outcome: eventflow.HandedBack, Err: context.Cause(ctx)}
		}
		var res Result
		var one sync.WaitGroup
		one.Go(func() { r.handleTo(ctx, t, &res) }) // a Goexit of the flow ends this goroutine, and not the backfill
		one.Wait()
		switch {
		case res.Outcome != eventflow.HandedBack:
			return res
		case ctx.Err() != nil:
			res.Err = context.Cause(ctx)
			return res
		case res.Reason == reasonLost && !errors.Is(res.Err, eventflow.ErrFatal):
			continue // its claim lapsed: whoever took it over is waited for
		case res.Err == nil:
			res.Err = fmt.Errorf("%w: %s", errHandedBack, res.Reason)
		}
		return res
	}
}

var errHandedBack = errors.New("runner: a fire was handed back")

// backfillTask waits until nothing of the clock is live, and registers the fire's task in the same moment. It is nil when
// ctx ends before.
func (r *FlowRunner) backfillTask(ctx context.Context, tm *timer, f eventflow.Fire) *task {
	r.mu.Lock()
	defer r.unlock()
	if r.awaitRest(ctx, tm); ctx.Err() != nil {
		return nil
	}
	t := r.register(eventflow.FireKey(r.flow.Name(), tm.name, f.Nominal))
	// Its claim names no fire: the cursor stays, and what is left is no orphan, which listeners would skip as too old.
	t.fire = &fire{Fire: f, timer: tm, live: true, backfill: true, stir: make(chan struct{}, 1)}
	tm.live++
	r.fireReceived()
	return t
}

// awaitRest waits until nothing of a clock is live, if its policy asks for that, or ctx ends. The caller holds FlowRunner.mu, and has it again then.
func (r *FlowRunner) awaitRest(ctx context.Context, tm *timer) {
	for tm.overlap != OverlapAllowAll && (tm.live > 0 || len(tm.buffered) > 0) && ctx.Err() == nil {
		if tm.rested == nil {
			tm.rested = make(chan struct{})
		}
		rested := tm.rested
		r.unlock()
		select {
		case <-rested:
		case <-ctx.Done():
		}
		r.mu.Lock()
	}
}

// waitElsewhere waits to ask for the claim of a backfilled fire again that somebody else holds, or that was granted when
// another fire of the clock was live. Meanwhile no fire overlaps it here: see [FlowRunner.comeLive]. It gives false when
// ctx ends.
func (r *FlowRunner) waitElsewhere(c *chunk, t *task) bool {
	r.mu.Lock()
	r.restFire(t)
	t.cancel.Store(false) // who cancelled it waited for no more than that
	select {
	case <-t.fire.stir:
	default:
	}
	if t.verdict.reason == reasonOverlap {
		r.awaitRest(c.asking, t.fire.timer)
		r.unlock()
		return c.asking.Err() == nil
	}
	r.unlock()
	return c.pause(min(max(t.verdict.after, 10*time.Millisecond), time.Second))
}
