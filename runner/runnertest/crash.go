package runnertest

import (
	"context"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

// crashRules kill a process right behind each step of an event's way.
func crashRules() []rule {
	rules := []rule{
		{name: "HeldElsewhereIsNotDone", needs: crash, short: true, run: heldElsewhereIsNotDone},
	}
	for _, c := range []struct {
		name string
		at   entry
	}{
		{"CrashAfterReceiveLosesNothing", entry{step: received}},
		{"CrashAfterClaimLosesNothing", entry{step: claimed}},
		{"CrashWhileRunningLosesNothing", entry{step: began}},
		{"CrashBeforePublishLosesNothing", entry{step: ended}},
		{"CrashAfterPublishLosesNothing", entry{step: published}},
		{"CrashAfterFinishLosesNothing", entry{step: finished}},
		{"CrashAfterAckLosesNothing", entry{step: confirmed}},
	} {
		rules = append(rules, rule{name: c.name, needs: crash, short: true, topics: 2, run: func(b *bench) { crashLosesNothing(b, c.at) }})
	}
	return rules
}

// No input is lost, and each has results of one ID, whatever was done twice.
func crashLosesNothing(b *bench, at entry) {
	b.lease = max(b.lease, b.lock+b.lock/2) // what comes back is still held by the dead
	first := b.process("first")
	evs := b.events(6)
	at.id = evs[2].ID
	first.dies = func(e *entry) bool { return e.like(&at) }
	first.listen(first.echo(nil), runner.On(first.on()), runner.PublishTo(first.publisher(b.topics[1])))
	b.publish(evs...)
	b.await(first.died, "the step at which the first process is killed")

	second := b.process("second")
	x := second.listen(second.echo(nil), runner.On(second.on()), runner.PublishTo(second.publisher(b.topics[1])))
	b.until(b.lapse(), "every event reaches its end", func() bool { return len(b.log.ids(entry{step: finished, text: terminal})) == len(evs) })
	b.oneResultEach(b.topics[1], evs)
	b.oneEndEach(evs)
	// What the first acknowledged without telling anybody comes back when its locks end, as a duplicate.
	b.sleep(b.lock + b.lock/2)
	x.stop()
	if c := x.balanced(); c.InFlight != 0 {
		b.Errorf("%d are in flight after Listen: %v", c.InFlight, c)
	}
	for _, e := range b.log.find(entry{step: began, process: second.name}) {
		if b.log.count(entry{step: finished, process: first.name, id: e.id, text: terminal}) > 0 {
			b.Errorf("%s ran although its run had come to its end before the crash. What happened:%s", e.id, b.log.tail())
		}
	}
	b.nothingLeft(b.topics[0], "everything was run and acknowledged")
}

// A blocks in mid-flow, its lock ends, and B receives the event while A's claim lives; then A dies.
func heldElsewhereIsNotDone(b *bench) {
	a, other := b.process("A"), b.process("B")
	started := make(chan struct{})
	a.listen(a.sink(func(context.Context, *eventflow.Run) error {
		close(started)
		<-b.Context().Done()
		return errDead
	}), runner.On(a.on()))
	evs := b.events(1)
	b.publish(evs...)
	b.await(started, "A's run")
	a.crash() // only its lock: the process lives, and renews its claim

	x := other.listen(other.sink(func(context.Context, *eventflow.Run) error { return nil }), runner.On(other.on()))
	b.until(b.lock+b.patience(), "B is told that the event is held", func() bool { return b.log.count(entry{step: claimed, process: other.name, text: "held"}) > 0 })
	b.sleep(2 * b.lease)
	if n := b.log.count(entry{step: began, process: other.name}); n > 0 {
		b.Errorf("B runs what A still runs under its claim. What happened:%s", b.log.tail())
	}
	a.kill()
	b.until(b.lapse(), "B runs the event once A's lease has ended", func() bool { return b.log.count(entry{step: finished, process: other.name, text: terminal}) == 1 })
	b.until(b.patience(), "B acknowledges it", func() bool {
		return b.log.first(entry{step: confirmed, process: other.name}) >= 0 && x.Counts().InFlight == 0
	})
	x.stop()
	if c := x.balanced(); c.Outcomes[eventflow.Duplicate] != 0 || c.Outcomes[eventflow.Succeeded] != 1 {
		b.Errorf("B's counters say %v, want one success and no duplicate", c)
	}
	for _, e := range b.log.find(entry{step: marked, process: other.name, text: "ack"}) {
		if b.log.count(entry{step: finished, process: other.name, id: e.id, text: terminal}) == 0 {
			b.Errorf("B acknowledged %s before it had run it", e.id)
		}
	}
	b.nothingLeft(b.topics[0], "it was run and acknowledged")
}
