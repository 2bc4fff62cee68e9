package brokertest

import (
	"github.com/eventflow-go/eventflow"
)

func settlementRules() []rule {
	return []rule{
		{name: "SettlementsMayComeInAnyOrder", run: settlementsMayComeInAnyOrder},
		{name: "FirstSettlementWins", run: firstSettlementWins},
		{name: "AckIsFinal", run: ackIsFinal},
		{name: "AckIsFinalWhenItsLockWouldHaveEnded", needs: locks, short: true, run: ackIsFinalPastItsLock},
		{name: "AckBeforeCloseIsWritten", run: ackBeforeCloseIsWritten},
		{name: "AckLeavesItsNeighboursAlone", run: ackLeavesItsNeighboursAlone},
		{name: "AckPastAGapKeepsTheGap", needs: lanes, run: ackPastAGapKeepsTheGap},
		{name: "NackedAndReleasedEventsComeBack", run: nackedAndReleasedEventsComeBack},
		{name: "SettleAllSettlesEach", run: settleAllSettlesEach},
		{name: "ConcurrentSettlementsAreAllKept", run: concurrentSettlementsAreAllKept},
		{name: "SettledIsToldOnceForEachWithItsNote", run: settledIsToldOnce},
	}
}

func settlementsMayComeInAnyOrder(b *bench) {
	c := b.subscribe()
	evs := b.events(9)
	b.publish(evs...)
	ds := c.take(len(evs))
	b.expect("before any settlement", ds, idsIn(evs)...)
	ds = byID(ds, evs)
	var back []string
	for n, i := range []int{5, 0, 8, 3, 7, 1, 6, 2, 4} {
		switch n % 3 {
		case 0:
			ds[i].Ack()
			continue
		case 1:
			ds[i].Nack(0)
		case 2:
			ds[i].Release(0)
		}
		back = append(back, ds[i].Event.ID)
	}
	again := c.take(len(back))
	b.expect("after nacks and releases among acks", again, back...)
	ack(again...)
	c.nothingLeft("everything was acknowledged")
}

func firstSettlementWins(b *bench) {
	c := b.subscribe()
	evs := b.events(4)
	b.publish(evs...)
	ds := byID(c.take(len(evs)), evs)
	acked, nacked, released, kept := ds[0], ds[1], ds[2], ds[3]

	acked.Ack()
	acked.Nack(0)
	acked.Release(0)
	acked.Settle(eventflow.Settlement{Verb: eventflow.Abandon})
	if err := acked.DeadLetter(b.Context(), eventflow.Failure{Reason: "permanent"}); err != nil {
		b.Errorf("DeadLetter of an acknowledged delivery returned %v, want a quiet no-op", err)
	}
	nacked.Nack(0)
	nacked.Ack()
	released.Release(0)
	released.Nack(0)
	released.Ack()

	again := c.take(2)
	b.expect("the second settlements were acks", again, nacked.Event.ID, released.Event.ID)
	if b.features.ExactAttempt {
		for _, d := range again {
			want := 0
			if d.Event.ID == nacked.Event.ID {
				want = 1
			}
			if d.Attempts != want {
				b.Errorf("%s has %d attempts, want %d", d.Event.ID, d.Attempts, want)
			}
		}
	}
	if !kept.Open() {
		b.Errorf("%s was never settled and is not open", kept.Event.ID)
	}
	c.confirmed(acked, nacked, released)
	for _, d := range []*eventflow.Delivery{acked, nacked, released} {
		if n := c.times(d); n != 1 {
			b.Errorf("Settled was called %d times for %s, which was settled several times, want once", n, d.Event.ID)
		}
	}
	ack(append(again, kept)...)
	c.nothingLeft("everything was acknowledged")
}

func ackIsFinal(b *bench) {
	c := b.subscribe()
	evs := b.events(6)
	b.publish(evs...)
	ds := c.take(len(evs))
	b.expect("once each", ds, idsIn(evs)...)
	ds[0].Ack()
	ds[1].Ack()
	ack(ds[2:]...)
	c.confirmed(ds...)
	c.quiet("all was acknowledged and confirmed")
	c.nothingLeft("all was acknowledged before the close")
}

func ackIsFinalPastItsLock(b *bench) {
	c := b.subscribe()
	b.publish(b.events(3)...)
	ds := c.take(3)
	ack(ds...)
	c.confirmed(ds...)
	b.quiet(2*b.lock, "all was acknowledged", c)
	c.nothingLeft("all was acknowledged two locks ago")
}

func ackBeforeCloseIsWritten(b *bench) {
	c := b.subscribe()
	evs := b.events(20)
	b.publish(evs...)
	ack(c.take(len(evs))...)
	c.nothingLeft("all was acknowledged at the instant of the close")
}

func ackLeavesItsNeighboursAlone(b *bench) {
	c := b.subscribe()
	evs := b.events(7)
	b.publish(evs...)
	ds := byID(c.take(len(evs)), evs)
	ack(ds[1])
	ack(ds[4])
	c.confirmed(ds[1], ds[4])
	for _, i := range []int{0, 2, 3, 5, 6} {
		if !ds[i].Open() {
			b.Errorf("%s was never settled and is not open", ds[i].Event.ID)
		}
	}
	c.close()
	next := b.subscribe()
	b.expect("two of seven were acknowledged", next.take(5), "e-1", "e-3", "e-4", "e-6", "e-7")
	next.quiet("the other two were acknowledged")
}

// Marking the highest offset alone would acknowledge what lies below it and still runs.
func ackPastAGapKeepsTheGap(b *bench) {
	c := b.subscribe()
	evs := b.lane("a", b.keys(1)[0], 6)
	b.publish(evs...)
	held := c.hold(5, eventflow.Want{})
	ack(held[1:]...)
	c.confirmed(held[1:]...)
	c.close()
	want := append([]string{evs[0].ID}, idsIn(evs[len(held):])...)
	next := b.subscribe()
	next.inOrder("the first was held while others behind it were acknowledged", want...)
	next.nothingLeft("the rest was acknowledged")
}

func nackedAndReleasedEventsComeBack(b *bench) {
	c := b.subscribe()
	evs := b.events(6)
	b.publish(evs...)
	for round := range 3 {
		ds := c.take(len(evs))
		b.expect("round after round", ds, idsIn(evs)...)
		for i, d := range ds {
			if (i+round)%2 == 0 {
				d.Nack(0)
			} else {
				d.Release(0)
			}
		}
	}
	ack(c.take(len(evs))...)
	c.nothingLeft("everything was acknowledged at last")
}

func settleAllSettlesEach(b *bench) {
	c := b.subscribe()
	evs := b.events(6)
	b.publish(evs...)
	ds := byID(c.take(len(evs)), evs)
	ds[2].Ack()
	eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Release})
	c.confirmed(ds...)
	for _, d := range ds {
		if n := c.times(d); n != 1 {
			b.Errorf("Settled was called %d times for %s, want once", n, d.Event.ID)
		}
	}
	again := c.take(5)
	b.expect("released by one call, except the third, which had been acknowledged", again, "e-1", "e-2", "e-4", "e-5", "e-6")
	ack(again...)
	c.nothingLeft("everything was acknowledged")
}

func concurrentSettlementsAreAllKept(b *bench) {
	c := b.subscribe()
	evs := b.events(60)
	b.publish(evs...)
	ds := c.take(len(evs))
	const goroutines = 6
	var back []string
	var waits []<-chan struct{}
	for g := range goroutines {
		mine := ds[g*len(ds)/goroutines : (g+1)*len(ds)/goroutines]
		for i, d := range mine {
			if i%5 == 0 {
				back = append(back, d.Event.ID)
			}
		}
		waits = append(waits, b.spawn(func() {
			for i, d := range mine {
				switch i % 5 {
				case 0:
					d.Nack(0)
				case 1:
					d.Attempted()
					d.Ack()
				default:
					d.Ack()
				}
			}
		}))
	}
	again := c.take(len(back)) // while they settle
	for _, w := range waits {
		b.await(w, "a settlement, which never waits")
	}
	b.expect("nacked by several goroutines", again, back...)
	c.confirmed(ds...)
	ack(again...)
	c.nothingLeft("everything was acknowledged")
}

func settledIsToldOnce(b *bench) {
	c := b.subscribe()
	verbs := []eventflow.Verb{eventflow.Ack, eventflow.Nack, eventflow.Release}
	if b.features.MaxLock > 0 {
		verbs = append(verbs, eventflow.Abandon)
	}
	evs := b.events(len(verbs) + 1)
	b.publish(evs...)
	ds := byID(c.take(len(evs)), evs)
	open := ds[len(verbs)]
	for i, v := range verbs {
		ds[i].Settle(eventflow.Settlement{Verb: v, Note: uint16(i + 7), After: b.delay()})
	}
	c.confirmed(ds[:len(verbs)]...)
	b.sleep(b.h.Quiet) // a second call would come now
	for i, v := range verbs {
		if n := c.times(ds[i]); n != 1 {
			b.Errorf("Settled was called %d times for one %v, want once", n, v)
		}
		if ds[i].Open() || ds[i].Note() != uint16(i+7) {
			b.Errorf("after Settled of %v: open %v, note %d, want the note that it was settled with", v, ds[i].Open(), ds[i].Note())
		}
		if c.loss(ds[i]) != nil {
			b.Errorf("Lost was called for a delivery that was settled by %v", v)
		}
	}
	if n := c.times(open); n != 0 {
		b.Errorf("Settled was called %d times for a delivery that is open", n)
	}
}
