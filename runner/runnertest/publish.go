package runnertest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

func publishRules() []rule {
	return []rule{
		{name: "RefusedResultIsOfferedAgainWithoutRunningAgain", topics: 2, run: refusedResultIsOfferedAgain},
		{name: "TooLargeResultIsAPermanentFailure", topics: 3, run: tooLargeResultIsAPermanentFailure},
		{name: "RefusedResultIsPublishedByTheSuccessor", topics: 2, run: refusedResultIsPublishedByTheSuccessor},
	}
}

// Only what was refused is offered again, and the flow is not called again for it.
func refusedResultIsOfferedAgain(b *bench) {
	p := b.process("one")
	var mu sync.Mutex // guards refusals
	refusals := map[string]int{"e-2": 2, "e-5": 1}
	p.refuse = func(_ string, ev *eventflow.Event) error {
		mu.Lock()
		defer mu.Unlock()
		if id := string(ev.Data); refusals[id] > 0 {
			refusals[id]--
			return errRefused
		}
		return nil
	}
	x := p.listen(p.echo(nil), runner.On(p.on()), runner.PublishTo(p.publisher(b.topics[1])))
	evs := b.events(6)
	b.publish(evs...)
	b.allConfirmed(evs)
	x.stop()
	for _, ev := range evs {
		b.wantAttempts(ev.ID, 1)
		want := map[string]int{"e-2": 3, "e-5": 2}[ev.ID]
		if n := b.log.count(entry{step: offered, id: ev.ID}); n != max(want, 1) {
			b.Errorf("the result of %s was offered %d times, want %d. What happened:%s", ev.ID, n, max(want, 1), b.log.tail())
		}
		b.inOrder(ev.ID, entry{step: published}, entry{step: finished, text: terminal}, entry{step: marked, text: "ack"})
	}
	b.oneResultEach(b.topics[1], evs)
	b.nothingLeft(b.topics[0], "everything was acknowledged")
}

func tooLargeResultIsAPermanentFailure(b *bench) {
	p := b.process("one")
	out, dead := b.topics[1], b.topics[2]
	p.refuse = func(topic string, ev *eventflow.Event) error {
		if topic == out && string(ev.Data) == "e-2" {
			return fmt.Errorf("%w: so the rule says", eventflow.ErrTooLarge)
		}
		return nil
	}
	x := p.listen(p.echo(nil), runner.On(p.on()), runner.PublishTo(p.publisher(out)), runner.DeadLetterTo(p.publisher(dead)))
	evs := b.events(4)
	b.publish(evs...)
	b.allConfirmed(evs)
	x.stop()
	b.onceButFor("", evs)
	b.deadLetter(dead, "e-2", "permanent", 1)
	b.oneResultEach(out, slices.Delete(slices.Clone(evs), 1, 2))
}

// A result that cannot be published keeps its event. When the runner stops, its successor runs it again, and the
// result's ID is the same.
func refusedResultIsPublishedByTheSuccessor(b *bench) {
	first := b.process("first")
	first.refuse = func(string, *eventflow.Event) error { return errRefused }
	x := first.listen(first.echo(nil), runner.On(first.on()), runner.PublishTo(first.publisher(b.topics[1])))
	evs := b.events(3)
	b.publish(evs...)
	b.until(b.patience(), "every result is refused", func() bool { return len(b.log.ids(entry{step: offered})) == len(evs) })
	if acked := b.log.count(entry{step: marked}); acked > 0 {
		b.Errorf("%d events were settled although their results are refused. What happened:%s", acked, b.log.tail())
	}
	x.stop()

	second := b.process("second")
	y := second.listen(second.echo(func(context.Context, *eventflow.Run) error { return nil }), runner.On(second.on()), runner.PublishTo(second.publisher(b.topics[1])))
	b.allConfirmed(evs)
	y.stop()
	for _, ev := range evs {
		ids := map[string]bool{}
		for _, e := range b.log.find(entry{step: offered, id: ev.ID}) {
			ids[e.result] = true
		}
		if len(ids) != 1 {
			b.Errorf("the result of %s was offered with %d different IDs, want one", ev.ID, len(ids))
		}
		b.wantAttempts(ev.ID, 1, 1)
	}
	b.oneResultEach(b.topics[1], evs)
	b.nothingLeft(b.topics[0], "everything was acknowledged")
}
