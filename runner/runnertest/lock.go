package runnertest

import (
	"context"
	"errors"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

func lockRules() []rule {
	return []rule{
		{name: "LongRunKeepsItsLock", needs: locks, short: true, run: longRunKeepsItsLock},
		{name: "LostLockCancelsTheRunAndFencesIt", needs: locks | lose, short: true, topics: 2, run: lostLockCancelsAndFences},
		{name: "UnconfirmedLockEndsTheRunBeforeAnotherBegins", needs: locks | stall, short: true, topics: 2, run: unconfirmedLockEndsTheRun},
	}
}

// Both the lock and the claim are renewed while the flow runs, and for what waits behind it.
func longRunKeepsItsLock(b *bench) {
	p := b.process("one")
	long := 3 * max(b.lock, b.lease)
	x := p.listen(p.sink(func(ctx context.Context, _ *eventflow.Run) error {
		b.sleep(long / 2)
		return ctx.Err()
	}), runner.On(p.on()), runner.MaxRuns(1))
	evs := b.events(2)
	b.publish(evs...)
	b.until(long+b.patience(), "both events are acknowledged", func() bool { return b.log.count(entry{step: confirmed}) == 2 })
	x.stop()
	b.onceButFor("", evs)
	if n := b.log.count(entry{step: received}); n != len(evs) {
		b.Errorf("%d events were received %d times. What happened:%s", len(evs), n, b.log.tail())
	}
	b.nothingLeft(b.topics[0], "both were acknowledged")
}

// late makes a flow whose first run lasts until its context ends, and then returns a result all the same.
func (p *process) late(causes chan<- error) *eventflow.Flow {
	return eventflow.NewFlow(flowName, func(ctx context.Context, s string) (string, error) {
		err := p.call(ctx, func(*eventflow.Run) error {
			if p.b.log.count(entry{step: began}) > 1 {
				return nil
			}
			<-ctx.Done()
			s += " of a run without a lock"
			causes <- context.Cause(ctx)
			return nil
		})
		return s, err
	})
}

func lostLockCancelsAndFences(b *bench) {
	p := b.process("one")
	causes := make(chan error, 1)
	x := p.listen(p.late(causes), runner.On(p.on()), runner.PublishTo(p.publisher(b.topics[1])))
	evs := b.events(1)
	b.publish(evs...)
	b.until(b.patience(), "the run begins", func() bool { return b.log.count(entry{step: began}) == 1 })
	p.lose("e-1")
	b.until(b.lapse(), "the event is run again and acknowledged", func() bool { return b.log.count(entry{step: marked, text: "ack"}) == 1 })
	b.cause(causes)
	x.stop()
	b.wantAttempts("e-1", 1, 1) // a lost lock is no attempt
	if c := x.balanced(); c.Outcomes[eventflow.Succeeded] != 1 || c.Outcomes[eventflow.Duplicate] != 0 || c.InFlight != 0 {
		b.Errorf("the counters say %v, want one success, and the other handed back", c)
	}
	b.oneResultEach(b.topics[1], evs)
	b.oneEndEach(evs)
	b.nothingLeft(b.topics[0], "it was acknowledged")
}

// cause fails the rule unless a run was cancelled because its lock was lost.
func (b *bench) cause(causes <-chan error) {
	b.Helper()
	select {
	case cause := <-causes:
		if !errors.Is(cause, eventflow.ErrLockLost) {
			b.Errorf("the context of the run ended with %v, want ErrLockLost", cause)
		}
	default:
		b.Errorf("the context of the run without a lock did not end. What happened:%s", b.log.tail())
	}
}

// A network that swallows packets: no renewal is confirmed any more. The run must end before the lock does.
func unconfirmedLockEndsTheRun(b *bench) {
	a, other := b.process("A"), b.process("B")
	causes := make(chan error, 1)
	x := a.listen(a.late(causes), runner.On(a.on()), runner.PublishTo(a.publisher(b.topics[1])))
	evs := b.events(1)
	b.publish(evs...)
	b.until(b.patience(), "the run begins", func() bool { return b.log.count(entry{step: began}) == 1 })
	b.f.Stall(a.subs[0].Subscriber)
	y := other.listen(other.late(causes), runner.On(other.on()), runner.PublishTo(other.publisher(b.topics[1])))
	b.until(b.lapse(), "the event is run again and acknowledged", func() bool { return b.log.count(entry{step: marked, text: "ack"}) == 1 })
	b.cause(causes)
	if over, next := b.log.first(entry{step: ended, process: a.name}), b.log.last(entry{step: began}); over < 0 || next < over {
		b.Errorf("the event ran elsewhere before its first run was over. What happened:%s", b.log.tail())
	}
	_ = x.stopped() // its subscriber may say why it has stalled
	y.stop()
	x.balanced()
	y.balanced()
	b.oneResultEach(b.topics[1], evs)
	b.oneEndEach(evs)
}
