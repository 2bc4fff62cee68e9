package brokertest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
)

func nextRules() []rule {
	return []rule{
		{name: "NextStartsByItself", run: nextStartsByItself},
		{name: "NextWaitsForAnEvent", run: nextWaitsForAnEvent},
		{name: "ReleasedEventWakesAWaitingNext", run: releasedEventWakesAWaitingNext},
		{name: "AckMakesRoomForAWaitingNext", needs: lanes, run: ackMakesRoomForAWaitingNext},
		{name: "NextEndsWithItsContext", run: nextEndsWithItsContext},
		{name: "NextWithAnEndedContextLosesNothing", run: nextWithAnEndedContextLosesNothing},
		{name: "CancelledNextsLoseNothing", run: cancelledNextsLoseNothing},
	}
}

func nextStartsByItself(b *bench) {
	c := b.watch(b.open(b.topic, group), group)
	evs := b.events(2)
	b.publish(evs...)
	ds := c.take(2)
	b.expect("without Start", ds, idsIn(evs)...)
	ack(ds...)
	c.nothingLeft("all was acknowledged")
}

func nextWaitsForAnEvent(b *bench) {
	c := b.subscribe()
	for _, ev := range b.events(3) {
		get := c.waiting(eventflow.Want{Events: 4})
		b.publish(ev)
		b.expect("published while Next waited", get("its event was published"), ev.ID)
	}
}

// waiting starts a Next that has nothing to give yet, and returns how to get what it gave in the end.
func (c *consumer) waiting(want eventflow.Want) (get func(what string) []*eventflow.Delivery) {
	b := c.b
	ctx, cancel := b.within(2 * b.h.Patience)
	var ds []*eventflow.Delivery
	var err error
	returned := b.spawn(func() {
		defer cancel()
		ds, err = c.try(ctx, want)
	})
	b.sleep(b.h.Quiet)
	return func(what string) []*eventflow.Delivery {
		b.Helper()
		b.await(returned, "a Next that had been waiting, after "+what)
		if err != nil {
			b.Fatalf("a Next that had been waiting returned %v after %s", err, what)
		}
		return ds
	}
}

// A runner settles while its Next waits: what comes back must not wait for the next event to be published.
func releasedEventWakesAWaitingNext(b *bench) {
	c := b.subscribe()
	b.publish(b.events(1)...)
	d := c.one()
	settlements := []eventflow.Settlement{{Verb: eventflow.Release}, {Verb: eventflow.Nack}}
	if b.features.MaxNack > 0 {
		after := min(b.delay(), b.h.Patience)
		settlements = append(settlements, eventflow.Settlement{Verb: eventflow.Release, After: after}, eventflow.Settlement{Verb: eventflow.Nack, After: after})
	}
	for _, s := range settlements {
		get := c.waiting(eventflow.Want{Events: 2})
		d.Settle(s)
		ds := get(fmt.Sprintf("a %v for %v", s.Verb, s.After))
		b.expect("given back while Next waited", ds, "e-1")
		d = ds[0]
	}
	d.Ack()
	c.nothingLeft("the event was acknowledged")
}

func ackMakesRoomForAWaitingNext(b *bench) {
	c := b.subscribe()
	evs := b.lane("a", b.keys(1)[0], 4)
	b.publish(evs...)
	d := c.next(eventflow.Want{Events: 4, PerLane: 1})[0]
	for _, ev := range evs[1:] {
		get := c.waiting(eventflow.Want{Events: 4, PerLane: 1})
		d.Ack()
		ds := get("the ack of the one before it")
		b.expect("with PerLane 1", ds, ev.ID)
		d = ds[0]
	}
	d.Ack()
	c.nothingLeft("everything was acknowledged")
}

func nextEndsWithItsContext(b *bench) {
	c := b.subscribe()
	for _, end := range []struct {
		want error
		ctx  func() (context.Context, context.CancelFunc)
	}{
		{context.DeadlineExceeded, func() (context.Context, context.CancelFunc) { return b.within(b.h.Quiet) }},
		{context.Canceled, func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(b.Context())
			b.spawn(func() {
				b.sleep(b.h.Quiet)
				cancel()
			})
			return ctx, cancel
		}},
		{context.Canceled, func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(b.Context())
			cancel()
			return ctx, cancel
		}},
	} {
		ctx, cancel := end.ctx()
		var ds []*eventflow.Delivery
		var err error
		start := time.Now()
		b.await(b.spawn(func() { ds, err = c.try(ctx, eventflow.Want{Events: 1}) }), "a Next whose context had ended")
		cancel()
		if len(ds) > 0 || !errors.Is(err, end.want) {
			b.Errorf("Next of an empty topic returned %d deliveries and %v after %v, want %v", len(ds), err, time.Since(start), end.want)
		}
	}
}

func nextWithAnEndedContextLosesNothing(b *bench) {
	c := b.subscribe()
	evs := b.events(6)
	b.publish(evs...)
	over, cancel := context.WithCancel(b.Context())
	cancel()
	var got []*eventflow.Delivery
	for range 3 {
		ds, err := c.call(over, eventflow.Want{Events: 1})
		if err != nil && !errors.Is(err, context.Canceled) {
			b.Errorf("Next with an ended context returned %v, want deliveries or its context's error", err)
		}
		got = append(got, ds...)
	}
	got = append(got, c.take(len(evs)-len(got))...)
	b.expect("with and without an ended context", got, idsIn(evs)...)
	c.quiet("everything is held")
}

// A Next that is cancelled while an event is on its way must not drop it, nor hand it over twice.
func cancelledNextsLoseNothing(b *bench) {
	c := b.subscribe()
	evs := b.events(40)
	p := b.publisher(b.topic)
	published := b.spawn(func() {
		for i := range evs {
			if err := p.Publish(b.Context(), evs[i]); err != nil {
				b.Errorf("Publish: %v", err)
				return
			}
			if b.h.Virtual {
				b.sleep(10 * time.Millisecond)
			}
		}
	})
	seen := map[string]bool{}
	deadline := time.Now().Add(b.h.Patience)
	for i := 0; len(seen) < len(evs) && time.Now().Before(deadline); i++ {
		// In a bubble these are the very instants of the publishes.
		ctx, cancel := b.within(time.Duration(i%4) * 10 * time.Millisecond)
		ds, err := c.call(ctx, eventflow.Want{Events: 1 + i%3})
		if err != nil && ctx.Err() == nil {
			b.Logf("Next: %v, asked again", err)
			b.sleep(10 * time.Millisecond)
		}
		cancel()
		for _, d := range ds {
			if seen[d.Event.ID] {
				b.Errorf("%s was handed over twice while it was held", d.Event.ID)
			}
			seen[d.Event.ID] = true
		}
		if len(ds) == 0 && i%4 == 0 && b.h.Virtual {
			b.sleep(10 * time.Millisecond) // an ended context takes no virtual time
		}
	}
	b.await(published, "the publisher")
	if len(seen) < len(evs) {
		b.Errorf("%d of %d events were handed over within %v, between cancelled calls", len(seen), len(evs), b.h.Patience)
	}
}
