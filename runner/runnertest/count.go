package runnertest

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

func countRules() []rule {
	return []rule{
		{name: "CountersBalanceInEverySample", topics: 3, run: countersBalance},
	}
}

// The runner is sampled by another goroutine while everything goes wrong that the broker, or a wrapper, can make go
// wrong. What the counters say at the end is what the record says.
func countersBalance(b *bench) {
	const n = 240
	p := b.process("one")
	out, dead := b.topics[1], b.topics[2]
	var offers atomic.Int64
	p.refuse = func(topic string, _ *eventflow.Event) error {
		if offers.Add(1)%10 == 0 && topic == out {
			return errRefused
		}
		return nil
	}
	x := p.listen(p.echo(func(ctx context.Context, run *eventflow.Run) error {
		return b.misfortune(ctx, run)
	}), runner.On(p.on()), runner.PublishTo(p.publisher(out)), runner.DeadLetterTo(p.publisher(dead)), runner.MaxAttempts(2),
		runner.MaxInFlight(64), runner.At(eventflow.Every(b.pause()*4)))
	over := make(chan struct{})
	samples := 0
	sampler := b.spawn(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			x.balanced()
			samples++
			b.sleep(b.pause() / 1000)
		}
	})
	keys := b.keys(12)
	var evs []eventflow.Event
	for i := range n {
		evs = append(evs, newEvent(fmt.Sprintf("e-%d", i), keys[i%len(keys)]))
	}
	for from := 0; from < n; from += 40 {
		b.publish(evs[from : from+40]...)
		if b.f.Lose != nil && from > 0 {
			p.loseAny()
		}
	}
	b.until(2*b.patience(), "every event reaches its end", func() bool {
		return len(b.log.ids(entry{step: marked, text: "ack"})) == n
	})
	x.stop()
	close(over)
	b.await(sampler, "the sampler")
	c := x.balanced()
	if c.InFlight != 0 {
		b.Errorf("%d are in flight after Listen: %v", c.InFlight, c)
	}
	if got, want := c.Received-c.Fires.Received, int64(b.log.count(entry{step: received})); got != want {
		b.Errorf("the counters say that %d events were received, and the record %d", got, want)
	}
	var ends int64
	for _, o := range []eventflow.Outcome{eventflow.Succeeded, eventflow.DeadLettered, eventflow.Duplicate} {
		ends += c.Outcomes[o] - c.Fires.Outcomes[o]
	}
	if want := int64(b.log.count(entry{step: marked, text: "ack"})); ends != want {
		b.Errorf("the counters say %v, and the record that %d were acknowledged", c, want)
	}
	back := int64(b.log.count(entry{step: marked, text: "release"}) + b.log.count(entry{step: marked, text: "nack"}) + b.log.count(entry{step: lost}))
	if got := c.Outcomes[eventflow.HandedBack] - c.Fires.Outcomes[eventflow.HandedBack]; got != back {
		b.Errorf("the counters say that %d events were handed back, and the record %d", got, back)
	}
	b.oneEndEach(evs)
	if samples < 20 {
		b.Errorf("only %d samples were taken", samples)
	}
	b.nothingLeft(b.topics[0], "everything was acknowledged")
}

// misfortune is what the runs of some events come to.
func (b *bench) misfortune(ctx context.Context, run *eventflow.Run) error {
	if run.Fire != nil {
		return nil
	}
	var n int
	if _, err := fmt.Sscanf(run.Event().ID, "e-%d", &n); err != nil {
		return err
	}
	first := b.log.count(entry{step: began, id: run.Event().ID}) == 1
	switch {
	case n%40 == 3:
		return errBoom
	case n%40 == 17:
		return eventflow.Permanent(errBoom)
	case n%10 == 4 && first:
		return errBoom
	case n%10 == 5 && first:
		return eventflow.Busy(b.pause() / 2)
	case n%20 == 6 && first:
		panic("boom")
	case n%10 == 8:
		b.sleep(b.pause() / 4)
	}
	return ctx.Err()
}

// loseAny takes the lock of something that the process holds, if it holds anything.
func (p *process) loseAny() {
	p.mu.Lock()
	subs := p.subs
	p.mu.Unlock()
	for _, s := range subs {
		s.mu.Lock()
		var in *eventflow.Delivery
		for in = range s.outs {
			break
		}
		s.mu.Unlock()
		if in != nil && in.Open() {
			p.b.f.Lose(s.Subscriber, in)
		}
	}
}
