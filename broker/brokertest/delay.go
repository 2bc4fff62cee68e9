package brokertest

import (
	"time"

	"github.com/eventflow-go/eventflow"
)

func delayRules() []rule {
	return []rule{
		{name: "NackedEventWaitsItsDelay", needs: delays, run: func(b *bench) { b.waitsItsDelay(eventflow.Nack) }},
		{name: "ReleasedEventWaitsItsDelay", needs: delays, run: func(b *bench) { b.waitsItsDelay(eventflow.Release) }},
		{name: "DelaysAreOfOneEventEach", needs: delays, run: delaysAreOfOneEventEach},
		{name: "DelayedEventSurvivesItsConsumer", needs: delays, run: delayedEventSurvivesItsConsumer},
	}
}

// early is how much sooner than asked for an event may come back: clocks are read in different places.
const early = 5 * time.Millisecond

func (b *bench) waitsItsDelay(v eventflow.Verb) {
	c := b.subscribe()
	b.publish(b.events(1)...)
	d := c.one()
	start := time.Now()
	d.Settle(eventflow.Settlement{Verb: v, After: b.delay()})
	again := c.nextWithin(b.delay()+b.h.Patience, eventflow.Want{Events: 1})[0]
	if took := time.Since(start); took < b.delay()-early {
		b.Errorf("the event came back %v after a %v for %v", took, v, b.delay())
	}
	want := 0
	if v == eventflow.Nack {
		want = 1
	}
	if b.features.ExactAttempt && again.Attempts != want {
		b.Errorf("the event has %d attempts after one %v, want %d", again.Attempts, v, want)
	}
	again.Ack()
	c.nothingLeft("the event was acknowledged after its delay")
}

func delaysAreOfOneEventEach(b *bench) {
	c := b.subscribe()
	evs := b.events(3)
	b.publish(evs...)
	ds := byID(c.take(3), evs)
	due := map[string]time.Time{}
	for i, d := range ds {
		after := b.delay() * time.Duration([]int{3, 1, 2}[i]) / 3
		due[d.Event.ID] = time.Now().Add(after)
		d.Nack(after)
	}
	for len(due) > 0 {
		for _, d := range c.nextWithin(b.delay()+b.h.Patience, eventflow.Want{Events: 3}) {
			at, ok := due[d.Event.ID]
			if !ok {
				b.Fatalf("%s came back twice", d.Event.ID)
			}
			if wait := time.Until(at); wait > early {
				b.Errorf("%s came back %v before its delay was over", d.Event.ID, wait)
			}
			delete(due, d.Event.ID)
			d.Ack()
		}
	}
}

// Whether the delay survives is the broker's affair; that the event does is not.
func delayedEventSurvivesItsConsumer(b *bench) {
	c := b.subscribe()
	b.publish(b.events(1)...)
	c.one().Nack(b.delay())
	c.close()
	c = b.subscribe()
	c.nextWithin(b.delay()+b.h.Patience, eventflow.Want{Events: 1})[0].Ack()
	c.nothingLeft("the event was acknowledged")
}
