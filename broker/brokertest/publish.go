package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/eventflow-go/eventflow"
)

func publishRules() []rule {
	return []rule{
		{name: "PublishedBatchArrivesWhole", run: publishedBatchArrivesWhole},
		{name: "PublishingNothingIsNoError", run: publishingNothingIsNoError},
		{name: "ConcurrentPublishersLoseNothing", run: concurrentPublishersLoseNothing},
		{name: "PublishErrorsNameTheirEvents", needs: limit, run: publishErrorsNameTheirEvents},
		{name: "TooLargeEventIsErrTooLarge", needs: limit, run: tooLargeEventIsErrTooLarge},
		{name: "BiggestEventFits", needs: limit, run: biggestEventFits},
		{name: "PublishWithAnEndedContextSaysWhatItTook", run: publishWithAnEndedContext},
		{name: "FullGroupMakesPublishersWait", needs: capacity, setup: Setup{Capacity: 8}, run: fullGroupMakesPublishersWait},
		{name: "PublishersSliceIsTheirsAgain", run: publishersSliceIsTheirsAgain},
		{name: "EventsWithoutIDGetOneThatStays", run: eventsWithoutIDGetOne},
	}
}

func publishedBatchArrivesWhole(b *bench) {
	c := b.subscribe()
	evs := b.events(130)
	b.publish(evs...)
	ds := c.take(len(evs))
	b.expect("published in one call", ds, idsIn(evs)...)
	ack(ds...)
	c.nothingLeft("everything was acknowledged")
}

func publishingNothingIsNoError(b *bench) {
	c := b.subscribe()
	b.publish()
	c.quiet("nothing was published")
}

func concurrentPublishersLoseNothing(b *bench) {
	c := b.subscribe()
	const publishers, calls, each = 6, 4, 5
	p := b.publisher(b.topic)
	ks := b.keys(publishers)
	var ids []string
	var waits []<-chan struct{}
	for i := range publishers {
		evs := b.lane(fmt.Sprintf("p%d", i), ks[i], calls*each)
		ids = append(ids, idsIn(evs)...)
		waits = append(waits, b.spawn(func() {
			for chunk := range slices.Chunk(evs, each) {
				if err := p.Publish(b.Context(), chunk...); err != nil {
					b.Errorf("Publish: %v", err)
				}
			}
		}))
	}
	var got []*eventflow.Delivery
	for len(got) < len(ids) {
		ds := c.next(eventflow.Want{Events: 16})
		got = append(got, ds...)
		ack(ds...)
	}
	for _, w := range waits {
		b.await(w, "a publisher")
	}
	b.expect("from several publishers at once", got, ids...)
	c.nothingLeft("everything was acknowledged")
}

// tooLarge makes ev larger than its broker takes: what surely fits says little about what surely does not.
func (b *bench) tooLarge(ev *eventflow.Event) { ev.Data = make([]byte, 2*b.features.MaxEvent+1) }

func publishErrorsNameTheirEvents(b *bench) {
	c := b.subscribe()
	evs := b.events(6)
	bad := []int{1, 4}
	for _, i := range bad {
		b.tooLarge(&evs[i])
	}
	err := b.publisher(b.topic).Publish(b.Context(), evs...)
	var pe *eventflow.PublishError
	if !errors.As(err, &pe) {
		b.Fatalf("Publish of six events, two of them too large, returned %v, want a *PublishError", err)
	}
	var got []int
	for _, f := range pe.Failed {
		got = append(got, f.Index)
		if !errors.Is(f.Err, eventflow.ErrTooLarge) {
			b.Errorf("event %d was not taken because of %v, want ErrTooLarge", f.Index, f.Err)
		}
	}
	if !slices.Equal(got, bad) {
		b.Errorf("the events that were not taken are %v, want %v", got, bad)
	}
	ds := c.take(4)
	b.expect("the others were taken", ds, "e-1", "e-3", "e-4", "e-6")
	c.quiet("the other two were not taken")
}

func tooLargeEventIsErrTooLarge(b *bench) {
	c := b.subscribe()
	evs := b.events(2)
	b.tooLarge(&evs[0])
	p := b.publisher(b.topic)
	if err := p.Publish(b.Context(), evs[0]); !errors.Is(err, eventflow.ErrTooLarge) {
		b.Errorf("Publish of an event of %d bytes returned %v, want ErrTooLarge", len(evs[0].Data), err)
	}
	if err := p.Publish(b.Context(), evs[1]); err != nil {
		b.Fatalf("Publish after an event that was too large: %v", err)
	}
	b.expect("after an event that was too large", []*eventflow.Delivery{c.one()}, "e-2")
}

func biggestEventFits(b *bench) {
	c := b.subscribe()
	evs := b.events(2)
	for i := range evs {
		evs[i].Data = make([]byte, b.features.MaxEvent-i)
		for j := range evs[i].Data {
			evs[i].Data[j] = byte(j*7 + j>>8)
		}
	}
	b.publish(evs...)
	for _, d := range byID(c.take(2), evs) {
		b.same(d, evs...)
	}
}

func publishWithAnEndedContext(b *bench) {
	c := b.subscribe()
	over, cancel := context.WithCancel(b.Context())
	cancel()
	evs := b.events(5)
	err := b.publisher(b.topic).Publish(over, evs...)
	took := idsIn(evs)
	var pe *eventflow.PublishError
	switch {
	case errors.As(err, &pe):
		for _, f := range slices.Backward(pe.Failed) {
			took = slices.Delete(took, f.Index, f.Index+1)
		}
	case err != nil:
		took = nil
	}
	if len(took) > 0 {
		b.expect("what Publish said was taken", c.take(len(took)), took...)
	}
	c.quiet("Publish said that the others were not taken")
}

func fullGroupMakesPublishersWait(b *bench) {
	c := b.subscribe()
	p := b.publisher(b.topic)
	evs := b.events(b.f.Capacity + 2)
	for i := range b.f.Capacity {
		if err := p.Publish(b.Context(), evs[i]); err != nil {
			b.Fatalf("Publish of event %d of %d: %v", i+1, b.f.Capacity, err)
		}
	}
	ctx, cancel := b.within(b.h.Quiet)
	err := p.Publish(ctx, evs[b.f.Capacity])
	cancel()
	if !ended(err) {
		b.Fatalf("Publish to a full group returned %v, want its context's error", err)
	}
	var late error
	waits := b.spawn(func() { late = p.Publish(b.Context(), evs[b.f.Capacity+1]) })
	ds := c.take(b.f.Capacity)
	b.expect("what was taken", ds, idsIn(evs[:b.f.Capacity])...)
	c.quiet("the group is full of unsettled events")
	ds[0].Ack()
	b.await(waits, "a Publish after one event of a full group was acknowledged")
	if late != nil {
		b.Errorf("Publish that had waited for room: %v", late)
	}
	b.expect("published when there was room", []*eventflow.Delivery{c.one()}, evs[b.f.Capacity+1].ID)
}

func publishersSliceIsTheirsAgain(b *bench) {
	c := b.subscribe()
	evs := b.events(4)
	buffer := slices.Clone(evs)
	b.publish(buffer...)
	for i := range buffer {
		buffer[i] = eventflow.Event{ID: "overwritten", Key: "overwritten", Data: []byte("overwritten")}
	}
	ds := c.take(len(evs))
	b.expect("the publisher reused its slice", ds, idsIn(evs)...)
	for _, d := range ds {
		b.same(d, evs...)
		d.Release(0)
	}
	for _, d := range c.take(len(evs)) {
		b.same(d, evs...)
	}
}

func eventsWithoutIDGetOne(b *bench) {
	c := b.subscribe()
	const n = 24
	evs := b.events(n)
	for i := range evs {
		evs[i].ID, evs[i].Source = "", ""
	}
	b.publish(evs[:n/2]...)
	for _, ev := range evs[n/2:] {
		b.publish(ev)
	}
	type identity struct{ source, id string }
	of := map[string]identity{} // by Data
	taken := map[identity]bool{}
	for _, how := range []string{"at first", "after a release", "after a close"} {
		ds := c.take(n)
		for _, d := range ds {
			id := identity{d.Event.Source, d.Event.ID}
			data := string(d.Event.Data)
			was, again := of[data]
			switch {
			case id.id == "" || id.source == "":
				b.Fatalf("an event that was published without an ID has ID %q and Source %q", id.id, id.source)
			case again && was != id:
				b.Fatalf("an event was %v, and is %v %s", was, id, how)
			case !again && taken[id]:
				b.Fatalf("two events are %v", id)
			}
			of[data], taken[id] = id, true
		}
		if how == "after a release" {
			c.close()
			c = b.subscribe()
			continue
		}
		eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Release})
	}
	if len(of) != n {
		b.Errorf("%d different events came back of %d", len(of), n)
	}
}
