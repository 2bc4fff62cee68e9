package eventflow

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow/internal/cron"
)

const rruleMost = 64 << 10

var rruleDST = cron.DST{Gap: cron.GapShift, Overlap: cron.OverlapFirst}

// rruleText is the properties of a recurrence, as they are read one by one.
type rruleText struct {
	start         string // DTSTART's value, empty: not yet
	zone          string // DTSTART's; empty: none is named
	rules         []*ruleText
	dates, except []string // of RDATE and EXDATE
	zones         []string // that these name
}

func newRRule(text string, loc *time.Location, opts []CalendarOption) (*RRuleClock, error) {
	if len(text) > rruleMost {
		return nil, rruleError("", text, "at most 64 KiB")
	}
	d, err := applyCalendarOptions("eventflow.RRule", rruleDST, opts)
	if err != nil {
		return nil, err
	}
	// A line that begins with a space goes on the one before (RFC 5545, section 3.1).
	unfolded := strings.NewReplacer("\r\n ", "", "\r\n\t", "", "\n ", "", "\n\t", "").Replace(text)
	var t rruleText
	for property := range strings.FieldsSeq(unfolded) {
		if err = t.property(property); err != nil {
			return nil, err
		}
	}
	if t.start == "" {
		return nil, rruleError("DTSTART", "", "a DTSTART, as in DTSTART:20260105T180000: a rule counts from it")
	}
	if len(t.rules)+len(t.dates) == 0 {
		return nil, rruleError("RRULE", "", "at least one RRULE or RDATE")
	}
	if loc, err = t.location(loc); err != nil {
		return nil, err
	}
	return t.clock(loc, d.For(false))
}

func (t *rruleText) property(text string) error {
	head, value, found := strings.Cut(text, ":")
	if !found {
		head, value = "RRULE", text
	}
	name, params, _ := strings.Cut(head, ";")
	name = strings.ToUpper(name)
	zone := ""
	for param := range strings.SplitSeq(params, ";") {
		// Each part is folded by itself: the upper case of a text may be longer than the text.
		key, of, _ := strings.Cut(param, "=")
		switch key = strings.ToUpper(key); {
		case param == "", key == "VALUE" && (strings.EqualFold(of, "DATE") || strings.EqualFold(of, "DATE-TIME")):
		case key == "TZID" && name != "RRULE" && zone == "":
			zone = strings.Trim(of, `"`)
		default:
			return rruleError(name, param, "TZID=ZONE once, VALUE=DATE-TIME or VALUE=DATE")
		}
	}
	switch name {
	case "RRULE":
		r, err := parseRule(value)
		if err != nil {
			return err
		}
		t.rules = append(t.rules, r)
	case "DTSTART":
		if t.start != "" {
			return rruleError(name, value, "once")
		}
		_, utc, err := parseRuleTime(value)
		if err != nil || utc && zone != "" {
			return rruleError(name, value, ruleTimes+", and no Z with a TZID")
		}
		t.start, t.zone = value, zone
		if utc {
			t.start, t.zone = strings.TrimSuffix(value, "Z"), "UTC"
		}
	case "RDATE", "EXDATE":
		for date := range strings.SplitSeq(value, ",") {
			if _, _, err := parseRuleTime(date); err != nil {
				return rruleError(name, date, ruleTimes)
			}
			if name == "RDATE" {
				t.dates = append(t.dates, date)
			} else {
				t.except = append(t.except, date)
			}
		}
		if zone != "" {
			t.zones = append(t.zones, zone)
		}
	default:
		return rruleError("", shorten(name), "DTSTART, RRULE, RDATE or EXDATE")
	}
	return nil
}

// location gives the one zone that is meant.
func (t *rruleText) location(loc *time.Location) (*time.Location, error) {
	const name = "eventflow.RRule"
	if loc == nil && t.zone != "" {
		zone, err := loadZone(name+" TZID", t.zone)
		if err != nil {
			return nil, err
		}
		loc = zone
	}
	if err := checkZone(name, loc, "; or a TZID in DTSTART"); err != nil {
		return nil, err
	}
	if t.zone == "" {
		t.zone = loc.String()
	}
	for _, zone := range append(t.zones, t.zone) {
		if zone != loc.String() {
			return nil, &ConfigError{Field: name + " TZID", Value: shorten(zone), Allowed: "one zone for all; here it is " + strconv.Quote(loc.String())}
		}
	}
	return loc, nil
}

func (t *rruleText) clock(loc *time.Location, d cron.DST) (*RRuleClock, error) {
	c := &RRuleClock{loc: loc, dst: d}
	start, _, _ := parseRuleTime(t.start) // it was read before
	dates, instants := splitTimes(t.dates)
	except, exceptInstants := splitTimes(t.except)
	c.rdates, c.exdates = instants, exceptInstants
	place := func(w int64) time.Time {
		if at, n := cron.Place(w, cron.DST{Gap: cron.GapShift, Overlap: cron.OverlapLast}, loc); n > 0 {
			return time.Unix(at[0], 0).In(loc)
		}
		return time.Time{}
	}
	c.start = place(start)
	endless := false
	for _, text := range t.rules {
		set, end, err := text.set(start, len(t.start) == len("20060102"))
		if err != nil {
			return nil, err
		}
		if !set.until.IsZero() {
			end = set.until
		} else if !end.IsZero() {
			end = place(end.Unix())
		}
		endless = endless || end.IsZero()
		c.end = later(c.end, end)
		c.sets = append(c.sets, set)
	}
	if len(dates) > 0 {
		c.sets = append(c.sets, rruleSet{readings: readingList(dates)})
		c.end = later(c.end, place(dates[len(dates)-1]))
	}
	if len(instants) > 0 {
		c.end = later(c.end, time.Unix(instants[len(instants)-1], 0).In(loc))
	}
	if endless {
		c.end = time.Time{}
	}
	if len(except) > 0 {
		for i := range c.sets {
			c.sets[i].readings = without{c.sets[i].readings, except}
		}
	}
	c.text = t.canonical(dates, instants, except, exceptInstants) + zoneName(loc) + string(appendDST(nil, d, rruleDST)) + ")"
	return c, nil
}

// set gives the readings of a rule. end is its last reading, as if in UTC; the zero time: it has no end, or an instant.
func (r *ruleText) set(start int64, startIsDate bool) (s rruleSet, end time.Time, err error) {
	rule := r.compile(start)
	s.readings = rule
	if r.until != "" {
		w, utc, _ := parseRuleTime(r.until) // it was read before
		switch isDate := len(r.until) == len("20060102"); {
		case isDate != startIsDate:
			return s, end, rruleError("UNTIL", r.until, "a date when DTSTART is one, else a date and time: is "+r.until[:8]+"T235959 meant?")
		case utc:
			s.until = time.Unix(w, 0).UTC()
			rule.until = w + 2*daySeconds // in no zone is it later by the wall clock
			return s, end, nil
		}
		rule.until = w
		return s, time.Unix(w, 0).UTC(), nil
	}
	if r.count == 0 {
		return s, end, nil
	}
	w := start - 1
	for range r.count {
		next, ok := rule.Reading(w + 1)
		if !ok {
			break
		}
		w = next
	}
	rule.until = w
	return s, time.Unix(w, 0).UTC(), nil
}

// canonical gives the text up to the zone.
func (t *rruleText) canonical(dates, instants, except, exceptInstants []int64) string {
	var b strings.Builder
	b.WriteString("rrule(DTSTART:" + t.start + " ")
	rules := make([]string, 0, len(t.rules))
	for _, r := range t.rules {
		rules = append(rules, "RRULE:"+r.String()+" ")
	}
	slices.Sort(rules)
	b.WriteString(strings.Join(slices.Compact(rules), ""))
	for _, list := range []struct {
		name   string
		times  []int64
		suffix string
	}{{"RDATE:", dates, " "}, {"RDATE:", instants, "Z "}, {"EXDATE:", except, " "}, {"EXDATE:", exceptInstants, "Z "}} {
		if len(list.times) > 0 {
			z := strings.TrimSpace(list.suffix)
			b.WriteString(list.name + joined(list.times, func(w int64) string {
				return time.Unix(w, 0).UTC().Format("20060102T150405") + z
			}) + " ")
		}
	}
	return b.String()
}

// splitTimes gives the readings and the instants of a list of times, each ascending and once.
func splitTimes(texts []string) (readings, instants []int64) {
	for _, text := range texts {
		w, utc, _ := parseRuleTime(text) // it was read before
		if utc {
			instants = append(instants, w)
		} else {
			readings = append(readings, w)
		}
	}
	for _, list := range []*[]int64{&readings, &instants} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return readings, instants
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
