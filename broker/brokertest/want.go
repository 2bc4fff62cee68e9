package brokertest

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/eventflow-go/eventflow"
)

func wantRules() []rule {
	return []rule{
		{name: "NextKeepsWithinEvents", run: nextKeepsWithinEvents},
		{name: "NextKeepsWithinPerLaneOverCalls", needs: lanes, run: nextKeepsWithinPerLane},
		{name: "PerLaneLetsOtherLanesPass", needs: lanes, run: perLaneLetsOtherLanesPass},
		{name: "PerLaneDoesNotBoundEventsWithoutALane", needs: lanes, run: perLaneDoesNotBoundEventsWithoutALane},
		{name: "NextKeepsWithinBytes", run: nextKeepsWithinBytes},
		{name: "EventBiggerThanBytesComesAlone", run: biggerEventComesAlone},
	}
}

// The bound itself is checked at every call of every rule; here the edges are asked for.
func nextKeepsWithinEvents(b *bench) {
	c := b.subscribe()
	evs := b.events(12)
	b.publish(evs...)
	var got []*eventflow.Delivery
	for _, events := range []int{3, 1, 0, -1, 2} {
		got = append(got, c.next(eventflow.Want{Events: events})...)
	}
	got = append(got, c.take(len(evs)-len(got))...)
	b.expect("in calls of 3, 1, 0, -1, 2 and the rest", got, idsIn(evs)...)
}

func nextKeepsWithinPerLane(b *bench) {
	c := b.subscribe()
	evs := b.lane("a", b.keys(1)[0], 8)
	b.publish(evs...)
	const most = 2
	var held []*eventflow.Delivery
	for acked := range evs {
		var got []*eventflow.Delivery
		if len(held) == 0 {
			got = c.hold(len(evs), eventflow.Want{PerLane: most})
		} else if acked+len(held) < len(evs) {
			got = c.more(len(evs), eventflow.Want{PerLane: most}) // nothing, where a lane comes piecemeal
		}
		if held = append(held, got...); len(held) > most {
			b.Fatalf("%d deliveries of a lane are unsettled, %s; wanted at most %d", len(held), list(idsOf(held)), most)
		}
		for _, d := range got {
			if d.Lane == "" {
				b.Fatalf("%s of a broker with lanes has a key and no lane", d.Event.ID)
			}
		}
		held[0].Ack()
		held = held[1:]
	}
	c.nothingLeft("all was acknowledged")
}

// An event behind a long lane comes while that lane is held, whether it was there before or is published now.
func perLaneLetsOtherLanesPass(b *bench) {
	c := b.subscribe()
	ks := b.keys(3)
	others := []eventflow.Event{newEvent("other-1", ks[1]), newEvent("other-2", ks[2])}
	b.publish(b.lane("slow", ks[0], 30)...)
	b.publish(others[0])
	const most = 2
	perLane := map[string]int{}
	until := func(id string) {
		b.Helper()
		ctx, cancel := b.within(b.h.Patience)
		defer cancel()
		for {
			ds, err := c.try(ctx, eventflow.Want{Events: 4, PerLane: most})
			if err != nil {
				b.Fatalf("%s did not come within %v while another lane was held: %v", id, b.h.Patience, err)
			}
			for _, d := range ds {
				if perLane[d.Lane]++; d.Lane != "" && perLane[d.Lane] > most {
					b.Fatalf("%d deliveries of lane %q are unsettled, wanted at most %d", perLane[d.Lane], d.Lane, most)
				}
			}
			if slices.Contains(idsOf(ds), id) {
				return
			}
		}
	}
	until(others[0].ID)
	c.more(30, eventflow.Want{PerLane: most}) // now nothing but the slow lane is left, and that is full
	b.publish(others[1])
	until(others[1].ID)
}

// Whether an event without a key has a lane is the broker's affair: on Kafka it is its partition's.
func perLaneDoesNotBoundEventsWithoutALane(b *bench) {
	c := b.subscribe()
	evs := b.events(6)
	for i := range evs {
		evs[i].Key = ""
	}
	b.publish(evs...)
	got := c.hold(len(evs), eventflow.Want{PerLane: 1})
	perLane := map[string]int{}
	for _, d := range got {
		if perLane[d.Lane]++; d.Lane != "" && perLane[d.Lane] > 1 {
			b.Fatalf("%d deliveries of lane %q are unsettled, wanted at most 1", perLane[d.Lane], d.Lane)
		}
	}
	if n := perLane[""]; n > 0 && n < len(evs) {
		b.Errorf("%d of %d events without a lane were handed over with PerLane 1, want all", n, len(evs))
	}
}

func sized(evs []eventflow.Event, sizes ...int) []eventflow.Event {
	for i := range evs {
		evs[i].Data = bytes.Repeat([]byte{byte('a' + i%26)}, sizes[i%len(sizes)])
	}
	return evs
}

func nextKeepsWithinBytes(b *bench) {
	c := b.subscribe()
	evs := sized(b.events(7), 1000)
	b.publish(evs...)
	var got []*eventflow.Delivery
	for len(got) < len(evs) {
		ds := c.next(eventflow.Want{Events: 10, Bytes: 2500})
		if len(ds) > 2 {
			b.Fatalf("%d events of 1,000 bytes came in one call, wanted at most 2,500 bytes", len(ds))
		}
		got = append(got, ds...)
	}
	b.expect("by bytes", got, idsIn(evs)...)
}

func biggerEventComesAlone(b *bench) {
	c := b.subscribe()
	evs := sized(b.events(6), 100, 5000)
	b.publish(evs...)
	var got []*eventflow.Delivery
	for len(got) < len(evs) {
		ds := c.next(eventflow.Want{Events: 10, Bytes: 1000})
		for _, d := range ds {
			if len(d.Event.Data) > 1000 && len(ds) > 1 {
				b.Fatalf("an event of %d bytes came with others, wanted at most 1,000 bytes: %s", len(d.Event.Data), fmt.Sprint(idsOf(ds)))
			}
		}
		got = append(got, ds...)
	}
	b.expect("small and big", got, idsIn(evs)...)
}
