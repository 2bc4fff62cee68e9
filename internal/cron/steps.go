package cron

// Steps is a set of readings: one time of day every so many days or months, counted from a date in both directions. It
// is immutable; Days or Months is above zero and the other one zero.
type Steps struct {
	Days, Months int64
	Year         int64 // of the date that is counted from, which exists
	Month, Day   int
	Second       int64 // of the day
	// Skip passes over months without the day; else their last day takes its place.
	Skip bool
}

// Reading gives the first reading at or after w; false when there is none up to the year 9999.
func (s *Steps) Reading(w int64) (int64, bool) {
	earliest := ceilDiv(w-s.Second, daySeconds)
	day, ok := s.day(earliest)
	return day*daySeconds + s.Second, ok
}

// day gives the first day at or after the earliest.
func (s *Steps) day(earliest int64) (int64, bool) {
	if s.Days > 0 {
		from := dayOf(s.Year, s.Month) + int64(s.Day) - 1
		day := from + ceilDiv(earliest-from, s.Days)*s.Days
		return day, day < dayOf(maxYear+1, 1)
	}
	from := s.Year*12 + int64(s.Month) - 1
	y, m, _ := date(earliest)
	// The date counted from has the day itself, so a month with it comes again within 400 years of steps.
	for at := from + ceilDiv(y*12+int64(m)-1-from, s.Months)*s.Months; at < (maxYear+1)*12; at += s.Months {
		y, m = floorDiv(at, 12), int(floorMod(at, 12))+1
		d := min(s.Day, daysIn(y, m))
		if day := dayOf(y, m) + int64(d) - 1; day >= earliest && (d == s.Day || !s.Skip) {
			return day, true
		}
	}
	return 0, false
}

// Exists reports whether a year's month has a day.
func Exists(year, month, day int) bool {
	return 1 <= year && year <= maxYear && 1 <= month && month <= 12 && 1 <= day && day <= daysIn(int64(year), month)
}

func ceilDiv(a, b int64) int64 { return -floorDiv(-a, b) }
