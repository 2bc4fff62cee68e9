package kafka

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

// call is a Publish under way: its records and what became of them.
type call struct {
	records []kgo.Record
	done    chan struct{} // closed when nothing is pending

	mu      sync.Mutex // guards what follows, and each record that the client has given back
	pending int
	failed  map[*kgo.Record]error // nil: none
}

func newCall(n int) *call { return &call{records: make([]kgo.Record, n), done: make(chan struct{})} }

// refuse leaves a record out; nothing was handed to the client yet.
func (c *call) refuse(r *kgo.Record, err error) {
	if c.failed == nil {
		c.failed = map[*kgo.Record]error{}
	}
	c.failed[r] = err
}

// produce hands the client what was not refused. A record has its context from here until the client gives it back.
func (c *call) produce(ctx context.Context, cl *kgo.Client) {
	for i := range c.records {
		if _, no := c.failed[&c.records[i]]; !no {
			c.records[i].Context = ctx //nolint:fatcontext // the same for all
			c.pending++
		}
	}
	if c.pending == 0 {
		close(c.done)
		return
	}
	for i := range c.records { // those that are back already are before i, and finish changes no other
		if r := &c.records[i]; r.Context != nil {
			cl.Produce(ctx, r, c.finish)
		}
	}
}

// finish is the client's promise.
func (c *call) finish(r *kgo.Record, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Context = nil
	if err != nil {
		c.refuse(r, err)
	}
	c.pending--
	if c.pending == 0 {
		close(c.done)
	}
}

// wait gives what was not taken, in order. It returns when all is known, or soon after ctx or the publisher ended.
func (c *call) wait(ctx context.Context, cut <-chan struct{}) []eventflow.ItemError {
	cause := c.settle(ctx, cut)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == 0 && c.failed == nil {
		return nil
	}
	var failed []eventflow.ItemError
	for i := range c.records {
		r := &c.records[i]
		err := c.failed[r]
		if err == nil && r.Context != nil {
			err = cause
		}
		if err != nil {
			failed = append(failed, eventflow.ItemError{Index: i, Err: err})
		}
	}
	return failed
}

// settle waits, and gives the error of what is still pending.
func (c *call) settle(ctx context.Context, cut <-chan struct{}) error {
	cause := eventflow.ErrClosed
	select {
	case <-c.done:
		return nil
	case <-cut:
	case <-ctx.Done():
		cause = context.Cause(ctx)
		t := time.NewTimer(unknownWait)
		defer t.Stop()
		select {
		case <-c.done:
			return nil
		case <-cut:
		case <-t.C:
		}
	}
	return fmt.Errorf("the cluster may have taken it or not: %w", cause)
}

// produce publishes one record.
func produce(ctx context.Context, cl *kgo.Client, r *kgo.Record) error {
	c := newCall(1)
	c.records[0] = *r
	c.produce(ctx, cl)
	if failed := c.wait(ctx, nil); failed != nil {
		return failed[0].Err
	}
	return nil
}
