package cron

import (
	"math"
	"time"
)

// Readings is a set of wall-clock readings, each in seconds since 1970 as if the wall clock were UTC.
type Readings interface {
	// Reading gives the first reading of the set at or after w; false when there is none up to the end of the year 9999.
	// It is a function of w alone, and its work is bounded.
	Reading(w int64) (int64, bool)
}

// lastSecond is 9999-12-31T23:59:59Z.
const lastSecond = 253402300799

// Next gives the first fire strictly after the instant, in loc and without a monotonic reading; the zero time when the
// year 9999 ends before it. Instants before the year 1 count as its beginning, because the zero time is none.
//
// It allocates nothing and keeps nothing: it is a function of its arguments. A reading whose place the clock passes more
// than once within two days is decided where the clock first reaches or passes it, with OverlapLast where it last does.
func Next(r Readings, d DST, after time.Time, loc *time.Location) time.Time {
	if after.Before(time.Time{}) {
		after = time.Time{}
	}
	t, ok := next(r, d.For(false), after.Unix(), loc)
	if !ok {
		return time.Time{}
	}
	return time.Unix(t, 0).In(loc)
}

func next(r Readings, d DST, after int64, loc *time.Location) (int64, bool) {
	if after >= lastSecond {
		return 0, false
	}
	from := after + 1 // the first instant to be considered
	v := view{period: periodAt(from-reach, loc), high: math.MinInt64, start: math.MinInt64}
	for v.end <= from {
		v.next(loc)
	}
	floor := int64(math.MinInt64) // no reading that still matters is below it
	for {
		low := max(from+v.offset, floor)
		if d.Overlap == OverlapFirst {
			low = max(low, v.high)
		}
		w, ok := r.Reading(low)
		t := w - v.offset
		if !ok || t >= v.end || d.Overlap == OverlapLast && v.again(w, loc) {
			t = forever
		}
		if v.gap() {
			t = min(t, v.lost(r, d.Gap, from))
		}
		if t < v.end {
			return t, t <= lastSecond
		}
		// Nothing in this period. Where nothing matches until shortly before w, not even a reading that shows again after
		// this period, do not walk there.
		if low+reach < v.end+v.offset && (!ok || w-reach > v.end) {
			if !ok {
				return 0, false
			}
			from, floor = w-reach, w
			v = view{period: periodAt(from, loc), high: math.MinInt64, start: math.MinInt64}
			continue
		}
		from = v.end
		v.next(loc)
	}
}

// view is a period and what lies before it, as far back as it can matter.
type view struct {
	period
	start  int64 // of the period; the smallest number: too long ago to matter, and so the next two
	before int64 // the offset before start
	high   int64 // above all readings that the clock showed before start
}

// next goes on to the following period.
func (v *view) next(loc *time.Location) {
	v.high = max(v.high, v.end+v.offset)
	v.start, v.before = v.end, v.offset
	v.period = periodAt(v.end, loc)
}

// gap reports whether readings are lost where the period starts: those from high on, below its own first.
func (v *view) gap() bool { return v.start != math.MinInt64 && v.high < v.start+v.offset }

// lost gives the first instant at or after from at which a reading that is lost before the period runs, else forever.
func (v *view) lost(r Readings, g Gap, from int64) int64 {
	switch {
	case g == GapAfter && from <= v.start:
		if w, ok := r.Reading(v.high); ok && w < v.start+v.offset {
			return v.start
		}
	case g == GapShift && from+v.before < v.start+v.offset:
		if w, ok := r.Reading(max(v.high, from+v.before)); ok && w < v.start+v.offset {
			return w - v.before
		}
	}
	return forever
}

// again reports whether the clock is at w or before it once more after the period.
func (v *view) again(w int64, loc *time.Location) bool {
	if w+reach < v.end+v.offset {
		return false
	}
	for at := v.end; at < v.end+reach; {
		p := periodAt(at, loc)
		if at+p.offset <= w {
			return true
		}
		at = p.end
	}
	return false
}
