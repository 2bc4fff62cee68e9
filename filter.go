package eventflow

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow/internal/cron"
)

// Filter is a set of instants. A [Schedule] lets a fire through whose instant is in it. Filters know where their sets
// begin and end, so a schedule jumps over what they keep out, however many fires that is.
//
// Filters of dates and times look at the wall clock of a zone, which must be given: the zone of a clock is not always
// that of its user. An instant always has one reading, so changes of summer time leave no doubt; a reading that the
// clock shows twice is let through twice. Readings count in whole seconds: 09:00 is the second from 09:00:00 on.
//
// The zero Filter has an Err and lets nothing through.
type Filter struct {
	set  instants
	text string
	err  error
}

// instants is a set. Both give the zero time where the year 9999 ends first, or nothing was found with reasonable work.
type instants interface {
	from(t time.Time) time.Time  // the first instant of the set at or after t
	until(t time.Time) time.Time // the first instant at or after t that is not in the set
}

// OnInstant is one instant.
func OnInstant(t time.Time) Filter {
	t = utc(t)
	return Filter{set: span{t, t}, text: "instant(" + t.Format(time.RFC3339Nano) + ")", err: checkInstants("eventflow.OnInstant", t)}
}

// BetweenInstants is what lies between two instants, both included.
func BetweenInstants(first, last time.Time) Filter {
	first, last = utc(first), utc(last)
	err := checkInstants("eventflow.BetweenInstants", first, last)
	if err == nil && last.Before(first) {
		err = &ConfigError{Field: "eventflow.BetweenInstants last", Value: last.Format(time.RFC3339Nano), Allowed: "the first, " + first.Format(time.RFC3339Nano) + ", or later"}
	}
	return Filter{set: span{first, last}, text: "instants(" + first.Format(time.RFC3339Nano) + "," + last.Format(time.RFC3339Nano) + ")", err: err}
}

// OnDate is a day of each year, such as 25 December. 29 February is in leap years only.
func OnDate(month time.Month, day int, loc *time.Location) Filter {
	f := dayFilter("eventflow.OnDate", "date", date(month, day), loc, func(t time.Time) bool {
		return t.Month() == month && t.Day() == day
	})
	return f.refuse(checkDate("eventflow.OnDate", month, day))
}

// BetweenDates is what lies between two days of a year, both included. When the first is the later one, the days are
// those around the turn of the year: from 24 December to 6 January.
func BetweenDates(firstMonth time.Month, firstDay int, lastMonth time.Month, lastDay int, loc *time.Location) Filter {
	first, last := int(firstMonth)*32+firstDay, int(lastMonth)*32+lastDay
	f := dayFilter("eventflow.BetweenDates", "dates", date(firstMonth, firstDay)+" "+date(lastMonth, lastDay), loc, func(t time.Time) bool {
		d := int(t.Month())*32 + t.Day()
		if first <= last {
			return first <= d && d <= last
		}
		return d >= first || d <= last
	})
	return f.refuse(checkDate("eventflow.BetweenDates", firstMonth, firstDay)).refuse(checkDate("eventflow.BetweenDates", lastMonth, lastDay))
}

// AtTime is a time of day, "09:00" or "09:00:30". The seconds default to 00; it is that second, not the minute.
func AtTime(clock string, loc *time.Location) Filter {
	s, err := parseTimeOfDay("eventflow.AtTime", clock)
	return timeFilter("eventflow.AtTime", "time", timeOfDay(s), s, s, loc).refuse(err)
}

// BetweenTimes is what lies between two times of day, both included: "17:00" lets 17:00:00 through and not 17:00:01.
// When the first is the later one, the times are those around midnight: from "22:00" to "06:00".
func BetweenTimes(first, last string, loc *time.Location) Filter {
	from, err := parseTimeOfDay("eventflow.BetweenTimes first", first)
	to, err2 := parseTimeOfDay("eventflow.BetweenTimes last", last)
	return timeFilter("eventflow.BetweenTimes", "times", timeOfDay(from)+" "+timeOfDay(to), from, to, loc).refuse(err).refuse(err2)
}

// Weekdays are Monday to Friday.
func Weekdays(loc *time.Location) Filter {
	return dayFilter("eventflow.Weekdays", "weekdays", "", loc, func(t time.Time) bool { return !weekend(t.Weekday()) })
}

// Weekends are Saturday and Sunday.
func Weekends(loc *time.Location) Filter {
	return dayFilter("eventflow.Weekends", "weekends", "", loc, func(t time.Time) bool { return weekend(t.Weekday()) })
}

// OnWeekday is the days of the week given, at least one.
func OnWeekday(loc *time.Location, days ...time.Weekday) Filter {
	var set [7]bool
	var names []string
	var err error
	for _, d := range days {
		if d < time.Sunday || d > time.Saturday {
			err = &ConfigError{Field: "eventflow.OnWeekday day", Value: strconv.Itoa(int(d)), Allowed: "time.Sunday to time.Saturday"}
			continue
		}
		set[d] = true
	}
	for d, ok := range set {
		if ok {
			names = append(names, weekdayNames[d])
		}
	}
	if len(days) == 0 {
		err = &ConfigError{Field: "eventflow.OnWeekday", Value: "", Allowed: "at least one day"}
	}
	return dayFilter("eventflow.OnWeekday", "weekday", strings.Join(names, ","), loc, func(t time.Time) bool { return set[t.Weekday()] }).refuse(err)
}

// MonthStart is the first day of each month.
func MonthStart(loc *time.Location) Filter {
	return dayFilter("eventflow.MonthStart", "monthstart", "", loc, func(t time.Time) bool { return t.Day() == 1 })
}

// MonthEnd is the last day of each month.
func MonthEnd(loc *time.Location) Filter {
	return dayFilter("eventflow.MonthEnd", "monthend", "", loc, func(t time.Time) bool { return t.AddDate(0, 0, 1).Day() == 1 })
}

// OnDays is the days for which match is true, such as the banking days of a calendar of your own. Only year, month, day
// and weekday of its argument mean anything. It must be a pure function, because replicas and restarts have to agree,
// and safe for concurrent use; it stands under a name in canonical texts, so a change of what it does wants a change of
// the name. Where 10,000 days in a row are false, there is no further one. It cannot be parsed back.
func OnDays(name string, loc *time.Location, match func(day time.Time) bool) Filter {
	var err error
	switch {
	case match == nil:
		match = func(time.Time) bool { return false }
		err = &ConfigError{Field: "eventflow.OnDays match", Value: "nil", Allowed: "a function"}
	case name == "" || len(name) > maxName || hasControl(name):
		err = &ConfigError{Field: "eventflow.OnDays name", Value: name, Allowed: "1 to 128 bytes without control characters: it stands for the function"}
	}
	return dayFilter("eventflow.OnDays", "days", strconv.Quote(name), loc, match).refuse(err)
}

// Err says what is wrong, a *[ConfigError]; nil when nothing is.
func (f Filter) Err() error {
	if f.set == nil && f.err == nil {
		return &ConfigError{Field: "eventflow.Filter", Value: "", Allowed: "one made by a function of this package, such as eventflow.Weekdays"}
	}
	return f.err
}

// Holds reports whether the instant is in the set.
func (f Filter) Holds(t time.Time) bool {
	return f.set != nil && f.err == nil && f.set.from(t).Equal(t)
}

// String gives the canonical text, which [ParseFilter] reads: "dates(12-24 01-06 Europe/Lisbon)".
func (f Filter) String() string { return f.text }

// MarshalText gives the canonical text. It is an error when the filter has an Err.
func (f Filter) MarshalText() ([]byte, error) { return []byte(f.text), f.Err() }

// UnmarshalText is [ParseFilter].
func (f *Filter) UnmarshalText(text []byte) error {
	g, err := ParseFilter(string(text))
	if err == nil {
		*f = g
	}
	return err
}

// refuse keeps the first thing that is wrong.
func (f Filter) refuse(err error) Filter {
	if f.err == nil {
		f.err = err
	}
	return f
}

func dayFilter(field, kind, args string, loc *time.Location, match func(time.Time) bool) Filter {
	return wallFilter(field, kind, args, loc, days{match, true}, days{match, false})
}

func timeFilter(field, kind, args string, first, last int64, loc *time.Location) Filter {
	return wallFilter(field, kind, args, loc, times{first, last}, times{(last + 1) % daySeconds, (first + daySeconds - 1) % daySeconds}.unlessAll(first, last))
}

func wallFilter(field, kind, args string, loc *time.Location, in, out cron.Readings) Filter {
	if err := checkZone(field, loc, ""); err != nil {
		return Filter{text: kind + "()", err: err}
	}
	if args != "" {
		args += " "
	}
	return Filter{set: walled{in: in, out: out, loc: loc}, text: kind + "(" + args + zoneName(loc) + ")"}
}

func checkInstants(field string, ts ...time.Time) error {
	for _, t := range ts {
		if !t.After(time.Time{}) || t.Unix() > lastFire {
			return &ConfigError{Field: field, Value: t.Format(time.RFC3339Nano), Allowed: "an instant after the zero time and before the year 10000, UTC"}
		}
	}
	return nil
}

func checkDate(field string, month time.Month, day int) error {
	if month < time.January || month > time.December {
		return &ConfigError{Field: field + " month", Value: strconv.Itoa(int(month)), Allowed: "time.January to time.December"}
	}
	if last := time.Date(2000, month+1, 0, 0, 0, 0, 0, time.UTC).Day(); day < 1 || day > last {
		return &ConfigError{Field: field + " day", Value: strconv.Itoa(day), Allowed: fmt.Sprintf("1 to %d, the days of %v", last, month)}
	}
	return nil
}

// parseTimeOfDay gives seconds since midnight.
func parseTimeOfDay(field, s string) (int64, error) {
	for _, layout := range [...]string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil && len(s) == len(layout) && t.Nanosecond() == 0 {
			return int64(t.Hour()*3600 + t.Minute()*60 + t.Second()), nil
		}
	}
	return 0, &ConfigError{Field: field, Value: s, Allowed: "a time of day, 00:00 to 23:59, or with seconds, 00:00:00 to 23:59:59"}
}

func date(month time.Month, day int) string { return fmt.Sprintf("%02d-%02d", int(month), day) }

func timeOfDay(s int64) string { return time.Unix(s, 0).UTC().Format(time.TimeOnly) }

func weekend(d time.Weekday) bool { return d == time.Saturday || d == time.Sunday }

var weekdayNames = [...]string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
