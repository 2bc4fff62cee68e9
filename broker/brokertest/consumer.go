package brokertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
)

// consumer is a subscriber under watch: every Next is checked against what holds always, every callback is recorded.
// Next is called by one goroutine at a time, as the contract says.
type consumer struct {
	b     *bench
	sub   eventflow.Subscriber
	group string

	mu      sync.Mutex // guards what follows
	settled map[*eventflow.Delivery]*confirmation
	lost    map[*eventflow.Delivery]*loss
	changed chan struct{} // closed and replaced when something was told
}

// confirmation is what Listening.Settled said of a delivery.
type confirmation struct {
	times int
	err   error
}

// loss is what Listening.Lost said of a delivery.
type loss struct {
	times  int
	err    error
	at     time.Time
	fenced bool // the delivery was lost before the call
}

// subscribe opens a consumer of the rule's topic and starts it.
func (b *bench) subscribe() *consumer {
	b.Helper()
	return b.subscribeTo(b.topic, group)
}

func (b *bench) subscribeTo(topic, group string) *consumer {
	b.Helper()
	c := b.watch(b.open(topic, group), group)
	ctx, cancel := b.within(b.h.Patience)
	defer cancel()
	if err := c.sub.Start(ctx, c.listening()); err != nil {
		b.Fatalf("Start: %v", err)
	}
	return c
}

func (b *bench) watch(s eventflow.Subscriber, group string) *consumer {
	return &consumer{b: b, sub: s, group: group, changed: make(chan struct{}),
		settled: map[*eventflow.Delivery]*confirmation{}, lost: map[*eventflow.Delivery]*loss{}}
}

func (c *consumer) listening() eventflow.Listening {
	return eventflow.Listening{
		Flow: "brokertest", Binding: "brokertest", Grace: c.b.h.Patience, MaxHold: c.b.h.Patience,
		Settled: func(ds []*eventflow.Delivery, err error) {
			c.tell(func() {
				for _, d := range ds {
					x := c.settled[d]
					if x == nil {
						x = &confirmation{}
						c.settled[d] = x
					}
					x.times++
					x.err = errors.Join(x.err, err)
				}
			})
		},
		Lost: func(ds []*eventflow.Delivery, err error) {
			c.tell(func() {
				for _, d := range ds {
					x := c.lost[d]
					if x == nil {
						x = &loss{at: time.Now(), err: err, fenced: d.Lost()}
						c.lost[d] = x
					}
					x.times++
				}
			})
		},
	}
}

func (c *consumer) tell(note func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	note()
	close(c.changed)
	c.changed = make(chan struct{})
}

// until waits, no longer than d, until cond holds of what was told.
func (c *consumer) until(d time.Duration, cond func() bool) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		c.mu.Lock()
		ok, changed := cond(), c.changed
		c.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		}
	}
}

// confirmed waits until the broker has confirmed the settlement of each.
func (c *consumer) confirmed(ds ...*eventflow.Delivery) {
	c.b.Helper()
	var waits *eventflow.Delivery
	if !c.until(c.b.h.Patience, func() bool {
		for _, d := range ds {
			if c.settled[d] == nil {
				waits = d
				return false
			}
		}
		return true
	}) {
		c.b.Fatalf("Listening.Settled was not called for %s, %v after its settlement", waits.Event.ID, c.b.h.Patience)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range ds {
		if err := c.settled[d].err; err != nil {
			c.b.Fatalf("the settlement of %s was refused: %v", d.Event.ID, err)
		}
	}
}

// isConfirmed reports whether the broker has confirmed d's settlement.
func (c *consumer) isConfirmed(d *eventflow.Delivery) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.settled[d]
	return x != nil && x.err == nil
}

// times says how often Listening.Settled was called for d.
func (c *consumer) times(d *eventflow.Delivery) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x := c.settled[d]; x != nil {
		return x.times
	}
	return 0
}

// loss gives what Listening.Lost said of d; nil when it said nothing.
func (c *consumer) loss(d *eventflow.Delivery) *loss {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x := c.lost[d]; x != nil {
		y := *x
		return &y
	}
	return nil
}

// errBroken is a call of Next that returned neither deliveries nor an error.
var errBroken = errors.New("neither deliveries nor an error")

// call is one Next. What holds of every Next is checked here, so that every rule asks it.
func (c *consumer) call(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	ds, err := c.sub.Next(ctx, want)
	switch {
	case len(ds) > 0 && err != nil:
		c.b.Errorf("Next returned %d deliveries and an error: %v", len(ds), err)
	case len(ds) == 0 && err == nil:
		c.b.Errorf("Next returned neither deliveries nor an error")
		return nil, errBroken
	case len(ds) > max(want.Events, 1):
		c.b.Errorf("Next returned %d deliveries, wanted at most %d", len(ds), max(want.Events, 1))
	}
	bytes := 0
	for _, d := range ds {
		bytes += len(d.Event.Data)
		if !d.Open() && !d.Lost() {
			c.b.Errorf("%s was settled before it was handed over", d.Event.ID)
		}
		if d.Attempts < -1 || d.Receives < 0 || d.Redrive < 0 {
			c.b.Errorf("%s was handed over with Attempts %d, Receives %d, Redrive %d", d.Event.ID, d.Attempts, d.Receives, d.Redrive)
		}
	}
	if want.Bytes > 0 && bytes > want.Bytes && len(ds) > 1 {
		c.b.Errorf("Next returned %d events of %d bytes in all, wanted at most %d", len(ds), bytes, want.Bytes)
	}
	return ds, err
}

// try calls Next until it gives deliveries or ctx ends; other errors are temporary, unless they say otherwise.
func (c *consumer) try(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	for {
		ds, err := c.call(ctx, want)
		if err == nil || ctx.Err() != nil || errors.Is(err, eventflow.ErrClosed) || errors.Is(err, eventflow.ErrFatal) ||
			errors.Is(err, eventflow.ErrEnd) || errors.Is(err, errBroken) {
			return ds, err
		}
		c.b.Logf("Next: %v, asked again", err)
		c.b.sleep(50 * time.Millisecond)
	}
}

// next gives the deliveries of one Next that must have some.
func (c *consumer) next(want eventflow.Want) []*eventflow.Delivery {
	c.b.Helper()
	return c.nextWithin(c.b.h.Patience, want)
}

func (c *consumer) nextWithin(d time.Duration, want eventflow.Want) []*eventflow.Delivery {
	c.b.Helper()
	ctx, cancel := c.b.within(d)
	defer cancel()
	ds, err := c.try(ctx, want)
	if err != nil {
		c.b.Fatalf("Next gave nothing within %v: %v", d, err)
	}
	return ds
}

// one gives the next delivery.
func (c *consumer) one() *eventflow.Delivery {
	c.b.Helper()
	return c.next(eventflow.Want{Events: 1})[0]
}

// take gives the next n deliveries, in as many calls as it needs, settling none.
func (c *consumer) take(n int) []*eventflow.Delivery {
	c.b.Helper()
	return c.takeWithin(c.b.h.Patience, n)
}

func (c *consumer) takeWithin(within time.Duration, n int) []*eventflow.Delivery {
	c.b.Helper()
	ctx, cancel := c.b.within(within)
	defer cancel()
	var out []*eventflow.Delivery
	for len(out) < n {
		ds, err := c.try(ctx, eventflow.Want{Events: n - len(out)})
		out = append(out, ds...)
		if err != nil {
			c.b.Fatalf("got %d of %d deliveries within %v, %s: %v", len(out), n, within, list(idsOf(out)), err)
		}
	}
	return out
}

// hold gives what comes until there is nothing more for a while: at least one, at most n.
func (c *consumer) hold(n int, want eventflow.Want) []*eventflow.Delivery {
	c.b.Helper()
	first := want
	first.Events = 1
	out := c.next(first)
	return append(out, c.more(n-len(out), want)...)
}

// more gives what comes until there is nothing more for a while, at most n; it may be nothing.
func (c *consumer) more(n int, want eventflow.Want) []*eventflow.Delivery {
	c.b.Helper()
	ctx, cancel := c.b.within(c.b.h.Quiet)
	defer cancel()
	var out []*eventflow.Delivery
	for len(out) < n {
		want.Events = n - len(out)
		ds, err := c.try(ctx, want)
		out = append(out, ds...)
		if err != nil {
			break
		}
	}
	return out
}

// inOrder takes and acknowledges events of one lane, which must be exactly these in this order.
func (c *consumer) inOrder(what string, ids ...string) {
	c.b.Helper()
	for len(ids) > 0 {
		for _, d := range c.next(eventflow.Want{Events: len(ids)}) {
			if len(ids) == 0 || d.Event.ID != ids[0] {
				c.b.Fatalf("%s: %s was handed over where %s was due", what, d.Event.ID, list(ids))
			}
			ids = ids[1:]
			d.Ack()
		}
	}
}

// quiet fails the rule when something is handed over within Quiet.
func (c *consumer) quiet(why string) {
	c.b.Helper()
	c.b.quiet(c.b.h.Quiet, why, c)
}

// quiet fails the rule when something is handed over to one of the consumers within d.
func (b *bench) quiet(d time.Duration, why string, cs ...*consumer) {
	b.Helper()
	ctx, cancel := b.within(d)
	defer cancel()
	var waits []<-chan struct{}
	for _, c := range cs {
		waits = append(waits, b.spawn(func() {
			ds, err := c.try(ctx, eventflow.Want{Events: 16})
			switch {
			case len(ds) > 0:
				b.Errorf("%s, and yet %s was handed over", why, list(idsOf(ds)))
			case err != nil && ctx.Err() == nil:
				b.Errorf("Next: %v", err)
			}
		}))
	}
	b.join(d, waits)
	if b.Failed() {
		b.FailNow()
	}
}

// join waits for calls whose context ends after d.
func (b *bench) join(d time.Duration, calls []<-chan struct{}) {
	b.Helper()
	timer := time.NewTimer(d + b.h.Patience)
	defer timer.Stop()
	for _, returned := range calls {
		select {
		case <-returned:
		case <-timer.C:
			b.Fatalf("Next did not return %v after its context had ended", b.h.Patience)
		}
	}
}

// each runs Next on all consumers at once and gives every delivery to f, one at a time, until f says that it was enough
// or patience ends.
func (b *bench) each(cs []*consumer, want eventflow.Want, f func(c *consumer, d *eventflow.Delivery) (enough bool)) {
	b.Helper()
	ctx, cancel := b.within(b.h.Patience)
	defer cancel()
	var mu sync.Mutex // serialises f
	done := false
	var waits []<-chan struct{}
	for _, c := range cs {
		waits = append(waits, b.spawn(func() {
			for ctx.Err() == nil {
				ds, err := c.try(ctx, want)
				mu.Lock()
				for _, d := range ds {
					if f(c, d) {
						done = true
						cancel()
					}
				}
				mu.Unlock()
				if err != nil && ctx.Err() == nil {
					b.Errorf("Next: %v", err)
					return
				}
				b.sleep(time.Millisecond) // or the first consumer might take everything
			}
		}))
	}
	b.join(b.h.Patience, waits)
	if !done {
		b.Fatalf("%d consumers did not get everything within %v", len(cs), b.h.Patience)
	}
}

// gather takes n deliveries, whoever gets them, and says who has each.
func (b *bench) gather(n int, cs ...*consumer) ([]*eventflow.Delivery, map[*eventflow.Delivery]*consumer) {
	b.Helper()
	var out []*eventflow.Delivery
	owner := map[*eventflow.Delivery]*consumer{}
	b.each(cs, eventflow.Want{Events: n}, func(c *consumer, d *eventflow.Delivery) bool {
		out = append(out, d)
		owner[d] = c
		return len(out) >= n
	})
	return out, owner
}

// close closes the consumer, which must say no error.
func (c *consumer) close() {
	c.b.Helper()
	ctx, cancel := c.b.within(c.b.h.Patience)
	defer cancel()
	if err := c.sub.Close(ctx); err != nil {
		c.b.Fatalf("Close: %v", err)
	}
}

// nothingLeft closes the consumer and looks with another one whether anything is left.
func (c *consumer) nothingLeft(why string) {
	c.b.Helper()
	c.close()
	c.b.subscribeTo(c.b.topic, c.group).quiet(why)
}
