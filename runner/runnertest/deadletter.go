package runnertest

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

func deadLetterRules() []rule {
	return []rule{
		{name: "PoisonIsDeadLetteredAfterItsAttempts", topics: 2, run: poisonIsDeadLettered},
		{name: "PermanentFailureIsNotTriedAgain", topics: 2, run: permanentFailureIsNotTriedAgain},
		{name: "BrokersOwnDeadLetterSaysWhy", needs: deadLetters | readDead, run: brokersOwnDeadLetterSaysWhy},
		{name: "DeadLetterIsWrittenBeforeTheAck", topics: 2, run: deadLetterIsWrittenBeforeTheAck},
		{name: "UnwritableDeadLetterHoldsItsLane", topics: 2, run: unwritableDeadLetterHoldsItsLane},
		{name: "ReceiveLimitBuriesNoNeighbour", needs: lanes | receives, topics: 2, receives: 8, run: receiveLimitBuriesNoNeighbour},
		{name: "UndecodableEventIsDeadLetteredAtOnce", topics: 2, run: undecodableEventIsDeadLetteredAtOnce},
		{name: "ManyUndecodableEventsPauseTheTrigger", topics: 2, run: manyUndecodableEventsPauseTheTrigger},
	}
}

// deadLetter fails the rule unless a topic has exactly one dead letter, of this event. Attempts 0: whatever it says.
func (b *bench) deadLetter(topic, id, reason string, attempts int) {
	b.Helper()
	dead := b.results(topic, 1)
	if len(dead) != 1 || len(dead[id]) != 1 {
		b.Fatalf("there are dead letters of %d events and %d of %s, want one. What happened:%s", len(dead), len(dead[id]), id, b.log.tail())
	}
	ev := dead[id][0]
	if ev.ID != id || ev.Source != "runnertest" {
		b.Errorf("the dead letter has ID %q and Source %q, want the event's: %q and %q", ev.ID, ev.Source, id, "runnertest")
	}
	for name, want := range map[string]string{"eventflow-reason": reason, "eventflow-flow": flowName, "eventflow-version": "v1"} {
		if got := text(ev.Attributes, name); got != want {
			b.Errorf("the dead letter's %s is %q, want %q", name, got, want)
		}
	}
	if got := text(ev.Attributes, "eventflow-attempts"); attempts > 0 && got != strconv.Itoa(attempts) {
		b.Errorf("the dead letter speaks of %q attempts, want %d", got, attempts)
	}
}

// failing makes a flow of which the runs of one event fail.
func (p *process) failing(id string, err error) *eventflow.Flow {
	return p.sink(func(_ context.Context, run *eventflow.Run) error {
		if run.Event().ID == id {
			return err
		}
		return nil
	})
}

// allConfirmed waits until the broker has confirmed an acknowledgement of each event.
func (b *bench) allConfirmed(evs []eventflow.Event) {
	b.Helper()
	b.until(b.patience(), "every event is acknowledged", func() bool {
		acked, sure := b.log.ids(entry{step: marked, text: "ack"}), b.log.ids(entry{step: confirmed})
		return len(acked) == len(evs) && len(sure) == len(evs)
	})
}

// onceButFor fails the rule unless every event ran once, but for the one.
func (b *bench) onceButFor(id string, evs []eventflow.Event) {
	b.Helper()
	for _, ev := range evs {
		if ev.ID != id {
			b.wantAttempts(ev.ID, 1)
		}
	}
}

func poisonIsDeadLettered(b *bench) {
	p := b.process("one")
	x := p.listen(p.failing("e-3", errBoom), runner.On(p.on()), runner.MaxAttempts(3), runner.DeadLetterTo(p.publisher(b.topics[1])))
	evs := b.events(6)
	b.publish(evs...)
	b.allConfirmed(evs)
	x.stop()
	b.wantAttempts("e-3", 1, 2, 3)
	b.onceButFor("e-3", evs)
	if c := x.balanced(); c.Outcomes[eventflow.Succeeded] != 5 || c.Outcomes[eventflow.DeadLettered] != 1 {
		b.Errorf("the counters say %v, want 5 succeeded and one dead-lettered", c)
	}
	b.deadLetter(b.topics[1], "e-3", "exhausted", 3)
	b.nothingLeft(b.topics[0], "everything was run or dead-lettered")
}

func permanentFailureIsNotTriedAgain(b *bench) {
	p := b.process("one")
	x := p.listen(p.failing("e-2", eventflow.Permanent(errBoom)), runner.On(p.on()), runner.DeadLetterTo(p.publisher(b.topics[1])))
	evs := b.events(3)
	b.publish(evs...)
	b.allConfirmed(evs)
	x.stop()
	b.onceButFor("", evs)
	b.deadLetter(b.topics[1], "e-2", "permanent", 1)
	b.nothingLeft(b.topics[0], "everything was run or dead-lettered")
}

func brokersOwnDeadLetterSaysWhy(b *bench) {
	p := b.process("one")
	x := p.listen(p.failing("e-2", errBoom), runner.On(p.on()), runner.MaxAttempts(2))
	evs := b.events(4)
	b.publish(evs...)
	b.until(b.patience(), "every event is confirmed", func() bool { return len(b.log.ids(entry{step: confirmed})) == len(evs) })
	x.stop()
	b.wantAttempts("e-2", 1, 2)
	ctx, cancel := b.within(b.patience())
	defer cancel()
	dead, err := b.f.DeadLetters(ctx, b.topics[0])
	if err != nil {
		b.Fatalf("DeadLetters: %v", err)
	}
	if len(dead) != 1 || dead[0].Event.ID != "e-2" {
		b.Fatalf("there are %d dead letters, want that of e-2", len(dead))
	}
	if d := dead[0]; d.Reason != "exhausted" || d.Flow != flowName || d.Version != "v1" || d.Attempts != 2 {
		b.Errorf("the dead letter says reason %q, flow %q, version %q, attempts %d", d.Reason, d.Flow, d.Version, d.Attempts)
	}
	if c := x.balanced(); c.Outcomes[eventflow.DeadLettered] != 1 || c.Outcomes[eventflow.Succeeded] != 3 {
		b.Errorf("the counters say %v, want 3 succeeded and one dead-lettered", c)
	}
	b.nothingLeft(b.topics[0], "everything was run or dead-lettered")
}

func deadLetterIsWrittenBeforeTheAck(b *bench) {
	p := b.process("one")
	dead := b.topics[1]
	x := p.listen(p.failing("e-1", eventflow.Permanent(errBoom)), runner.On(p.on()), runner.DeadLetterTo(p.publisher(dead)))
	evs := b.events(2)
	b.publish(evs...)
	b.allConfirmed(evs)
	x.stop()
	b.inOrder("e-1", entry{step: began}, entry{step: offered, text: dead}, entry{step: published, text: dead},
		entry{step: finished, text: terminal}, entry{step: marked, text: "ack"}, entry{step: confirmed})
}

// Neither acknowledged nor dropped: it waits, and says so, until it can be written. What is behind it in its lane waits
// with it, all others go on.
func unwritableDeadLetterHoldsItsLane(b *bench) {
	p := b.process("one")
	var writable atomic.Bool
	p.refuse = func(string, *eventflow.Event) error {
		if writable.Load() {
			return nil
		}
		return errRefused
	}
	x := p.listen(p.failing("poison-1", eventflow.Permanent(errBoom)), runner.On(p.on()), runner.DeadLetterTo(p.publisher(b.topics[1])))
	keys := b.keys(2)
	poison, others := lane("poison", keys[0], 3), lane("other", keys[1], 3)
	b.publish(append(poison, others...)...)
	b.until(b.patience(), "the other lane is acknowledged", func() bool {
		acked := b.log.ids(entry{step: marked, text: "ack"})
		return acked["other-1"]+acked["other-2"]+acked["other-3"] == 3
	})
	b.until(b.patience(), "the dead letter is refused, again and again, and the runner says so", func() bool {
		return b.log.count(entry{step: offered, id: "poison-1"}) >= 3 && p.loud.said()
	})
	b.sleep(b.h.Broker.Quiet)
	if n := b.log.count(entry{step: marked, id: "poison-1"}); n != 0 {
		b.Errorf("the event was settled although its dead letter is not written. What happened:%s", b.log.tail())
	}
	if b.features.Lanes {
		for _, ev := range poison[1:] {
			if n := b.log.count(entry{step: began, id: ev.ID}); n != 0 {
				b.Errorf("%s ran although the dead letter before it in its lane is not written. What happened:%s", ev.ID, b.log.tail())
			}
		}
	}
	b.wantAttempts("poison-1", 1)
	writable.Store(true)
	b.allConfirmed(append(poison, others...))
	x.stop()
	b.wantAttempts("poison-1", 1)
	b.deadLetter(b.topics[1], "poison-1", "permanent", 1)
	b.nothingLeft(b.topics[0], "everything was run or dead-lettered")
}

// A queue that counts receives must not be made to count those of the neighbours: what one gives back is received again.
func receiveLimitBuriesNoNeighbour(b *bench) {
	if b.f.MaxReceives < 8 {
		b.Fatalf("Fixture.MaxReceives is %d where the rule asked for 8", b.f.MaxReceives)
	}
	p := b.process("one")
	x := p.listen(p.failing("m-1", errBoom), runner.On(p.on()), runner.MaxAttempts(3), runner.Slack(5), runner.DeadLetterTo(p.publisher(b.topics[1])))
	evs := lane("m", b.keys(1)[0], 10)
	b.publish(evs...)
	b.allConfirmed(evs)
	x.stop()
	b.wantAttempts("m-1", 1, 2, 3)
	b.onceButFor("m-1", evs)
	b.laneInOrder(evs[1:])
	if b.log.first(entry{step: began, id: "m-2"}) < b.log.last(entry{step: ended, id: "m-1"}) {
		b.Errorf("m-2 began before the attempts of m-1, ahead of it in its lane, were over. What happened:%s", b.log.tail())
	}
	b.deadLetter(b.topics[1], "m-1", "exhausted", 3)
	if b.f.DeadLetters != nil {
		ctx, cancel := b.within(b.patience())
		defer cancel()
		dead, err := b.f.DeadLetters(ctx, b.topics[0])
		if err != nil {
			b.Fatalf("DeadLetters: %v", err)
		}
		for _, d := range dead {
			b.Errorf("the broker itself dead-lettered %s", d.Event.ID)
		}
	}
	b.nothingLeft(b.topics[0], "everything was run or dead-lettered")
}

// numbers makes a flow that does not take texts.
func (p *process) numbers() *eventflow.Flow {
	return eventflow.NewSink(flowName, func(ctx context.Context, _ int) error { return p.call(ctx, func(*eventflow.Run) error { return nil }) },
		eventflow.Version("v1"))
}

func undecodableEventIsDeadLetteredAtOnce(b *bench) {
	p := b.process("one")
	x := p.listen(p.numbers(), runner.On(p.on()), runner.DeadLetterTo(p.publisher(b.topics[1])))
	evs := b.events(4)
	for i := range evs {
		if evs[i].ID != "e-2" {
			evs[i].Data = []byte("7")
		}
	}
	b.publish(evs...)
	b.allConfirmed(evs)
	x.stop()
	b.wantAttempts("e-2")
	b.onceButFor("e-2", evs)
	if c := x.balanced(); c.Reasons[runner.Reason{Outcome: eventflow.DeadLettered, Why: "decode"}] != 1 {
		b.Errorf("the counters say %v, want one dead-lettered with the reason \"decode\"", c)
	}
	b.deadLetter(b.topics[1], "e-2", "decode", 1)
	b.nothingLeft(b.topics[0], "everything was run or dead-lettered")
}

// A flow that understands nothing is a bad deploy: it must not drain the backlog into the dead letters.
func manyUndecodableEventsPauseTheTrigger(b *bench) {
	const n, pauseAfter = 12, 3
	keys := b.keys(n)
	var evs []eventflow.Event
	for i := range n {
		evs = append(evs, newEvent(fmt.Sprintf("e-%d", i+1), keys[i]))
	}
	bad := b.process("bad")
	x := bad.listen(bad.numbers(), runner.On(bad.on()), runner.DeadLetterTo(bad.publisher(b.topics[1])), runner.PauseAfterDecodeFailures(pauseAfter))
	b.publish(evs...)
	b.until(b.patience(), "the runner says that it has paused", bad.loud.said)
	b.sleep(b.h.Broker.Quiet)
	x.stop()
	dead := b.log.ids(entry{step: published, text: b.topics[1]})
	if len(dead) >= pauseAfter {
		b.Errorf("%d of %d events were dead-lettered, want fewer than %d. What happened:%s", len(dead), n, pauseAfter, b.log.tail())
	}
	x.balanced()

	good := b.process("good")
	y := good.listen(good.sink(nothing), runner.On(good.on()))
	b.until(2*b.patience(), "a flow that understands them runs all others", func() bool {
		return len(b.log.ids(entry{step: finished, process: good.name, text: terminal})) == n-len(dead)
	})
	y.stop()
	b.nothingLeft(b.topics[0], "everything was run or dead-lettered")
}
