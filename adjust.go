package eventflow

import (
	"sort"
	"time"

	"github.com/eventflow-go/eventflow/internal/cron"
)

// Adjustment moves the fires that a [Schedule]'s filters let through. A moved fire's nominal time is the instant it was
// moved to: two fires of one clock that are moved to the same instant are one fire.
//
// The zero Adjustment has an Err and lets nothing through.
type Adjustment struct {
	move move
	text string
	err  error
}

// move turns a set of instants into another.
type move interface {
	// to is where an instant is moved.
	to(t time.Time) time.Time
	// next gives the first instant strictly after the given one to which an instant of the set is moved. from is the
	// Next of that set.
	next(after time.Time, from func(time.Time) time.Time) time.Time
}

// Shift moves each fire by a duration, forward or, when it is below zero, back. It is elapsed time: across a change of
// summer time the time of day moves by an hour more or less.
func Shift(d time.Duration) Adjustment {
	return Adjustment{move: shift(d), text: "shift(" + d.String() + ")"}
}

// NextWeekday moves the fires of a Saturday or Sunday to the same time of day of the Monday that follows. Where that
// Monday's clock jumps over the time, it is the first instant after the gap; where the clock shows it twice, the first.
func NextWeekday(loc *time.Location) Adjustment {
	if err := checkZone("eventflow.NextWeekday", loc, ""); err != nil {
		return Adjustment{text: "nextweekday()", err: err}
	}
	return Adjustment{move: toMonday{loc}, text: "nextweekday(" + zoneName(loc) + ")"}
}

// Err says what is wrong, a *[ConfigError]; nil when nothing is.
func (a Adjustment) Err() error {
	if a.move == nil && a.err == nil {
		return &ConfigError{Field: "eventflow.Adjustment", Value: "", Allowed: "one made by a function of this package, such as eventflow.Shift"}
	}
	return a.err
}

// String gives the canonical text, which [ParseAdjustment] reads: "nextweekday(Europe/Lisbon)".
func (a Adjustment) String() string { return a.text }

// MarshalText gives the canonical text. It is an error when the adjustment has an Err.
func (a Adjustment) MarshalText() ([]byte, error) { return []byte(a.text), a.Err() }

// UnmarshalText is [ParseAdjustment].
func (a *Adjustment) UnmarshalText(text []byte) error {
	b, err := ParseAdjustment(string(text))
	if err == nil {
		*a = b
	}
	return err
}

type shift time.Duration

func (d shift) to(t time.Time) time.Time { return t.Add(time.Duration(d)) }

func (d shift) next(after time.Time, from func(time.Time) time.Time) time.Time {
	for t := after.Add(-time.Duration(d)); ; {
		t = from(t)
		switch u := d.to(t); {
		case t.IsZero() || u.Unix() > lastFire:
			return time.Time{}
		case u.After(after): // but before the year 1
			return u
		}
	}
}

type toMonday struct{ loc *time.Location }

func (m toMonday) to(t time.Time) time.Time {
	t = t.In(m.loc)
	var on int64
	switch t.Weekday() {
	case time.Saturday:
		on = 2
	case time.Sunday:
		on = 1
	default:
		return t
	}
	at, _ := cron.Place(wall(t, m.loc)+on*daySeconds, cron.DST{Gap: cron.GapAfter, Overlap: cron.OverlapFirst}, m.loc)
	return time.Unix(at[0], int64(t.Nanosecond())).In(m.loc)
}

var weekendDays = days{func(d time.Time) bool { return weekend(d.Weekday()) }, true}

// next goes through the days in order, fires that stay and fires that move, until no later one can come before the best
// so far: none is moved to earlier.
func (m toMonday) next(after time.Time, from func(time.Time) time.Time) (best time.Time) {
	// Those that move do so by less than four days, a day that a zone leaves out included.
	for t := after.Add(-4 * 24 * time.Hour); best.IsZero() || t.Before(best); {
		switch free := firstShown(weekendDays, m.loc, t); {
		case free.Equal(t):
			t, best = m.weekend(t, after, best, from)
			if t.IsZero() {
				return best
			}
		case !free.IsZero() && !free.After(after):
			t = free // what stays before is too early
		default:
			fire := from(later(after, t.Add(-1)))
			if fire.IsZero() || !best.IsZero() && !fire.Before(best) {
				return best
			}
			if !weekend(fire.In(m.loc).Weekday()) {
				return fire
			}
			t = fire
		}
	}
	return best
}

// weekend looks at the fires of a Saturday or Sunday from t on, as far as the day has one offset, and gives where to go
// on; the zero time when there are no more fires.
func (m toMonday) weekend(t, after, best time.Time, from func(time.Time) time.Time) (on, first time.Time) {
	end := m.sameDay(t)
	if !m.to(end.Add(-1)).After(after) {
		return end, best // all of it is moved to after or before
	}
	if !m.to(t).After(after) { // with one offset, what is later is not moved to earlier
		i := sort.Search(int(end.Sub(t)), func(i int) bool { return m.to(t.Add(time.Duration(i))).After(after) })
		t = t.Add(time.Duration(i))
	}
	fire := from(t.Add(-1))
	if fire.IsZero() || !fire.Before(end) {
		return fire, best
	}
	if u := m.to(fire); best.IsZero() || u.Before(best) {
		best = u
	}
	return end, best
}

// sameDay gives the end of the day of t, or of its offset where that comes first.
func (m toMonday) sameDay(t time.Time) time.Time {
	end := t.Truncate(time.Second).Add(time.Duration(daySeconds-floorMod(wall(t, m.loc), daySeconds)) * time.Second)
	for c := range cron.Changes(m.loc, t.Add(1), end) {
		return time.Unix(c.At, 0)
	}
	return end
}
