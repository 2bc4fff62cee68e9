package runnertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

func attemptRules() []rule {
	return []rule{
		{name: "FailedRunIsTriedAgain", run: failedRunIsTriedAgain},
		{name: "BusyIsNoAttempt", run: busyIsNoAttempt},
		{name: "ShutdownIsNoAttempt", run: shutdownIsNoAttempt},
		{name: "AttemptsSurviveARestart", topics: 2, run: attemptsSurviveARestart},
		{name: "DeathIsAnAttempt", needs: crash, short: true, topics: 2, run: deathIsAnAttempt},
	}
}

// attempts gives the attempts of the runs of an event that began, in order.
func (b *bench) attempts(id string) (out []int) {
	for _, e := range b.log.find(entry{step: began, id: id}) {
		out = append(out, e.attempt)
	}
	return out
}

func (b *bench) wantAttempts(id string, want ...int) {
	b.Helper()
	if got := b.attempts(id); !slices.Equal(got, want) {
		b.Errorf("the runs of %s were attempts %v, want %v. What happened:%s", id, got, want, b.log.tail())
	}
}

func failedRunIsTriedAgain(b *bench) {
	p := b.process("one")
	x := p.listen(p.sink(func(_ context.Context, run *eventflow.Run) error {
		switch {
		case run.Event().ID == "e-2" && run.Attempt == 1:
			return errBoom
		case run.Event().ID == "e-2" && run.Attempt == 2:
			panic("boom")
		}
		return nil
	}), runner.On(p.on()), runner.MaxAttempts(3))
	evs := b.events(3)
	b.publish(evs...)
	b.until(b.patience(), "every event is acknowledged", func() bool { return len(b.log.ids(entry{step: confirmed})) == len(evs) })
	x.stop()
	b.wantAttempts("e-1", 1)
	b.wantAttempts("e-2", 1, 2, 3)
	b.wantAttempts("e-3", 1)
	if n := b.log.count(entry{step: received, id: "e-2"}); n != 1 {
		b.Errorf("e-2 was received %d times, want once: a retry keeps its lock", n)
	}
	if c := x.balanced(); c.Outcomes[eventflow.Succeeded] != 3 || c.Retries != 2 {
		b.Errorf("the counters say %v and %d retries, want 3 succeeded and 2 retries", c, c.Retries)
	}
	b.nothingLeft(b.topics[0], "everything was acknowledged")
}

func busyIsNoAttempt(b *bench) {
	p := b.process("one")
	x := p.listen(p.sink(func(context.Context, *eventflow.Run) error {
		if b.log.count(entry{step: began}) < 5 {
			return eventflow.Busy(b.pause())
		}
		return nil
	}), runner.On(p.on()), runner.MaxAttempts(2))
	b.publish(b.events(1)...)
	b.until(b.patience(), "the event is acknowledged", func() bool { return b.log.count(entry{step: marked, text: "ack"}) == 1 })
	x.stop()
	b.wantAttempts("e-1", 1, 1, 1, 1, 1)
	if c := x.balanced(); c.Outcomes[eventflow.Succeeded] != 1 {
		b.Errorf("the counters say %v, want one success", c)
	}
	b.nothingLeft(b.topics[0], "it was acknowledged")
}

func shutdownIsNoAttempt(b *bench) {
	b.publish(b.events(1)...)
	for i := range 3 {
		p := b.process(fmt.Sprint("generation-", i))
		causes := make(chan error, 1)
		x := p.listen(p.sink(func(ctx context.Context, _ *eventflow.Run) error {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return ctx.Err()
		}), runner.On(p.on()), runner.MaxAttempts(2), runner.Grace(0))
		b.until(b.patience(), "the run begins", func() bool { return b.log.count(entry{step: began, process: p.name}) == 1 })
		x.stop()
		if cause := <-causes; !errors.Is(cause, eventflow.ErrShutdown) {
			b.Errorf("the run was cancelled with %v, want ErrShutdown", cause)
		}
		if c := x.balanced(); c.Outcomes[eventflow.HandedBack] != 1 {
			b.Errorf("the counters say %v, want one handed back", c)
		}
	}
	p := b.process("last")
	x := p.listen(p.sink(nothing), runner.On(p.on()), runner.MaxAttempts(2))
	b.until(b.patience(), "the event is acknowledged", func() bool { return b.log.count(entry{step: marked, text: "ack"}) == 1 })
	x.stop()
	b.wantAttempts("e-1", 1, 1, 1, 1)
	b.nothingLeft(b.topics[0], "it was acknowledged")
}

func attemptsSurviveARestart(b *bench) {
	b.publish(b.events(1)...)
	for i := range 3 {
		p := b.process(fmt.Sprint("generation-", i))
		x := p.listen(p.sink(func(context.Context, *eventflow.Run) error { return errBoom }), runner.On(p.on()), runner.MaxAttempts(3),
			runner.DeadLetterTo(p.publisher(b.topics[1])), runner.Backoff(fixed(4*time.Minute)))
		state := failed
		if i == 2 {
			state = terminal
		}
		b.until(b.patience(), "the failed attempt is in the store", func() bool { return b.log.count(entry{step: finished, process: p.name, text: state}) == 1 })
		x.stop()
	}
	b.wantAttempts("e-1", 1, 2, 3)
	b.deadLetter(b.topics[1], "e-1", "exhausted", 3)
	b.nothingLeft(b.topics[0], "it was dead-lettered")
}

// A run that dies with its process may be what killed it: such runs count, or it would kill one process after another.
func deathIsAnAttempt(b *bench) {
	b.publish(b.events(1)...)
	for i := range 2 {
		p := b.process(fmt.Sprint("generation-", i))
		p.dies = func(e *entry) bool { return e.step == began }
		p.listen(p.sink(nothing), runner.On(p.on()), runner.MaxAttempts(2))
		select {
		case <-p.died:
		case <-time.After(b.lapse()):
			b.Fatalf("%s did not get the event within %v. What happened:%s", p.name, b.lapse(), b.log.tail())
		}
	}
	p := b.process("last")
	x := p.listen(p.sink(nothing), runner.On(p.on()), runner.MaxAttempts(2), runner.DeadLetterTo(p.publisher(b.topics[1])))
	b.until(b.lapse(), "the event is acknowledged", func() bool { return b.log.count(entry{step: marked, process: p.name, text: "ack"}) == 1 })
	x.stop()
	b.wantAttempts("e-1", 1, 2)
	b.deadLetter(b.topics[1], "e-1", "exhausted", 0)
	b.nothingLeft(b.topics[0], "it was dead-lettered")
}
