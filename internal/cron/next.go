package cron

import (
	"math"
	"time"
)

// Gap says what becomes of a reading that the wall clock jumps over.
type Gap uint8

const (
	// GapSkip: it does not run.
	GapSkip Gap = iota
	// GapAfter: it runs at the first instant after the gap; several run once.
	GapAfter
)

// Overlap says what becomes of a reading that the wall clock shows twice.
type Overlap uint8

const (
	// OverlapBoth: it runs both times.
	OverlapBoth Overlap = iota
	// OverlapFirst: it runs the first time.
	OverlapFirst
)

// lastSecond is 9999-12-31T23:59:59Z.
const lastSecond = 253402300799

// Next gives the first fire strictly after the instant, in loc and without a monotonic reading; the zero time when the
// year 9999 ends before it. Instants before the year 1 count as its beginning, because the zero time is none.
//
// It allocates nothing and keeps nothing: it is a function of its arguments.
func (s *Spec) Next(after time.Time, loc *time.Location) time.Time {
	if after.Before(time.Time{}) {
		after = time.Time{}
	}
	t, ok := s.next(after.Unix(), loc)
	if !ok {
		return time.Time{}
	}
	return time.Unix(t, 0).In(loc)
}

func (s *Spec) next(after int64, loc *time.Location) (int64, bool) {
	if after >= lastSecond {
		return 0, false
	}
	// high is the highest reading that the wall clock showed before p: above what p begins with after an overlap, below
	// it after a gap. It is looked for as far back as it can matter.
	high := int64(math.MinInt64)
	p := periodAt(after-reach, loc)
	for p.end <= after {
		high = max(high, p.end+p.offset)
		p = periodAt(p.end, loc)
	}

	from := after + 1 // the first instant to be considered
	low := from + p.offset
	if s.over == OverlapFirst {
		low = max(low, high)
	}
	for {
		w, ok := s.reading(low)
		if !ok {
			return 0, false
		}
		if t := max(w-p.offset, from); t < p.end { // from: a reading lost in the gap before p
			return t, t <= lastSecond
		}
		if low+reach < p.end+p.offset && w-reach > p.end {
			// Nothing matches until shortly before w, not even a reading that shows again after p: do not walk there.
			from = w - reach
			p = periodAt(from, loc)
			high, low = math.MinInt64, w
			continue
		}
		high = max(high, p.end+p.offset)
		from = p.end
		p = periodAt(from, loc)
		low = from + p.offset
		if s.gap == GapAfter && high < low || s.over == OverlapFirst && high > low {
			low = high
		}
	}
}
