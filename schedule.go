package eventflow

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Schedule merges several clocks, lets filters say which of their fires pass, and adjustments where those are moved. It
// is no [TimeClock], because one time cannot carry two fires of one instant: a runner takes it by runner.AtSchedule. It
// is immutable and safe for concurrent use: each method gives another one and leaves the receiver as it is. Make one
// with [NewSchedule].
//
// Whatever the order in which its methods are called, clocks come first, then filters, then adjustments. So a schedule is
// a set of fires, a function of its definition alone, and keeps the law of [TimeClock]: what comes next is the same from
// wherever it is asked, as far as a search goes, see [Schedule.Next].
//
// Fires of one instant all come, unless they are equal: those of the same parameters and labels come once, as the fire
// of the clock that is listed first. A fire is identified by the name of its clock and its nominal time, the instant
// after adjustments; it stays what it is when another clock is added.
type Schedule struct {
	entries          []*EntryClock
	all, any, none   []Filter
	moves            []Adjustment
	clocks           []*MemberClock
	filterAndAdjusts string // canonical text of all but the clocks
	err              error
	broken           bool // err is more than a missing name: nothing fires
}

const (
	searchMost = 10_000 // fires and filters that a search for the next fire looks at
	clocksMost = 1_000  // clocks of a schedule: each asks those before it whether they have an equal fire
)

// NewSchedule merges clocks, each of any kind, at most 1,000. [Entry] gives one a name, bounds, parameters and labels. A clock that is
// given twice, with equal name, bounds, parameters and labels, counts once; two that have only the name in common are an
// error, see [Schedule.Err].
func NewSchedule(clocks ...TimeClock) *Schedule {
	s := &Schedule{}
	for _, c := range clocks {
		s.entries = append(s.entries, Entry(c))
	}
	return s.build()
}

// AllOf lets a fire pass for which every one of the filters holds, and of those of earlier calls.
func (s *Schedule) AllOf(filters ...Filter) *Schedule {
	n := *s
	n.all = slices.Concat(s.all, filters)
	return n.build()
}

// AnyOf lets a fire pass for which at least one of the filters holds, or of those of earlier calls.
func (s *Schedule) AnyOf(filters ...Filter) *Schedule {
	n := *s
	n.any = slices.Concat(s.any, filters)
	return n.build()
}

// NoneOf lets a fire pass for which none of the filters holds, nor of those of earlier calls.
func (s *Schedule) NoneOf(filters ...Filter) *Schedule {
	n := *s
	n.none = slices.Concat(s.none, filters)
	return n.build()
}

// Adjust moves what the filters let pass: by the first adjustment, what comes of that by the second, and so on; those
// of earlier calls come before.
func (s *Schedule) Adjust(adjustments ...Adjustment) *Schedule {
	n := *s
	n.moves = slices.Concat(s.moves, adjustments)
	return n.build()
}

// build fills what follows from the definition.
func (s *Schedule) build() *Schedule {
	var errs []error
	unnamed := 0
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	var text strings.Builder
	for _, group := range []struct {
		word    string
		filters []Filter
	}{{" all ", s.all}, {" any ", s.any}, {" none ", s.none}} {
		for _, f := range group.filters {
			note(f.Err())
			text.WriteString(group.word + f.text)
		}
	}
	for _, a := range s.moves {
		note(a.Err())
		text.WriteString(" then " + a.text)
	}
	s.filterAndAdjusts = text.String()

	entries := s.entries
	switch n := len(entries); {
	case n == 0:
		note(&ConfigError{Field: "eventflow.NewSchedule", Value: "", Allowed: "at least one clock"})
	case n > clocksMost:
		note(&ConfigError{Field: "eventflow.NewSchedule", Value: strconv.Itoa(n) + " clocks", Allowed: "at most " + strconv.Itoa(clocksMost) + "; a runner takes several schedules"})
		entries = nil
	}
	s.clocks = nil
	byName := map[string]*MemberClock{}
	equals := map[string][]*MemberClock{} // by payload
	for _, e := range entries {
		if err := e.Err(); err != nil {
			note(err)
			continue
		}
		payload, err := e.payload()
		note(err)
		m := &MemberClock{entry: e, schedule: s, payload: payload}
		switch twin := byName[e.Name()]; {
		case e.Name() == "":
			unnamed++
			note(&ConfigError{Field: "eventflow.NewSchedule", Value: typeName(e.clock), Allowed: "a clock with a String method, or eventflow.Entry(clock).Named: its fires must be known again after a restart"})
		case twin == nil:
			byName[e.Name()] = m
		case twin.payload == payload && twin.entry.String() == e.String() && e.String() != "":
			continue
		default:
			note(&ConfigError{Field: "eventflow.NewSchedule", Value: e.Name(), Allowed: "a name of its own for each clock; tell them apart with eventflow.Entry(clock).Named"})
		}
		m.before = equals[payload] // shared: what comes to it later is beyond this one's length
		equals[payload] = append(equals[payload], m)
		s.clocks = append(s.clocks, m)
	}
	s.err, s.broken = errors.Join(errs...), len(errs) > unnamed
	return s
}

// Next gives all fires of the first instant strictly after the given one that has any, in the order of their clocks:
// name, nominal time, parameters and labels of each. None: there is no more.
//
// A search looks at 10,000 fires and filters, which is not few: filters are jumped over whole. One that finds nothing
// among so many, because filters contradict each other say, gives none, though there may be one beyond, which a search
// from a later instant finds. [MemberClock.GaveUp] and [Schedule.Preview] then say so.
func (s *Schedule) Next(after time.Time) []Fire {
	var at time.Time
	next := make([]time.Time, len(s.clocks))
	for i, c := range s.clocks {
		next[i] = c.Next(after)
		if !next[i].IsZero() && (at.IsZero() || next[i].Before(at)) {
			at = next[i]
		}
	}
	var fires []Fire
	if at.IsZero() {
		return nil
	}
	for i, c := range s.clocks {
		if next[i].Equal(at) && !c.Repeats(at) {
			fires = append(fires, c.fire(at))
		}
	}
	return fires
}

// Clocks gives the schedule's clocks in their order, each with what the filters and adjustments make of it.
func (s *Schedule) Clocks() []*MemberClock { return slices.Clone(s.clocks) }

// StartDate is the earliest of the clocks' beginnings, before adjustments. The zero time: one has none, or there is no
// clock.
func (s *Schedule) StartDate() time.Time {
	var first time.Time
	for i, e := range s.entries {
		t := e.StartDate()
		if t.IsZero() || i == 0 || t.Before(first) {
			first = t
		}
		if t.IsZero() {
			break
		}
	}
	return first
}

// EndDate is the latest of the clocks' ends, before adjustments. The zero time: one has none, or there is no clock.
func (s *Schedule) EndDate() time.Time {
	var last time.Time
	for _, e := range s.entries {
		t := e.EndDate()
		if t.IsZero() {
			return t
		}
		if t.After(last) {
			last = t
		}
	}
	return last
}

// Err says everything that is wrong, each a *[ConfigError]: with a clock, a filter or an adjustment, clocks without a
// name or with the name of another, no clock at all; nil when nothing is.
func (s *Schedule) Err() error {
	if s.entries == nil && s.err == nil { // the zero Schedule
		return NewSchedule().err
	}
	return s.err
}

// admit gives the first instant at or after t that the filters let pass; the zero time when there is none.
func (s *Schedule) admit(t time.Time, b *budget) time.Time {
	for b.spend() {
		u := t
		for _, f := range s.all {
			if u = f.set.from(u); u.IsZero() {
				return u
			}
		}
		if len(s.any) > 0 {
			var first time.Time
			for _, f := range s.any {
				if v := f.set.from(u); !v.IsZero() && (first.IsZero() || v.Before(first)) {
					first = v
				}
			}
			if u = first; u.IsZero() {
				return u
			}
		}
		for _, f := range s.none {
			if u = f.set.until(u); u.IsZero() {
				return u
			}
		}
		if u.Equal(t) {
			return t
		}
		t = u
	}
	return time.Time{}
}

// rejects names the filter that keeps an instant out; empty: none does.
func (s *Schedule) rejects(t time.Time) string {
	for _, f := range s.all {
		if !f.Holds(t) {
			return "not in " + f.text
		}
	}
	for _, f := range s.none {
		if f.Holds(t) {
			return "in " + f.text
		}
	}
	var texts []string
	for _, f := range s.any {
		if f.Holds(t) {
			return ""
		}
		texts = append(texts, f.text)
	}
	if texts == nil {
		return ""
	}
	return "in none of " + strings.Join(texts, ", ")
}

// budget is what a search may still look at.
type budget int

func (b *budget) spend() bool { *b--; return *b >= 0 }

func (b *budget) spent() bool { return *b < 0 }
