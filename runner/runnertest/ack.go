package runnertest

import (
	"context"
	"fmt"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

func ackRules() []rule {
	return []rule{
		{name: "AckFollowsSuccess", topics: 2, run: ackFollowsSuccess},
		{name: "AcknowledgedEventIsNotRunAgain", needs: locks, short: true, run: acknowledgedEventIsNotRunAgain},
		{name: "RestartsUnderLoadLoseNothing", topics: 2, run: restartsUnderLoadLoseNothing},
	}
}

func ackFollowsSuccess(b *bench) {
	p := b.process("one")
	x := p.listen(p.echo(nil), runner.On(p.on()), runner.PublishTo(p.publisher(b.topics[1])))
	evs := b.events(6)
	b.publish(evs...)
	b.until(b.patience(), "every event is acknowledged", func() bool { return len(b.log.ids(entry{step: confirmed})) == len(evs) })
	x.stop()
	for _, ev := range evs {
		if at := b.log.last(entry{step: claimed, id: ev.ID, text: "granted"}); at < 0 || at > b.log.first(entry{step: began, id: ev.ID}) {
			b.Errorf("%s ran before it was claimed. What happened:%s", ev.ID, b.log.tail())
		}
		b.inOrder(ev.ID, entry{step: received}, entry{step: began}, entry{step: ended}, entry{step: offered},
			entry{step: published}, entry{step: finished, text: terminal}, entry{step: marked, text: "ack"}, entry{step: confirmed})
	}
	if c := x.balanced(); c.Outcomes[eventflow.Succeeded] != int64(len(evs)) || c.InFlight != 0 {
		b.Errorf("the counters say %v, want %d succeeded", c, len(evs))
	}
	b.oneResultEach(b.topics[1], evs)
	b.nothingLeft(b.topics[0], "everything was acknowledged")
}

// inOrder fails the rule unless the steps of an event happened once each, in this order.
func (b *bench) inOrder(id string, steps ...entry) {
	b.Helper()
	last := -1
	for _, e := range steps {
		e.id = id
		if n := b.log.count(e); n != 1 {
			b.Errorf("%s: %v %s happened %d times, want once. What happened:%s", id, e.step, e.text, n, b.log.tail())
		}
		at := b.log.first(e)
		if at < last {
			b.Errorf("%s: %v %s happened before what must come before it. What happened:%s", id, e.step, e.text, b.log.tail())
		}
		last = at
	}
}

// A settlement that never reached the broker would show when the locks end.
func acknowledgedEventIsNotRunAgain(b *bench) {
	p := b.process("one")
	x := p.listen(p.sink(func(context.Context, *eventflow.Run) error { return nil }), runner.On(p.on()))
	evs := b.events(4)
	b.publish(evs...)
	b.until(b.patience(), "every event is acknowledged", func() bool { return len(b.log.ids(entry{step: confirmed})) == len(evs) })
	b.sleep(b.lock + b.lock/2)
	x.stop()
	for _, ev := range evs {
		if n := b.log.count(entry{step: received, id: ev.ID}); n != 1 {
			b.Errorf("%s was received %d times, want once. What happened:%s", ev.ID, n, b.log.tail())
		}
	}
	b.nothingLeft(b.topics[0], "everything was acknowledged more than a lock ago")
}

// Deployments: runners come and go while events arrive.
func restartsUnderLoadLoseNothing(b *bench) {
	const generations, each = 5, 12
	var all []eventflow.Event
	keys := b.keys(each)
	var last *running
	for g := range generations {
		var evs []eventflow.Event
		for i, k := range keys {
			evs = append(evs, newEvent(fmt.Sprintf("e-%d-%d", g, i), k))
		}
		all = append(all, evs...)
		p := b.process(fmt.Sprint("generation-", g))
		slow := func(ctx context.Context, _ *eventflow.Run) error {
			b.sleep(b.pause() / 4)
			return ctx.Err()
		}
		x := p.listen(p.echo(slow), runner.On(p.on()), runner.PublishTo(p.publisher(b.topics[1])), runner.MaxRuns(2), runner.Grace(b.pause()/8))
		sent := b.spawn(func() {
			ctx, cancel := b.within(b.patience())
			defer cancel()
			if err := b.publisher(b.topics[0]).Publish(ctx, evs...); err != nil {
				b.Errorf("Publish: %v", err)
			}
		})
		if g == generations-1 {
			b.await(sent, "Publish")
			last = x
			break
		}
		want := len(b.log.ids(entry{step: ended})) + 3
		b.until(b.patience(), "some runs have ended", func() bool { return len(b.log.ids(entry{step: ended})) >= want })
		x.stop()
		b.await(sent, "Publish")
		if c := x.balanced(); c.InFlight != 0 {
			b.Errorf("%d are in flight after Listen: %v", c.InFlight, c)
		}
	}
	b.until(b.patience(), "every event reaches its end", func() bool { return len(b.log.ids(entry{step: finished, text: terminal})) == len(all) })
	last.stop()
	b.oneEndEach(all)
	b.oneResultEach(b.topics[1], all)
	b.nothingLeft(b.topics[0], "everything was acknowledged")
}

// oneEndEach fails the rule unless each event's run came to its end in the store exactly once.
func (b *bench) oneEndEach(evs []eventflow.Event) {
	b.Helper()
	ends := b.log.ids(entry{step: finished, text: terminal})
	for _, ev := range evs {
		if n := ends[ev.ID]; n != 1 {
			b.Errorf("the run of %s came to its end %d times, want once. What happened:%s", ev.ID, n, b.log.tail())
		}
	}
}
