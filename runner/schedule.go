package runner

import (
	"maps"
	"slices"
	"time"

	"github.com/eventflow-go/eventflow"
)

// AtSchedule starts a run at each fire of the schedule. Each of its clocks is a trigger of its own, under its own name:
// it has its own cursor, its own overlap and jitter, can be paused alone, and gives the run its parameters and labels.
// What [At] says of a clock holds for each. The options are given to all of them: [With] and [Labels] to those that have
// none of that name, or no labels, themselves. [Named] is refused: name the clocks, with [eventflow.EntryClock.Named].
//
// Fires of one instant all run, but equal ones once, as [eventflow.Schedule] tells: equal before With and Labels are
// added. An equal fire belongs to the clock that is listed first. When that one skips it, by its [Overlap] say, it is
// skipped; the others do not stand in. While that one is paused they do: the next of them that is not paused runs it, under
// its own name. So where a runner that shares the store has not paused it, the fire runs there too, and a
// [FlowRunner.Backfill] of the paused clock runs it once more.
//
// Adding a clock, taking one out or reordering them changes no other's place, and none forgets what it missed. But a fire
// that a clock shared with one that is taken out, or that was listed before it, and that is still among those that it
// missed, may run once more, under its own name. When filters, adjustments or the clock itself change, it begins anew,
// without the fires that it missed.
//
// A schedule of which a clock finds no fire among 10,000 candidates is refused. When one comes to that later, it ends,
// which is logged at Error.
func AtSchedule(s *eventflow.Schedule, opts ...AtOption) Option {
	return option(func(c *config) {
		if s == nil {
			c.fail("runner.AtSchedule", "nil", "a Schedule, made by eventflow.NewSchedule")
			return
		}
		if err := s.Err(); err != nil {
			c.errs = append(c.errs, err)
			return
		}
		of := newTimer(c, "runner.AtSchedule", opts)
		if of.name != "" {
			c.fail("runner.AtSchedule Named", of.name, "no name: the clocks of the schedule have theirs, see eventflow.EntryClock.Named")
			return
		}
		timers := map[*eventflow.MemberClock]*timer{}
		for _, clock := range s.Clocks() {
			t := *of
			t.clock = &member{clock, timers}
			t.describe(clock)
			timers[clock] = &t
			c.timers = append(c.timers, &t)
			if !c.finds(&t) { // one is enough: a search that gives up takes its time
				return
			}
		}
	})
}

// member is a clock of a schedule that knows the timers of the others.
type member struct {
	*eventflow.MemberClock
	timers map[*eventflow.MemberClock]*timer // of all, shared, not changed any more
}

// newTimer makes a time trigger of options.
func newTimer(c *config, field string, opts []AtOption) *timer {
	t := &timer{missedAge: missedAge, missedMost: missedMost}
	for _, o := range opts {
		if isNil(o) {
			c.fail(field+" option", "nil", "an AtOption")
			continue
		}
		o.applyAt(c, t)
	}
	return t
}

// described is a clock that says of itself what an [eventflow.EntryClock] says.
type described interface {
	Name() string
	Parameters() eventflow.Parameters
	Labels() []string
}

// describe gives a trigger the clock's name where the options gave none, and puts the clock's own parameters and labels
// over those of the options.
func (tm *timer) describe(clock described) {
	if tm.name == "" {
		tm.name = clock.Name()
	}
	if params := clock.Parameters(); len(params) > 0 {
		all := maps.Clone(tm.params)
		if all == nil {
			all = eventflow.Parameters{}
		}
		maps.Copy(all, params)
		tm.params = all
	}
	if labels := clock.Labels(); labels != nil {
		tm.labels = labels
	}
}

// finds refuses a clock whose search for its first fire gives up: Listen would take it for one that has ended.
func (c *config) finds(t *timer) bool {
	if t.gaveUp(c.now()) {
		c.fail("runner.At", t.name, "a clock whose schedule has a fire among 10,000 candidates: do its filters contradict each other?")
		return false
	}
	return true
}

func (tm *timer) gaveUp(after time.Time) bool {
	clock, ok := tm.clock.(interface{ GaveUp(after time.Time) bool })
	return ok && clock.GaveUp(after)
}

// sayGaveUp says that a clock, which has no fire after the instant, has not come to its end.
func (r *FlowRunner) sayGaveUp(tm *timer, after time.Time) {
	if tm.next.IsZero() && tm.gaveUp(after) {
		r.logger().Error("a clock ends: its schedule has no fire among 10,000 candidates", "flow", r.flow.Name(), "trigger", tm.name, "after", after)
	}
}

// repeats reports whether the clock's fire at t is, by the schedule's definition, another clock's.
func (tm *timer) repeats(at time.Time) bool {
	clock, ok := tm.clock.(*member)
	return ok && clock.Repeats(at)
}

// leaves reports whether a fire that is due is another clock's: one that the schedule lists earlier, and that looks after
// it. A clock that is paused does not, nor does a new one after what lies before its beginning. It is asked by the clocks'
// goroutine.
func (r *FlowRunner) leaves(tm *timer, at time.Time) bool {
	clock, ok := tm.clock.(*member)
	if !ok {
		return false
	}
	for o := range clock.Earlier(at) {
		other := clock.timers[o]
		switch {
		case !at.After(other.last): // that came to its end before this runner began, or will be taken over
			return true
		case other.last.IsZero() && !at.After(r.began):
			continue
		}
		r.mu.Lock()
		paused := other.paused
		r.unlock()
		if !paused {
			return true
		}
	}
	return false
}

// own leaves the fires out that are another clock's. The last of those missed takes the place of a latest one that is;
// without any, the latest has no Nominal.
func (r *FlowRunner) own(tm *timer, latest eventflow.Fire, missed []time.Time) (eventflow.Fire, []time.Time) {
	if _, ok := tm.clock.(*member); !ok {
		return latest, missed
	}
	missed = slices.DeleteFunc(missed, func(at time.Time) bool { return r.leaves(tm, at) })
	if !r.leaves(tm, latest.Nominal) {
		return latest, missed
	}
	last := len(missed) - 1
	if last < 0 {
		return eventflow.Fire{}, nil
	}
	return r.fireAt(tm, missed[last]), missed[:last]
}
