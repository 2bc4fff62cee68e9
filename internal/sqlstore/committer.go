package sqlstore

import (
	"context"
	"slices"
	"sync"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// A transaction takes no more than this many keys together, unless one call alone has more: it holds locks, and who
// waits behind it waits for all of it.
const maxBatch = 4096

// committer writes the calls that wait in one transaction. While one is under way the next calls gather, so under load
// a transaction serves many. A lone call waits for nobody; where there is one lane it is written by its own goroutine,
// because waking another takes as long as the rest of the transaction.
type committer struct {
	engine Engine
	window int64
	single bool // the engine has one lane
	fences fences
	lanes  sync.WaitGroup

	mu     sync.Mutex // guards what follows, and where each request is
	wake   sync.Cond  // a call was queued, or the committer closes
	queue  []*request // as long as there are callers that wait, and what they left
	busy   bool       // with one lane: a transaction is under way
	closed bool
}

func newCommitter(e Engine, window int64) *committer {
	c := &committer{engine: e, window: window, single: e.Lanes() == 1}
	c.wake.L = &c.mu
	for range e.Lanes() {
		c.lanes.Go(c.lane)
	}
	return c
}

// do hands a call over and waits for its end. A caller whose context ends leaves, unless it writes itself; what its call
// was granted meanwhile is given back.
func (c *committer) do(ctx context.Context, q *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	alone, err := c.put(q)
	if err != nil {
		return err
	}
	if alone {
		c.write([]*request{q})
		return <-q.done
	}
	select {
	case err := <-q.done:
		return err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.queue, q); i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
	}
	q.left = true
	select {
	case err := <-q.done: // it came in the same moment: whoever has an answer takes it
		return err
	default:
		return ctx.Err()
	}
}

// put queues a call, unless its caller may write it alone.
func (c *committer) put(q *request) (alone bool, err error) {
	q.done = make(chan error, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return false, eventflow.ErrClosed
	case c.single && !c.busy && len(c.queue) == 0:
		c.busy = true
		return true, nil
	}
	c.queue = append(c.queue, q)
	c.wake.Signal()
	return false, nil
}

// lane writes until the committer closes and nothing waits. It is ended by close.
func (c *committer) lane() {
	for {
		reqs := c.take()
		if reqs == nil {
			return
		}
		c.write(reqs)
	}
}

func (c *committer) write(reqs []*request) {
	b := newBatch(c.window, c.engine.Base(), &c.fences, reqs)
	c.answer(reqs, b.write(context.Background(), c.engine))
}

// take gives the calls for one transaction, nil at the end.
func (c *committer) take() []*request {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) == 0 || c.busy {
		if c.closed && !c.busy {
			return nil
		}
		c.wake.Wait()
	}
	c.busy = c.single
	n, keys := 0, 0
	for n < len(c.queue) && (n == 0 || keys+len(c.queue[n].ops) <= maxBatch) {
		keys += len(c.queue[n].ops)
		n++
	}
	reqs := slices.Clone(c.queue[:n])
	c.queue = slices.Delete(c.queue, 0, n)
	if len(c.queue) > 0 {
		c.wake.Signal() // another lane may have the rest
	}
	return reqs
}

// answer tells the callers. What was granted to one that has left, or may have been by a transaction whose end nobody
// knows, would be held by nobody until its lease lapsed, and then count as an attempt: it is released, once.
func (c *committer) answer(reqs []*request, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy = false; len(c.queue) > 0 || c.closed {
		c.wake.Signal()
	}
	for _, q := range reqs {
		q.done <- err
		if q.kind != claiming || !q.left && err == nil {
			continue
		}
		back := &request{kind: finishing, owner: q.owner, done: make(chan error, 1)}
		for i := range q.ops {
			if o := &q.ops[i]; o.status == store.Granted {
				back.ops = append(back.ops, op{req: back, key: o.key, fence: o.fence, state: store.Released})
			}
		}
		if len(back.ops) > 0 {
			c.queue = append(c.queue, back)
			c.wake.Signal()
		}
	}
}

// close lets the lanes finish what they have and what waits, and waits for them.
func (c *committer) close() {
	c.mu.Lock()
	c.closed = true
	c.wake.Broadcast()
	c.mu.Unlock()
	c.lanes.Wait()
}
