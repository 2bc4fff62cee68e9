package runner

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/eventflow-go/eventflow"
)

// publish hands the results of the chunk to each publisher, in one call.
func (r *FlowRunner) publish(c *chunk, ts []*task) {
	if len(r.c.pubs) == 0 {
		return
	}
	for _, t := range ts { // what a publisher refused before
		if t.stage == stagePublish && t.verdict.turn == turnEnd {
			r.republish(c, t)
		}
	}
	with := r.withResults(c, ts)
	if len(with) == 0 {
		return
	}
	n := 0
	for _, t := range with {
		n += len(t.out)
	}
	events := c.out
	if len(events) != n {
		events = make([]eventflow.Event, 0, n)
		for _, t := range with {
			events = append(events, t.out...)
		}
	}
	for p := range r.c.pubs {
		err := r.c.pubs[p].to.Publish(c.io, events...)
		r.published(p, err)
		if err != nil {
			r.refused(with, events, p, err)
		}
	}
	if c.batch {
		r.shareFate(c, with[0], ts)
	}
	for _, t := range with {
		t.out = nil
		if len(t.pubs) > 0 && t.verdict.passes() {
			r.wait(t, turnPublish, reasonPublish, errRefused)
		}
	}
	clear(c.out)
	c.out = c.out[:0]
}

// withResults gives the tasks whose results may be published. Those that lost their lock or claim are turned away; the
// results of a batch go with another of its events then, because they belong to all of them.
func (r *FlowRunner) withResults(c *chunk, ts []*task) []*task {
	with := c.with[:0]
	var orphaned []eventflow.Event
	for _, t := range ts {
		out := t.out
		if c.batch && t.verdict.passes() && t.verdict.outcome == eventflow.Succeeded && orphaned != nil {
			out, orphaned = orphaned, nil
		}
		switch {
		case len(out) == 0 || t.stage == stagePublish:
			continue
		case !t.open():
			t.verdict, t.out = handBack(reasonLost, 0), nil
			orphaned = out
			continue
		}
		t.out = out
		with = append(with, t)
	}
	c.with = with
	return with
}

// shareFate makes the events of a batch wait for the results that one of them carries, and end as it does: none may be
// acknowledged before they are taken.
func (r *FlowRunner) shareFate(c *chunk, carrier *task, ts []*task) {
	for n := 1; len(carrier.pubs) > 0 && carrier.verdict.passes(); n++ {
		r.announce(Decision{Key: carrier.key, Attempt: carrier.tried, Reason: reasonPublish, Err: errRefused})
		if !c.pause(fullJitter(100*time.Millisecond, longestPause, n)) {
			carrier.verdict = handBack(reasonShutdown, 0)
			break
		}
		r.republish(c, carrier)
	}
	if carrier.verdict.passes() {
		return
	}
	for _, t := range ts {
		switch {
		case t == carrier || !t.verdict.passes() || t.verdict.outcome != eventflow.Succeeded:
		case carrier.verdict.turn == turnBury:
			t.verdict = r.giveUp(t, carrier.verdict.reason, carrier.verdict.err)
		case carrier.verdict.reason == reasonLost:
			t.verdict = handBack(reasonPublish, 0) // its own lock is fine
		default:
			t.verdict = carrier.verdict
		}
	}
}

// setAside takes from a chunk the lanes in which results were refused, each from there on: they are offered again in
// their order, without the others waiting for it, and nothing behind them is acknowledged before. It gives the rest of
// the chunk.
func (r *FlowRunner) setAside(c *chunk, ts []*task) (rest []*task) {
	refused := func(t *task) bool { return t.lane != nil && t.verdict.turn == turnPublish }
	if c.batch || c.direct || !slices.ContainsFunc(ts, refused) {
		return ts
	}
	var aside []*chunk
	for _, t := range ts {
		var own *chunk
		if refused(t) {
			r.tell(t)
		}
		for _, a := range aside {
			if a.lanes[0] == t.lane {
				own = a
			}
		}
		switch {
		case own != nil && (refused(t) || t.verdict.passes()):
			own.tasks = append(own.tasks, t)
		case refused(t):
			a := &chunk{src: c.src, base: c.base, io: c.io, asking: c.asking, stop: c.stop, lanes: []*lane{t.lane}, tasks: []*task{t}}
			if c.last != nil && c.last.lane == t.lane {
				a.last, c.last = c.last, nil
			}
			aside = append(aside, a)
		default:
			rest = append(rest, t)
		}
	}
	r.mu.Lock()
	defer r.unlock()
	for _, a := range aside {
		a.lanes[0].busy++
		r.goroutines++
		go r.publishInOrder(a)
	}
	return rest
}

// publishInOrder offers the refused results of one lane again, one event after another, and brings them to their end.
func (r *FlowRunner) publishInOrder(c *chunk) {
	stopped := false
	for _, t := range c.tasks {
		for n := 1; t.verdict.turn == turnPublish && !stopped; n++ {
			if stopped = !c.pause(fullJitter(100*time.Millisecond, longestPause, n)); !stopped {
				r.restore(t)
				r.republish(c, t)
				if t.verdict.turn == turnPublish {
					r.tell(t)
				}
			}
		}
		if stopped {
			t.stage, t.verdict = stageRun, handBack(reasonShutdown, 0)
		}
	}
	r.flush(c, c.tasks)
	r.flushed(c)
}

// refused notes what a publisher did not take, with the tasks whose results it was, or gives up those for which no retry
// will help.
func (r *FlowRunner) refused(with []*task, events []eventflow.Event, p int, err error) {
	var some *eventflow.PublishError
	partial := errors.As(err, &some)
	at, i := 0, 0 // in events, in some.Failed
	for _, t := range with {
		from := at
		at += len(t.out)
		pending := pendingPublish{publisher: p}
		if !partial {
			pending.events = append(pending.events, events[from:at]...)
		}
		last := err
		for ; partial && i < len(some.Failed) && some.Failed[i].Index < at; i++ {
			if k := some.Failed[i].Index; k >= from {
				pending.events = append(pending.events, events[k])
				if last = some.Failed[i].Err; eventflow.IsPermanent(last) {
					break // one that will never be taken decides
				}
			}
		}
		if len(pending.events) == 0 {
			continue
		}
		if eventflow.IsPermanent(last) {
			t.pubs = nil
			t.verdict = r.giveUp(t, reasonPermanent, last)
			continue
		}
		t.pubs = append(t.pubs, pending)
	}
}

// republish offers a task's refused results again, and only those.
func (r *FlowRunner) republish(c *chunk, t *task) {
	pubs := t.pubs
	t.pubs = nil
	if !t.open() {
		t.verdict = handBack(reasonLost, 0)
		return
	}
	for _, p := range pubs {
		err := r.c.pubs[p.publisher].to.Publish(c.io, p.events...)
		r.published(p.publisher, err)
		if err == nil {
			continue
		}
		t.out = p.events
		one := [1]*task{t}
		r.refused(one[:], p.events, p.publisher, err)
		t.out = nil
	}
	if len(t.pubs) > 0 && t.verdict.turn == turnEnd && !c.batch {
		r.wait(t, turnPublish, reasonPublish, errRefused)
	}
}

var errRefused = errors.New("runner: a publisher refused results; they are offered again")

// published says a lasting fault of a publisher once, and its end.
func (r *FlowRunner) published(p int, err error) {
	switch {
	case err == nil:
		r.faults.clear(r.logger(), p)
	case errors.Is(err, context.Canceled):
	default:
		r.faults.say(r.logger(), p, "a publisher refuses results; they are offered again", err)
	}
}
