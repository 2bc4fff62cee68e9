package runner

import (
	"context"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// HandleTrigger is the trigger's name in the keys of runs that [FlowRunner.Handle] starts.
const HandleTrigger = "handle"

// Result says how Handle or Run ended.
type Result struct {
	Outcome eventflow.Outcome
	Reason  string
	Err     error         // the flow's, the publisher's or the store's; nil on success
	After   time.Duration // HandedBack: the delay that the broker was asked for
}

// Handle takes one delivery of the user's own loop the whole way: claim, flow, publish, finish, settle. It is one try:
// a retry, Busy, or a run of the same key elsewhere is handed back with its delay. It returns when the delivery is
// settled. When ctx ends the run is cancelled and the delivery handed back.
//
// The runner's triggers, lanes and limits have no say: order and parallelism are the loop's. The run's trigger is named
// [HandleTrigger].
func (r *FlowRunner) Handle(ctx context.Context, d *eventflow.Delivery) Result {
	key := eventflow.Key{Flow: r.flow.Name(), Binding: HandleTrigger, Source: d.Event.Source, ID: d.Event.ID, Redrive: d.Redrive}
	t := r.direct(key, func(t *task) {
		t.d, t.attempts = d, max(d.Attempts, 0)
		if key.Source == "" {
			t.key.Source = HandleTrigger
		}
		if key.ID == "" {
			t.key.ID = r.anonymous()
		}
	})
	return r.handle(ctx, t)
}

// Run runs the flow now for a fire: a scheduler of the user's own, a run by hand. The same fire (flow, clock, nominal
// time) twice is one run. Failed attempts are tried again here, after the runner's backoff, so Run returns with the
// end: Succeeded, Failed, Skipped, Duplicate; HandedBack when ctx ended before, or another process holds the run.
//
// A fire without a Clock or a Nominal is a mistake: the result is HandedBack with a *[eventflow.ConfigError].
func (r *FlowRunner) Run(ctx context.Context, f eventflow.Fire) Result {
	if f.Clock == "" || f.Nominal.IsZero() {
		return Result{Outcome: eventflow.HandedBack, Reason: "config", Err: &eventflow.ConfigError{
			Field: "runner.Run fire of flow " + r.flow.Name(), Value: f.Clock + "@" + f.Nominal.String(), Allowed: "a Clock and a Nominal: they identify the run",
		}}
	}
	if err := r.flow.CheckParameters(f.Parameters); err != nil {
		return Result{Outcome: eventflow.HandedBack, Reason: "config", Err: err}
	}
	f.Nominal = f.Nominal.UTC()
	if f.Due.IsZero() {
		f.Due = f.Nominal
	}
	t := r.direct(eventflow.FireKey(r.flow.Name(), f.Clock, f.Nominal), func(t *task) {
		t.fire = &fire{Fire: f}
		// The clock is the caller's: no cursor of ours moves it, and it may fire ahead.
		t.claim.Fire = &store.Fire{}
	})
	return r.handle(ctx, t)
}

// direct registers a task of Handle or Run.
func (r *FlowRunner) direct(key eventflow.Key, fill func(*task)) *task {
	r.mu.Lock()
	defer r.unlock()
	t := r.register(key)
	fill(t)
	if t.fire != nil {
		r.fireReceived()
	} else {
		r.tally.received++
		r.tally.inFlight++
	}
	return t
}

// register makes a task that is no part of Listen's. The caller holds FlowRunner.mu.
func (r *FlowRunner) register(key eventflow.Key) *task {
	t := r.newTask()
	t.key, t.direct = key, true
	r.directs++
	return t
}

// handle brings one task to its end in the caller's goroutine. When the flow ends that with runtime.Goexit, the caller
// goes with it once the task has its end.
func (r *FlowRunner) handle(ctx context.Context, t *task) Result {
	var res Result
	r.handleTo(ctx, t, &res)
	return res
}

// handleTo is handle for who looks at the result after a Goexit.
func (r *FlowRunner) handleTo(ctx context.Context, t *task, res *Result) {
	io, cancelIO := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelIO()
	// What publishes or finishes outlives the caller's context by the hard stop, and no longer.
	unhook := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(r.c.hardStop)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancelIO()
		case <-io.Done():
		}
	})
	defer unhook()
	c := &chunk{tasks: []*task{t}, base: ctx, io: io, asking: ctx, stop: ctx.Done(), direct: true}
	if c.batch = r.flow.IsBatch() && t.d != nil; t.d != nil && !c.batch {
		lone := &struct {
			group   runGroup
			context [1]runContext
			scratch eventflow.Run
		}{group: runGroup{r: r, parent: ctx}}
		c.group, c.contexts, c.scratch = &lone.group, lone.context[:], &lone.scratch
		r.mu.Lock()
		r.arm(c)
		r.unlock()
	}
	if t.fire != nil {
		c.stir = t.fire.stir
	}
	stopRenewing := r.renewDirect(io, t)
	returned := false
	defer func() {
		if !returned {
			if p := recover(); p != nil { // not the flow's, which is its attempt's error by now: the caller may know what to do
				defer panic(p)
				r.letGo(c, t)
			} else {
				ended := make(chan struct{})
				go r.handleOn(c, t, ended)
				<-ended
			}
		}
		*res = Result{Outcome: t.verdict.outcome, Reason: t.verdict.reason, Err: t.verdict.err, After: t.verdict.after}
		stopRenewing() // before the task is another's
		r.directEnds(t)
	}()
	r.do(c)
	r.untilEnd(c, t)
	returned = true
}

// handleOn goes the rest of a task's way after a Goexit, which leaves nothing but its deferred calls to the goroutine, and
// one of those does not survive another: each needs a goroutine of its own. The flow may call it at every attempt; what
// does so twice behind the run, a hook, would do it for ever.
func (r *FlowRunner) handleOn(c *chunk, t *task, ended chan<- struct{}) {
	behind, returned := c.pending != nil, false
	defer func() {
		switch {
		case returned:
		case behind && c.pending != nil:
			r.letGo(c, t)
		default:
			go r.handleOn(c, t, ended)
			return
		}
		close(ended)
	}()
	if c.current == nil && !behind { // the store's claim did not return
		r.letGo(c, t)
	} else {
		r.goOn(c)
		r.untilEnd(c, t)
	}
	returned = true
}

// letGo hands a task back whose way cannot be gone to its end. Its claim lapses, and its next run is another attempt.
func (r *FlowRunner) letGo(c *chunk, t *task) {
	r.releaseDirect(t, false)
	t.verdict = handBack(reasonShutdown, 0)
	r.settle(c, c.tasks)
}

// untilEnd turns what a listening runner would hold into an end: steps after the run, and attempts of a fire, are tried
// again here, as is the claim of a backfilled fire that another holds; a delivery that waits for its next attempt is
// handed back.
func (r *FlowRunner) untilEnd(c *chunk, t *task) {
	for t.verdict.turn != turnEnd {
		v, ran := t.verdict, t.stage != stageRun
		parked := v.turn == turnParked && t.fire != nil && t.fire.backfill
		held := parked || t.d == nil && v.turn == turnWait
		if !ran {
			r.releaseDirect(t, v.counted) // the store has it as failed or released
		}
		if parked && r.waitElsewhere(c, t) || !parked && (ran || held) && c.pause(v.after) {
			r.do(c)
			continue
		}
		switch {
		case ran || held:
			t.verdict = handBack(reasonShutdown, 0)
			t.verdict.counted = v.turn == turnBury
		default:
			t.verdict = handBack(v.reason, v.after)
			t.verdict.counted = v.counted
		}
		if t.verdict.err = v.err; t.verdict.counted {
			t.verdict.verb = eventflow.Nack
		}
		r.end(c, c.tasks)
		r.tellAll(c.tasks)
		r.settle(c, c.tasks)
	}
}

func (r *FlowRunner) releaseDirect(t *task, counted bool) {
	r.mu.Lock()
	defer r.unlock()
	t.leased.Store(0)
	if counted {
		t.attempts = max(t.attempts, t.tried)
		r.tally.tries++
	}
}

func (r *FlowRunner) directEnds(t *task) {
	r.mu.Lock()
	defer r.unlock()
	r.directs--
	r.ended(t)
}

// renewDirect looks after the claim of a run outside Listen, whose keeper would. The returned function ends it, and
// returns when nothing of it is left. A run that is over before the first look costs no goroutine.
func (r *FlowRunner) renewDirect(ctx context.Context, t *task) (stop func()) {
	if r.c.store == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var looks sync.WaitGroup
	looks.Add(1)
	every := r.c.lease / sweepLease
	first := time.AfterFunc(every, func() {
		defer looks.Done()
		r.lookAfter(ctx, t, every)
	})
	return func() {
		cancel()
		if first.Stop() {
			looks.Done()
		}
		looks.Wait()
	}
}

// lookAfter renews the claim of one task until ctx ends, and fences it when a renewal does not come in time. The store
// is asked beside: one that hangs must not keep the fence waiting.
func (r *FlowRunner) lookAfter(ctx context.Context, t *task, every time.Duration) {
	var asking sync.WaitGroup
	defer asking.Wait()
	tick := time.NewTicker(every)
	defer tick.Stop()
	answered := make(chan struct{}, 1)
	answered <- struct{}{}
	for {
		r.mu.Lock()
		since := t.leased.Load()
		var claim store.Claim
		if since != 0 {
			claim = t.claim
		}
		age := time.Duration(monotonic() - since)
		if since != 0 && age >= r.c.lease-r.c.lease/leaseLeft-every {
			r.fenceOff(t, eventflow.ErrLockLost)
		}
		r.unlock()
		if since != 0 && age >= r.c.lease/3 && !t.fenced.Load() {
			select {
			case <-answered:
				asking.Go(func() {
					r.renew(ctx, []*task{t}, []store.Claim{claim})
					answered <- struct{}{}
				})
			default:
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
