package eventflow

import (
	"fmt"
	"strconv"
	"time"

	"github.com/eventflow-go/eventflow/internal/cron"
)

// CalendarClock fires at one time of day every so many days, weeks, months or years of a zone's calendar. Unlike the
// 24 hours of [Every], a day of the calendar keeps its time of day when summer time begins or ends.
//
// Steps are counted from a date, never from the start of a process, in both directions: the date decides which days
// are meant, not when the first fire is. Like every clock it is immutable and safe for concurrent use; At, From and
// SkipShortMonths give another clock. Make one with [EveryDays], [EveryWeeks], [EveryMonths] or [EveryYears].
type CalendarClock struct {
	unit         *calendarUnit
	n            int
	hour, minute int
	from         struct {
		year  int
		month time.Month
		day   int
	}
	short bool // SkipShortMonths was called

	steps cron.Steps
	dst   cron.DST
	loc   *time.Location
	text  string
	err   error
}

// calendarUnit is what the steps are of.
type calendarUnit struct {
	name         string // in canonical texts
	constructor  string // for errors
	days, months int64
	firstDay     int // of January 1970, where counting begins
}

var (
	calendarDays   = calendarUnit{name: "days", constructor: "eventflow.EveryDays", days: 1, firstDay: 1}
	calendarWeeks  = calendarUnit{name: "weeks", constructor: "eventflow.EveryWeeks", days: 7, firstDay: 5}
	calendarMonths = calendarUnit{name: "months", constructor: "eventflow.EveryMonths", months: 1, firstDay: 1}
	calendarYears  = calendarUnit{name: "years", constructor: "eventflow.EveryYears", months: 12, firstDay: 1}
)

// EveryDays fires at midnight of every n-th day, counted from 1 January 1970; [CalendarClock.At] and
// [CalendarClock.From] choose another time of day and another date. What an option says of readings that the clock skips
// or shows twice holds for the time of day; the default is [Vixie], so that no day is without its fire and none has two.
//
// An n outside 1 to 1,000,000, a nil zone or time.Local never fires, and [CalendarClock.Err] says so.
func EveryDays(n int, loc *time.Location, opts ...CalendarOption) *CalendarClock {
	return newCalendar(&calendarDays, n, loc, opts)
}

// EveryWeeks is EveryDays for weeks: at midnight of every n-th Monday, counted from 5 January 1970. A date given to
// [CalendarClock.From] chooses the day of the week as well.
func EveryWeeks(n int, loc *time.Location, opts ...CalendarOption) *CalendarClock {
	return newCalendar(&calendarWeeks, n, loc, opts)
}

// EveryMonths is EveryDays for months: at midnight of the first of every n-th month, counted from January 1970. A date
// given to [CalendarClock.From] chooses the day as well. A month that does not have it fires on its last day: from 31
// January come 28 February, or 29, and 31 March. [CalendarClock.SkipShortMonths] leaves such months out.
func EveryMonths(n int, loc *time.Location, opts ...CalendarOption) *CalendarClock {
	return newCalendar(&calendarMonths, n, loc, opts)
}

// EveryYears is EveryDays for years: at midnight of 1 January of every n-th year, counted from 1970. From 29 February, in
// other years than leap years it fires on 28 February, or not with [CalendarClock.SkipShortMonths].
func EveryYears(n int, loc *time.Location, opts ...CalendarOption) *CalendarClock {
	return newCalendar(&calendarYears, n, loc, opts)
}

func newCalendar(unit *calendarUnit, n int, loc *time.Location, opts []CalendarOption) *CalendarClock {
	c := CalendarClock{unit: unit, n: n, loc: loc}
	c.from.year, c.from.month, c.from.day = 1970, time.January, unit.firstDay
	if c.dst, c.err = applyCalendarOptions(unit.constructor, cron.DST{}, opts); c.err == nil {
		c.err = checkZone(unit.constructor, loc, "")
	}
	if c.err == nil && (n < 1 || n > maxSteps) {
		c.err = &ConfigError{Field: unit.constructor, Value: strconv.Itoa(n), Allowed: "1 to " + strconv.Itoa(maxSteps)}
	}
	return c.made()
}

// maxSteps keeps arithmetic far from an overflow; it is more than the years that have a fire at all.
const maxSteps = 1_000_000

// At gives the clock with another time of day, 0 to 23 and 0 to 59.
func (c *CalendarClock) At(hour, minute int) *CalendarClock {
	d := *c
	d.hour, d.minute = hour, minute
	if d.err == nil && (hour < 0 || hour > 23 || minute < 0 || minute > 59) {
		d.err = &ConfigError{Field: d.constructor() + " At", Value: fmt.Sprintf("%d:%02d", hour, minute), Allowed: "0:00 to 23:59"}
	}
	return d.made()
}

// From gives the clock with another date to count from, one that exists in the years 1 to 9999. Fires lie on both sides
// of it.
func (c *CalendarClock) From(year int, month time.Month, day int) *CalendarClock {
	d := *c
	d.from.year, d.from.month, d.from.day = year, month, day
	if d.err == nil && !cron.Exists(year, int(month), day) {
		d.err = &ConfigError{Field: d.constructor() + " From", Value: fmt.Sprintf("%04d-%02d-%02d", year, month, day), Allowed: "a date of the years 1 to 9999 that exists"}
	}
	return d.made()
}

// SkipShortMonths gives the clock that passes over months without the day. It is of EveryMonths and EveryYears.
func (c *CalendarClock) SkipShortMonths() *CalendarClock {
	d := *c
	d.short = true
	if d.err == nil && (d.unit == nil || d.unit.months == 0) {
		d.err = &ConfigError{Field: d.constructor() + " SkipShortMonths", Value: "", Allowed: "EveryMonths or EveryYears"}
	}
	return d.made()
}

func (c *CalendarClock) constructor() string {
	if c.unit == nil {
		return "eventflow.CalendarClock"
	}
	return c.unit.constructor
}

// made works out what follows from the fields.
func (c *CalendarClock) made() *CalendarClock {
	if c.unit == nil {
		return c
	}
	var b []byte
	b = fmt.Appendf(b, "%s(%d from %04d-%02d-%02d at %02d:%02d", c.unit.name, c.n, c.from.year, c.from.month, c.from.day, c.hour, c.minute)
	if c.err == nil {
		b = append(append(b, ' '), zoneName(c.loc)...)
		n := int64(c.n)
		c.steps = cron.Steps{
			Days: n * c.unit.days, Months: n * c.unit.months,
			Year: int64(c.from.year), Month: int(c.from.month), Day: c.from.day,
			Second: int64(c.hour*3600 + c.minute*60), Skip: c.short,
		}
	}
	if c.short {
		b = append(b, " short=skip"...)
	}
	c.text = string(append(appendDST(b, c.dst, cron.DST{}), ')'))
	return c
}

// Next gives the first fire strictly after the instant, in the clock's zone; the zero time when the clock has an Err or
// the year 9999 ends before it. Instants before the year 1 count as its beginning. It is a function of its argument and
// of the zone's rules: replicas whose time zone databases differ may differ.
func (c *CalendarClock) Next(after time.Time) time.Time {
	if c.Err() != nil {
		return time.Time{}
	}
	return cron.Next(&c.steps, c.dst, after, c.loc)
}

// calendar gives what a preview walks; loc is nil when the clock has an Err.
func (c *CalendarClock) calendar() (r cron.Readings, d cron.DST, loc *time.Location) {
	if c.Err() != nil {
		return nil, d, nil
	}
	return &c.steps, c.dst.For(false), c.loc
}

// Err is a *[ConfigError] for the first thing that is wrong with the clock, else nil.
func (c *CalendarClock) Err() error {
	if c.unit == nil { // the zero CalendarClock
		return &ConfigError{Field: "eventflow.CalendarClock", Value: "", Allowed: "one made by EveryDays, EveryWeeks, EveryMonths or EveryYears"}
	}
	return c.err
}

// String gives the clock's name where it has no other: the canonical text, as in "days(3 from 1970-01-01 at 09:30
// Europe/Lisbon)" and "months(1 from 2026-01-31 at 00:00 UTC short=skip)". Clocks with the same name are the same.
// What is longer than 128 bytes is shortened, with a hash of the whole; [CalendarClock.MarshalText] gives all of it.
func (c *CalendarClock) String() string {
	if c.text == "" {
		return "calendar()"
	}
	return boundedName(c.text)
}
