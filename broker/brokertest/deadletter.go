package brokertest

import (
	"context"
	"errors"
	"time"

	"github.com/eventflow-go/eventflow"
)

func deadLetterRules() []rule {
	return []rule{
		{name: "DeadLetterIsSafeOrTheEventIsOpen", run: deadLetterIsSafeOrOpen},
		{name: "DeadLettersHoldTheEventAndItsReason", needs: deadLetters | readDead, run: deadLettersHoldTheEvent},
		{name: "FailedDeadLetterLeavesTheEvent", needs: deadLetters | breakDead, run: failedDeadLetterLeavesTheEvent},
		{name: "ReceiveLimitDeadLettersOnlyItsEvent", needs: receives | readDead, setup: Setup{MaxReceives: 3}, run: receiveLimit},
		{name: "RedrivenEventSaysSo", needs: deadLetters | redrive, run: redrivenEventSaysSo},
	}
}

func (b *bench) deadLetters(topic string) []DeadLetter {
	b.Helper()
	ctx, cancel := b.within(b.h.Patience)
	defer cancel()
	ds, err := b.f.DeadLetters(ctx, topic)
	if err != nil {
		b.Fatalf("Fixture.DeadLetters: %v", err)
	}
	return ds
}

// A dead letter that was refused, whatever the reason, must not have acknowledged the event; one that was written must.
func deadLetterIsSafeOrOpen(b *bench) {
	c := b.subscribe()
	evs := b.events(2)
	b.publish(evs...)
	ds := byID(c.take(2), evs)
	over, cancel := context.WithCancel(b.Context())
	cancel()
	var back []string
	for i, ctx := range []context.Context{over, b.Context()} {
		err := ds[i].DeadLetter(ctx, eventflow.Failure{Reason: "permanent", Flow: "brokertest", Note: 5})
		switch {
		case !b.features.DeadLetter && !errors.Is(err, eventflow.ErrNoDeadLetters):
			b.Errorf("DeadLetter of a broker without dead letters returned %v, want ErrNoDeadLetters", err)
		case b.features.DeadLetter && i == 1 && err != nil:
			b.Errorf("DeadLetter: %v", err)
		}
		if err != nil {
			if !ds[i].Open() {
				b.Errorf("DeadLetter returned %v and the delivery is not open", err)
			}
			back = append(back, ds[i].Event.ID)
			ds[i].Release(0)
			continue
		}
		c.confirmed(ds[i])
		if c.times(ds[i]) != 1 || ds[i].Note() != 5 {
			b.Errorf("after DeadLetter: Settled was called %d times, note %d, want once with 5", c.times(ds[i]), ds[i].Note())
		}
	}
	if b.features.DeadLetter && b.f.DeadLetters != nil {
		if n := len(b.deadLetters(b.topic)); n != len(ds)-len(back) {
			b.Errorf("there are %d dead letters after %d calls of DeadLetter without an error", n, len(ds)-len(back))
		}
	}
	if len(back) > 0 {
		again := c.take(len(back))
		b.expect("not dead-lettered, released", again, back...)
		ack(again...)
	}
	c.nothingLeft("everything was dead-lettered or acknowledged")
}

func deadLettersHoldTheEvent(b *bench) {
	c := b.subscribe()
	evs := b.events(3)
	evs[1].Subject, evs[1].DataContentType = "subject", "application/json"
	evs[1].Attributes = eventflow.Attributes{{Name: "trace", Value: "t"}}
	evs[1].Data = []byte(`{"a":1}`)
	b.publish(evs...)
	ds := byID(c.take(3), evs)
	if dead := b.deadLetters(b.topic); len(dead) != 0 {
		b.Fatalf("a fresh topic has %d dead letters", len(dead))
	}
	f := eventflow.Failure{Reason: "exhausted", Err: errors.New("the card number is 1234"), Flow: "thumbnail", Version: "v7", Binding: "uploads", Attempts: 5}
	if err := ds[1].DeadLetter(b.Context(), f); err != nil {
		b.Fatalf("DeadLetter: %v", err)
	}
	dead := b.deadLetters(b.topic) // safe means that it is there now
	if len(dead) != 1 {
		b.Fatalf("there are %d dead letters when DeadLetter has returned, want 1", len(dead))
	}
	for _, x := range differences(&evs[1], &dead[0].Event) {
		b.Errorf("dead letter: %s", x)
	}
	if dead[0].Reason != f.Reason || dead[0].Flow != f.Flow || dead[0].Version != f.Version || dead[0].Attempts != f.Attempts {
		b.Errorf("the dead letter says %q, flow %q, version %q, %d attempts; want %q, %q, %q, %d",
			dead[0].Reason, dead[0].Flow, dead[0].Version, dead[0].Attempts, f.Reason, f.Flow, f.Version, f.Attempts)
	}
	if ds[1].Open() || !ds[0].Open() || !ds[2].Open() {
		b.Errorf("open after the second of three was dead-lettered: %v %v %v", ds[0].Open(), ds[1].Open(), ds[2].Open())
	}
	ack(ds[0], ds[2])
	c.nothingLeft("two were acknowledged, one dead-lettered")
}

func failedDeadLetterLeavesTheEvent(b *bench) {
	c := b.subscribe()
	b.publish(b.events(1)...)
	d := c.one()
	ctx, cancel := b.within(b.h.Patience)
	defer cancel()
	if err := b.f.BreakDeadLetters(ctx, b.topic); err != nil {
		b.Fatalf("Fixture.BreakDeadLetters: %v", err)
	}
	if err := d.DeadLetter(ctx, eventflow.Failure{Reason: "permanent"}); err == nil {
		b.Fatalf("DeadLetter returned no error although there is nowhere to write it")
	}
	if !d.Open() || c.times(d) != 0 {
		b.Errorf("DeadLetter failed, and the delivery is open: %v, told to be settled %d times", d.Open(), c.times(d))
	}
	c.close() // hands it back
	c = b.subscribe()
	again := c.takeWithin(b.soon(), 1)
	b.expect("not dead-lettered", again, "e-1")
	again[0].Ack()
	c.nothingLeft("the event was acknowledged")
}

// The neighbours of a poison event are not received as often, and so are left alone.
func receiveLimit(b *bench) {
	c := b.subscribe()
	evs := b.events(3)
	b.publish(evs...)
	ds := byID(c.take(3), evs)
	ds[1].Release(0)
	for n := 1; n < b.f.MaxReceives; n++ {
		d := c.one()
		if d.Event.ID != ds[1].Event.ID {
			b.Fatalf("%s was handed over, which is held", d.Event.ID)
		}
		d.Release(0)
	}
	c.quiet("the event was received as often as it may be")
	dead := b.deadLetters(b.topic)
	for end := time.Now().Add(b.h.Patience); len(dead) == 0 && time.Now().Before(end); dead = b.deadLetters(b.topic) {
		b.sleep(b.h.Quiet / 10)
	}
	if len(dead) != 1 || dead[0].Event.ID != ds[1].Event.ID {
		b.Fatalf("there are %d dead letters, want the one event that was received %d times", len(dead), b.f.MaxReceives)
	}
	ack(ds[0], ds[2])
	c.nothingLeft("the others were acknowledged")
}

func redrivenEventSaysSo(b *bench) {
	c := b.subscribe()
	evs := b.events(2)
	b.publish(evs...)
	ds := byID(c.take(2), evs)
	ds[1].Ack()
	ds[0].Nack(0)
	d := c.one()
	for generation := 1; generation <= 2; generation++ {
		if err := d.DeadLetter(b.Context(), eventflow.Failure{Reason: "exhausted", Attempts: 1}); err != nil {
			b.Fatalf("DeadLetter: %v", err)
		}
		ctx, cancel := b.within(b.h.Patience)
		err := b.f.Redrive(ctx, b.topic)
		cancel()
		if err != nil {
			b.Fatalf("Fixture.Redrive: %v", err)
		}
		d = c.one()
		b.same(d, evs...)
		if d.Event.ID != evs[0].ID || d.Redrive != generation {
			b.Errorf("%s came back from the dead letters with Redrive %d, want %s with %d", d.Event.ID, d.Redrive, evs[0].ID, generation)
		}
		if b.features.ExactAttempt && d.Attempts != 0 {
			b.Errorf("a redriven event has %d attempts, want 0", d.Attempts)
		}
	}
	d.Ack()
	c.nothingLeft("the redriven event was acknowledged")
}
