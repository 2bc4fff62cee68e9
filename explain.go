package eventflow

import (
	"fmt"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow/internal/cron"
)

// Explain says in plain English when the clock fires, with its zone and with what becomes of readings that the zone's
// clock skips or shows twice, where it still does: "At 03:00 on Monday to Friday, Europe/Lisbon; a time that the clock
// skips runs …". It is for people: its wording may change. A clock with an Err never fires, and it says why.
func (c *CronClock) Explain() string {
	if err := c.Err(); err != nil {
		return "Never: " + err.Error()
	}
	// What the words add about themselves stands behind the zone.
	words, notes, noted := strings.Cut(c.spec.Words(), "; ")
	text := words + ", " + zoneName(c.loc)
	if noted {
		text += "; " + notes
	}
	return text + dstWords(c.dst.For(c.spec.Wildcard()), c.loc) + "."
}

// Explain says in plain English when the clock fires, as [CronClock.Explain] does.
func (c *CalendarClock) Explain() string {
	if err := c.Err(); err != nil {
		return "Never: " + err.Error()
	}
	text := fmt.Sprintf("At %02d:%02d every ", c.hour, c.minute)
	from := time.Date(c.from.year, c.from.month, c.from.day, 0, 0, 0, 0, time.UTC)
	unit := strings.TrimSuffix(c.unit.name, "s")
	if c.n > 1 {
		text += fmt.Sprintf("%d %ss", c.n, unit)
	} else {
		text += unit
	}
	switch c.unit {
	case &calendarWeeks:
		text += " on " + from.Weekday().String()
	case &calendarMonths:
		text += " on the " + cron.Ordinal(c.from.day)
	case &calendarYears:
		text += " on " + from.Format("2 January")
	}
	if c.n > 1 {
		text += ", counted from " + from.Format("2 January 2006")
	}
	text += ", " + zoneName(c.loc)
	if c.unit.months > 0 && c.from.day > 28 && (c.unit != &calendarYears || c.from.month == time.February) {
		if c.short {
			text += "; a month without such a day is passed over"
		} else {
			text += "; in a month without such a day on its last day"
		}
	}
	return text + dstWords(c.dst.For(false), c.loc) + "."
}

// dstWords says what becomes of readings that are skipped or come twice; d is without Vixie's names. Of a zone that has
// given up changing its clock it says nothing, whatever Tokyo did in 1948; that is judged by the year 2026, so that the
// words are the same on any day.
func dstWords(d cron.DST, loc *time.Location) string {
	if _, end := time.Unix(1767225600, 0).In(loc).ZoneBounds(); end.IsZero() {
		return ""
	}
	return "; a time that the clock skips " + [...]string{
		cron.GapSkip:  "does not run",
		cron.GapAfter: "runs at the first instant after the gap",
		cron.GapShift: "runs as much later as the clock jumps",
	}[d.Gap] + ", one that it shows twice runs " + [...]string{
		cron.OverlapFirst: "the first time",
		cron.OverlapLast:  "the second time",
		cron.OverlapBoth:  "both times",
	}[d.Overlap]
}
