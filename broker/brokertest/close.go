package brokertest

import (
	"errors"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
)

func closeRules() []rule {
	return []rule{
		{name: "NextAfterCloseIsErrClosed", run: nextAfterCloseIsErrClosed},
		{name: "CloseWakesAWaitingNext", run: closeWakesAWaitingNext},
		{name: "SecondCloseIsANoOp", run: secondCloseIsANoOp},
		{name: "CloseHandsBackAtOnce", run: closeHandsBackAtOnce},
		{name: "CloseHandsBackToAWaitingConsumer", run: closeHandsBackToAWaitingConsumer},
		{name: "CloseUnderLoadLosesAndDoublesNothing", run: closeUnderLoad},
		{name: "SettlementAfterCloseDoesNothing", run: settlementAfterCloseDoesNothing},
		{name: "PublishAfterCloseIsErrClosed", run: publishAfterCloseIsErrClosed},
		{name: "BrokerCloseClosesWhatItOpened", run: brokerClose},
	}
}

func (c *consumer) saysClosed() {
	c.b.Helper()
	var ds []*eventflow.Delivery
	var err error
	ctx, cancel := c.b.within(c.b.h.Patience)
	defer cancel()
	c.b.await(c.b.spawn(func() { ds, err = c.sub.Next(ctx, eventflow.Want{Events: 1}) }), "Next after Close")
	if len(ds) > 0 || !errors.Is(err, eventflow.ErrClosed) {
		c.b.Errorf("Next after Close returned %d deliveries and %v, want ErrClosed", len(ds), err)
	}
}

func nextAfterCloseIsErrClosed(b *bench) {
	c := b.subscribe()
	b.publish(b.events(3)...)
	c.one().Ack()
	c.close()
	c.saysClosed()

	never := b.watch(b.open(b.topic, group), group)
	never.close() // one that was never started closes too
	never.saysClosed()
}

func closeWakesAWaitingNext(b *bench) {
	c := b.subscribe()
	var err error
	ctx, cancel := b.within(2 * b.h.Patience)
	defer cancel()
	woken := b.spawn(func() { _, err = c.sub.Next(ctx, eventflow.Want{Events: 1}) })
	b.sleep(b.h.Quiet)
	c.close()
	b.await(woken, "a Next that waited when its subscriber was closed")
	if !errors.Is(err, eventflow.ErrClosed) {
		b.Errorf("a Next that waited returned %v, want ErrClosed", err)
	}
}

func secondCloseIsANoOp(b *bench) {
	c := b.subscribe()
	b.publish(b.events(2)...)
	c.take(2)
	c.close()
	next := b.subscribe()
	ds := next.take(2)
	c.close()
	for _, d := range ds {
		if !d.Open() {
			b.Errorf("the second Close of one consumer settled what another holds")
		}
	}
	next.quiet("everything is held, and the second Close hands nothing back")
}

func closeHandsBackAtOnce(b *bench) {
	c := b.subscribe()
	evs := b.events(8)
	b.publish(evs...)
	ds := byID(c.take(len(evs)), evs)
	ack(ds[0], ds[3])
	c.close()
	next := b.subscribe()
	again := next.takeWithin(b.soon(), 6)
	b.expect("handed back by the close", again, "e-2", "e-3", "e-5", "e-6", "e-7", "e-8")
	if b.features.ExactAttempt {
		for _, d := range again {
			if d.Attempts != 0 {
				b.Errorf("%s has %d attempts after a close, want 0", d.Event.ID, d.Attempts)
			}
		}
	}
	ack(again...)
	next.nothingLeft("everything was acknowledged")
}

func closeHandsBackToAWaitingConsumer(b *bench) {
	c, other := b.subscribe(), b.subscribe()
	b.stable(group, 2)
	evs := b.events(6)
	b.publish(evs...)
	ds, owner := b.gather(len(evs), c, other)
	if owner[ds[0]] == other {
		c, other = other, c
	}
	var back []string
	for _, d := range ds {
		if owner[d] == c {
			back = append(back, d.Event.ID)
		}
	}
	get := other.waiting(eventflow.Want{Events: len(back)})
	c.close()
	again := get("another consumer was closed")
	if len(again) < len(back) {
		again = append(again, other.takeWithin(b.soon(), len(back)-len(again))...)
	}
	b.expect("handed back to a consumer that waited", again, back...)
}

func closeUnderLoad(b *bench) {
	c := b.subscribe()
	const n = 120
	evs := b.events(n)
	b.publish(evs...)
	var (
		mu    sync.Mutex // guards acked
		acked []*eventflow.Delivery
	)
	full := make(chan struct{})
	var err error
	worker := b.spawn(func() {
		fill := sync.OnceFunc(func() { close(full) })
		for {
			var ds []*eventflow.Delivery
			if ds, err = c.try(b.Context(), eventflow.Want{Events: 5}); err != nil {
				fill()
				return
			}
			mu.Lock()
			for i, d := range ds {
				if i%2 == 0 {
					acked = append(acked, d)
					d.Ack()
				}
			}
			if len(acked) >= n/6 {
				fill()
			}
			mu.Unlock()
		}
	})
	b.await(full, "the first events of many")
	c.close()
	b.await(worker, "a consumer whose subscriber was closed")
	if !errors.Is(err, eventflow.ErrClosed) {
		b.Errorf("Next returned %v, want ErrClosed", err)
	}
	left := map[string]bool{}
	for _, ev := range evs {
		left[ev.ID] = true
	}
	for _, d := range acked {
		if c.isConfirmed(d) {
			delete(left, d.Event.ID)
		}
	}
	next := b.subscribe()
	ctx, cancel := b.within(b.soon())
	defer cancel()
	for len(left) > 0 {
		ds, err := next.try(ctx, eventflow.Want{Events: 20})
		if err != nil {
			b.Fatalf("%d events did not come to the next consumer within %v of the close: %v", len(left), b.soon(), err)
		}
		for _, d := range ds {
			if !left[d.Event.ID] {
				b.Errorf("%s was handed over although its ack had been confirmed, or twice", d.Event.ID)
			}
			delete(left, d.Event.ID)
			d.Ack()
		}
	}
	next.nothingLeft("everything was acknowledged")
}

func settlementAfterCloseDoesNothing(b *bench) {
	c := b.subscribe()
	evs := b.events(3)
	b.publish(evs...)
	old := byID(c.take(3), evs)
	c.close()
	next := b.subscribe()
	ds := byID(next.takeWithin(b.soon(), 3), evs)
	old[0].Ack()
	old[1].Nack(0)
	old[2].Attempted()
	eventflow.SettleAll(old, eventflow.Settlement{Verb: eventflow.Ack})
	next.quiet("everything is held, and its first deliveries are of a closed subscriber")
	for _, d := range ds {
		d.Release(0)
	}
	again := next.take(3)
	b.expect("released by their second consumer", again, idsIn(evs)...)
	for _, d := range again {
		if b.features.ExactAttempt && d.Attempts != 0 {
			b.Errorf("%s has %d attempts, want 0: the nack came after the close", d.Event.ID, d.Attempts)
		}
	}
	ack(again...)
	next.nothingLeft("everything was acknowledged")
}

func publishAfterCloseIsErrClosed(b *bench) {
	ctx, cancel := b.within(b.h.Patience)
	defer cancel()
	p := b.publisher(b.topic)
	evs := b.events(2)
	if err := p.Publish(ctx, evs[0]); err != nil {
		b.Fatalf("Publish: %v", err)
	}
	for range 2 {
		if err := p.Close(ctx); err != nil {
			b.Errorf("Close of a publisher: %v", err)
		}
	}
	if err := p.Publish(ctx, evs[1]); !errors.Is(err, eventflow.ErrClosed) {
		b.Errorf("Publish after Close returned %v, want ErrClosed", err)
	}
	c := b.subscribe()
	d := c.one()
	b.expect("published before the close", []*eventflow.Delivery{d}, evs[0].ID)
	d.Ack()
	c.nothingLeft("the second was published after the close")
}

func brokerClose(b *bench) {
	ctx, cancel := b.within(b.h.Patience)
	defer cancel()
	c := b.subscribe()
	evs := b.events(3)
	b.publish(evs...)
	c.one().Ack()
	var ended error
	long, cancelLong := b.within(2 * b.h.Patience)
	defer cancelLong()
	wait := b.spawn(func() {
		for ended == nil {
			_, ended = c.sub.Next(long, eventflow.Want{Events: 4})
		}
	})
	b.sleep(min(b.h.Quiet, 50*time.Millisecond))
	if err := b.f.Broker.Close(ctx); err != nil {
		b.Errorf("Close of the broker: %v", err)
	}
	b.await(wait, "a Next that waited when its broker was closed")
	if !errors.Is(ended, eventflow.ErrClosed) {
		b.Errorf("a Next that waited returned %v, want ErrClosed", ended)
	}
	c.saysClosed()
	if err := b.publisher(b.topic).Publish(ctx, evs[0]); !errors.Is(err, eventflow.ErrClosed) {
		b.Errorf("Publish after Close of the broker returned %v, want ErrClosed", err)
	}
}
