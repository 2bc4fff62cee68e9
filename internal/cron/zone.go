package cron

import "time"

const (
	// forever is later than any end of a period, and far from an overflow.
	forever = int64(1) << 61
	// reach is longer than any two offsets of a zone are apart: they lie between -16 h and +16 h, those of the
	// nineteenth century included. Readings further away than this cannot meet.
	reach = 2 * daySeconds
)

// period is a stretch of constant offset, from the instant it was asked for to its end.
type period struct {
	end    int64 // exclusive
	offset int64 // seconds east of UTC
}

// periodAt gives the period of an instant. Two neighbours may have the same offset.
//
// Only the end of [time.Time.ZoneBounds] is used, because its start may lie before the period (years that a rule
// computes "start" on 1 January). The end may lie in the past: on 31 December of a leap year that a rule computes, Go
// 1.26 gives the day's own midnight (golang/go#81583). The period then lasts at least until the next midnight of UTC,
// because rules are computed for a UTC year, and that is the year's end.
func periodAt(sec int64, loc *time.Location) period {
	t := time.Unix(sec, 0).In(loc)
	_, offset := t.Zone()
	p := period{end: forever, offset: int64(offset)}
	if _, end := t.ZoneBounds(); !end.IsZero() {
		p.end = end.Unix()
	}
	if p.end <= sec {
		p.end = (floorDiv(sec, daySeconds) + 1) * daySeconds
	}
	return p
}
