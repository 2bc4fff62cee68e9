package eventflow

import (
	"slices"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow/internal/cron"
)

// RRuleClock fires when the wall clock of a zone agrees with a recurrence rule of RFC 5545. It is immutable and safe for
// concurrent use. A search begins where it is asked for, not at DTSTART, so Next takes microseconds however long ago that
// was. Make one with [RRule].
type RRuleClock struct {
	sets    []rruleSet
	rdates  []int64 // those that are instants, seconds since 1970, ascending
	exdates []int64 // likewise
	dst     cron.DST
	loc     *time.Location
	start   time.Time // the zero time where it has none
	end     time.Time
	text    string
	err     error
}

// rruleSet is the readings of one rule or of the dates, and when those of the rule end if UNTIL is an instant.
type rruleSet struct {
	readings cron.Readings
	until    time.Time // zero: none
}

// RRule fires by a recurrence rule of RFC 5545 (iCalendar), the readings of which are those of the wall clock of loc:
//
//	DTSTART:20260105T180000
//	RRULE:FREQ=MONTHLY;BYDAY=-1FR
//	RDATE:20260601T180000
//	EXDATE:20260731T180000
//
// It never fails by itself: [RRuleClock.Err] says what is wrong, and until that is mended nothing fires.
//
// Each line is a property of an iCalendar event; spaces may separate them as line breaks do. DTSTART must be there: a rule
// counts from it and takes from it what it does not say, such as the time of day. It is itself a fire only where the
// rule says so. There may be several RRULE, RDATE and EXDATE; "RRULE:" may be left out. Recurrence rules know seconds,
// nothing finer. What RFC 5545 forbids is refused, and so are COUNT above 100,000, second 60, RDATE of periods and the
// EXRULE of older standards. A rule of weeks (BYWEEKNO) without a day means DTSTART's day of the week.
//
// The zone is loc, or the text's own, "DTSTART;TZID=Europe/Lisbon:20260105T180000", and then loc may be nil or the same.
// DTSTART with a Z is UTC. UNTIL, RDATE and EXDATE with a Z are instants, all others readings in the zone. UNTIL has a
// time when DTSTART has one. COUNT counts what the rule gives, before EXDATE takes away and whatever RDATE adds.
//
// A reading that the zone's clock skips or shows twice follows [RFC5545] unless an option says otherwise: 02:30 is 03:30
// where the clock goes from 02:00 to 03:00, and what is shown twice fires the first time.
//
// A rule that has no reading ends: a search looks at no more than 400 years of days, or at 200,000 hours, minutes or
// seconds that the rule allows.
func RRule(text string, loc *time.Location, opts ...CalendarOption) *RRuleClock {
	c, err := newRRule(text, loc, opts)
	if err != nil {
		return &RRuleClock{err: err, text: boundedName("rrule(" + strings.ToValidUTF8(shorten(strings.Join(strings.Fields(text), " ")), "\uFFFD") + ")")}
	}
	return c
}

// Next gives the first fire strictly after the instant, in the clock's zone; the zero time when there is none.
func (c *RRuleClock) Next(after time.Time) time.Time {
	if c.loc == nil {
		return time.Time{}
	}
	for t := firstInstant(after); ; {
		if t = c.next(t); t.IsZero() {
			return t
		}
		if _, without := slices.BinarySearch(c.exdates, t.Unix()); !without {
			return t
		}
	}
}

// next is Next before the instants of EXDATE are taken out.
func (c *RRuleClock) next(after time.Time) (first time.Time) {
	for i := range c.sets {
		s := &c.sets[i]
		t := cron.Next(s.readings, c.dst, after, c.loc)
		if t.IsZero() || !s.until.IsZero() && t.After(s.until) {
			continue
		}
		if first.IsZero() || t.Before(first) {
			first = t
		}
	}
	if i, _ := slices.BinarySearch(c.rdates, after.Unix()+1); i < len(c.rdates) {
		if t := time.Unix(c.rdates[i], 0).In(c.loc); first.IsZero() || t.Before(first) {
			first = t
		}
	}
	return first
}

// calendar gives the readings of the rules and dates, what becomes of those that are skipped or shown twice, and the
// zone; nil with an Err.
func (c *RRuleClock) calendar() (r cron.Readings, d cron.DST, loc *time.Location) {
	return unionOf(c.sets), c.dst.For(false), c.loc
}

// StartDate is where DTSTART is; the zero time when the clock has an Err.
func (c *RRuleClock) StartDate() time.Time { return c.start }

// EndDate is the latest UNTIL, last fire of a COUNT, and RDATE. The zero time: a rule has no end, or the clock has an
// Err.
func (c *RRuleClock) EndDate() time.Time { return c.end }

// Err says what is wrong with the text or its location, a *[ConfigError]; nil when nothing is.
func (c *RRuleClock) Err() error {
	if c.err == nil && c.loc == nil { // the zero RRuleClock
		return &ConfigError{Field: "eventflow.RRuleClock", Value: "", Allowed: "one made by eventflow.RRule"}
	}
	return c.err
}

// String gives the canonical text, the clock's name where it has no other, as in
// "rrule(DTSTART:20260105T180000 RRULE:FREQ=MONTHLY;BYDAY=-1FR Europe/Lisbon)". What is longer than 128 bytes is
// shortened, with a hash of the whole; see [RRuleClock.MarshalText]. A clock with an Err shows its text.
func (c *RRuleClock) String() string {
	if c.text == "" {
		return "rrule()"
	}
	return boundedName(c.text)
}

// MarshalText gives the whole canonical text, which [ParseClock] reads. A clock with an Err has none.
func (c *RRuleClock) MarshalText() ([]byte, error) { return []byte(c.text), c.Err() }

// UnmarshalText takes a canonical text. It is for a new RRuleClock: it must not be called on one that is in use.
func (c *RRuleClock) UnmarshalText(text []byte) error { return unmarshalClock(c, text) }

// parseRRule reads what stands between "rrule(" and ")".
func parseRRule(inside string) (*RRuleClock, error) {
	t := cutClockText("eventflow.RRule", inside)
	d := t.dst(rruleDST)
	if err := t.end(); err != nil {
		return nil, err
	}
	return newRRule(strings.Join(t.words, "\n"), t.loc, []CalendarOption{Gap(d.Gap), Overlap(d.Overlap)})
}

// readingList is readings one by one, ascending.
type readingList []int64

func (l readingList) Reading(w int64) (int64, bool) {
	i, _ := slices.BinarySearch(l, w)
	if i == len(l) {
		return 0, false
	}
	return l[i], true
}

// without is a set of readings less some of them.
type without struct {
	of  cron.Readings
	not []int64 // ascending
}

func (s without) Reading(w int64) (int64, bool) {
	for {
		next, ok := s.of.Reading(w)
		if _, found := slices.BinarySearch(s.not, next); !ok || !found {
			return next, ok
		}
		w = next + 1
	}
}

// unionOf is all readings of several sets.
type unionOf []rruleSet

func (u unionOf) Reading(w int64) (first int64, ok bool) {
	for i := range u {
		if v, found := u[i].readings.Reading(w); found && (!ok || v < first) {
			first, ok = v, true
		}
	}
	return first, ok
}
