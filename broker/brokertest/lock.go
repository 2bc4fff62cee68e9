package brokertest

import (
	"errors"
	"time"

	"github.com/eventflow-go/eventflow"
)

func lockRules() []rule {
	return []rule{
		{name: "LockEndsWithinItsDuration", needs: locks, run: lockEndsWithinItsDuration},
		{name: "HeldEventIsNotHandedOverAgain", needs: locks, short: true, run: heldEventIsNotHandedOverAgain},
		{name: "AbandonedEventComesBackWhenItsLockEnds", needs: locks, short: true, run: abandonedEventComesBack},
		{name: "LostLockIsToldAndFenced", needs: locks | lose, short: true, run: lostLockIsToldAndFenced},
		{name: "SettlementAfterTheLossDoesNothing", needs: locks | lose, short: true, run: settlementAfterTheLossDoesNothing},
		{name: "UnconfirmedLockIsLostBeforeItEnds", needs: locks | stall, short: true, run: unconfirmedLockIsLostBeforeItEnds},
		{name: "CrashedConsumersEventsComeBack", needs: locks | crash, short: true, run: crashedConsumersEventsComeBack},
	}
}

func lockEndsWithinItsDuration(b *bench) {
	c := b.subscribe()
	b.publish(b.events(3)...)
	before := time.Now()
	for _, d := range c.take(3) {
		const slack = time.Second // the lock may be counted from after the hand-over's request
		if d.LockedUntil.Before(before) || d.LockedUntil.After(time.Now().Add(b.lock+slack)) {
			b.Errorf("%s is locked until %v from now, want a time within the lock's %v", d.Event.ID, time.Until(d.LockedUntil), b.lock)
		}
	}
}

// Renewing is the subscriber's work, for what waits as for what runs, and whether or not Next is called.
func heldEventIsNotHandedOverAgain(b *bench) {
	c, other := b.subscribe(), b.subscribe()
	b.stable(group, 2)
	evs := b.events(4)
	b.publish(evs...)
	ds, owner := b.gather(len(evs), c, other)
	b.expect("once each", ds, idsIn(evs)...)
	b.quiet(2*b.lock, "everything is held", c, other)
	b.sleep(b.lock + b.lock/2)
	b.quiet(b.h.Quiet, "everything is held", c, other)
	for _, d := range ds {
		if !d.Open() || owner[d].loss(d) != nil {
			b.Errorf("%s was lost although its consumer lives", d.Event.ID)
		}
	}
	ack(ds...)
	for _, d := range ds {
		owner[d].confirmed(d)
	}
	other.close()
	c.nothingLeft("everything was acknowledged after more than three locks")
}

func abandonedEventComesBack(b *bench) {
	c := b.subscribe()
	evs := b.events(2)
	b.publish(evs...)
	before := time.Now()
	ds := byID(c.take(2), evs)
	ds[0].Settle(eventflow.Settlement{Verb: eventflow.Abandon})
	ds[0].Ack() // too late: it is fenced
	again := c.nextWithin(b.lock+b.h.Patience, eventflow.Want{Events: 1})
	b.expect("abandoned", again, "e-1")
	if took := time.Since(before); took < b.lock-b.lock/10 {
		b.Errorf("the event came back %v after its hand-over, want not before its lock of %v ended: Abandon is no Release", took, b.lock)
	}
	if b.features.ExactAttempt && again[0].Attempts != 0 {
		b.Errorf("the event has %d attempts after Abandon, want 0", again[0].Attempts)
	}
	if !ds[1].Open() {
		b.Errorf("abandoning one delivery ended another")
	}
	ack(again[0], ds[1])
	c.nothingLeft("everything was acknowledged")
}

// lostBy waits for Listening.Lost of d.
func (c *consumer) lostBy(d *eventflow.Delivery) *loss {
	c.b.Helper()
	wait := c.b.lock + c.b.h.Patience
	if !c.until(wait, func() bool { return c.lost[d] != nil }) {
		c.b.Fatalf("Listening.Lost was not called for %s, whose lock was lost %v ago", d.Event.ID, wait)
	}
	l := c.loss(d)
	if !errors.Is(l.err, eventflow.ErrLockLost) {
		c.b.Errorf("Listening.Lost said %v, want ErrLockLost", l.err)
	}
	if !l.fenced || !d.Lost() || d.Open() {
		c.b.Errorf("%s was not fenced by Delivery.Lose before Listening.Lost was called", d.Event.ID)
	}
	return l
}

func lostLockIsToldAndFenced(b *bench) {
	c := b.subscribe()
	evs := b.events(3)
	b.publish(evs...)
	ds := byID(c.take(3), evs)
	b.f.Lose(c.sub, ds[1])
	c.lostBy(ds[1])
	for _, i := range []int{0, 2} {
		if !ds[i].Open() || c.loss(ds[i]) != nil {
			b.Errorf("the lock of %s was lost with another's", ds[i].Event.ID)
		}
	}
	ack(ds[0], ds[2])
	c.confirmed(ds[0], ds[2])
	again := c.nextWithin(b.lock+b.h.Patience, eventflow.Want{Events: 1})
	b.expect("after the loss", again, "e-2")
	if n := c.loss(ds[1]).times; n != 1 {
		b.Errorf("Listening.Lost was called %d times for one loss", n)
	}
}

func settlementAfterTheLossDoesNothing(b *bench) {
	c := b.subscribe()
	b.publish(b.events(1)...)
	first := c.one()
	b.f.Lose(c.sub, first)
	c.lostBy(first)

	second := c.nextWithin(b.lock+b.h.Patience, eventflow.Want{Events: 1})[0]
	first.Ack()
	first.Nack(0)
	eventflow.SettleAll([]*eventflow.Delivery{first}, eventflow.Settlement{Verb: eventflow.Ack})
	if err := first.DeadLetter(b.Context(), eventflow.Failure{Reason: "permanent"}); !errors.Is(err, eventflow.ErrLockLost) {
		b.Errorf("DeadLetter after the loss returned %v, want ErrLockLost", err)
	}
	c.quiet("the event is held again, and its first delivery is fenced")
	if n := c.times(first); n != 0 {
		b.Errorf("Settled was called %d times for a lost delivery", n)
	}
	if !second.Open() {
		b.Fatalf("a settlement of the lost delivery settled the next one")
	}
	second.Release(0)
	third := c.one()
	if b.features.ExactAttempt && third.Attempts != 0 {
		b.Errorf("the event has %d attempts, want 0: the nack came after the loss", third.Attempts)
	}
	third.Ack()
	c.nothingLeft("the event was acknowledged")
}

func unconfirmedLockIsLostBeforeItEnds(b *bench) {
	c := b.subscribe()
	evs := b.events(3)
	b.publish(evs...)
	ds := c.take(3)
	stalled, slack := time.Now(), time.Duration(0)
	if !b.h.Virtual {
		slack = b.lock / 4 // a busy machine is not a late broker
	}
	b.f.Stall(c.sub)
	other := b.subscribe()
	first := map[string]*eventflow.Delivery{}
	for _, d := range ds {
		first[d.Event.ID] = d
	}
	for len(first) > 0 {
		for _, d := range other.nextWithin(b.lock+b.h.Patience, eventflow.Want{Events: 3}) {
			was := first[d.Event.ID]
			if was == nil {
				b.Fatalf("%s was handed over twice", d.Event.ID)
			}
			delete(first, d.Event.ID)
			if was.Open() {
				b.Errorf("%s was handed to another consumer while its first delivery was still open", d.Event.ID)
			}
			if l := c.lostBy(was); l.at.After(stalled.Add(b.lock + slack)) {
				b.Errorf("Lost was called %v after the last renewal, want before the lock's end at %v", l.at.Sub(stalled), b.lock)
			}
		}
	}
}

func crashedConsumersEventsComeBack(b *bench) {
	c := b.subscribe()
	evs := b.events(5)
	b.publish(evs...)
	ds := byID(c.take(len(evs)), evs)
	ack(ds[0])
	c.confirmed(ds[0])
	b.f.Crash(c.sub)
	next := b.subscribe()
	again := next.takeWithin(b.lock+b.h.Patience, 4)
	b.expect("after the crash", again, "e-2", "e-3", "e-4", "e-5")
	if b.features.ExactAttempt {
		for _, d := range again {
			if d.Attempts != 0 {
				b.Errorf("%s has %d attempts after a crash, want 0: the broker knows of no run that failed", d.Event.ID, d.Attempts)
			}
		}
	}
	ack(again...)
	next.nothingLeft("everything was acknowledged")
}
