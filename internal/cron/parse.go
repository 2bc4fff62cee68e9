package cron

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// maxLen bounds an expression: a list of every value of every field is shorter.
const maxLen = 1024

// Fault is one thing that is wrong with an expression.
type Fault struct {
	Field   string // "minute", "day of week"; "" is the expression as a whole
	Value   string // the part that cannot be
	Allowed string
	At      int // the byte of the expression at which the part begins; 0 for the whole
}

var macros = map[string]string{
	"@hourly":   "0 * * * *",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@weekly":   "0 0 * * 0",
	"@monthly":  "0 0 1 * *",
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
}

const macroNames = "@hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually"

// CutZone cuts a leading "TZ=zone" or "CRON_TZ=zone" off an expression. The rest is always the expression's end.
func CutZone(expr string) (zone, rest string, found bool) {
	rest = strings.TrimLeftFunc(expr, unicode.IsSpace)
	zone, found = strings.CutPrefix(rest, "CRON_TZ=")
	if !found {
		if zone, found = strings.CutPrefix(rest, "TZ="); !found {
			return "", rest, false
		}
	}
	zone, _ = word(zone)
	rest = rest[strings.IndexByte(rest, '=')+1+len(zone):]
	return zone, rest, true
}

// word cuts the text at its first white space.
func word(text string) (first, rest string) {
	if i := strings.IndexFunc(text, unicode.IsSpace); i >= 0 {
		return text[:i], text[i:]
	}
	return text, ""
}

// Parse reads five fields, six with a second in front, or a macro, and says everything that is wrong with them at once.
// A Spec that comes with faults is of no use. With both, a day must match both day fields, whatever they are.
func Parse(expr string, both bool) (Spec, []Fault) {
	if len(expr) > maxLen {
		return Spec{}, []Fault{{Value: strings.ToValidUTF8(expr[:32], "") + "…", Allowed: fmt.Sprintf("at most %d bytes; this has %d", maxLen, len(expr))}}
	}
	text := strings.TrimSpace(expr)
	if strings.HasPrefix(text, "@") {
		full, ok := macros[strings.ToLower(text)]
		if !ok {
			return Spec{}, []Fault{{Value: text, Allowed: "one of " + macroNames + ", or five or six fields; for a fixed interval use eventflow.Every"}}
		}
		expr = full
	}

	var sets [places]set
	var texts [places]string
	var starts [places]int
	var faults []Fault
	n := len(strings.Fields(expr))
	if n != places && n != places-1 {
		return Spec{}, []Fault{{
			Value:   text,
			Allowed: "five fields, minute hour day-of-month month day-of-week, six with a second in front, or one of " + macroNames + "; this has " + strconv.Itoa(n) + " fields",
		}}
	}
	sets[second] = onTheMinute
	rest := expr
	for i := places - n; i < places; i++ {
		rest = strings.TrimLeftFunc(rest, unicode.IsSpace)
		starts[i] = len(expr) - len(rest)
		texts[i], rest = word(rest)
		s, fault := fields[i].parse(texts[i], starts[i])
		if fault != nil {
			faults = append(faults, *fault)
		}
		sets[i] = s
	}
	if faults != nil {
		return Spec{}, faults
	}
	s := newSpec(sets, both)
	if !s.possible() {
		f := Fault{Field: fields[dom].name, Value: texts[dom], At: starts[dom], Allowed: "a day that one of the months " + texts[month] + " has"}
		if texts[dow] != "*" {
			f.Allowed += " and that can be the day of week " + texts[dow]
		}
		return Spec{}, []Fault{f}
	}
	return s, nil
}

// onTheMinute is the second of five fields.
var onTheMinute = set{bits: 1}

// String gives the expression in numbers, lists in order, the second only where it is not 0: the same for all spellings
// of one expression. It parses to an equal Spec.
func (s *Spec) String() string {
	b := make([]byte, 0, 32)
	for i, set := range s.sets {
		if i == second && set == onTheMinute {
			continue
		}
		if len(b) > 0 {
			b = append(b, ' ')
		}
		b = fields[i].appendSet(b, set)
	}
	return string(b)
}
