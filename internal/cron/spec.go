// Package cron is the engine under eventflow's calendar clocks: it finds the next instant at which a wall clock of a zone
// shows one of a set of readings, and it reads cron expressions, which are such sets, into bit masks.
//
// A zone is a row of periods of constant offset. Inside one, wall time is UTC plus a constant, so the next reading is
// civil arithmetic, and nothing is ambiguous. Only where two periods meet does the clock jump over readings (a gap) or
// show them a second time (an overlap), and there a policy decides. The files follow that division: spec.go and day.go
// know readings and no zones, zone.go knows periods and no readings, next.go and place.go put them together.
package cron

import (
	"math/bits"
	"time"
)

// maxYear is the last year that RFC 3339 can write, and so the last in which a fire has a name.
const maxYear = 9999

// Spec is a parsed expression. It is immutable; the zero Spec matches nothing.
type Spec struct {
	sets [places]set

	// either: a day matches when its day of month or its day of week does, because neither begins with "*".
	either bool
	// weekdays has, for each weekday on which a month may begin, the days of month whose weekday matches.
	weekdays [7]uint32
}

func newSpec(sets [places]set, both bool) Spec {
	s := Spec{sets: sets, either: !both && !sets[dom].star && !sets[dow].star}
	for first := range s.weekdays {
		for d := 1; d <= 31; d++ {
			if sets[dow].bits>>((first+d-1)%7)&1 == 1 {
				s.weekdays[first] |= 1 << d
			}
		}
	}
	return s
}

// Wildcard reports whether it is a wildcard job: one with a time field that begins with "*". Vixie's rule, made for five
// fields, means the minute and the hour; a second that begins with "*" has a rhythm as well.
func (s *Spec) Wildcard() bool {
	return s.sets[second].star || s.sets[minute].star || s.sets[hour].star
}

// BothDays reports whether neither day field begins with "*" and a day must match both all the same.
func (s *Spec) BothDays() bool { return !s.either && !s.sets[dom].star && !s.sets[dow].star }

// Next gives the first fire strictly after the instant; see the function Next.
func (s *Spec) Next(after time.Time, loc *time.Location, d DST) time.Time {
	return Next(s, d.For(s.Wildcard()), after, loc)
}

// possible reports whether any day of any year matches: whether any month of any shape has one.
func (s *Spec) possible() bool {
	for m := 1; m <= 12; m++ {
		if s.sets[month].bits>>m&1 == 0 {
			continue
		}
		for first := range 7 {
			if s.days(daysIn(2000, m), first)|s.days(daysIn(2001, m), first) != 0 {
				return true
			}
		}
	}
	return false
}

// Reading gives the first wall-clock reading at or after w that matches, both in seconds as if the wall clock were UTC;
// false when there is none up to the year 9999.
func (s *Spec) Reading(w int64) (int64, bool) {
	day := floorDiv(w, daySeconds)
	tod := int(w - day*daySeconds)
	y, m, d := date(day)
	first := day - int64(d-1)
	if s.sets[month].bits>>m&1 == 0 {
		d = 32 // none of this month
	}
	for y <= maxYear {
		for days := s.days(daysIn(y, m), weekday(first)) &^ daysUpTo(d-1); days != 0; days &= days - 1 {
			at := bits.TrailingZeros64(days)
			if at != d {
				tod = 0
			}
			if t, ok := s.timeOfDay(tod); ok {
				return (first+int64(at-1))*daySeconds + int64(t), true
			}
		}
		// The next month that the mask has, this year or next.
		if later := s.sets[month].bits >> (m + 1); later != 0 {
			m += 1 + bits.TrailingZeros64(later)
		} else {
			y, m = y+1, bits.TrailingZeros64(s.sets[month].bits)
			if m > 12 {
				break // an empty mask
			}
		}
		first, d, tod = dayOf(y, m), 1, 0
	}
	return 0, false
}

// days gives the days that match, bit d for day d, of a month of so many days whose first day is a weekday.
func (s *Spec) days(size, first int) uint64 {
	inMonth, inWeek := s.sets[dom].bits, uint64(s.weekdays[first])
	if more := s.sets[dom].more; more != 0 {
		inMonth |= domDays(more, size, first)
	}
	if more := s.sets[dow].more; more != 0 {
		inWeek |= dowDays(more, size, first)
	}
	if s.either {
		inMonth |= inWeek
	} else {
		inMonth &= inWeek
	}
	return inMonth & daysUpTo(size)
}

// timeOfDay gives the first matching second of a day at or after t.
func (s *Spec) timeOfDay(t int) (int, bool) {
	h, m := t/3600, t/60%60
	hours, minutes, seconds := s.sets[hour].bits, s.sets[minute].bits, s.sets[second].bits
	if hours>>h&1 == 1 {
		if minutes>>m&1 == 1 {
			if later := seconds >> (t % 60); later != 0 {
				return t + bits.TrailingZeros64(later), true
			}
		}
		if later := minutes >> (m + 1); later != 0 {
			return h*3600 + (m+1+bits.TrailingZeros64(later))*60 + bits.TrailingZeros64(seconds), true
		}
	}
	later := hours >> (h + 1)
	if later == 0 {
		return 0, false
	}
	return (h+1+bits.TrailingZeros64(later))*3600 + bits.TrailingZeros64(minutes)*60 + bits.TrailingZeros64(seconds), true
}

// daysUpTo has bits 1 to d.
func daysUpTo(d int) uint64 { return 1<<(d+1) - 2 }
