package runnertest

import (
	"context"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

func outageRules() []rule {
	return []rule{
		{name: "NothingRunsWhileTheStoreIsAway", run: nothingRunsWhileTheStoreIsAway},
		{name: "NothingIsAcknowledgedWhileTheStoreIsAway", run: nothingIsAcknowledgedWhileTheStoreIsAway},
		{name: "SourceThatFailsIsAskedAgain", run: sourceThatFailsIsAskedAgain},
	}
}

// Nothing runs unclaimed: events are held, loudly, until the store is back, and then nobody has to do anything.
func nothingRunsWhileTheStoreIsAway(b *bench) {
	p := b.process("one")
	p.storeAway.Store(true)
	x := p.listen(p.sink(nothing), runner.On(p.on()))
	evs := b.events(4)
	b.publish(evs...)
	b.until(b.patience(), "the runner says that the store is away", p.loud.said)
	b.sleep(b.h.Broker.Quiet)
	if n := b.log.count(entry{step: began}) + b.log.count(entry{step: marked}); n > 0 {
		b.Errorf("%d events ran or were settled without a claim. What happened:%s", n, b.log.tail())
	}
	p.storeAway.Store(false)
	b.allConfirmed(evs)
	x.stop()
	b.onceButFor("", evs)
	b.nothingLeft(b.topics[0], "everything was acknowledged")
}

// A run whose end cannot be recorded is not acknowledged, and not repeated: its end waits.
func nothingIsAcknowledgedWhileTheStoreIsAway(b *bench) {
	p := b.process("one")
	x := p.listen(p.sink(func(context.Context, *eventflow.Run) error {
		p.storeAway.Store(true)
		return nil
	}), runner.On(p.on()), runner.MaxRuns(1))
	evs := b.events(1)
	b.publish(evs...)
	b.until(b.patience(), "the runner says that the store is away", p.loud.said)
	b.sleep(b.h.Broker.Quiet)
	if n := b.log.count(entry{step: marked}); n > 0 {
		b.Errorf("the event was settled before the end of its run was recorded. What happened:%s", b.log.tail())
	}
	p.storeAway.Store(false)
	b.allConfirmed(evs)
	x.stop()
	b.onceButFor("", evs)
	b.oneEndEach(evs)
	b.nothingLeft(b.topics[0], "it was acknowledged")
}

func sourceThatFailsIsAskedAgain(b *bench) {
	p := b.process("one")
	p.sourceAway.Store(true)
	x := p.listen(p.sink(nothing), runner.On(p.on()))
	evs := b.events(3)
	b.publish(evs...)
	b.until(b.patience(), "the runner says that its source fails", p.loud.said)
	p.sourceAway.Store(false)
	b.allConfirmed(evs)
	x.stop()
	b.onceButFor("", evs)
	if c := x.balanced(); c.Outcomes[eventflow.Succeeded] != int64(len(evs)) {
		b.Errorf("the counters say %v, want %d succeeded", c, len(evs))
	}
}
