package eventflow

import (
	"encoding"
	"strconv"
	"strings"
	"time"
)

// parseMost bounds the texts that are parsed.
const parseMost = 1 << 20

const clockForms = "every(…), dates(…), cron(…), days(…), weeks(…), months(…), years(…), rrule(…) or between(…), as the clock's MarshalText gives it"

const filterForms = "instant(…), instants(…), date(…), dates(…), time(…), times(…), weekdays(…), weekends(…), weekday(…), monthstart(…) " +
	"or monthend(…), as the filter's String gives it; what OnDays made cannot be parsed"

// ParseClock gives the clock of a canonical text, such as MarshalText of each clock of this package gives:
//
//	every(1h30m0s)                 every(1h30m0s+5m0s)
//	dates(2026-03-01T09:00:00Z,2026-06-01T08:00:00Z)
//	cron(0 3 * * * Europe/Lisbon)  cron(30 2 * * * Europe/Lisbon gap=skip overlap=both)
//	days(3 from 1970-01-01 at 09:30 Europe/Lisbon)
//	rrule(DTSTART:20260105T180000 RRULE:FREQ=MONTHLY;BYDAY=-1FR Europe/Lisbon)
//	between(2026-01-01T00:00:00Z,,every(1h0m0s))
//
// The clock that it gives is equal: it has the same text and the same fires, where the machine knows the same zones.
// Parsing looks zones up by name and does nothing else. An error is a *[ConfigError], several of them joined. Names that
// were shortened to 128 bytes, as String gives them, are no texts to parse.
func ParseClock(text string) (TimeClock, error) {
	const field = "eventflow.ParseClock"
	if len(text) > parseMost {
		return nil, &ConfigError{Field: field, Value: shorten(text), Allowed: "at most 1 MiB"}
	}
	form, inside, ok := cutAnyForm(text)
	if !ok {
		return nil, &ConfigError{Field: field, Value: shorten(text), Allowed: clockForms}
	}
	var clock interface {
		TimeClock
		Err() error
	}
	var err error
	switch form {
	case "every":
		clock, err = parseEvery(inside)
	case "dates":
		clock, err = parseDates(inside)
	case "between":
		clock, err = parseBetween(inside)
	case "cron":
		clock, err = parseCron(inside)
	case "days", "weeks", "months", "years":
		clock, err = parseCalendar(form, inside)
	case "rrule":
		clock, err = parseRRule(inside)
	default:
		return nil, &ConfigError{Field: field, Value: shorten(form), Allowed: clockForms}
	}
	if err != nil {
		return nil, err
	}
	if err := clock.Err(); err != nil {
		return nil, err
	}
	return clock, nil
}

// ParseFilter gives the filter of a canonical text, such as [Filter.String] gives. An error is a *[ConfigError].
func ParseFilter(text string) (Filter, error) {
	const field = "eventflow.ParseFilter"
	bad := &ConfigError{Field: field, Value: shorten(text), Allowed: filterForms}
	form, inside, ok := cutAnyForm(text)
	if !ok || len(text) > parseMost {
		return Filter{}, bad
	}
	if form == "instant" || form == "instants" {
		first, last, two := strings.Cut(inside, ",")
		if two != (form == "instants") {
			return Filter{}, bad
		}
		return parseSpan(field, first, last, two)
	}
	t := cutClockText(field, inside)
	if err := t.end(); err != nil {
		return Filter{}, err
	}
	f, ok := t.filter(form)
	if !ok {
		return Filter{}, bad
	}
	return f, f.Err()
}

// ParseAdjustment gives the adjustment of a canonical text, such as [Adjustment.String] gives. An error is a
// *[ConfigError].
func ParseAdjustment(text string) (Adjustment, error) {
	const field = "eventflow.ParseAdjustment"
	form, inside, _ := cutAnyForm(text)
	switch form {
	case "shift":
		if d, err := time.ParseDuration(inside); err == nil {
			return Shift(d), nil
		}
	case "nextweekday":
		loc, err := parseZone(field, inside)
		if err != nil {
			return Adjustment{}, err
		}
		a := NextWeekday(loc)
		return a, a.Err()
	}
	return Adjustment{}, &ConfigError{Field: field, Value: shorten(text), Allowed: "shift(DURATION), as in shift(-1h30m0s), or nextweekday(ZONE)"}
}

// cutAnyForm cuts "form(inside)".
func cutAnyForm(text string) (form, inside string, ok bool) {
	form, _, _ = strings.Cut(strings.TrimSpace(text), "(")
	inside, ok = cutForm(form, text)
	return form, inside, ok
}

// filter gives the filter of a form whose inside is this text.
func (c *clockText) filter(form string) (Filter, bool) {
	switch {
	case len(c.words) == 0 && form == "weekdays":
		return Weekdays(c.loc), true
	case len(c.words) == 0 && form == "weekends":
		return Weekends(c.loc), true
	case len(c.words) == 0 && form == "monthstart":
		return MonthStart(c.loc), true
	case len(c.words) == 0 && form == "monthend":
		return MonthEnd(c.loc), true
	case len(c.words) == 1 && form == "time":
		return AtTime(c.words[0], c.loc), true
	case len(c.words) == 2 && form == "times":
		return BetweenTimes(c.words[0], c.words[1], c.loc), true
	case len(c.words) == 1 && form == "date":
		m, d := parseDate(c.words[0])
		return OnDate(m, d, c.loc), true
	case len(c.words) == 2 && form == "dates":
		m, d := parseDate(c.words[0])
		n, e := parseDate(c.words[1])
		return BetweenDates(m, d, n, e, c.loc), true
	case len(c.words) == 1 && form == "weekday":
		var set []time.Weekday
		for name := range strings.SplitSeq(c.words[0], ",") {
			set = append(set, parseWeekday(name))
		}
		return OnWeekday(c.loc, set...), true
	}
	return Filter{}, false
}

func parseSpan(field, first, last string, two bool) (Filter, error) {
	from, err := parseInstant(field, first)
	if err != nil {
		return Filter{}, err
	}
	if !two {
		f := OnInstant(from)
		return f, f.Err()
	}
	to, err := parseInstant(field, last)
	if err != nil {
		return Filter{}, err
	}
	f := BetweenInstants(from, to)
	return f, f.Err()
}

func parseInstant(field, text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(text))
	if err != nil {
		return time.Time{}, &ConfigError{Field: field + " instant", Value: shorten(text), Allowed: "an instant of RFC 3339, such as 2026-03-01T09:00:00Z"}
	}
	return t.UTC(), nil
}

// parseDate reads "12-25"; what cannot be is no date, and refused as one.
func parseDate(text string) (time.Month, int) {
	m, d, _ := strings.Cut(text, "-")
	month, err := strconv.Atoi(m)
	day, err2 := strconv.Atoi(d)
	if err != nil || err2 != nil {
		return 0, 0
	}
	return time.Month(month), day
}

func parseWeekday(name string) time.Weekday {
	for d, n := range weekdayNames {
		if strings.EqualFold(n, name) {
			return time.Weekday(d)
		}
	}
	return -1
}

func parseEvery(inside string) (*IntervalClock, error) {
	interval, phase, phased := strings.Cut(inside, "+")
	d, err := time.ParseDuration(interval)
	p := time.Duration(0)
	if err == nil && phased {
		p, err = time.ParseDuration(phase)
	}
	if err != nil {
		return nil, &ConfigError{Field: "eventflow.Every", Value: shorten(inside), Allowed: "a duration, as in 1h30m0s, and perhaps a phase, as in 1h30m0s+5m0s"}
	}
	return Every(d).Phase(p), nil
}

func parseDates(inside string) (*DatesClock, error) {
	var ts []time.Time
	for text := range strings.SplitSeq(inside, ",") {
		t, err := parseInstant("eventflow.Dates", text)
		if err != nil {
			return nil, err
		}
		ts = append(ts, t)
	}
	return Dates(ts...), nil
}

func parseBetween(inside string) (*EntryClock, error) {
	const field = "eventflow.Entry"
	first, rest, ok := strings.Cut(inside, ",")
	last, text, ok2 := strings.Cut(rest, ",")
	if !ok || !ok2 || first == "" && last == "" || strings.HasPrefix(strings.TrimSpace(text), "between(") {
		return nil, &ConfigError{Field: field, Value: shorten(inside), Allowed: "FIRST,LAST,CLOCK with one or two instants, as in 2026-01-01T00:00:00Z,,every(1h0m0s), and a clock without bounds"}
	}
	clock, err := ParseClock(text)
	if err != nil {
		return nil, err
	}
	e := Entry(clock)
	if first != "" {
		from, err := parseInstant(field+" From", first)
		if err != nil {
			return nil, err
		}
		e = e.From(from)
	}
	if last != "" {
		until, err := parseInstant(field+" Until", last)
		if err != nil {
			return nil, err
		}
		e = e.Until(until)
	}
	return e, nil
}

// marshalClock gives the whole canonical text of a clock that has one.
func marshalClock(c TimeClock) ([]byte, error) {
	if m, ok := c.(encoding.TextMarshaler); ok {
		return m.MarshalText()
	}
	return nil, &ConfigError{Field: "eventflow.Entry", Value: typeName(c), Allowed: "a clock of this package, or one with a MarshalText method"}
}

// unmarshalClock sets c to the clock of a text.
func unmarshalClock[T any](c *T, text []byte) error {
	parsed, err := ParseClock(string(text))
	if err != nil {
		return err
	}
	p, ok := any(parsed).(*T)
	if !ok {
		return &ConfigError{Field: "eventflow.ParseClock", Value: shorten(string(text)), Allowed: "the text of another kind of clock, " + typeName(any(c).(TimeClock))}
	}
	*c = *p
	return nil
}
