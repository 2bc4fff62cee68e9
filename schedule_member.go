package eventflow

import (
	"fmt"
	"iter"
	"time"
)

// MemberClock is one clock of a [Schedule] with what the schedule's filters and adjustments make of it. It is a
// [TimeClock] like any other, for loops that keep time for each clock by itself, as a runner does. It is immutable and
// safe for concurrent use. [Schedule.Clocks] gives them.
type MemberClock struct {
	entry    *EntryClock
	schedule *Schedule
	payload  string
	before   []*MemberClock // those listed earlier with the same payload
}

// Next gives the clock's first fire strictly after the instant, filtered and adjusted; the zero time when there is none,
// or when the search gave up, see [MemberClock.GaveUp]. It includes fires that the schedule leaves to another clock, see [MemberClock.Repeats].
func (c *MemberClock) Next(after time.Time) time.Time {
	t, _ := c.search(after)
	return t
}

// GaveUp reports whether the search for the first fire after the instant ended without any among 10,000 candidates.
// [MemberClock.Next] then gives the zero time, as for a clock that has ended; more likely filters contradict each other.
func (c *MemberClock) GaveUp(after time.Time) bool {
	_, gaveUp := c.search(after)
	return gaveUp
}

// Repeats reports whether a clock that the schedule lists earlier has an equal fire at t: the same instant, parameters
// and labels. It is that clock's fire then, and not this one's.
func (c *MemberClock) Repeats(t time.Time) bool { return c.owner(t) != nil }

// Earlier gives the clocks that the schedule lists earlier and that have an equal fire at t, in their order; the first has
// it. For loops that run no fire of a clock that is out of service, and so give it to the next.
func (c *MemberClock) Earlier(t time.Time) iter.Seq[*MemberClock] {
	return func(yield func(*MemberClock) bool) {
		for _, o := range c.before {
			if o.Next(t.Add(-1)).Equal(t) && !yield(o) {
				return
			}
		}
	}
}

func (c *MemberClock) owner(t time.Time) *MemberClock {
	for o := range c.Earlier(t) {
		return o
	}
	return nil
}

// Name gives the name of the clock's fires: its own, not changed by filters or adjustments.
func (c *MemberClock) Name() string { return c.entry.Name() }

// Parameters gives a copy of the parameters of the clock's fires.
func (c *MemberClock) Parameters() Parameters { return c.entry.Parameters() }

// Labels gives a copy of the labels of the clock's fires.
func (c *MemberClock) Labels() []string { return c.entry.Labels() }

// Err says everything that is wrong with the schedule.
func (c *MemberClock) Err() error { return c.schedule.Err() }

// String tells all that decides what Next gives: the clock's canonical text, filters and adjustments. Clocks with the same
// String fire at the same times, whatever other clocks their schedules have. It is no name, and cannot be parsed. What is
// longer than 128 bytes is shortened, with a hash of the whole.
func (c *MemberClock) String() string {
	return boundedName(c.definition() + c.schedule.filterAndAdjusts)
}

// definition is the clock's canonical text, its name where it has none.
func (c *MemberClock) definition() string {
	if text, err := c.entry.MarshalText(); err == nil {
		return string(text)
	}
	if text := c.entry.String(); text != "" {
		return text
	}
	return c.Name()
}

func (c *MemberClock) fire(t time.Time) Fire {
	t = utc(t)
	return Fire{Clock: c.Name(), Nominal: t, Due: t, Parameters: c.Parameters(), Labels: c.Labels()}
}

// search is Next; it also reports whether it gave up.
func (c *MemberClock) search(after time.Time) (t time.Time, gaveUp bool) {
	if c.schedule.broken {
		return time.Time{}, false
	}
	b := budget(searchMost)
	t = c.adjusted(len(c.schedule.moves), firstInstant(after), &b)
	if b.spent() { // what was found may not be the first
		return time.Time{}, true
	}
	return t, false
}

// adjusted is Next of what the first n adjustments leave.
func (c *MemberClock) adjusted(n int, after time.Time, b *budget) time.Time {
	if n == 0 {
		return c.filtered(after, b)
	}
	return c.schedule.moves[n-1].move.next(after, func(after time.Time) time.Time { return c.adjusted(n-1, after, b) })
}

// filtered is Next of what the filters let pass.
func (c *MemberClock) filtered(after time.Time, b *budget) time.Time {
	for b.spend() {
		t := c.entry.Next(after)
		if t.IsZero() {
			return t
		}
		u := c.schedule.admit(t, b)
		if u.IsZero() || u.Equal(t) {
			return u
		}
		after = u.Add(-1)
	}
	return time.Time{}
}

// moved gives where the adjustments move an instant.
func (c *MemberClock) moved(t time.Time) time.Time {
	for _, a := range c.schedule.moves {
		t = a.move.to(t)
	}
	return t
}

func typeName(c TimeClock) string { return fmt.Sprintf("%T", c) }
