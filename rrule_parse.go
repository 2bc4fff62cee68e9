package eventflow

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ruleText is an RRULE as it is written: what it leaves out is still to be taken from DTSTART.
type ruleText struct {
	freq      frequency
	interval  int64
	count     int
	until     string // as DTSTART is written, perhaps with a Z; empty: none
	weekStart int
	days      []nthWeekday // n is 0 without a number
	lists     [len(listParts)][]int
}

// The lists of numbers, in the order of RFC 5545.
const (
	bySecond = iota
	byMinute
	byHour
	byMonthDay
	byYearDay
	byWeekNo
	byMonth
	bySetPos
)

var listParts = [...]struct {
	name     string
	min, max int
	signed   bool // also -max to -min
}{
	bySecond:   {"BYSECOND", 0, 59, false}, // RFC 5545 has 60 for leap seconds, which no clock of Go shows
	byMinute:   {"BYMINUTE", 0, 59, false},
	byHour:     {"BYHOUR", 0, 23, false},
	byMonthDay: {"BYMONTHDAY", 1, 31, true},
	byYearDay:  {"BYYEARDAY", 1, 366, true},
	byWeekNo:   {"BYWEEKNO", 1, 53, true},
	byMonth:    {"BYMONTH", 1, 12, false},
	bySetPos:   {"BYSETPOS", 1, 366, true},
}

var (
	frequencies  = []string{"YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"}
	ruleWeekdays = []string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}
)

const (
	countMost    = 100_000
	intervalMost = 1_000_000_000
)

// parseRule reads what stands behind "RRULE:".
func parseRule(text string) (*ruleText, error) {
	r := &ruleText{freq: -1, interval: 1, weekStart: 1}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(strings.ToUpper(text), ";") {
		name, value, _ := strings.Cut(part, "=")
		if seen[name] {
			return nil, rruleError(name, value, "once in a rule")
		}
		seen[name] = true
		if err := r.part(name, value); err != nil {
			return nil, err
		}
	}
	if err := r.check(seen); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *ruleText) part(name, value string) error {
	switch name {
	case "FREQ":
		if r.freq = frequency(slices.Index(frequencies, value)); r.freq < 0 {
			return rruleError(name, value, "one of "+strings.Join(frequencies, ", "))
		}
	case "INTERVAL":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 1 || n > intervalMost {
			return rruleError(name, value, "1 to "+strconv.Itoa(intervalMost))
		}
		r.interval = n
	case "COUNT":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > countMost {
			return rruleError(name, value, "1 to "+strconv.Itoa(countMost))
		}
		r.count = n
	case "UNTIL":
		if _, _, err := parseRuleTime(value); err != nil {
			return rruleError(name, value, ruleTimes)
		}
		r.until = value
	case "WKST":
		if r.weekStart = slices.Index(ruleWeekdays, value); r.weekStart < 0 {
			return rruleError(name, value, "one of "+strings.Join(ruleWeekdays, ", "))
		}
	case "BYDAY":
		return r.parseDays(value)
	default:
		for i, p := range listParts {
			if p.name == name {
				return r.parseList(i, value)
			}
		}
		return rruleError("", name, "FREQ, INTERVAL, COUNT, UNTIL, WKST, BYSECOND, BYMINUTE, BYHOUR, BYDAY, BYMONTHDAY, BYYEARDAY, BYWEEKNO, BYMONTH or BYSETPOS")
	}
	return nil
}

func (r *ruleText) parseList(i int, value string) error {
	p := listParts[i]
	for text := range strings.SplitSeq(value, ",") {
		n, err := strconv.Atoi(text)
		size := n
		if p.signed && n < 0 {
			size = -n
		}
		if err != nil || size < p.min || size > p.max {
			allowed := strconv.Itoa(p.min) + " to " + strconv.Itoa(p.max)
			if p.signed {
				allowed += ", or below 0 from the end"
			}
			return rruleError(p.name, text, allowed)
		}
		r.lists[i] = append(r.lists[i], n)
	}
	slices.Sort(r.lists[i])
	r.lists[i] = slices.Compact(r.lists[i])
	return nil
}

func (r *ruleText) parseDays(value string) error {
	for text := range strings.SplitSeq(value, ",") {
		at := max(len(text)-2, 0)
		d := nthWeekday{weekday: slices.Index(ruleWeekdays, text[at:])}
		var err error
		if at > 0 {
			d.n, err = strconv.Atoi(text[:at])
		}
		if err != nil || d.weekday < 0 || d.n < -53 || d.n > 53 || at > 0 && d.n == 0 {
			return rruleError("BYDAY", text, "one of "+strings.Join(ruleWeekdays, ", ")+", perhaps with 1 to 53 before it, or below 0 from the end, as in 2MO or -1FR")
		}
		r.days = append(r.days, d)
	}
	slices.SortFunc(r.days, func(a, b nthWeekday) int { return cmp.Or(a.n-b.n, a.weekday-b.weekday) })
	r.days = slices.Compact(r.days)
	return nil
}

// check refuses what RFC 5545, section 3.3.10, says must not be.
func (r *ruleText) check(seen map[string]bool) error {
	numbered := len(r.days) > 0 && (r.days[0].n != 0 || r.days[len(r.days)-1].n != 0)
	others := 0
	for name := range seen {
		if strings.HasPrefix(name, "BY") && name != "BYSETPOS" {
			others++
		}
	}
	freq := ""
	if r.freq >= 0 {
		freq = frequencies[r.freq]
	}
	switch {
	case r.freq < 0:
		return rruleError("FREQ", "", "one of "+strings.Join(frequencies, ", "))
	case r.count > 0 && r.until != "":
		return rruleError("COUNT", strconv.Itoa(r.count), "COUNT or UNTIL, not both")
	case r.lists[byWeekNo] != nil && r.freq != yearly:
		return rruleError("BYWEEKNO", freq, "only with FREQ=YEARLY")
	case r.lists[byYearDay] != nil && (r.freq == monthly || r.freq == weekly || r.freq == daily):
		return rruleError("BYYEARDAY", freq, "not with FREQ=MONTHLY, WEEKLY or DAILY")
	case r.lists[byMonthDay] != nil && r.freq == weekly:
		return rruleError("BYMONTHDAY", freq, "not with FREQ=WEEKLY")
	case numbered && r.freq != monthly && r.freq != yearly:
		return rruleError("BYDAY", freq, "numbers only with FREQ=MONTHLY or YEARLY")
	case numbered && r.lists[byWeekNo] != nil:
		return rruleError("BYDAY", "BYWEEKNO", "no numbers together with BYWEEKNO")
	case r.lists[bySetPos] != nil && others == 0:
		return rruleError("BYSETPOS", "", "only together with another BY part")
	}
	return nil
}

// compile gives the rule that the text is for a DTSTART, but for its end. What the text leaves out is taken from there.
func (r *ruleText) compile(start int64) *rule {
	t := time.Unix(start, 0).UTC()
	c := &rule{
		freq: r.freq, interval: r.interval, weekday: r.weekStart, start: start, until: forever,
		yearDays: r.lists[byYearDay], weeks: r.lists[byWeekNo], positions: r.lists[bySetPos],
	}
	for _, m := range r.lists[byMonth] {
		c.months |= 1 << m
	}
	monthDays := r.lists[byMonthDay]
	switch noDays := r.days == nil && monthDays == nil && c.yearDays == nil; {
	case noDays && c.weeks != nil, noDays && r.freq == weekly:
		c.weekdays = 1 << t.Weekday()
	case noDays && r.freq == yearly:
		if c.months == 0 {
			c.months = 1 << t.Month()
		}
		fallthrough
	case noDays && r.freq == monthly:
		monthDays = []int{t.Day()}
	}
	for _, d := range monthDays {
		if d > 0 {
			c.monthDays |= 1 << d
		} else {
			c.lastDays |= 1 << -d
		}
	}
	for _, d := range r.days {
		if d.n == 0 {
			c.weekdays |= 1 << d.weekday
		} else {
			c.nth = append(c.nth, d)
		}
	}
	var hours uint64
	hours, c.hourList = timePart(r.lists[byHour], r.freq < hourly, t.Hour(), 24)
	c.hours = uint32(hours)
	c.minutes, c.minuteList = timePart(r.lists[byMinute], r.freq < minutely, t.Minute(), 60)
	c.seconds, c.secondList = timePart(r.lists[bySecond], r.freq < secondly, t.Second(), 60)
	return c
}

// timePart gives a list as a mask and as numbers: DTSTART's own when there is none and the period is longer, else all.
func timePart(list []int, longer bool, own, all int) (mask uint64, numbers []int64) {
	for n := range all {
		if list == nil && (!longer || n == own) || slices.Contains(list, n) {
			mask |= 1 << n
			numbers = append(numbers, int64(n))
		}
	}
	return mask, numbers
}

// String gives the rule as RFC 5545 writes it, in a fixed order.
func (r *ruleText) String() string {
	var b strings.Builder
	b.WriteString("FREQ=" + frequencies[r.freq])
	if r.interval != 1 {
		b.WriteString(";INTERVAL=" + strconv.FormatInt(r.interval, 10))
	}
	if r.until != "" {
		b.WriteString(";UNTIL=" + r.until)
	}
	if r.count > 0 {
		b.WriteString(";COUNT=" + strconv.Itoa(r.count))
	}
	for i, p := range listParts {
		if i == byMonthDay && r.days != nil {
			b.WriteString(";BYDAY=" + joined(r.days, func(d nthWeekday) string {
				if d.n == 0 {
					return ruleWeekdays[d.weekday]
				}
				return strconv.Itoa(d.n) + ruleWeekdays[d.weekday]
			}))
		}
		if r.lists[i] != nil {
			b.WriteString(";" + p.name + "=" + joined(r.lists[i], strconv.Itoa))
		}
	}
	if r.weekStart != 1 {
		b.WriteString(";WKST=" + ruleWeekdays[r.weekStart])
	}
	return b.String()
}

func joined[T any](list []T, text func(T) string) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = text(v)
	}
	return strings.Join(texts, ",")
}

const ruleTimes = "a date and time, as in 20260105T180000, with a Z for UTC, or a date, as in 20260105"

// parseRuleTime reads a time of iCalendar: seconds since 1970 as if it were UTC, and whether it says that it is.
func parseRuleTime(text string) (w int64, utc bool, err error) {
	text, utc = strings.CutSuffix(text, "Z")
	layout := "20060102T150405"
	if len(text) == len("20060102") && !utc {
		layout = "20060102"
	}
	t, err := time.Parse(layout, text)
	if err == nil && (len(text) != len(layout) || t.Year() == 0) {
		err = strconv.ErrSyntax
	}
	return t.Unix(), utc, err
}

func rruleError(part, value, allowed string) error {
	field := "eventflow.RRule"
	if part != "" {
		field += " " + shorten(part)
	}
	return &ConfigError{Field: field, Value: shorten(value), Allowed: allowed}
}
