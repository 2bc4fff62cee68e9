package cron

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Words says in English when the expression matches, without a zone: "At 03:00 on Monday to Friday".
func (s *Spec) Words() string {
	text, listed := s.timeWords()
	days := s.dayWords()
	if days == "every day" && !listed {
		days = ""
	} else if months, ok := strings.CutPrefix(days, "every day "); ok && !listed {
		days = months
	}
	return strings.TrimSpace(text+" "+days) + s.notes()
}

// maxTimes is how many times of day are still told one by one.
const maxTimes = 6

// timeWords gives the times of day; listed is true when it names each.
func (s *Spec) timeWords() (text string, listed bool) {
	sec, mins, hours := span{&fields[second], s.sets[second].bits}, span{&fields[minute], s.sets[minute].bits}, span{&fields[hour], s.sets[hour].bits}
	onTheMinute := sec.bits == 1
	switch times := sec.times(mins, hours, maxTimes); {
	case times != nil:
		return "At " + join(times), true
	case onTheMinute:
		return upper(mins.fine("minute") + hours.around(mins)), false
	case mins.all() && hours.all():
		if sec.all() || sec.even() > 0 {
			return upper(sec.fine("second")), false
		}
		return upper(sec.fine("second") + " of every minute"), false
	}
	text = sec.fine("second") + " of "
	switch times := (span{&fields[second], 1}).times(mins, hours, maxTimes); {
	case len(times) == 1:
		return upper(text + "the minute " + times[0]), true
	case times != nil:
		return upper(text + "the minutes " + join(times)), true
	case mins.all():
		return upper(text + "every minute" + hours.around(mins)), false
	}
	return upper(text + mins.named("minute") + hours.of()), false
}

// span is a field's values on their way into words.
type span struct {
	f    *field
	bits uint64
}

func (v span) all() bool { return bits.OnesCount64(v.bits) == v.f.size() }

// even gives the step when the values go around the field in equal steps from its first; else 0.
func (v span) even() int {
	n := bits.OnesCount64(v.bits)
	if n < 2 || v.f.size()%n != 0 {
		return 0
	}
	step := v.f.size() / n
	for at := v.f.min; at <= v.f.max; at += step {
		if v.bits>>at&1 == 0 {
			return 0
		}
	}
	return step
}

// run gives the first and the last value when all values are neighbours, perhaps around the field's end.
func (v span) run() (first, last int, ok bool) {
	n := bits.OnesCount64(v.bits)
	for first = v.f.min; first <= v.f.max; first++ {
		i := 0
		for ; i < n && v.bits>>((first-v.f.min+i)%v.f.size()+v.f.min)&1 == 1; i++ {
			continue
		}
		if i == n {
			return first, (first-v.f.min+n-1)%v.f.size() + v.f.min, n > 0
		}
	}
	return 0, 0, false
}

// times gives "03:00" or "03:00:15" for each, nil when there are more than the most.
func (v span) times(mins, hours span, most int) (times []string) {
	if bits.OnesCount64(v.bits)*bits.OnesCount64(mins.bits)*bits.OnesCount64(hours.bits) > most {
		return nil
	}
	for h := hours.bits; h != 0; h &= h - 1 {
		for m := mins.bits; m != 0; m &= m - 1 {
			for sec := v.bits; sec != 0; sec &= sec - 1 {
				t := clock(bits.TrailingZeros64(h), bits.TrailingZeros64(m))
				if v.bits != 1 {
					t += fmt.Sprintf(":%02d", bits.TrailingZeros64(sec))
				}
				times = append(times, t)
			}
		}
	}
	return times
}

func clock(hour, minute int) string { return fmt.Sprintf("%02d:%02d", hour, minute) }

// fine gives "every minute", "every 15 minutes" or "at minutes 5 and 35".
func (v span) fine(unit string) string {
	if v.all() {
		return "every " + unit
	}
	if step := v.even(); step > 0 {
		return "every " + strconv.Itoa(step) + " " + unit + "s"
	}
	return "at " + v.named(unit)
}

// named gives "minute 30" or "minutes 5 and 35".
func (v span) named(unit string) string {
	if bits.OnesCount64(v.bits) == 1 {
		return unit + " " + v.list()
	}
	return unit + "s " + v.list()
}

// around gives " from 09:00 to 17:45", where the minutes are fine; else as of.
func (v span) around(mins span) string {
	if !mins.all() && mins.even() == 0 {
		return v.of()
	}
	if v.all() {
		return ""
	}
	if first, last, ok := v.run(); ok {
		text := " from " + clock(first, 0) + " to " + clock(last, bits.Len64(mins.bits)-1)
		if last < first {
			text += " past midnight"
		}
		return text
	}
	return v.of()
}

// of gives " of every hour", " of hour 3" or " of the hours 9 to 17".
func (v span) of() string {
	if v.all() {
		return " of every hour"
	}
	if bits.OnesCount64(v.bits) == 1 {
		return " of hour " + v.list()
	}
	return " of the hours " + v.list()
}

// list gives "0, 15 and 30", with "9 to 17" for neighbours and "0 to 22 in steps of 2".
func (v span) list() string {
	return v.listOf(strconv.Itoa)
}

func (v span) listOf(name func(int) string) string {
	if first, last, ok := v.run(); ok && last < first && bits.OnesCount64(v.bits) > 2 {
		return name(first) + " to " + name(last) // around the field's end
	}
	var items []string
	for item := range strings.SplitSeq(string(appendList(nil, v.bits)), ",") {
		values, step, stepped := strings.Cut(item, "/")
		first, last, ranged := strings.Cut(values, "-")
		a, _ := strconv.Atoi(first)
		text := name(a)
		if ranged {
			b, _ := strconv.Atoi(last)
			text += " to " + name(b)
		}
		if stepped {
			text += " in steps of " + step
		}
		items = append(items, text)
	}
	return join(items)
}

func join(items []string) string {
	if n := len(items); n > 1 {
		return strings.Join(items[:n-1], ", ") + " and " + items[n-1]
	}
	return strings.Join(items, "")
}

func upper(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// dayWords gives the days: "every day", "on Monday to Friday", "on the 1st of every month".
func (s *Spec) dayWords() string {
	inMonth, inWeek := s.sets[dom], s.sets[dow]
	allMonth, allWeek := (span{&fields[dom], inMonth.bits}).all(), (span{&fields[dow], inWeek.bits}).all()
	switch {
	case allMonth && allWeek, s.either && (allMonth || allWeek):
		if text := s.monthWords("in ", "from "); text != "" {
			return "every day " + text
		}
		return "every day"
	case allWeek:
		return "on " + domWords(inMonth) + s.ofMonths()
	case allMonth:
		return "on " + dowWords(inWeek) + s.weeksOf()
	case s.either:
		return "on " + domWords(inMonth) + s.ofMonths() + " and also on " + dowWords(inWeek) + s.weeksOf() + " (a day that matches either of the two runs)"
	}
	return "on " + dowWords(inWeek) + ", but only if it is " + domWords(inMonth) + s.ofMonths() + " (a day has to match both)"
}

// weeksOf gives the months behind days of the week.
func (s *Spec) weeksOf() string {
	if s.sets[dow].more != 0 {
		return s.ofMonths()
	}
	if text := s.monthWords("in ", "from "); text != "" {
		return " " + text
	}
	return ""
}

// ofMonths gives " of every month", " of January and July" or " of every month from March to May".
func (s *Spec) ofMonths() string {
	if text := s.monthWords("of ", "of every month from "); text != "" {
		return " " + text
	}
	return " of every month"
}

// monthWords gives the months behind a word for single ones or one for a run; "" for all.
func (s *Spec) monthWords(single, run string) string {
	months := span{&fields[month], s.sets[month].bits}
	if months.all() {
		return ""
	}
	text := months.listOf(func(m int) string { return monthNames[m-1] })
	if strings.Contains(text, " to ") && !strings.Contains(text, " and ") {
		return run + text
	}
	return single + text
}

var (
	monthNames   = strings.Fields("January February March April May June July August September October November December")
	weekdayNames = strings.Fields("Sunday Monday Tuesday Wednesday Thursday Friday Saturday")
	nthNames     = strings.Fields("first second third fourth fifth")
)

// Ordinal gives "1st", "22nd".
func Ordinal(n int) string {
	suffix := "th"
	if n/10 != 1 && n%10 >= 1 && n%10 <= 3 {
		suffix = [...]string{"st", "nd", "rd"}[n%10-1]
	}
	return strconv.Itoa(n) + suffix
}

func domWords(s set) string {
	var items []string
	if s.bits != 0 {
		items = append(items, "the "+(span{&fields[dom], s.bits}).listOf(Ordinal))
	}
	for rest := s.more & nearest; rest != 0; rest &= rest - 1 {
		items = append(items, "the weekday (Monday to Friday) nearest to the "+Ordinal(bits.TrailingZeros64(rest)-nearestBit))
	}
	if s.more&lastWeekday != 0 {
		items = append(items, "the last weekday (Monday to Friday)")
	}
	for rest := s.more & fromEnd; rest != 0; rest &= rest - 1 {
		switch n := bits.TrailingZeros64(rest); n {
		case 0:
			items = append(items, "the last day")
		case 1:
			items = append(items, "the day before the last")
		default:
			items = append(items, "the "+Ordinal(n)+" day before the last")
		}
	}
	return join(items)
}

func dowWords(s set) string {
	name := func(d int) string { return weekdayNames[d] }
	var items []string
	if s.bits != 0 {
		items = append(items, (span{&fields[dow], s.bits}).listOf(name))
	}
	for rest := s.more & nthWeekday; rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros64(rest)
		items = append(items, "the "+nthNames[i/7]+" "+name(i%7))
	}
	for rest := s.more >> lastBit; rest != 0; rest &= rest - 1 {
		items = append(items, "the last "+name(bits.TrailingZeros64(rest)))
	}
	return join(items)
}

// notes says what is easily misread.
func (s *Spec) notes() string {
	var b strings.Builder
	for i, around := range [places]string{"minute", "hour", "day", "month", "year", "week"} {
		if s.sets[i].star {
			_, step, stepped := strings.Cut(string(fields[i].appendStar(nil, s.sets[i].bits)), "/")
			if n, ok := number(step); stepped && ok && fields[i].size()%n != 0 {
				b.WriteString("; the steps of " + step + " begin again with every " + around)
			}
		}
	}
	for m := 1; m <= 12; m++ {
		for first := range 7 {
			if s.sets[month].bits>>m&1 == 1 && (s.days(daysIn(2000, m), first) == 0 || s.days(daysIn(2001, m), first) == 0) {
				b.WriteString("; a month without such a day is passed over")
				return b.String()
			}
		}
	}
	return b.String()
}
