package runnertest

import (
	"context"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

// otherGroup is a second one.
const otherGroup = "runnertest-2"

func keyRules() []rule {
	return []rule{
		{name: "EventThatWasRunIsADuplicate", run: eventThatWasRunIsADuplicate},
		{name: "EachFlowRunsTheEvent", topics: 2, run: eachFlowRunsTheEvent},
		{name: "RedrivenEventRunsAgain", needs: deadLetters | redrive, run: redrivenEventRunsAgain},
		{name: "SuccessorKnowsWhatWasRun", run: successorKnowsWhatWasRun},
	}
}

func nothing(context.Context, *eventflow.Run) error { return nil }

func eventThatWasRunIsADuplicate(b *bench) {
	p := b.process("one")
	x := p.listen(p.sink(nothing), runner.On(p.on()))
	evs := b.events(2)
	b.publish(evs[0])
	b.until(b.patience(), "the first event is acknowledged", func() bool { return b.log.count(entry{step: confirmed}) == 1 })
	b.publish(evs[0], evs[1]) // a broker may recognise the first by itself
	b.until(b.patience(), "the second event is acknowledged", func() bool { return b.log.count(entry{step: confirmed, id: evs[1].ID}) == 1 })
	b.happens(b.h.Broker.Quiet, func() bool { return b.log.count(entry{step: confirmed, id: evs[0].ID}) == 2 })
	x.stop()
	for _, ev := range evs {
		if n := b.log.count(entry{step: began, id: ev.ID}); n != 1 {
			b.Errorf("%s ran %d times, want once. What happened:%s", ev.ID, n, b.log.tail())
		}
	}
	if c := x.balanced(); c.Outcomes[eventflow.Succeeded] != 2 || c.Outcomes[eventflow.Duplicate] > 1 || c.InFlight != 0 {
		b.Errorf("the counters say %v, want two successes and at most one duplicate", c)
	}
	b.nothingLeft(b.topics[0], "a duplicate is acknowledged")
}

// Two flows share a store. Where there are groups they share a topic too; elsewhere each has its copy of the event.
func eachFlowRunsTheEvent(b *bench) {
	p := b.process("one")
	topics, groups := b.topics[:2], []string{group, group}
	if b.features.Groups {
		topics, groups = []string{b.topics[0], b.topics[0]}, []string{group, otherGroup}
	}
	flow := func(name string) *eventflow.Flow {
		return eventflow.NewSink(name, func(ctx context.Context, _ string) error {
			return p.call(ctx, func(*eventflow.Run) error {
				p.note(entry{step: ended, text: name, id: eventflow.RunFrom(ctx).Event().ID})
				return nil
			})
		})
	}
	evs := b.events(4)
	xs := []*running{
		p.listen(flow("bill"), runner.On(p.onTopic(topics[0], groups[0]), runner.Named("orders"))),
		p.listen(flow("ship"), runner.On(p.onTopic(topics[1], groups[1]), runner.Named("orders"))),
	}
	b.publish(evs...)
	if !b.features.Groups {
		b.publishTo(topics[1], evs...)
	}
	for _, name := range []string{"bill", "ship"} {
		b.until(b.patience(), name+" runs every event", func() bool { return len(b.log.ids(entry{step: ended, text: name})) == len(evs) })
	}
	for _, x := range xs {
		x.stop()
		if c := x.balanced(); c.Outcomes[eventflow.Succeeded] != int64(len(evs)) || c.Outcomes[eventflow.Duplicate] != 0 {
			b.Errorf("the counters say %v, want %d succeeded and no duplicate", c, len(evs))
		}
	}
}

func redrivenEventRunsAgain(b *bench) {
	p := b.process("one")
	refuse := make(chan struct{})
	x := p.listen(p.sink(func(context.Context, *eventflow.Run) error {
		select {
		case <-refuse:
			return nil
		default:
			return eventflow.Permanent(errBoom)
		}
	}), runner.On(p.on()))
	evs := b.events(2)
	b.publish(evs...)
	b.until(b.patience(), "both events are dead-lettered", func() bool { return len(b.log.ids(entry{step: confirmed})) == len(evs) })
	close(refuse)
	ctx, cancel := b.within(b.patience())
	defer cancel()
	if err := b.f.Redrive(ctx, b.topics[0]); err != nil {
		b.Fatalf("Redrive: %v", err)
	}
	for _, ev := range evs {
		b.until(b.patience(), ev.ID+" runs again after the redrive and is acknowledged", func() bool {
			return b.log.count(entry{step: began, id: ev.ID}) == 2 && b.log.count(entry{step: confirmed, id: ev.ID}) == 2
		})
	}
	x.stop()
	if c := x.balanced(); c.Outcomes[eventflow.Succeeded] != 2 || c.Outcomes[eventflow.DeadLettered] != 2 {
		b.Errorf("the counters say %v, want two dead letters, and then two successes", c)
	}
	b.nothingLeft(b.topics[0], "what was redriven was acknowledged")
}

// The store is what outlives a runner.
func successorKnowsWhatWasRun(b *bench) {
	evs := b.events(3)
	for i, name := range []string{"first", "second"} {
		p := b.process(name)
		x := p.listen(p.sink(nothing), runner.On(p.on()))
		b.publish(evs[:2+i]...)
		b.until(b.patience(), "the newest event is acknowledged", func() bool {
			return b.log.count(entry{step: confirmed, process: name, id: evs[1+i].ID}) == 1
		})
		x.stop()
	}
	for _, ev := range evs {
		if n := b.log.count(entry{step: began, id: ev.ID}); n != 1 {
			b.Errorf("%s ran %d times, want once. What happened:%s", ev.ID, n, b.log.tail())
		}
	}
}
