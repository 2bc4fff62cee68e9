package runnertest

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

func boundRules() []rule {
	return []rule{
		{name: "MaxInFlightBoundsWhatIsHeld", run: maxInFlightBounds},
		{name: "MaxHeldBytesBoundsWhatIsHeld", run: maxHeldBytesBounds},
		{name: "MaxPerLaneBoundsWhatIsHeld", needs: lanes, run: maxPerLaneBounds},
		{name: "BacklogDelaysNoFire", run: backlogDelaysNoFire},
	}
}

// full lets a runner take as much as it will of events that nobody finishes, and gives the most that it held. Then all
// are finished.
func (b *bench) full(evs []eventflow.Event, opts ...runner.Option) held {
	b.Helper()
	p := b.process("one")
	gate := make(chan struct{})
	sub := p.on()
	x := p.listen(p.sink(func(ctx context.Context, _ *eventflow.Run) error {
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}), append([]runner.Option{runner.On(sub)}, opts...)...)
	b.publish(evs...)
	b.until(b.patience(), "a run begins", func() bool { return b.log.count(entry{step: began}) > 0 })
	b.sleep(2 * b.h.Broker.Quiet)
	close(gate)
	b.allConfirmed(evs)
	x.stop()
	x.balanced()
	return p.subs[0].mostHeld()
}

func maxInFlightBounds(b *bench) {
	const bound = 5
	if most := b.full(b.events(30), runner.MaxInFlight(bound)).events; most > bound {
		b.Errorf("the runner held %d events at once, want at most %d", most, bound)
	}
}

func maxHeldBytesBounds(b *bench) {
	const bound, size = 10_000, 1_000
	evs := b.events(30)
	for i := range evs {
		evs[i].Data = fmt.Append(nil, fmt.Sprintf("%*d", size, i))
	}
	if most := b.full(evs, runner.MaxHeldBytes(bound)).bytes; most > bound {
		b.Errorf("the runner held %d bytes at once, want at most %d", most, bound)
	}
}

func maxPerLaneBounds(b *bench) {
	const bound = 3
	keys := b.keys(2)
	if most := b.full(append(lane("a", keys[0], 20), lane("b", keys[1], 20)...), runner.MaxPerLane(bound)).perLane; most > bound {
		b.Errorf("the runner held %d events of one lane at once, want at most %d", most, bound)
	}
}

// Events without end, more than all run slots can take; a clock fires all the same, each second, and the runner holds no
// more than it may.
func backlogDelaysNoFire(b *bench) {
	const runs, bound = 8, 64
	n := b.h.Backlog
	span := 6 * time.Second // what the backlog takes at least
	if b.h.Broker.Virtual {
		span = 2 * time.Minute
	}
	each := span * runs / time.Duration(n)
	b.log.off = true
	p := b.process("one")
	var fires, latest, ran atomic.Int64
	done := make(chan struct{})
	f := eventflow.NewSink(flowName, func(ctx context.Context, _ string) error {
		if fire := eventflow.RunFrom(ctx).Fire; fire != nil {
			fires.Add(1)
			latest.Store(max(latest.Load(), int64(time.Since(fire.Due))))
			return nil
		}
		b.sleep(each)
		if ran.Add(1) == int64(n) {
			close(done)
		}
		return ctx.Err()
	})
	x := p.listen(f, runner.On(p.on()), runner.At(eventflow.Every(time.Second)), runner.MaxRuns(runs), runner.MaxInFlight(bound), runner.MaxPerLane(bound))
	feeder := b.spawn(func() { b.feed(n) })
	patience := time.NewTimer(20*span + b.patience())
	defer patience.Stop()
	for waiting := true; waiting; {
		select {
		case <-done:
			waiting = false
		case <-patience.C:
			b.Fatalf("%d of %d events ran within %v", ran.Load(), n, 20*span+b.patience())
		case <-time.After(b.pause()):
			x.balanced()
		}
	}
	b.await(feeder, "the last Publish")
	x.stop()
	c := x.balanced()
	if got := c.Outcomes[eventflow.Succeeded] - c.Fires.Outcomes[eventflow.Succeeded]; got != int64(n) {
		b.Errorf("the counters say that %d events succeeded, want %d: %v", got, n, c)
	}
	if late := time.Duration(latest.Load()); late > b.h.Late {
		b.Errorf("a fire was %v late behind a backlog, want at most %v", late, b.h.Late)
	}
	if least := int64(span/time.Second) - 2; fires.Load() < least {
		b.Errorf("a clock of a second fired %d times in %v or more, want at least %d", fires.Load(), span, least)
	}
	if most := p.subs[0].mostHeld().events; most > bound {
		b.Errorf("the runner held %d events at once, want at most %d", most, bound)
	}
}

// feed publishes n events, as fast as the broker takes them.
func (b *bench) feed(n int) {
	keys := b.keys(16)
	ctx, cancel := b.within(time.Hour)
	defer cancel()
	const chunk = 100
	for from := 0; from < n && ctx.Err() == nil; from += chunk {
		evs := make([]eventflow.Event, min(chunk, n-from))
		for i := range evs {
			evs[i] = newEvent(fmt.Sprintf("e-%d", from+i), keys[i%len(keys)])
		}
		if err := b.publisher(b.topics[0]).Publish(ctx, evs...); err != nil && ctx.Err() == nil {
			b.Errorf("Publish: %v", err)
			return
		}
	}
}
