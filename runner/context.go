package runner

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventflow-go/eventflow"
)

// runContext is a run and its context in one allocation. Only a flow that asks for Done, or for Err under a deadline,
// pays for a cancellable context of the standard library; children of it need no goroutine, because Value answers with
// the standard context inside. It is never pooled: flows keep contexts.
type runContext struct {
	parent context.Context
	run    eventflow.Run
	inner  atomic.Pointer[innerContext]
	mu     sync.Mutex // guards cause and the making of inner
	cause  error      // why the run was cancelled; ErrRunEnded when it ended by itself
}

type innerContext struct {
	context.Context
	cancel context.CancelCauseFunc
	stop   context.CancelFunc // of the deadline's timer
}

func (c *runContext) Deadline() (time.Time, bool) {
	parent, ok := c.parent.Deadline()
	own := c.run.Deadline
	if own.IsZero() || ok && parent.Before(own) {
		return parent, ok
	}
	return own, true
}

func (c *runContext) Done() <-chan struct{} { return c.standard().Done() }

func (c *runContext) Err() error {
	if in := c.inner.Load(); in != nil {
		return in.Err()
	}
	if !c.run.Deadline.IsZero() {
		return c.standard().Err()
	}
	c.mu.Lock()
	cause := c.cause
	c.mu.Unlock()
	if cause != nil {
		return context.Canceled
	}
	return c.parent.Err()
}

func (c *runContext) Value(key any) any {
	if eventflow.IsRunKey(key) {
		return &c.run
	}
	if in := c.inner.Load(); in != nil {
		return in.Value(key)
	}
	c.mu.Lock()
	cause := c.cause
	c.mu.Unlock()
	if cause != nil {
		return c.standard().Value(key) // so that context.Cause finds the cause
	}
	return c.parent.Value(key)
}

// standard makes the standard context on first use.
func (c *runContext) standard() *innerContext {
	if in := c.inner.Load(); in != nil {
		return in
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if in := c.inner.Load(); in != nil {
		return in
	}
	ctx, cancel := context.WithCancelCause(c.parent)
	in := &innerContext{Context: ctx, cancel: cancel}
	switch {
	case c.cause != nil:
		cancel(c.cause)
	case !c.run.Deadline.IsZero():
		in.Context, in.stop = context.WithDeadline(ctx, c.run.Deadline)
	}
	c.inner.Store(in)
	return in
}

// cancel ends the run's context with a cause; the first cause stays.
func (c *runContext) cancel(cause error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = cause
	}
	in := c.inner.Load()
	c.mu.Unlock()
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
	c.cancel(eventflow.ErrRunEnded)
	if c.cause != eventflow.ErrRunEnded { //nolint:errorlint,err113 // identity, not kind: nobody sets it from now on
		return c.cause
	}
	if c.parent.Err() != nil {
		if cause := context.Cause(c.parent); errors.Is(cause, eventflow.ErrShutdown) || errors.Is(cause, eventflow.ErrLockLost) {
			return cause
		}
		return eventflow.ErrShutdown // the context of Handle's or Run's caller ended
	}
	return nil
}
