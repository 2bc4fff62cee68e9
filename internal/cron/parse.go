package cron

import (
	"fmt"
	"strconv"
	"strings"
)

// maxLen bounds an expression: a list of every value of every field is shorter.
const maxLen = 1024

// Fault is one thing that is wrong with an expression.
type Fault struct {
	Field   string // "minute", "day of week"; "" is the expression as a whole
	Value   string // the part that cannot be
	Allowed string
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

// CutZone cuts a leading "TZ=zone" or "CRON_TZ=zone" off an expression.
func CutZone(expr string) (zone, rest string, found bool) {
	expr = strings.TrimSpace(expr)
	zone, found = strings.CutPrefix(expr, "CRON_TZ=")
	if !found {
		if zone, found = strings.CutPrefix(expr, "TZ="); !found {
			return "", expr, false
		}
	}
	if i := strings.IndexAny(zone, " \t\r\n"); i >= 0 {
		zone, rest = zone[:i], strings.TrimSpace(zone[i:])
	}
	return zone, rest, true
}

// Parse reads five fields or a macro, and says everything that is wrong with them at once. Fields that are parsed
// while there are faults are of no use.
func Parse(expr string) (Spec, []Fault) {
	if len(expr) > maxLen {
		return Spec{}, []Fault{{Value: strings.ToValidUTF8(expr[:32], "") + "…", Allowed: fmt.Sprintf("at most %d bytes; this has %d", maxLen, len(expr))}}
	}
	text := strings.TrimSpace(expr)
	if strings.HasPrefix(text, "@") {
		full, ok := macros[strings.ToLower(text)]
		if !ok {
			return Spec{}, []Fault{{Value: text, Allowed: "one of " + macroNames + ", or five fields; for a fixed interval use eventflow.Every"}}
		}
		text = full
	}
	texts := strings.Fields(text)
	if len(texts) != len(fields) {
		return Spec{}, []Fault{{Value: text, Allowed: "five fields, minute hour day-of-month month day-of-week, or one of " + macroNames + "; this has " + strconv.Itoa(len(texts)) + " fields"}}
	}

	var sets [len(fields)]set
	var faults []Fault
	for i := range fields {
		s, fault := fields[i].parse(texts[i])
		if fault != nil {
			fault.Field = fields[i].name
			faults = append(faults, *fault)
		}
		sets[i] = s
	}
	if faults != nil {
		return Spec{}, faults
	}
	s := newSpec(sets)
	if !s.possible() {
		return Spec{}, []Fault{{Field: "day of month", Value: texts[2], Allowed: "a day that one of the months " + texts[3] + " has"}}
	}
	return s, nil
}

// String gives the expression in numbers, lists in order, equal for all expressions that mean the same. It parses to an
// equal Spec.
func (s *Spec) String() string {
	b := make([]byte, 0, 32)
	for i, set := range [...]set{s.minute, s.hour, s.dom, s.month, s.dow} {
		if i > 0 {
			b = append(b, ' ')
		}
		b = fields[i].appendSet(b, set)
	}
	return string(b)
}
