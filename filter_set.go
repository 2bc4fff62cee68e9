package eventflow

import (
	"time"

	"github.com/eventflow-go/eventflow/internal/cron"
)

const daySeconds = 24 * 60 * 60

// span is what lies between two instants, both included.
type span struct{ first, last time.Time }

func (s span) from(t time.Time) time.Time {
	switch {
	case t.Before(s.first):
		return s.first
	case t.After(s.last):
		return time.Time{}
	}
	return t
}

func (s span) until(t time.Time) time.Time {
	if t.Before(s.first) || t.After(s.last) {
		return t
	}
	return s.last.Add(1)
}

// walled is the instants at which the wall clock of a zone shows one of the readings.
type walled struct {
	in, out cron.Readings // each has what the other has not
	loc     *time.Location
}

func (f walled) from(t time.Time) time.Time  { return firstShown(f.in, f.loc, t) }
func (f walled) until(t time.Time) time.Time { return firstShown(f.out, f.loc, t) }

// firstShown gives the first instant at or after t at which the clock shows one of the readings.
func firstShown(r cron.Readings, loc *time.Location, t time.Time) time.Time {
	w := wall(t, loc)
	if next, ok := r.Reading(w); ok && next == w {
		return t
	}
	return cron.Next(r, cron.DST{Gap: cron.GapSkip, Overlap: cron.OverlapBoth}, t, loc)
}

// wall gives what the wall clock shows, in seconds since 1970 as if it were UTC.
func wall(t time.Time, loc *time.Location) int64 {
	_, offset := t.In(loc).Zone()
	return t.Unix() + int64(offset)
}

// days are the days for which match gives want.
type days struct {
	match func(day time.Time) bool
	want  bool
}

// daysMost bounds the search for a day. It is 27 years: 29 February is at most eight years away, on a given weekday
// twelve and twenty-eight.
const daysMost = 10_000

func (s days) Reading(w int64) (int64, bool) {
	day := time.Unix(w-floorMod(w, daySeconds), 0).UTC()
	for range daysMost {
		if s.match(day) == s.want {
			return max(w, day.Unix()), true
		}
		day = day.Add(24 * time.Hour) // it is in UTC
	}
	return 0, false
}

// times are the readings of every day from first to last, seconds since midnight, around midnight when last is less.
type times struct{ first, last int64 }

func (s times) Reading(w int64) (int64, bool) {
	at := floorMod(w, daySeconds)
	in := s.first <= at && at <= s.last
	if s.first > s.last {
		in = at >= s.first || at <= s.last
	}
	if in {
		return w, true
	}
	return w + floorMod(s.first-at, daySeconds), true
}

// unlessAll gives the complement that it is, or nothing when the times from first to last are the whole day.
func (s times) unlessAll(first, last int64) cron.Readings {
	if (last+1)%daySeconds == first {
		return never{}
	}
	return s
}

type never struct{}

func (never) Reading(int64) (int64, bool) { return 0, false }

func floorMod(a, b int64) int64 {
	m := a % b
	if m < 0 {
		m += b
	}
	return m
}
