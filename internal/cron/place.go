package cron

import (
	"iter"
	"time"
)

// Place gives the instants that one reading stands for, in seconds since 1970: none, one or two, ascending, in the first
// n of at. Vixie's rule is that of a fixed-time job.
func Place(w int64, d DST, loc *time.Location) (at [2]int64, n int) {
	d = d.For(false)
	var gap Change
	start := w - reach
	for p := periodAt(start, loc); start < w+reach; {
		if t := w - p.offset; start <= t && t < p.end {
			switch {
			case n == 0 || d.Overlap == OverlapLast:
				at[0], n = t, 1
			case d.Overlap == OverlapBoth:
				at[1], n = t, 2
			}
		}
		q := periodAt(p.end, loc)
		if c := (Change{At: p.end, Before: p.offset, After: q.offset}); c.loses(w) {
			gap = c
		}
		p, start = q, p.end
	}
	if n == 0 && gap != (Change{}) {
		switch d.Gap {
		case GapAfter:
			at[0], n = gap.At, 1
		case GapShift:
			at[0], n = w-gap.Before, 1
		}
	}
	return at, n
}

// Change is an instant at which a zone changes its offset.
type Change struct {
	At            int64 // the first second of the new offset
	Before, After int64 // offsets, in seconds east of UTC
}

// Lost gives the readings that the clock jumps over at the change, from the first up to end; none where end is first.
func (c Change) Lost() (first, end int64) { return c.At + c.Before, max(c.At+c.Before, c.At+c.After) }

func (c Change) loses(w int64) bool {
	first, end := c.Lost()
	return first <= w && w < end
}

// Twice gives the readings that the clock shows before the change and again after it.
func (c Change) Twice() (first, end int64) { return c.At + c.After, max(c.At+c.Before, c.At+c.After) }

// Changes gives the changes at or after from and before to.
func Changes(loc *time.Location, from, to time.Time) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for p := periodAt(seconds(from)-1, loc); p.end < seconds(to); {
			q := periodAt(p.end, loc)
			if q.offset != p.offset && !yield(Change{At: p.end, Before: p.offset, After: q.offset}) {
				return
			}
			p = q
		}
	}
}

// seconds gives the first whole second that is not before t.
func seconds(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}
