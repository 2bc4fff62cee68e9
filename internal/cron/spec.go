// Package cron is the engine under eventflow.Cron: it reads an expression into bit masks and finds the next instant at
// which a wall clock of a zone agrees with them.
//
// A zone is a row of periods of constant offset. Inside one, wall time is UTC plus a constant, so the next reading is
// civil arithmetic on the masks, and nothing is ambiguous. Only where two periods meet does the clock jump over
// readings (a gap) or show them a second time (an overlap), and there a policy decides. Three files follow that
// division: spec.go knows readings and no zones, zone.go knows periods and no masks, next.go puts them together.
package cron

import "math/bits"

// maxYear is the last year that RFC 3339 can write, and so the last in which a fire has a name.
const maxYear = 9999

// Spec is a parsed expression. It is immutable; the zero Spec matches nothing.
type Spec struct {
	minute, hour, dom, month, dow set

	// either: a day matches when its day of month or its day of week does, because neither begins with "*".
	either bool
	gap    Gap
	over   Overlap
	// weekdays has, for each weekday on which a month may begin, the days of month whose weekday matches.
	weekdays [7]uint32
}

func newSpec(sets [len(fields)]set) Spec {
	s := Spec{minute: sets[0], hour: sets[1], dom: sets[2], month: sets[3], dow: sets[4]}
	s.either = !s.dom.star && !s.dow.star
	s.gap, s.over = GapAfter, OverlapFirst
	if s.minute.star || s.hour.star {
		s.gap, s.over = GapSkip, OverlapBoth
	}
	for first := range s.weekdays {
		for d := 1; d <= 31; d++ {
			if s.dow.bits>>((first+d-1)%7)&1 == 1 {
				s.weekdays[first] |= 1 << d
			}
		}
	}
	return s
}

// possible reports whether any day of any year matches.
func (s *Spec) possible() bool {
	if s.either {
		return true // every month has every weekday
	}
	for m := 1; m <= 12; m++ {
		if s.month.bits>>m&1 == 1 && s.dom.bits&daysUpTo(daysIn(2000, m)) != 0 {
			return true
		}
	}
	return false
}

// reading gives the first wall-clock reading at or after w that matches, both in seconds as if the wall clock were UTC;
// false when there is none up to the year 9999.
func (s *Spec) reading(w int64) (int64, bool) {
	day := floorDiv(w, daySeconds)
	minute := int(w-day*daySeconds+59) / 60 // of the day; 1440 is beyond its last
	year, month, dom := date(day)
	first := day - int64(dom-1)
	for year <= maxYear {
		for days := s.days(year, month, first) &^ daysUpTo(dom-1); days != 0; days &= days - 1 {
			d := bits.TrailingZeros64(days)
			if d != dom {
				minute = 0
			}
			if m, ok := s.minuteOfDay(minute); ok {
				return (first+int64(d-1))*daySeconds + int64(m)*60, true
			}
		}
		// The next month that the mask has, this year or next.
		if later := s.month.bits >> (month + 1); later != 0 {
			month += 1 + bits.TrailingZeros64(later)
		} else {
			year, month = year+1, bits.TrailingZeros64(s.month.bits)
			if month > 12 {
				break // an empty mask
			}
		}
		first, dom, minute = dayOf(year, month), 1, 0
	}
	return 0, false
}

// days gives the days of a month that match, bit d for day d. Rules that depend on the month's shape (its last day, its
// nearest weekday, its second Friday) belong here.
func (s *Spec) days(year int64, month int, first int64) uint64 {
	if s.month.bits>>month&1 == 0 {
		return 0
	}
	days := s.dom.bits
	if dow := uint64(s.weekdays[weekday(first)]); s.either {
		days |= dow
	} else {
		days &= dow
	}
	return days & daysUpTo(daysIn(year, month))
}

// minuteOfDay gives the first matching minute of a day at or after m.
func (s *Spec) minuteOfDay(m int) (int, bool) {
	hour, minute := m/60, m%60
	if s.hour.bits>>hour&1 == 1 {
		if later := s.minute.bits >> minute; later != 0 {
			return m + bits.TrailingZeros64(later), true
		}
	}
	later := s.hour.bits >> (hour + 1)
	if later == 0 || s.minute.bits == 0 {
		return 0, false
	}
	return (hour+1+bits.TrailingZeros64(later))*60 + bits.TrailingZeros64(s.minute.bits), true
}

// daysUpTo has bits 1 to d.
func daysUpTo(d int) uint64 { return 1<<(d+1) - 2 }
