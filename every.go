package eventflow

import (
	"math/bits"
	"time"
)

// IntervalClock fires at equal distances: at the Unix epoch plus a phase plus any multiple of its interval. It is never
// anchored at the start of a process, so replicas and restarts agree on every fire. It knows no zone: an interval of 24
// hours moves by an hour on the wall clock when summer time begins; for a time of day use [Cron].
//
// It is immutable and safe for concurrent use. Make one with [Every].
type IntervalClock struct{ interval, phase time.Duration }

// Every fires at every multiple of d since the Unix epoch, 1970-01-01T00:00:00Z: Every(time.Hour) on the hour of UTC,
// Every(7*24*time.Hour) on Thursdays, because that day was one. An interval that is not above zero never fires, and
// [IntervalClock.Err] says so.
func Every(d time.Duration) *IntervalClock { return &IntervalClock{interval: d} }

// Phase gives a clock with the same interval that fires p later than the epoch's multiples, so that many clocks need
// not fire together. Only p modulo the interval counts; a second Phase replaces the first. The receiver is unchanged.
func (c *IntervalClock) Phase(p time.Duration) *IntervalClock {
	if c.interval <= 0 {
		return &IntervalClock{interval: c.interval}
	}
	if p %= c.interval; p < 0 {
		p += c.interval
	}
	return &IntervalClock{interval: c.interval, phase: p}
}

// Next gives the first fire strictly after the instant, in UTC; the zero time when the year 9999 ends before it.
// Instants before the year 1 count as its beginning.
func (c *IntervalClock) Next(after time.Time) time.Time {
	if c.interval <= 0 {
		return time.Time{}
	}
	after = firstInstant(after)
	t := after.Add(c.interval - c.since(after))
	if t.Unix() > lastFire {
		return time.Time{}
	}
	return t
}

// since is how long before t the newest multiple was, t's own instant included. Nanoseconds since the epoch overflow 64
// bits after the year 2262, so seconds and nanoseconds are divided apart.
func (c *IntervalClock) since(t time.Time) time.Duration {
	d := int64(c.interval)
	sec := t.Unix() % d
	if sec < 0 {
		sec += d
	}
	hi, lo := bits.Mul64(uint64(sec), uint64(time.Second))
	ns := bits.Rem64(hi, lo, uint64(d)) + uint64(t.Nanosecond())%uint64(d) // each below 2^63
	since := int64(ns%uint64(d)) - int64(c.phase)
	if since < 0 {
		since += d
	}
	return time.Duration(since)
}

// Err is a *[ConfigError] when the interval is not above zero, else nil.
func (c *IntervalClock) Err() error {
	if c.interval <= 0 {
		return &ConfigError{Field: "eventflow.Every", Value: c.interval.String(), Allowed: "an interval above zero"}
	}
	return nil
}

// String gives the canonical text, the clock's name where it has no other: "every(1h30m0s)", with a phase
// "every(1h30m0s+5m0s)".
func (c *IntervalClock) String() string {
	if c.phase != 0 {
		return "every(" + c.interval.String() + "+" + c.phase.String() + ")"
	}
	return "every(" + c.interval.String() + ")"
}

// MarshalText gives the canonical text, which [ParseClock] reads. A clock with an Err has none.
func (c *IntervalClock) MarshalText() ([]byte, error) { return []byte(c.String()), c.Err() }

// UnmarshalText takes a canonical text. It is for a new IntervalClock: it must not be called on one that is in use.
func (c *IntervalClock) UnmarshalText(text []byte) error { return unmarshalClock(c, text) }

// lastFire is the last second of the year 9999, the last that RFC 3339 can write and so the last in which a fire has a
// name.
const lastFire = 253402300799

// firstInstant gives t in UTC, and so without its monotonic reading, which would make equal fires differ under ==. An
// instant before the year 1 becomes its beginning: the zero time means that there is no fire, so none can be at or before it.
func firstInstant(t time.Time) time.Time {
	if t.Before(time.Time{}) {
		return time.Time{}
	}
	return t.UTC()
}
