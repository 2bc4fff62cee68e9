package brokertest

import "github.com/eventflow-go/eventflow"

func attemptRules() []rule {
	return []rule{
		{name: "NackCountsAnAttempt", needs: exact, run: nackCountsAnAttempt},
		{name: "ReleaseCountsNoAttempt", needs: exact, run: releaseCountsNoAttempt},
		{name: "AttemptsAreOfOneEvent", needs: exact, run: attemptsAreOfOneEvent},
		{name: "AttemptedCountsAndKeepsTheDelivery", needs: exact, run: attemptedCountsAndKeeps},
		{name: "AttemptsSurviveTheirConsumer", needs: exact, run: attemptsSurviveTheirConsumer},
		{name: "ReceivesCountHandOvers", run: receivesCountHandOvers},
	}
}

func (c *consumer) oneWithAttempts(what string, attempts int) *eventflow.Delivery {
	c.b.Helper()
	d := c.one()
	if d.Attempts != attempts {
		c.b.Fatalf("%s: %s has %d attempts, want %d", what, d.Event.ID, d.Attempts, attempts)
	}
	return d
}

func nackCountsAnAttempt(b *bench) {
	c := b.subscribe()
	b.publish(b.events(1)...)
	for n := range 4 {
		c.oneWithAttempts("nacked each time", n).Nack(0)
	}
	c.oneWithAttempts("nacked each time", 4).Ack()
}

func releaseCountsNoAttempt(b *bench) {
	c := b.subscribe()
	b.publish(b.events(1)...)
	for range 3 {
		c.oneWithAttempts("released each time", 0).Release(0)
	}
	c.oneWithAttempts("released each time", 0).Nack(0)
	c.oneWithAttempts("released, then nacked", 1).Release(0)
	c.oneWithAttempts("released, nacked, released", 1).Ack()
}

func attemptsAreOfOneEvent(b *bench) {
	c := b.subscribe()
	evs := b.events(3)
	b.publish(evs...)
	for range 2 {
		ds := byID(c.take(3), evs)
		ds[0].Release(0)
		ds[1].Nack(0)
		ds[2].Release(0)
	}
	ds := byID(c.take(3), evs)
	for i, want := range []int{0, 2, 0} {
		if ds[i].Attempts != want {
			b.Errorf("%s has %d attempts, want %d: only the second event was nacked, twice", ds[i].Event.ID, ds[i].Attempts, want)
		}
	}
}

func attemptedCountsAndKeeps(b *bench) {
	c, other := b.subscribe(), b.subscribe()
	b.stable(group, 2)
	b.publish(b.events(1)...)
	ds, owner := b.gather(1, c, other)
	d := ds[0]
	d.Attempted()
	d.Attempted()
	if !d.Open() {
		b.Fatalf("Attempted settled the delivery")
	}
	b.quiet(b.h.Quiet, "the event is held after Attempted", c, other)
	if n := owner[d].times(d); n != 0 {
		b.Errorf("Settled was called %d times for a delivery that was only Attempted", n)
	}
	d.Release(0)
	again, _ := b.gather(1, c, other)
	if again[0].Attempts != 2 {
		b.Errorf("the event has %d attempts after Attempted twice, want 2", again[0].Attempts)
	}
}

func attemptsSurviveTheirConsumer(b *bench) {
	c := b.subscribe()
	b.publish(b.events(1)...)
	c.one().Nack(0)
	c.oneWithAttempts("after a nack", 1).Attempted()
	c.close()
	c = b.subscribe()
	c.oneWithAttempts("after a nack, Attempted and a close", 2).Nack(0)
	c.close()
	b.subscribe().oneWithAttempts("nacked at the instant of the close", 3).Ack()
}

func receivesCountHandOvers(b *bench) {
	c := b.subscribe()
	b.publish(b.events(1)...)
	last := 0
	for _, how := range []string{"the first time", "after a release", "after a nack", "after a close"} {
		d := c.one()
		if d.Receives <= last {
			b.Fatalf("Receives is %d %s, and was %d before", d.Receives, how, last)
		}
		last = d.Receives
		switch how {
		case "the first time":
			d.Release(0)
		case "after a release":
			d.Nack(0)
		case "after a nack":
			c.close()
			c = b.subscribe()
		}
	}
}
