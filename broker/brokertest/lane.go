package brokertest

import (
	"slices"
	"time"

	"github.com/eventflow-go/eventflow"
)

func laneRules() []rule {
	return []rule{
		{name: "LaneKeepsItsOrder", needs: lanes, run: laneKeepsItsOrder},
		{name: "NackedEventComesBackBeforeItsLane", needs: lanes, run: func(b *bench) { b.comesBackBeforeItsLane(eventflow.Nack) }},
		{name: "ReleasedEventComesBackBeforeItsLane", needs: lanes, run: func(b *bench) { b.comesBackBeforeItsLane(eventflow.Release) }},
		{name: "DelayedEventHoldsItsLaneAndNoOther", needs: lanes | delays, run: delayedEventHoldsItsLane},
		{name: "ReleasedLaneComesBackInOrder", needs: lanes, run: releasedLaneComesBackInOrder},
		{name: "ClosedConsumersLaneComesBackInOrder", needs: lanes, run: closedConsumersLaneComesBackInOrder},
		{name: "LaneHasOneConsumerAtATime", needs: lanes, run: laneHasOneConsumerAtATime},
		{name: "AbandonedEventHoldsItsLane", needs: lanes | locks, short: true, run: abandonedEventHoldsItsLane},
	}
}

func laneKeepsItsOrder(b *bench) {
	c := b.subscribe()
	const each = 8
	names := []string{"a", "b", "c", "d"}
	all := make([][]eventflow.Event, len(names))
	for i, k := range b.keys(len(names)) {
		all[i] = b.lane(names[i], k, each)
	}
	for i := range each {
		for _, evs := range all {
			b.publish(evs[i])
		}
	}
	next := map[string]int{} // by key
	for n := 0; n < each*len(names); {
		for _, d := range c.next(eventflow.Want{Events: 5}) {
			i := slices.IndexFunc(all, func(evs []eventflow.Event) bool { return evs[0].Key == d.Event.Key })
			if i < 0 {
				b.Fatalf("%s has a key that nobody published: %q", d.Event.ID, d.Event.Key)
			}
			if due := next[d.Event.Key]; due >= each || d.Event.ID != all[i][due].ID {
				b.Fatalf("%s was handed over out of its lane's order, as number %d", d.Event.ID, due+1)
			}
			next[d.Event.Key]++
			n++
			d.Ack()
		}
	}
	c.nothingLeft("everything was acknowledged")
}

func (b *bench) comesBackBeforeItsLane(v eventflow.Verb) {
	c := b.subscribe()
	evs := b.lane("a", b.keys(1)[0], 5)
	b.publish(evs...)
	ids := idsIn(evs)
	for round := range 3 {
		d := c.next(eventflow.Want{Events: 1, PerLane: 1})[0]
		if d.Event.ID != ids[0] {
			b.Fatalf("after %d times of %v, %s was handed over before %s", round, v, d.Event.ID, ids[0])
		}
		d.Settle(eventflow.Settlement{Verb: v})
	}
	c.inOrder("after its head came back three times", ids...)

	// The same in the middle of the lane, with what is behind it handed over too.
	more := b.lane("b", evs[0].Key, 5)
	b.publish(more...)
	d := c.next(eventflow.Want{Events: 1, PerLane: 1})[0]
	d.Ack()
	held := c.hold(3, eventflow.Want{})
	for _, d := range held {
		d.Settle(eventflow.Settlement{Verb: v})
	}
	c.inOrder("after its middle came back", idsIn(more[1:])...)
}

func delayedEventHoldsItsLane(b *bench) {
	c := b.subscribe()
	ks := b.keys(2)
	slow, other := b.lane("slow", ks[0], 3), b.lane("other", ks[1], 2)
	b.publish(slow...)
	head := c.next(eventflow.Want{Events: 1, PerLane: 1})[0]
	if head.Event.ID != slow[0].ID {
		b.Fatalf("%s was handed over first", head.Event.ID)
	}
	start := time.Now()
	head.Nack(b.delay())
	b.publish(other...)
	c.inOrder("another lane, while the first waits", idsIn(other)...)
	if took := time.Since(start); b.h.Virtual && took >= b.delay() {
		b.Errorf("another lane's events came %v after a nack for %v, want before the delay ended", took, b.delay())
	}
	d := c.nextWithin(b.delay()+b.h.Patience, eventflow.Want{Events: 3})
	if took := time.Since(start); took < b.delay()-early {
		b.Errorf("%s was handed over %v after its lane's head was nacked for %v", d[0].Event.ID, took, b.delay())
	}
	for i := range d {
		if d[i].Event.ID != slow[i].ID {
			b.Fatalf("after the delay %s was handed over, want %s", d[i].Event.ID, slow[i].ID)
		}
	}
	ack(d...)
	c.inOrder("the rest of the lane", idsIn(slow[len(d):])...)
}

func releasedLaneComesBackInOrder(b *bench) {
	c := b.subscribe()
	evs := b.lane("a", b.keys(1)[0], 7)
	b.publish(evs...)
	held := c.hold(4, eventflow.Want{})
	for i, d := range held {
		if d.Event.ID != evs[i].ID {
			b.Fatalf("%s was handed over as number %d", d.Event.ID, i+1)
		}
	}
	for _, d := range slices.Backward(held) {
		d.Release(0)
	}
	c.inOrder("released last first", idsIn(evs)...)
	c.nothingLeft("everything was acknowledged")
}

func closedConsumersLaneComesBackInOrder(b *bench) {
	c := b.subscribe()
	evs := b.lane("a", b.keys(1)[0], 7)
	b.publish(evs...)
	c.next(eventflow.Want{Events: 1, PerLane: 1})[0].Ack()
	held := c.hold(3, eventflow.Want{})
	if len(held) > 1 {
		held[len(held)-1].Release(0)
	}
	c.close()
	next := b.subscribe()
	next.inOrder("after the close of a consumer that held some of it", idsIn(evs[1:])...)
	next.nothingLeft("everything was acknowledged")
}

// The flow of an abandoned event still runs. What is of its lane waits, also what is ahead of it and was given back.
func abandonedEventHoldsItsLane(b *bench) {
	c := b.subscribe()
	evs := b.lane("a", b.keys(1)[0], 4)
	b.publish(evs...)
	before := time.Now()
	held := c.hold(2, eventflow.Want{})
	held[len(held)-1].Settle(eventflow.Settlement{Verb: eventflow.Abandon})
	for _, d := range held[:len(held)-1] {
		d.Release(0)
	}
	first := c.nextWithin(b.lock+b.h.Patience, eventflow.Want{Events: 1, PerLane: 1})[0]
	if took := time.Since(before); took < b.lock-b.lock/10 {
		b.Errorf("%s was handed over %v after an event of its lane that was abandoned since, want not before that one's lock of %v ended", first.Event.ID, took, b.lock)
	}
	if first.Event.ID != evs[0].ID {
		b.Fatalf("%s was handed over where %s was due", first.Event.ID, evs[0].ID)
	}
	first.Ack()
	c.inOrder("after the abandoned event's lock ended", idsIn(evs[1:])...)
	c.nothingLeft("everything was acknowledged")
}

func laneHasOneConsumerAtATime(b *bench) {
	const each = 6
	cs := []*consumer{b.subscribe(), b.subscribe()}
	b.stable(group, len(cs))
	n := 0
	for _, k := range b.keys(6) {
		b.publish(b.lane(k, k, each)...)
		n += each
	}
	type holding struct {
		by *consumer
		d  *eventflow.Delivery
	}
	holds := map[string][]holding{} // by lane
	seen := map[string]bool{}
	b.each(cs, eventflow.Want{Events: 3, PerLane: 2}, func(c *consumer, d *eventflow.Delivery) bool {
		var open []holding
		for _, x := range holds[d.Lane] {
			if !x.d.Open() {
				continue
			}
			open = append(open, x)
			if x.by != c && d.Lane != "" {
				b.Errorf("%s of lane %q was handed over while another consumer holds %s of it", d.Event.ID, d.Lane, x.d.Event.ID)
			}
		}
		holds[d.Lane] = append(open, holding{c, d})
		seen[d.Event.ID] = true
		b.spawn(func() { // a run takes its time
			b.sleep(10 * time.Millisecond)
			d.Ack()
		})
		return len(seen) == n
	})
}
