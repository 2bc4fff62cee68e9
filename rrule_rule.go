package eventflow

import (
	"math/bits"
	"time"
)

// rule is one RRULE: a set of wall readings. Everything in it is arithmetic on one period (a year, a month, a week, a
// day, an hour, a minute or a second) and what it contains, so the search for a reading begins where it is wanted, not
// at DTSTART.
type rule struct {
	freq     frequency
	interval int64
	weekday  int   // with which a week begins; 0 is Sunday
	start    int64 // DTSTART's reading
	until    int64 // the last reading that may be; forever: no end

	months     uint16 // bit 1 is January; 0: any
	monthDays  uint32 // bit 1 is the first; both 0: any
	lastDays   uint32 // bit 1 is the last
	yearDays   []int  // nil: any; below 0 from the end
	weeks      []int  // likewise
	weekdays   uint8  // bit 0 is Sunday; 0 and no nth: any
	nth        []nthWeekday
	hours      uint32
	minutes    uint64
	seconds    uint64
	positions  []int // nil: all
	hourList   []int64
	minuteList []int64
	secondList []int64
}

// nthWeekday is the n-th such day of its month or year, from the end when n is below 0.
type nthWeekday struct{ n, weekday int }

type frequency int

const (
	yearly frequency = iota
	monthly
	weekly
	daily
	hourly
	minutely
	secondly
)

var unitSeconds = [...]int64{hourly: 3600, minutely: 60, secondly: 1}

const (
	// daysCycle is what the Gregorian calendar repeats after: a rule by days that has none in so many has none.
	daysCycle = 146_097
	// stepsMost bounds the hours, minutes or seconds that one search steps through. Each step passes over all up to the
	// next that the rule allows.
	stepsMost = 200_000
	lastDay   = lastFire / daySeconds
	forever   = int64(1) << 61
)

// Reading gives the first reading of the rule at or after w.
func (r *rule) Reading(w int64) (int64, bool) {
	w = max(w, r.start)
	var ok bool
	if r.freq >= hourly {
		w, ok = r.inUnits(w)
	} else {
		w, ok = r.inDays(w)
	}
	return w, ok && w <= r.until
}

// inDays is Reading of a rule whose period is a day or longer.
func (r *rule) inDays(w int64) (int64, bool) {
	var buffer [366]int64
	for p, work := r.periodOf(w), 0; work < daysCycle; p = r.after(p) {
		if p.day > lastDay || p.day*daySeconds > r.until {
			return 0, false
		}
		if len(r.positions) > 0 {
			set := buffer[:0]
			for d := r.match(p.day, p.end); d < p.end; d = r.match(d+1, p.end) {
				set = append(set, d)
			}
			work += int(p.end - p.day)
			if t, ok := r.positioned(w, set, r.hourList); ok {
				return t, true
			}
			continue
		}
		from := max(p.day, floorDiv(w, daySeconds))
		for d := r.match(from, p.end); d < p.end; d = r.match(d+1, p.end) {
			if s, ok := nextTime(max(w-d*daySeconds, 0), r.hours, r.minutes, r.seconds); ok {
				return d*daySeconds + s, true
			}
		}
		work += int(p.end - p.day)
	}
	return 0, false
}

// positioned picks BYSETPOS out of days and times and gives the first at or after w.
func (r *rule) positioned(w int64, set, hours []int64) (first int64, ok bool) {
	minutes, seconds := int64(len(r.minuteList)), int64(len(r.secondList))
	times := int64(len(hours)) * minutes * seconds
	all := int64(len(set)) * times
	for _, p := range r.positions {
		i := int64(p) - 1
		if p < 0 {
			i = all + int64(p)
		}
		if i < 0 || i >= all {
			continue
		}
		at := i % times
		t := set[i/times]*daySeconds + hours[at/(minutes*seconds)]*3600 + r.minuteList[at/seconds%minutes]*60 + r.secondList[at%seconds]
		if t >= w && (!ok || t < first) {
			first, ok = t, true
		}
	}
	return first, ok
}

// inUnits is Reading of a rule whose period is an hour, a minute or a second.
func (r *rule) inUnits(w int64) (int64, bool) {
	unit := unitSeconds[r.freq]
	base := floorDiv(r.start, unit)
	// align gives the first period at or after a unit.
	align := func(u int64) int64 { return u + floorMod(base-u, r.interval) }
	minutes, seconds := r.minutes, r.seconds // those with which a period begins
	if r.freq == hourly {
		minutes = 1
	}
	if r.freq <= minutely {
		seconds = 1
	}
	u := align(floorDiv(w, unit))
	for work := 0; work < stepsMost; work++ {
		day := floorDiv(u*unit, daySeconds)
		if day > lastDay || u*unit > r.until {
			return 0, false
		}
		if d := r.match(day, day+daysCycle); d != day {
			if d == day+daysCycle {
				return 0, false
			}
			work += int(d-day) / 4 // a day is looked at faster than a step is taken
			u = align(d * daySeconds / unit)
			continue
		}
		at := u*unit - day*daySeconds
		s, ok := nextTime(at, r.hours, minutes, seconds)
		if !ok {
			u = align((day + 1) * daySeconds / unit)
			continue
		}
		if s != at {
			u = align((day*daySeconds + s) / unit)
			continue
		}
		if t, ok := r.inUnit(w, u*unit, day, at); ok {
			return t, true
		}
		u += r.interval
	}
	return 0, false
}

// inUnit gives the first reading at or after w within the hour, minute or second that begins at start.
func (r *rule) inUnit(w, start, day, at int64) (int64, bool) {
	switch {
	case len(r.positions) > 0:
		one := *r // with the lists narrowed to this period
		hour := [1]int64{at / 3600}
		minute := [1]int64{at / 60 % 60}
		second := [1]int64{at % 60}
		if r.freq >= minutely {
			one.minuteList = minute[:]
		}
		if r.freq == secondly {
			one.secondList = second[:]
		}
		return one.positioned(w, []int64{day}, hour[:])
	case r.freq == secondly:
		return start, start >= w
	}
	hours, minutes := uint32(1)<<(at/3600), r.minutes
	if r.freq == minutely {
		minutes = 1 << (at / 60 % 60)
	}
	s, ok := nextTime(max(at, w-day*daySeconds), hours, minutes, r.seconds)
	return day*daySeconds + s, ok
}

// nextTime gives the first second of a day at or after s whose hour, minute and second are in the masks.
func nextTime(s int64, hours uint32, minutes, seconds uint64) (int64, bool) {
	if s >= daySeconds {
		return 0, false
	}
	h, m, sec := int(s/3600), int(s/60%60), int(s%60)
	if hours>>h&1 != 0 {
		if minutes>>m&1 != 0 {
			if rest := seconds >> sec; rest != 0 {
				return s + int64(bits.TrailingZeros64(rest)), true
			}
		}
		if rest := minutes >> (m + 1); rest != 0 {
			m += 1 + bits.TrailingZeros64(rest)
			return int64(h*3600 + m*60 + bits.TrailingZeros64(seconds)), true
		}
	}
	rest := hours >> (h + 1)
	if rest == 0 {
		return 0, false
	}
	h += 1 + bits.TrailingZeros32(rest)
	return int64(h*3600 + bits.TrailingZeros64(minutes)*60 + bits.TrailingZeros64(seconds)), true
}

// period is a year, a month, a week or a day of the rule: the days from day up to end.
type period struct {
	day, end int64
	index    int64 // of the year, the month, the week or the day
}

// periodOf gives the first period of the rule that does not end before w.
func (r *rule) periodOf(w int64) period {
	i, base := r.index(floorDiv(w, daySeconds)), r.index(floorDiv(r.start, daySeconds))
	return r.period(i + floorMod(base-i, r.interval))
}

func (r *rule) after(p period) period { return r.period(p.index + r.interval) }

// index numbers the periods of the rule's frequency without gaps.
func (r *rule) index(day int64) int64 {
	switch r.freq {
	case yearly, monthly:
		year, month, _ := dateOf(day)
		if r.freq == yearly {
			return int64(year)
		}
		return int64(year)*12 + int64(month) - 1
	case weekly:
		return floorDiv(day-r.firstWeek(), 7)
	}
	return day
}

func (r *rule) period(i int64) period {
	switch r.freq {
	case yearly:
		if i > 9999 {
			return period{day: lastDay + 1}
		}
		return period{dayOf(int(i), time.January), dayOf(int(i)+1, time.January), i}
	case monthly:
		year, month := int(floorDiv(i, 12)), time.Month(floorMod(i, 12))+1
		if year > 9999 {
			return period{day: lastDay + 1}
		}
		return period{dayOf(year, month), dayOf(year, month+1), i}
	case weekly:
		return period{r.firstWeek() + 7*i, r.firstWeek() + 7*i + 7, i}
	}
	return period{i, i + 1, i}
}

// firstWeek is a day shortly before 1970 with which a week begins; 1970-01-01 was a Thursday.
func (r *rule) firstWeek() int64 { return int64(r.weekday) - 4 - 7 }

// match gives the first day from day up to end that the rule's parts for days allow, else end.
func (r *rule) match(day, end int64) int64 {
	for day < end {
		year, month, dom := dateOf(day)
		if r.months != 0 && r.months>>month&1 == 0 {
			day = dayOf(year, month+1)
			continue
		}
		if r.allows(day, year, month, dom) {
			return day
		}
		day++
	}
	return end
}

func (r *rule) allows(day int64, year int, month time.Month, dom int) bool {
	if r.monthDays|r.lastDays != 0 && r.monthDays>>dom&1 == 0 {
		if r.lastDays == 0 || r.lastDays>>(dayOf(year, month+1)-day)&1 == 0 {
			return false
		}
	}
	if r.yearDays != nil {
		first, next := dayOf(year, time.January), dayOf(year+1, time.January)
		if !counted(r.yearDays, int(day-first), int(next-first)) {
			return false
		}
	}
	if r.weeks != nil {
		week, weeks := r.weekOf(day, year)
		if !counted(r.weeks, week, weeks) {
			return false
		}
	}
	return r.weekdays == 0 && r.nth == nil || r.onWeekday(day, year, month)
}

func (r *rule) onWeekday(day int64, year int, month time.Month) bool {
	wd := int(floorMod(day+4, 7))
	if r.weekdays>>wd&1 != 0 {
		return true
	}
	if r.nth == nil {
		return false
	}
	first, next := dayOf(year, time.January), dayOf(year+1, time.January)
	if r.freq == monthly || r.months != 0 {
		first, next = dayOf(year, month), dayOf(year, month+1)
	}
	for _, n := range r.nth {
		if n.weekday == wd && (n.n == int(day-first)/7+1 || n.n == -int(next-1-day)/7-1) {
			return true
		}
	}
	return false
}

// counted reports whether a list has the i-th (from 0) of n, counted from 1 or, below 0, from the end.
func counted(list []int, i, n int) bool {
	for _, v := range list {
		if v == i+1 || v == i-n {
			return true
		}
	}
	return false
}

// weekOf gives the number (from 0) of a day's week in the year that it counts to, and how many weeks that year has. The
// first week is the first that has at least four of its days in the year.
func (r *rule) weekOf(day int64, year int) (week, weeks int) {
	first, next := r.weekOne(year), r.weekOne(year+1)
	switch {
	case day < first:
		first, next = r.weekOne(year-1), first
	case day >= next:
		first, next = next, r.weekOne(year+2)
	}
	return int(day-first) / 7, int(next-first) / 7
}

// weekOne gives the day with which the first week of a year begins.
func (r *rule) weekOne(year int) int64 {
	fourth := dayOf(year, time.January) + 3
	return fourth - floorMod(fourth+4-int64(r.weekday), 7)
}

func dateOf(day int64) (year int, month time.Month, dom int) {
	return time.Unix(day*daySeconds, 0).UTC().Date()
}

// dayOf gives the day, counted from 1970-01-01, on which a month begins.
func dayOf(year int, month time.Month) int64 {
	return time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Unix() / daySeconds
}

func floorDiv(a, b int64) int64 { return (a - floorMod(a, b)) / b }
