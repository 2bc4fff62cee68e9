package brokertest

import "github.com/eventflow-go/eventflow"

func groupRules() []rule {
	two := []string{"brokertest-a", "brokertest-b"}
	return []rule{
		{name: "GroupsEachSeeEveryEvent", needs: groups, groups: two, run: groupsEachSeeEveryEvent},
		{name: "GroupsSettleApart", needs: groups, groups: two, run: groupsSettleApart},
		{name: "ConsumersShareTheEventsOfTheirGroup", run: consumersShare},
		{name: "TopicsAreApart", topics: 2, run: topicsAreApart},
	}
}

func (b *bench) twoGroups() (x, y *consumer) {
	b.Helper()
	x, y = b.subscribeTo(b.topic, "brokertest-a"), b.subscribeTo(b.topic, "brokertest-b")
	b.stable("brokertest-a", 1)
	b.stable("brokertest-b", 1)
	return x, y
}

func groupsEachSeeEveryEvent(b *bench) {
	x, y := b.twoGroups()
	evs := b.events(10)
	b.publish(evs...)
	for _, c := range []*consumer{x, y} {
		ds := c.take(len(evs))
		b.expect("group "+c.group, ds, idsIn(evs)...)
		ack(ds...)
		c.confirmed(ds...)
	}
	x.nothingLeft("its group acknowledged everything")
	y.nothingLeft("its group acknowledged everything")
}

func groupsSettleApart(b *bench) {
	x, y := b.twoGroups()
	evs := b.events(4)
	b.publish(evs...)
	dx, dy := byID(x.take(4), evs), byID(y.take(4), evs)
	ack(dx...)
	x.confirmed(dx...)
	for _, d := range dy {
		if !d.Open() {
			b.Errorf("%s was settled by another group", d.Event.ID)
		}
	}
	y.close()
	y = b.subscribeTo(b.topic, "brokertest-b")
	again := byID(y.take(4), evs)
	b.expect("one group acknowledged all, the other handed all back", again, idsIn(evs)...)
	again[0].Nack(0)
	again[0] = y.one()
	if b.features.ExactAttempt && again[0].Attempts != 1 {
		b.Errorf("%s has %d attempts, want 1", again[0].Event.ID, again[0].Attempts)
	}
	x.quiet("the other group nacked, this one has acknowledged everything")
	ack(again...)
	y.nothingLeft("its group acknowledged everything")
}

func consumersShare(b *bench) {
	cs := []*consumer{b.subscribe(), b.subscribe(), b.subscribe()}
	b.stable(group, len(cs))
	evs := b.events(45)
	b.publish(evs...)
	type hold struct {
		by *consumer
		d  *eventflow.Delivery
	}
	last := map[string]hold{}
	b.each(cs, eventflow.Want{Events: 2}, func(c *consumer, d *eventflow.Delivery) bool {
		if was, ok := last[d.Event.ID]; ok {
			if was.d.Open() {
				b.Errorf("%s was handed to a second consumer while the first holds it", d.Event.ID)
			} else if !was.d.Lost() && was.by.isConfirmed(was.d) {
				b.Errorf("%s was handed over again after its ack had been confirmed", d.Event.ID)
			}
		}
		last[d.Event.ID] = hold{c, d}
		if len(last)%3 != 0 {
			d.Ack()
		}
		return len(last) == len(evs)
	})
	b.quiet(b.h.Quiet, "every event was handed to one of the consumers", cs...)
	var held []*eventflow.Delivery
	for _, h := range last {
		if h.d.Open() {
			held = append(held, h.d)
		}
	}
	ack(held...)
	for _, c := range cs {
		c.close()
	}
	b.subscribe().quiet("three consumers acknowledged everything")
}

func topicsAreApart(b *bench) {
	x, y := b.subscribe(), b.subscribeTo(b.f.Topics[1], group)
	b.publish(b.events(2)...)
	y.quiet("the events are of another topic")
	ack(x.take(2)...)
	ev := newEvent("other", b.keys(1)[0])
	if err := b.publisher(b.f.Topics[1]).Publish(b.Context(), ev); err != nil {
		b.Fatalf("Publish: %v", err)
	}
	y.one().Ack()
	x.quiet("the event is of another topic")
}
