package runnertest

import (
	"context"
	"fmt"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

func laneRules() []rule {
	return []rule{
		{name: "LaneKeepsItsOrder", needs: lanes, topics: 2, run: laneKeepsItsOrder},
		{name: "LaneKeepsItsOrderAcrossRestarts", needs: lanes, run: laneKeepsItsOrderAcrossRestarts},
		{name: "SlowLaneDelaysNoOther", needs: lanes, run: slowLaneDelaysNoOther},
		{name: "PoisonBlocksNoNeighbour", run: poisonBlocksNoNeighbour},
	}
}

// laneInOrder fails the rule unless the runs of a lane succeeded in order, each before the next began.
func (b *bench) laneInOrder(evs []eventflow.Event) {
	b.Helper()
	last := -1
	for _, ev := range evs {
		first := b.log.first(entry{step: began, id: ev.ID})
		end := -1
		for _, e := range b.log.find(entry{step: ended, id: ev.ID}) {
			if e.err == nil {
				end = e.seq
			}
		}
		if first < 0 || end < 0 {
			b.Errorf("%s did not run to its end. What happened:%s", ev.ID, b.log.tail())
			return
		}
		if first < last {
			b.Errorf("%s began before what was ahead of it in its lane had ended. What happened:%s", ev.ID, b.log.tail())
		}
		last = end
	}
}

// Whatever happens to one of them: it fails, it is busy, its result is refused.
func laneKeepsItsOrder(b *bench) {
	p := b.process("one")
	p.refuse = func(_ string, ev *eventflow.Event) error {
		if string(ev.Data) == "a-5" && b.log.count(entry{step: offered, id: "a-5"}) < 3 {
			return errRefused
		}
		return nil
	}
	x := p.listen(p.echo(func(_ context.Context, run *eventflow.Run) error {
		switch first := b.log.count(entry{step: began, id: run.Event().ID}) == 1; {
		case first && run.Event().ID == "b-2":
			return errBoom
		case first && run.Event().ID == "c-3":
			return eventflow.Busy(b.pause())
		case first && run.Event().ID == "a-3":
			panic("boom")
		}
		return nil
	}), runner.On(p.on()), runner.PublishTo(p.publisher(b.topics[1])))
	keys := b.keys(3)
	ls := [][]eventflow.Event{lane("a", keys[0], 8), lane("b", keys[1], 8), lane("c", keys[2], 8)}
	var all []eventflow.Event
	for i := range ls[0] { // in turns
		for _, l := range ls {
			all = append(all, l[i])
		}
	}
	b.publish(all...)
	b.allConfirmed(all)
	x.stop()
	for _, l := range ls {
		b.laneInOrder(l)
		behind := -1
		for _, ev := range l {
			if behind = max(behind, b.log.first(entry{step: published, id: ev.ID})); b.log.first(entry{step: marked, id: ev.ID}) < behind {
				b.Errorf("%s was acknowledged before the results of all that is ahead of it in its lane were taken. What happened:%s", ev.ID, b.log.tail())
			}
		}
	}
	b.oneResultEach(b.topics[1], all)
	b.nothingLeft(b.topics[0], "everything was acknowledged")
}

// What a shutdown hands back of a lane comes back in order.
func laneKeepsItsOrderAcrossRestarts(b *bench) {
	keys := b.keys(2)
	ls := [][]eventflow.Event{lane("a", keys[0], 12), lane("b", keys[1], 12)}
	b.publish(append(ls[0], ls[1]...)...)
	for g := 0; ; g++ {
		p := b.process(fmt.Sprint("generation-", g))
		x := p.listen(p.sink(func(ctx context.Context, _ *eventflow.Run) error {
			b.sleep(b.pause() / 4)
			return ctx.Err()
		}), runner.On(p.on()), runner.Grace(b.pause()/8))
		if g == 3 {
			b.allEnded(append(ls[0], ls[1]...))
			x.stop()
			break
		}
		want := b.log.count(entry{step: finished, text: terminal}) + 2
		b.until(b.patience(), "some runs have ended", func() bool { return b.log.count(entry{step: finished, text: terminal}) >= want })
		x.stop()
	}
	for _, l := range ls {
		b.endsInOrder(l)
	}
	b.oneEndEach(append(ls[0], ls[1]...))
	b.nothingLeft(b.topics[0], "everything was acknowledged")
}

// allEnded waits until the run of each event has come to its end.
func (b *bench) allEnded(evs []eventflow.Event) {
	b.Helper()
	b.until(b.patience(), "every run comes to its end", func() bool { return len(b.log.ids(entry{step: finished, text: terminal})) == len(evs) })
}

// endsInOrder fails the rule unless the last run of each event of a lane began behind the end of what is ahead of it.
func (b *bench) endsInOrder(evs []eventflow.Event) {
	b.Helper()
	last := -1
	for _, ev := range evs {
		for _, e := range b.log.find(entry{step: began, id: ev.ID}) {
			if e.seq < last {
				b.Errorf("%s began before what was ahead of it in its lane had come to its end. What happened:%s", ev.ID, b.log.tail())
			}
		}
		last = b.log.last(entry{step: ended, id: ev.ID})
	}
}

// The first event of one lane blocks, and many are behind it: more than the runner may hold of all lanes.
func slowLaneDelaysNoOther(b *bench) {
	p := b.process("one")
	free := make(chan struct{})
	x := p.listen(p.sink(func(ctx context.Context, run *eventflow.Run) error {
		if run.Event().ID == "slow-1" {
			select {
			case <-free:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}), runner.On(p.on()), runner.MaxInFlight(16), runner.MaxPerLane(4))
	keys := b.keys(2)
	slow, quick := lane("slow", keys[0], 40), lane("quick", keys[1], 5)
	b.publish(slow...)
	b.until(b.patience(), "the slow run begins", func() bool { return b.log.count(entry{step: began, id: "slow-1"}) == 1 })
	b.publish(quick...)
	b.until(b.patience(), "the other lane runs while the slow one blocks", func() bool {
		n := 0
		for id := range b.log.ids(entry{step: finished, text: terminal}) {
			if id[0] == 'q' {
				n++
			}
		}
		return n == len(quick)
	})
	if n := b.log.count(entry{step: began, id: "slow-2"}); n > 0 {
		b.Errorf("slow-2 began while slow-1 runs: they are of one lane")
	}
	close(free)
	b.allConfirmed(append(slow, quick...))
	x.stop()
	b.laneInOrder(slow)
	b.laneInOrder(quick)
}

// A poison event waits for its attempts; everybody else is done long before.
func poisonBlocksNoNeighbour(b *bench) {
	p := b.process("one")
	long := 2 * b.patience()
	x := p.listen(p.failing("poison-1", errBoom), runner.On(p.on()), runner.MaxRuns(1), runner.Backoff(fixed(long)), runner.MaxHold(2*long),
		runner.MaxLaneDelay(2*long))
	keys := b.keys(3)
	b.publish(lane("poison", keys[0], 1)...)
	b.until(b.patience(), "the poison fails", func() bool { return b.log.count(entry{step: ended, id: "poison-1"}) == 1 })
	others := append(lane("a", keys[1], 3), lane("b", keys[2], 3)...)
	b.publish(others...)
	b.allEnded(others)
	b.wantAttempts("poison-1", 1)
	x.stop()
	if c := x.balanced(); c.Outcomes[eventflow.Succeeded] != 6 || c.Outcomes[eventflow.HandedBack] != 1 {
		b.Errorf("the counters say %v, want 6 succeeded and one handed back", c)
	}
}
