package eventflow

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// EntryClock is a clock and what a schedule says of it: a name of its own, the first and the last instant at which it
// may fire, parameters and labels of its fires. It is immutable and safe for concurrent use: each method gives another
// one and leaves the receiver as it is. Make one with [Entry].
//
// It is a clock itself, so it goes wherever one goes: into a [Schedule], or alone to runner.At, which takes its name,
// parameters and labels too.
type EntryClock struct {
	clock       TimeClock
	name        string
	named       bool
	from, until time.Time // both inclusive; zero: no bound
	params      Parameters
	labels      []string
}

// Entry makes an entry of any clock. That of an entry is the same entry; that of a [Schedule]'s clock has its name,
// parameters and labels.
func Entry(c TimeClock) *EntryClock {
	switch c := c.(type) {
	case *EntryClock:
		if c != nil {
			return c
		}
	case *MemberClock:
		if c != nil {
			e := *c.entry // its bounds lie before the filters: the clock keeps them itself
			return &EntryClock{clock: c, name: e.Name(), named: e.Name() != "", params: e.params, labels: e.labels}
		}
	}
	return &EntryClock{clock: c}
}

// Named names the clock. The name is part of each fire's identity, so two clocks of a schedule that have the same
// canonical text and differ in their parameters need names. At most 512 bytes; without one the canonical text is the
// name.
func (c *EntryClock) Named(name string) *EntryClock {
	e := *c
	e.name, e.named = name, true
	return &e
}

// From lets nothing fire before t; t itself may. It moves no fire: Every(time.Hour) stays on the hour. The zero time,
// the default, is no bound; a second From replaces the first.
func (c *EntryClock) From(t time.Time) *EntryClock {
	e := *c
	e.from = utc(t)
	return &e
}

// Until lets nothing fire after t; t itself may. The zero time, the default, is no bound; a second Until replaces the
// first.
func (c *EntryClock) Until(t time.Time) *EntryClock {
	e := *c
	e.until = utc(t)
	return &e
}

// With sets fields of the flow's parameter struct on this clock's fires. A second With replaces the first. The map is
// copied, its values are not.
func (c *EntryClock) With(p Parameters) *EntryClock {
	e := *c
	e.params = maps.Clone(p)
	return &e
}

// Labelled puts labels on this clock's fires. A second Labelled replaces the first.
func (c *EntryClock) Labelled(labels ...string) *EntryClock {
	e := *c
	e.labels = slices.Clone(labels)
	return &e
}

// Next gives the clock's first fire strictly after the instant and within the bounds; the zero time when there is none.
func (c *EntryClock) Next(after time.Time) time.Time {
	if c.clock == nil || c.Err() != nil {
		return time.Time{}
	}
	after = firstInstant(after)
	if after.Before(c.from) {
		after = c.from.Add(-1)
	}
	t := c.clock.Next(after)
	if !c.until.IsZero() && t.After(c.until) {
		return time.Time{}
	}
	return t
}

// Name gives the name, else the clock's canonical text; empty for a clock that has neither.
func (c *EntryClock) Name() string {
	if c.named {
		return c.name
	}
	return c.String()
}

// Parameters gives a copy of the parameters.
func (c *EntryClock) Parameters() Parameters { return maps.Clone(c.params) }

// Labels gives a copy of the labels.
func (c *EntryClock) Labels() []string { return slices.Clone(c.labels) }

// StartDate is the first instant at which the clock may fire: the later one of From and of what the clock itself
// begins with, such as the first of [Dates]. The zero time: it has no beginning.
func (c *EntryClock) StartDate() time.Time {
	t := c.from
	if b, ok := c.clock.(interface{ StartDate() time.Time }); ok {
		if s := b.StartDate(); s.After(t) {
			t = s
		}
	}
	return t
}

// EndDate is the last instant at which the clock may fire: the earlier one of Until and of what the clock itself ends
// with, such as the UNTIL of a rule. The zero time: it has no end.
func (c *EntryClock) EndDate() time.Time {
	t := c.until
	if b, ok := c.clock.(interface{ EndDate() time.Time }); ok {
		if e := b.EndDate(); !e.IsZero() && (t.IsZero() || e.Before(t)) {
			t = e
		}
	}
	return t
}

// Err is a *[ConfigError] when there is no clock, or the name, the bounds or the parameters cannot be, and what the
// clock's own Err says; else nil.
func (c *EntryClock) Err() error {
	switch {
	case c.clock == nil:
		return &ConfigError{Field: "eventflow.Entry", Value: "nil", Allowed: "a TimeClock, such as eventflow.Cron or eventflow.Every"}
	case c.named && (c.name == "" || len(c.name) > maxTriggerName):
		return &ConfigError{Field: "eventflow.Entry name", Value: c.name, Allowed: "1 to 512 bytes"}
	case !c.from.IsZero() && !c.until.IsZero() && c.until.Before(c.from):
		return &ConfigError{Field: "eventflow.Entry Until", Value: c.until.Format(time.RFC3339Nano), Allowed: "From or later; it is " + c.from.Format(time.RFC3339Nano)}
	case c.from.Unix() > lastFire || c.until.Unix() > lastFire || c.from.Before(time.Time{}) || c.until.Before(time.Time{}):
		return &ConfigError{Field: "eventflow.Entry bounds", Value: bound(c.from) + "," + bound(c.until), Allowed: "instants between the years 1 and 9999, UTC"}
	}
	if e, ok := c.clock.(interface{ Err() error }); ok {
		if err := e.Err(); err != nil {
			return err
		}
	}
	return nil
}

// String gives the canonical text: the clock's own, and the bounds where there are any, as in
// "between(2026-01-01T00:00:00Z,,every(1h0m0s))". Name, parameters and labels are no part of it: parameters may be
// secret. What is longer than 128 bytes is shortened, with a hash of the whole; see [EntryClock.MarshalText].
func (c *EntryClock) String() string {
	if c.from.IsZero() && c.until.IsZero() {
		if s, ok := c.clock.(fmt.Stringer); ok {
			return s.String()
		}
		return ""
	}
	text, err := c.MarshalText()
	if err != nil {
		return ""
	}
	return boundedName(string(text))
}

// MarshalText gives the whole canonical text, which [ParseClock] reads: clock and bounds, without name, parameters and
// labels. It is an error when the clock cannot tell its text, or has an Err.
func (c *EntryClock) MarshalText() ([]byte, error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	text, err := marshalClock(c.clock)
	if err != nil || c.from.IsZero() && c.until.IsZero() {
		return text, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "between(%s,%s,%s)", bound(c.from), bound(c.until), text)
	return []byte(b.String()), nil
}

// UnmarshalText takes the canonical text of any clock of this package, so that a field of a configuration may be one.
func (c *EntryClock) UnmarshalText(text []byte) error {
	clock, err := ParseClock(string(text))
	if err == nil {
		*c = *Entry(clock)
	}
	return err
}

// payload is what besides its instant makes a fire equal to another's: parameters as they travel, and the set of labels.
func (c *EntryClock) payload() (string, error) {
	labels := slices.Clone(c.labels)
	slices.Sort(labels)
	params := c.params
	if len(params) == 0 {
		params = nil
	}
	b, err := json.Marshal(struct {
		P Parameters
		L []string
	}{params, slices.Compact(labels)})
	if err != nil {
		return "", &ConfigError{Field: "eventflow.Entry parameters", Value: strings.Join(c.params.names(), ", "), Allowed: "values that JSON can hold: " + misfit(err)}
	}
	return string(b), nil
}

const maxTriggerName = 512

func bound(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// utc is t without zone and monotonic reading; the zero time stays what it is.
func utc(t time.Time) time.Time { return t.Round(0).UTC() }
