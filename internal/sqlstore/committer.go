package sqlstore

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// A transaction takes no more than this many keys together, unless one call alone has more: it holds locks, and who
// waits behind it waits for all of it.
const maxBatch = 4096

// While a transaction is under way for less than this, another begins only when more calls wait than it has.
const patience = 50 * time.Millisecond

// Those who were answered together are waited for until so many times in a row nobody queued a call while others could run,
// and for no longer than this: what else the process does may take its time.
const (
	lulls     = 20
	gatherFor = 100 * time.Microsecond
)

// committer writes the calls that wait in one transaction. While one is under way the next calls gather, so under load
// a transaction serves many. A lone call waits for nobody; where there is one lane it is written by its own goroutine,
// because waking another takes as long as the rest of the transaction.
//
// Two transactions at once make two syncs of the disk, one after the other, so one that serves all is better. The second
// lane is for a transaction that has to wait, and for one that is small when many come.
type committer struct {
	engine Engine
	window int64
	single bool // the engine has one lane
	fences fences
	lanes  sync.WaitGroup

	mu        sync.Mutex // guards what follows
	wake      sync.Cond  // a call was queued, a lane may go on, or the committer closes
	queue     []*request // as long as there are callers that wait, and what they left
	open      []open     // what is under way
	many      bool       // the last transaction was of several calls
	answered  int        // how many calls the last that ended was of
	gathering bool       // a lane lets others run, so that they queue their calls
	late      *time.Timer
	closed    bool
}

// open is a transaction that is under way.
type open struct {
	first *request
	calls int
	since time.Time
}

func newCommitter(e Engine, window int64) *committer {
	c := &committer{engine: e, window: window, single: e.Lanes() == 1}
	c.wake.L = &c.mu
	c.late = time.AfterFunc(patience, func() {
		c.mu.Lock()
		c.wake.Signal()
		c.mu.Unlock()
	})
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
	if !q.over.CompareAndSwap(false, true) {
		return <-q.done // it came in the same moment: whoever has an answer takes it
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.queue, q); i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
	}
	return ctx.Err()
}

// put queues a call, unless its caller may write it alone.
func (c *committer) put(q *request) (alone bool, err error) {
	q.done = make(chan error, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return false, eventflow.ErrClosed
	case c.single && len(c.open) == 0 && !c.many && len(c.queue) == 0:
		c.open = append(c.open, open{q, 1, time.Time{}})
		return true, nil
	}
	c.queue = append(c.queue, q)
	if !c.gathering && c.mayBegin() {
		c.wake.Signal()
	}
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
	for c.gathering || !c.mayBegin() || !c.gathered() || !c.mayBegin() {
		if c.closed && !c.gathering && len(c.open)+len(c.queue) == 0 {
			c.late.Stop()
			c.wake.Broadcast() // who was signalled while this one gathered
			return nil
		}
		c.wake.Wait()
	}
	n, keys := 0, 0
	for n < len(c.queue) && (n == 0 || keys+len(c.queue[n].ops) <= maxBatch) {
		keys += len(c.queue[n].ops)
		n++
	}
	reqs := slices.Clone(c.queue[:n])
	c.queue = slices.Delete(c.queue, 0, n)
	c.open = append(c.open, open{reqs[0], n, time.Now()})
	if c.many = n > 1; !c.single {
		c.late.Reset(patience)
	}
	if len(c.queue) > 0 {
		c.wake.Signal() // another lane may have the rest
	}
	return reqs
}

func (c *committer) mayBegin() bool {
	if c.single || len(c.open) == 0 {
		return len(c.open) == 0
	}
	calls := 0
	for i := range c.open {
		if calls += c.open[i].calls; time.Since(c.open[i].since) >= patience {
			return len(c.queue) > 0
		}
	}
	return len(c.queue) > calls
}

// gathered reports whether calls wait. Those who were answered together come back one after the other: as long as more
// come, or may soon, whoever can run goes first, or the first of them would have a transaction of its own and the others
// wait for it.
func (c *committer) gathered() bool {
	c.gathering = true
	start := time.Now()
	for n, lull := 0, 0; len(c.queue) > 0 && n < maxBatch; {
		if now := len(c.queue); now != n {
			n, lull = now, 0
		} else if lull++; n >= c.answered || lull > lulls || time.Since(start) > gatherFor {
			break
		}
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	c.gathering = false
	return len(c.queue) > 0
}

// answer tells the callers. What was granted to one that has left, or may have been by a transaction whose end nobody
// knows, would be held by nobody until its lease lapsed, and then count as an attempt: it is released, once.
func (c *committer) answer(reqs []*request, err error) {
	var backs []*request
	for _, q := range reqs {
		left := !q.over.CompareAndSwap(false, true)
		if !left {
			q.done <- err
		}
		if q.kind != claiming || !left && err == nil {
			continue
		}
		back := &request{kind: finishing, owner: q.owner, done: make(chan error, 1)}
		for i := range q.ops {
			if o := &q.ops[i]; o.status == store.Granted {
				back.ops = append(back.ops, op{req: back, key: o.key, fence: o.fence, state: store.Released})
			}
		}
		if len(back.ops) > 0 {
			backs = append(backs, back)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = len(reqs)
	c.queue = append(c.queue, backs...)
	c.open = slices.DeleteFunc(c.open, func(o open) bool { return o.first == reqs[0] })
	if len(c.queue) > 0 || c.closed {
		c.wake.Signal()
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
