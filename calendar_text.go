package eventflow

import (
	"strconv"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow/internal/cron"
)

var calendarUnits = [...]*calendarUnit{&calendarDays, &calendarWeeks, &calendarMonths, &calendarYears}

// parseCalendar reads what stands between "days(" and ")", or that of another unit.
func parseCalendar(unit, inside string) (*CalendarClock, error) {
	var u *calendarUnit
	for _, u = range calendarUnits {
		if u.name == unit {
			break
		}
	}
	t := cutClockText(u.constructor, inside)
	d := t.dst(cron.DST{})
	short := t.option("short", []string{"last", "skip"}, 0) == 1
	if err := t.end(); err != nil {
		return nil, err
	}
	words := strings.Join(t.words, " ")
	fail := func(value, allowed string) (*CalendarClock, error) {
		return nil, &ConfigError{Field: u.constructor + " text", Value: shorten(value), Allowed: allowed}
	}
	if len(t.words) == 0 {
		return fail(words, "a number, as in "+u.name+"(3 from 1970-01-01 at 09:30 Europe/Lisbon)")
	}
	n, err := strconv.Atoi(t.words[0])
	if err != nil {
		return fail(t.words[0], "a number")
	}
	c := newCalendar(u, n, t.loc, []CalendarOption{Gap(d.Gap), Overlap(d.Overlap)})
	for rest := t.words[1:]; len(rest) > 0; rest = rest[2:] {
		switch {
		case len(rest) > 1 && rest[0] == "from":
			at, err := time.Parse(time.DateOnly, rest[1])
			if err != nil {
				return fail(rest[1], "a date that exists, as in from 2026-01-31")
			}
			c = c.From(at.Date())
		case len(rest) > 1 && rest[0] == "at":
			at, err := time.Parse("15:04", rest[1])
			if err != nil {
				return fail(rest[1], "a time of day, as in at 09:30")
			}
			c = c.At(at.Hour(), at.Minute())
		default:
			return fail(strings.Join(rest, " "), "from and a date, at and a time of day, then a zone")
		}
	}
	if short {
		c = c.SkipShortMonths()
	}
	if c.err != nil {
		return nil, c.err
	}
	return c, nil
}

// MarshalText gives the whole canonical text, which [CalendarClock.UnmarshalText] reads back to an equal clock, where the
// same zone is found under the same name. A clock with an Err has none.
func (c *CalendarClock) MarshalText() ([]byte, error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	return []byte(c.text), nil
}

// UnmarshalText reads a canonical text, so that a clock may stand in a configuration file; "from" and "at" may be left
// out. It is for a new CalendarClock: it must not be called on one that is in use. An error leaves the clock as it was.
func (c *CalendarClock) UnmarshalText(text []byte) error {
	for _, u := range calendarUnits {
		inside, ok := cutForm(u.name, string(text))
		if !ok {
			continue
		}
		parsed, err := parseCalendar(u.name, inside)
		if err == nil {
			*c = *parsed
		}
		return err
	}
	return &ConfigError{
		Field: "eventflow.CalendarClock", Value: shorten(string(text)),
		Allowed: "a text such as days(3 from 1970-01-01 at 09:30 Europe/Lisbon), or one with weeks, months or years",
	}
}
