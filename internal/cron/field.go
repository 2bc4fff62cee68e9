package cron

import (
	"math/bits"
	"strconv"
	"strings"
)

// field is what one place of an expression may hold.
type field struct {
	name     string
	min, max int
	names    []string // of the values from min on
	sunday7  bool     // 7 is another name of 0
	allowed  string   // one value, for errors
	more     string   // the forms that special reads, for errors
	// special reads a form that only this field has, into bits of set.more; ok is false where the text has none.
	special func(f *field, item string) (more uint64, ok bool, fault *Fault)
	// appendMore writes those bits, each item with a comma in front.
	appendMore func(b []byte, more uint64) []byte
}

// The places of a set in Spec and of a field in an expression of six.
const (
	second = iota
	minute
	hour
	dom
	month
	dow
	places
)

var fields = [places]field{
	{name: "second", min: 0, max: 59, allowed: "0 to 59"},
	{name: "minute", min: 0, max: 59, allowed: "0 to 59"},
	{name: "hour", min: 0, max: 23, allowed: "0 to 23"},
	{
		name: "day of month", min: 1, max: 31, allowed: "1 to 31", special: domSpecial, appendMore: appendDom,
		more: ", or L (the last day), L-1 to L-30 (so many days before it), 1W to 31W (the weekday nearest to it), LW (the last weekday)",
	},
	{
		name: "month", min: 1, max: 12, allowed: "1 to 12, or JAN to DEC",
		names: []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"},
	},
	{
		name: "day of week", min: 0, max: 6, sunday7: true, allowed: "0 to 7 (0 and 7 are Sunday), or SUN to SAT", special: dowSpecial, appendMore: appendDow,
		names: []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"},
		more:  ", or one of these with #1 to #5 (FRI#2 is the second Friday of the month) or with L (FRIL or 5L is the last one)",
	},
}

// set is a field's values.
type set struct {
	bits uint64 // bit v is value v
	more uint64 // what depends on the month's shape: day.go says which bits
	// star says that the field's text begins with "*", which makes it a wildcard by cron's rules, even in "*/2". That is
	// why "0-59" and "*" are not the same minute.
	star bool
}

// size is the number of values of the field.
func (f *field) size() int { return f.max - f.min + 1 }

// parse reads the field's text, which begins at a byte of the expression: a list of "*", "a" or "a-b", each with or
// without a "/step", and of the field's own forms.
func (f *field) parse(text string, at int) (set, *Fault) {
	s := set{star: strings.HasPrefix(text, "*")}
	for item := range strings.SplitSeq(text, ",") {
		b, more, fault := f.item(item)
		if fault != nil {
			fault.Field, fault.At = f.name, at
			if item == "" {
				fault.Value = text // an empty item shows nothing
			}
			return set{}, fault
		}
		s.bits |= b
		s.more |= more
		at += len(item) + 1
	}
	return s, nil
}

func (f *field) item(item string) (b, more uint64, fault *Fault) {
	if f.special != nil {
		if more, ok, fault := f.special(f, item); ok {
			return 0, more, fault
		}
	}
	span, stepText, stepped := strings.Cut(item, "/")
	low, high, ok := f.span(span, stepped)
	if !ok {
		return 0, 0, &Fault{Value: item, Allowed: "*, one of " + f.allowed + ", or a range of them such as a-b; lists of these with single commas; after * or a range a step such as */2" + f.more}
	}
	step := 1
	if stepped {
		// A step beyond the range would be one value, and never the rhythm that its author meant: "*/90" is not every
		// ninety minutes.
		most := min(high-low+1, f.size())
		step, ok = number(stepText)
		if !ok || step < 1 || step > most {
			return 0, 0, &Fault{Value: item, Allowed: "a step of 1 to " + strconv.Itoa(most) + ", the number of values that it steps through"}
		}
	}
	for v := low; v <= high; v += step {
		b |= 1 << ((v-f.min)%f.size() + f.min)
	}
	return b, 0, nil
}

// span reads what stands before a step. A range that wraps ends beyond the field's last value.
func (f *field) span(text string, stepped bool) (low, high int, ok bool) {
	if text == "*" {
		return f.min, f.max, true
	}
	first, last, ranged := strings.Cut(text, "-")
	if low, ok = f.value(first); !ok {
		return 0, 0, false
	}
	if !ranged {
		if !stepped {
			return low, low, true
		}
		if low > f.max { // Sunday by its other name
			low = f.min
		}
		return low, f.max, true
	}
	if high, ok = f.value(last); !ok {
		return 0, 0, false
	}
	if high < low {
		if low > f.max {
			low = f.min
		} else {
			high += f.size()
		}
	}
	return low, high, true
}

func (f *field) value(text string) (int, bool) {
	if v, ok := number(text); ok {
		return v, v >= f.min && (v <= f.max || f.sunday7 && v == 7)
	}
	for i, name := range f.names {
		if strings.EqualFold(text, name) {
			return f.min + i, true
		}
	}
	return 0, false
}

// number reads up to four digits and nothing else, no sign.
func number(text string) (n int, ok bool) {
	if text == "" || len(text) > 4 {
		return 0, false
	}
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

// appendSet writes a set so that parse gives the same set, and two equal sets the same text.
func (f *field) appendSet(b []byte, s set) []byte {
	start := len(b)
	if s.star {
		b = f.appendStar(b, s.bits)
	} else {
		b = appendList(b, s.bits)
	}
	if s.more != 0 {
		if len(b) > start {
			b = append(b, ',')
		}
		b = f.appendMore(b, s.more)
		b = b[:len(b)-1]
	}
	return b
}

// appendStar writes what begins with "*": the smallest step whose values the set has, and the rest.
func (f *field) appendStar(b []byte, values uint64) []byte {
	b = append(b, '*')
	for step := 1; ; step++ {
		var every uint64
		for v := f.min; v <= f.max; v += step {
			every |= 1 << v
		}
		if every&^values != 0 {
			continue
		}
		if step > 1 {
			b = strconv.AppendInt(append(b, '/'), int64(step), 10)
		}
		if rest := values &^ every; rest != 0 {
			b = appendList(append(b, ','), rest)
		}
		return b
	}
}

// appendList writes three and more neighbours as a range, five and more values at equal distances as a range with a
// step, and others one by one.
func appendList(b []byte, values uint64) []byte {
	for comma := false; values != 0; comma = true {
		if comma {
			b = append(b, ',')
		}
		first := bits.TrailingZeros64(values)
		step, n := bits.TrailingZeros64(values>>first&^1), 1
		for first+n*step < 64 && values>>(first+n*step)&1 == 1 {
			n++
		}
		if n < 3 || step > 1 && n < 5 {
			n = 1
		}
		b = strconv.AppendInt(b, int64(first), 10)
		if n > 1 {
			b = strconv.AppendInt(append(b, '-'), int64(first+(n-1)*step), 10)
			if step > 1 {
				b = strconv.AppendInt(append(b, '/'), int64(step), 10)
			}
		}
		for i := range n {
			values &^= 1 << (first + i*step)
		}
	}
	return b
}
