package runner

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventflow-go/eventflow"
)

// runContext is the context of one run. Those of a chunk are made together, and are small: only a flow that asks for its
// Run, for Done, or for Err under a deadline, pays for that. They are never pooled: flows keep contexts, and one that is
// kept keeps its neighbours, as a delivery does.
type runContext struct {
	asked atomic.Pointer[askedRun] // nil: nobody has asked; unasked: nobody had when the run ended
	of    *runGroup
	d     *eventflow.Delivery

	// Of the run. The key's parts are those of the claim, whatever the flow does to its event.
	source, id string
	attempt    int
	fence      int
	deadline   time.Time
}

// runGroup is what runs have in common: those of one source, or a single one of the user's own loop.
type runGroup struct {
	r      *FlowRunner
	src    *source // nil: the user's own loop
	parent context.Context
}

// askedRun is what a run has once somebody asked, or cancelled it, which may come before it starts.
type askedRun struct {
	inner atomic.Pointer[innerContext]
	mu    sync.Mutex // guards what follows, and the making of inner
	cause error      // why the run was cancelled; ErrRunEnded when it ended by itself
	told  bool
	run   eventflow.Run // once it is told
}

// unasked stands for that of a run which ended before anybody asked.
var unasked askedRun

// wholeRun is a run that is asked for in any case, in one allocation: a fire's or a batch's.
type wholeRun struct {
	runContext
	askedRun
	runGroup
}

// innerContext is a cancellable context of the standard library. Children of the run's context need no goroutine, because
// Value answers with it.
type innerContext struct {
	context.Context
	cancel context.CancelCauseFunc
	stop   context.CancelFunc // of the deadline's timer
}

// newWholeRun makes the context of a run whose Run the caller fills.
func (r *FlowRunner) newWholeRun(parent context.Context) *wholeRun {
	w := &wholeRun{}
	w.runGroup = runGroup{r: r, parent: parent}
	w.of, w.told = &w.runGroup, true
	w.asked.Store(&w.askedRun)
	return w
}

// tell makes run the one of the context.
func (c *runContext) tell(run *eventflow.Run) {
	r, src := c.of.r, c.of.src
	key := eventflow.Key{Flow: r.flow.Name(), Binding: HandleTrigger, Source: c.source, ID: c.id, Redrive: c.d.Redrive}
	if src != nil {
		key.Binding = src.name
	}
	run.Init(r.flow, key, &c.d.Event)
	run.Attempt, run.Fence, run.Deadline = c.attempt, c.fence, c.deadline
	r.useCodecs(run, src)
}

// useCodecs makes a run use those of its source, or the runner's.
func (r *FlowRunner) useCodecs(run *eventflow.Run, src *source) {
	if src != nil && src.codecs != nil {
		run.UseCodecs(src.codecs)
	} else if r.codecs != nil {
		run.UseCodecs(r.codecs)
	}
}

// ask gives what the run has for those who ask.
func (c *runContext) ask() *askedRun {
	for {
		a := c.asked.Load()
		if a != nil && a != &unasked {
			return a
		}
		made := new(askedRun)
		if a != nil {
			made.cause = eventflow.ErrRunEnded
		}
		if c.asked.CompareAndSwap(a, made) {
			return made
		}
	}
}

// whole gives the Run of the context.
func (c *runContext) whole() *eventflow.Run {
	a := c.ask()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.told {
		c.tell(&a.run)
		a.told = true
	}
	return &a.run
}

func (c *runContext) Deadline() (time.Time, bool) {
	parent, ok := c.of.parent.Deadline()
	if c.deadline.IsZero() || ok && parent.Before(c.deadline) {
		return parent, ok
	}
	return c.deadline, true
}

func (c *runContext) Done() <-chan struct{} { return c.standard().Done() }

func (c *runContext) Err() error {
	a := c.asked.Load()
	switch {
	case a == &unasked:
		return context.Canceled
	case a != nil && a.inner.Load() != nil:
		return a.inner.Load().Err()
	case !c.deadline.IsZero():
		return c.standard().Err()
	case a != nil && a.why() != nil:
		return context.Canceled
	}
	return c.of.parent.Err()
}

func (c *runContext) Value(key any) any {
	if eventflow.IsRunKey(key) {
		return c.whole()
	}
	a := c.asked.Load()
	switch {
	case a == nil:
	case a == &unasked, a.inner.Load() != nil, a.why() != nil:
		return c.standard().Value(key) // so that context.Cause finds the cause
	}
	return c.of.parent.Value(key)
}

// why is what the run was cancelled with, or ErrRunEnded.
func (a *askedRun) why() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cause
}

// standard makes the standard context on first use.
func (c *runContext) standard() *innerContext {
	a := c.ask()
	if in := a.inner.Load(); in != nil {
		return in
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if in := a.inner.Load(); in != nil {
		return in
	}
	ctx, cancel := context.WithCancelCause(c.of.parent)
	in := &innerContext{Context: ctx, cancel: cancel}
	switch {
	case a.cause != nil:
		cancel(a.cause)
	case !c.deadline.IsZero():
		in.Context, in.stop = context.WithDeadline(ctx, c.deadline)
	}
	a.inner.Store(in)
	return in
}

// cancel ends the run's context with a cause; the first cause stays. One of a run that has ended is left alone.
func (c *runContext) cancel(cause error) {
	if c.asked.Load() != &unasked {
		c.ask().cancel(cause)
	}
}

func (a *askedRun) cancel(cause error) {
	a.mu.Lock()
	if a.cause == nil {
		a.cause = cause
	}
	in := a.inner.Load()
	a.mu.Unlock()
	if in != nil {
		in.cancel(cause)
		if in.stop != nil {
			in.stop()
		}
	}
}

// end is called when the flow has returned. It gives the cause with which the runner had cancelled the run before, nil
// when it had not.
func (c *runContext) end() error {
	if !c.asked.CompareAndSwap(nil, &unasked) {
		if a := c.asked.Load(); a != &unasked {
			a.cancel(eventflow.ErrRunEnded)
			if a.cause != eventflow.ErrRunEnded { //nolint:errorlint,err113 // identity, not kind: nobody sets it from now on
				return a.cause
			}
		}
	}
	parent := c.of.parent
	if parent.Err() != nil {
		if cause := context.Cause(parent); errors.Is(cause, eventflow.ErrShutdown) || errors.Is(cause, eventflow.ErrLockLost) {
			return cause
		}
		return eventflow.ErrShutdown // the context of Handle's or Run's caller ended
	}
	return nil
}
