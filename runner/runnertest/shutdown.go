package runnertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

func shutdownRules() []rule {
	return []rule{
		{name: "ShutdownFinishesRunsAndHandsBackTheRest", topics: 2, run: shutdownHandsBackTheRest},
		{name: "EventSentBehindAShutdownIsNotLost", run: eventSentBehindAShutdown},
		{name: "EventSentDuringAShutdownIsNotLost", run: eventSentDuringAShutdown},
		{name: "DeafFlowIsNamedAndFenced", needs: locks, short: true, topics: 2, run: deafFlowIsNamedAndFenced},
		{name: "NothingIsLeftAfterListen", topics: 2, run: nothingIsLeftAfterListen},
	}
}

// handedBack takes what a shutdown handed back, with a plain consumer, in the time that it may take since Listen
// returned.
func (b *bench) handedBack(n int) []*eventflow.Delivery {
	b.Helper()
	ds := b.consume(b.topics[0], b.h.Soon, func(ds []*eventflow.Delivery) bool { return len(ds) >= n })
	if len(ds) != n {
		b.Fatalf("another consumer had %d events within %v of Listen's return, want %d. What happened:%s", len(ds), b.h.Soon, n, b.log.tail())
	}
	return ds
}

func shutdownHandsBackTheRest(b *bench) {
	p := b.process("one")
	stopping := make(chan struct{})
	x := p.listen(p.echo(func(context.Context, *eventflow.Run) error {
		<-stopping
		b.sleep(b.pause()) // the run ends within the grace period
		return nil
	}), runner.On(p.on()), runner.PublishTo(p.publisher(b.topics[1])), runner.MaxRuns(1))
	evs := b.events(8)
	b.publish(evs...)
	b.until(b.patience(), "the runner holds every event", func() bool {
		return b.log.count(entry{step: received}) == len(evs) && b.log.count(entry{step: began}) == 1
	})
	x.cancel()
	close(stopping)
	x.stop()
	c := x.balanced()
	if c.Outcomes[eventflow.Succeeded] != 1 || c.Outcomes[eventflow.HandedBack] != 7 || c.InFlight != 0 {
		b.Errorf("the counters say %v, want one success and 7 handed back", c)
	}
	done := b.log.find(entry{step: began})[0].id
	for _, d := range b.handedBack(7) {
		if d.Event.ID == done {
			b.Errorf("%s was handed over again although its run ended within the grace period", done)
		}
		if b.features.ExactAttempt && d.Attempts != 0 {
			b.Errorf("%s has %d attempts, want 0: a shutdown is none", d.Event.ID, d.Attempts)
		}
	}
	i := slices.IndexFunc(evs, func(ev eventflow.Event) bool { return ev.ID == done })
	b.oneResultEach(b.topics[1], evs[i:i+1])
	b.nothingLeft(b.topics[0], "everything was acknowledged")
}

// The runner is told to stop while it waits for events: none of those that come afterwards may still go to it.
func eventSentBehindAShutdown(b *bench) {
	p := b.process("one")
	x := p.listen(p.sink(nothing), runner.On(p.on()))
	b.sleep(min(b.h.Broker.Quiet, 200*time.Millisecond)) // it waits for events
	x.stop()
	b.publish(b.events(3)...)
	b.sleep(b.h.Soon / 20) // time for a poll that nobody ended
	b.handedBack(3)
}

// Events arrive at the very moment at which the runner is told to stop: those that it has not run are there at once.
func eventSentDuringAShutdown(b *bench) {
	const rounds = 6
	for i := range rounds {
		p := b.process(fmt.Sprint("round-", i))
		x := p.listen(p.sink(nothing), runner.On(p.on()))
		b.sleep(time.Duration(i) * time.Millisecond)
		evs := b.events(5)
		for k := range evs {
			evs[k].ID = fmt.Sprintf("r%d-%s", i, evs[k].ID)
			evs[k].Data = []byte(evs[k].ID)
		}
		sent := b.spawn(func() {
			ctx, cancel := b.within(b.patience())
			defer cancel()
			if err := b.publisher(b.topics[0]).Publish(ctx, evs...); err != nil {
				b.Errorf("Publish: %v", err)
			}
		})
		b.sleep(time.Duration(rounds-i) * time.Millisecond / 2)
		x.stop()
		b.await(sent, "Publish")
		left := map[string]bool{}
		for _, ev := range evs {
			left[ev.ID] = b.log.count(entry{step: marked, id: ev.ID, text: "ack"}) == 0
			if !left[ev.ID] {
				delete(left, ev.ID)
			}
		}
		for _, d := range b.handedBack(len(left)) {
			if !left[d.Event.ID] {
				b.Errorf("%s was handed over although it was acknowledged, or twice", d.Event.ID)
			}
			delete(left, d.Event.ID)
		}
		if c := x.balanced(); c.InFlight != 0 {
			b.Errorf("%d are in flight after Listen: %v", c.InFlight, c)
		}
	}
	b.nothingLeft(b.topics[0], "everything was acknowledged")
}

// A flow that ignores its context cannot be stopped: it is named, and what it still does has no effect.
func deafFlowIsNamedAndFenced(b *bench) {
	p := b.process("deaf")
	wake := make(chan struct{})
	var woken atomic.Bool
	stir := func() {
		if !woken.Swap(true) {
			close(wake)
		}
	}
	b.Cleanup(stir)
	deaf := eventflow.NewFlow(flowName, func(ctx context.Context, _ string) (string, error) {
		err := p.call(ctx, func(*eventflow.Run) error {
			<-wake
			return nil
		})
		return "of a run that was abandoned", err
	})
	x := p.listen(deaf, runner.On(p.on()), runner.PublishTo(p.publisher(b.topics[1])), runner.Grace(b.pause()), runner.HardStop(b.pause()))
	evs := b.events(1)
	b.publish(evs...)
	b.until(b.patience(), "the run begins", func() bool { return b.log.count(entry{step: began}) == 1 })
	err := x.stopped()
	var abandoned *eventflow.AbandonedError
	if !errors.Is(err, eventflow.ErrAbandoned) || !errors.As(err, &abandoned) {
		b.Fatalf("Listen returned %v, want ErrAbandoned", err)
	}
	if len(abandoned.Runs) != 1 || !strings.HasSuffix(abandoned.Runs[0], "/e-1") {
		b.Errorf("the runs that were abandoned are %v, want that of e-1", abandoned.Runs)
	}
	if x.balanced(); b.log.count(entry{step: marked, text: "ack"}) > 0 {
		b.Errorf("an abandoned event was acknowledged")
	}

	next := b.process("next")
	y := next.listen(next.echo(nil), runner.On(next.on()), runner.PublishTo(next.publisher(b.topics[1])))
	b.until(b.lapse(), "another process runs it once lock and lease have ended", func() bool {
		return b.log.count(entry{step: marked, process: next.name, text: "ack"}) == 1
	})
	stir()
	b.until(b.patience(), "the abandoned run returns", func() bool { return b.log.count(entry{step: ended, process: p.name}) == 1 })
	b.oneResultEach(b.topics[1], evs)
	y.stop()
	b.oneEndEach(evs)
	if n := b.log.count(entry{step: offered, process: p.name}); n > 0 {
		b.Errorf("the result of an abandoned run was published")
	}
}

// marks counts the marks that were given, so that rules which run at the same time do not see each other's goroutines.
var marks atomic.Uint64

const markName = "runnertest"

// A runner that does all that may start a goroutine leaves none; what the broker's client shares ends with the broker.
func nothingIsLeftAfterListen(b *bench) {
	mark := fmt.Sprintf("%s-%d", b.Name(), marks.Add(1))
	pprof.Do(b.Context(), pprof.Labels(markName, mark), func(context.Context) {
		p := b.process("one")
		p.refuse = func(_ string, ev *eventflow.Event) error {
			if b.log.count(entry{step: offered, id: "e-5"}) < 2 && string(ev.Data) == "e-5" {
				return errRefused
			}
			return nil
		}
		evs := b.events(6)
		x := p.listen(p.echo(func(ctx context.Context, run *eventflow.Run) error {
			switch {
			case run.Fire != nil, run.Attempt > 1:
			case run.Event().ID == "e-1":
				return errBoom
			case run.Event().ID == "e-2":
				panic("boom")
			case run.Event().ID == "e-3":
				b.sleep(b.pause())
			case run.Event().ID == "e-4":
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}), runner.On(p.on()), runner.PublishTo(p.publisher(b.topics[1])), runner.At(eventflow.Every(b.pause())), runner.Grace(b.pause()))
		b.publish(evs...)
		b.until(b.patience(), "all but one event are acknowledged", func() bool { return len(b.log.ids(entry{step: marked, text: "ack"})) == 5 })
		x.stop()
		if c := x.balanced(); c.InFlight != 0 {
			b.Errorf("%d are in flight after Listen: %v", c.InFlight, c)
		}
	})
	// What a runner started has its code, or its flow's, on the stack.
	b.noneLeft(mark, "Listen", func(stack string) bool { return strings.Contains(stack, "eventflow/runner.") })
	b.handedBack(1)
	ctx, cancel := b.within(b.patience())
	defer cancel()
	for _, p := range b.pubs {
		_ = p.Close(ctx)
	}
	if err := b.f.Broker.Close(ctx); err != nil {
		b.Errorf("Close of the broker: %v", err)
	}
	b.noneLeft(mark, "the broker", func(stack string) bool {
		return b.h.Broker.IgnoreGoroutine == nil || !b.h.Broker.IgnoreGoroutine(stack)
	})
}

// noneLeft waits until no goroutine of the mark is there that counts.
func (b *bench) noneLeft(mark, what string, counts func(stack string) bool) {
	b.Helper()
	var stacks []string
	pause := time.Millisecond
	for end := time.Now().Add(b.patience()); ; pause *= 2 {
		if stacks = b.ofMark(mark, counts); len(stacks) == 0 || time.Now().After(end) {
			break
		}
		b.sleep(pause)
	}
	if len(stacks) > 0 {
		b.Errorf("goroutines are still there %v after the end of %s:\n%s", b.patience(), what, strings.Join(stacks, "\n\n"))
	}
}

func (b *bench) ofMark(mark string, counts func(stack string) bool) (stacks []string) {
	b.Helper()
	var buf bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&buf, 1); err != nil {
		b.Fatalf("the goroutine profile: %v", err)
	}
	for stack := range strings.SplitSeq(buf.String(), "\n\n") {
		if strings.Contains(stack, fmt.Sprintf("%q:%q", markName, mark)) && counts(stack) {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}
