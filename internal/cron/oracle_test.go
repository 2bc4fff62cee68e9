package cron_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/internal/cron"
)

// The oracle: it walks every minute, or every second, with package time, asks each wall clock reading whether it
// matches, and follows the rule as it is written for users. It shares nothing with the engine: no masks, no arithmetic
// of dates, no zone bounds, and a reader of expressions of its own.

// oracle answers for one expression; spec is what it judges.
type oracle struct {
	expr                 string
	spec                 cron.Spec
	second, minute, hour []bool // by value
	month                []bool
	dom, dow             []func(date time.Time) bool // at least one item of the list
	bothDays             bool
	wildcard, fixedHour  bool
}

func newOracles(t *testing.T, exprs ...string) []*oracle {
	t.Helper()
	var os []*oracle
	for _, expr := range exprs {
		os = append(os, newOracle(t, expr))
	}
	return os
}

func newOracle(t *testing.T, expr string) *oracle {
	t.Helper()
	fs := strings.Fields(strings.NewReplacer(oracleNames...).Replace(strings.ToUpper(expr)))
	if len(fs) == 5 {
		fs = append([]string{"0"}, fs...)
	}
	star := func(i int) bool { return fs[i][0] == '*' }
	return &oracle{
		expr: expr, spec: mustParse(t, expr),
		second: oracleTable(t, fs[0], 0, 59), minute: oracleTable(t, fs[1], 0, 59), hour: oracleTable(t, fs[2], 0, 23),
		dom: oracleDom(t, fs[3]), month: oracleTable(t, fs[4], 1, 12), dow: oracleDow(t, fs[5]),
		bothDays: star(3) || star(5), wildcard: star(0) || star(1) || star(2), fixedHour: !star(2),
	}
}

// onDay asks the day of a reading.
func (o *oracle) onDay(date time.Time) bool {
	in := func(days []func(time.Time) bool) bool {
		return slices.ContainsFunc(days, func(f func(time.Time) bool) bool { return f(date) })
	}
	if !o.month[date.Month()] {
		return false
	}
	if o.bothDays {
		return in(o.dom) && in(o.dow)
	}
	return in(o.dom) || in(o.dow)
}

var oracleNames = strings.Fields("JAN 1 FEB 2 MAR 3 APR 4 MAY 5 JUN 6 JUL 7 AUG 8 SEP 9 OCT 10 NOV 11 DEC 12 " +
	"SUN 0 MON 1 TUE 2 WED 3 THU 4 FRI 5 SAT 6")

func oracleDom(t *testing.T, text string) (days []func(time.Time) bool) {
	t.Helper()
	lastOf := func(d time.Time) time.Time { return time.Date(d.Year(), d.Month()+1, 0, 0, 0, 0, 0, time.UTC) }
	working := func(d time.Time) bool { return d.Weekday() != time.Saturday && d.Weekday() != time.Sunday }
	for item := range strings.SplitSeq(text, ",") {
		switch {
		case item == "LW":
			days = append(days, func(d time.Time) bool {
				last := lastOf(d)
				for !working(last) {
					last = last.AddDate(0, 0, -1)
				}
				return d.Day() == last.Day()
			})
		case strings.HasPrefix(item, "L"):
			n := 0
			if item != "L" {
				n = oracleInt(t, item[2:])
			}
			days = append(days, func(d time.Time) bool { return d.AddDate(0, 0, n).Equal(lastOf(d)) })
		case strings.HasSuffix(item, "W"):
			n := oracleInt(t, strings.TrimSuffix(item, "W"))
			days = append(days, func(d time.Time) bool {
				if n > lastOf(d).Day() {
					return false
				}
				for _, shift := range []int{0, -1, 1, -2, 2} {
					near := time.Date(d.Year(), d.Month(), n+shift, 0, 0, 0, 0, time.UTC)
					if near.Month() == d.Month() && working(near) {
						return d.Equal(near)
					}
				}
				return false
			})
		default:
			table := oracleTable(t, item, 1, 31)
			days = append(days, func(d time.Time) bool { return table[d.Day()] })
		}
	}
	return days
}

func oracleDow(t *testing.T, text string) (days []func(time.Time) bool) {
	t.Helper()
	for item := range strings.SplitSeq(text, ",") {
		weekday, nth, found := strings.Cut(item, "#")
		switch {
		case found:
			n := oracleInt(t, nth)
			wd := time.Weekday(oracleInt(t, weekday) % 7)
			days = append(days, func(d time.Time) bool {
				return d.Weekday() == wd && d.AddDate(0, 0, -7*(n-1)).Month() == d.Month() && d.AddDate(0, 0, -7*n).Month() != d.Month()
			})
		case strings.HasSuffix(item, "L"):
			wd := time.Weekday(oracleInt(t, strings.TrimSuffix(item, "L")) % 7)
			days = append(days, func(d time.Time) bool { return d.Weekday() == wd && d.AddDate(0, 0, 7).Month() != d.Month() })
		default:
			table := oracleTable(t, item, 0, 6)
			days = append(days, func(d time.Time) bool { return table[d.Weekday()] })
		}
	}
	return days
}

func oracleTable(t *testing.T, text string, low, high int) []bool {
	t.Helper()
	vs := make([]bool, high+1)
	for v := low; v <= high; v++ {
		vs[v] = oracleField(t, text, v, low, high)
	}
	return vs
}

func oracleField(t *testing.T, text string, value, low, high int) bool {
	t.Helper()
	for item := range strings.SplitSeq(text, ",") {
		span, stepText, stepped := strings.Cut(item, "/")
		step := 1
		if stepped {
			step = oracleInt(t, stepText)
		}
		a, b := low, high
		if span != "*" {
			first, last, ranged := strings.Cut(span, "-")
			a = oracleInt(t, first)
			switch {
			case ranged:
				b = oracleInt(t, last)
			case !stepped:
				b = a
			}
		}
		for n := range 100 { // walk the range as a clock hand would
			v := a + n*step
			end := b
			if b < a {
				end += high - low + 1
			}
			if v > end {
				break
			}
			for v > high {
				v -= high - low + 1
			}
			if v == value {
				return true
			}
		}
	}
	return false
}

func oracleInt(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// wall is what the clock of a zone shows at each step of a stretch of time.
type wall struct {
	loc       *time.Location
	start, to time.Time // what is compared; the walk begins a day earlier and ends a day later
	from      int64
	step      int64
	shown     []reading
	lost      []reading // not shown at all: at is the index of the first that is
	days      []time.Time
}

type reading struct {
	w       int64 // written as if it were UTC
	h, m, s uint8
	day     int32 // index into days
	at      int32 // index into shown
	jump    int64 // of a lost one: how far the clock jumped
	first   bool  // shown for the first time
	last    bool  // shown for the last time
}

// walk looks at the clock from start up to to.
func walk(loc *time.Location, start, to time.Time, step time.Duration) *wall {
	const margin = 49 * time.Hour // a reading that is shown twice is so within a day
	w := &wall{loc: loc, start: start, to: to, from: start.Add(-margin).Unix(), step: int64(step / time.Second)}
	seen := map[int64]int{}
	dayOf := map[int64]int32{}
	read := func(at int, r time.Time) reading {
		date := time.Date(r.Year(), r.Month(), r.Day(), 0, 0, 0, 0, time.UTC)
		day, known := dayOf[date.Unix()]
		if !known {
			day = int32(len(w.days))
			dayOf[date.Unix()] = day
			w.days = append(w.days, date)
		}
		return reading{w: r.Unix(), h: uint8(r.Hour()), m: uint8(r.Minute()), s: uint8(r.Second()), day: day, at: int32(at)}
	}
	for t := start.Add(-margin); t.Before(to.Add(margin)); t = t.Add(step) {
		l := t.In(loc)
		r := read(len(w.shown), time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), l.Second(), 0, time.UTC))
		before, again := seen[r.w]
		if again {
			w.shown[before].last = false
		}
		r.first, r.last = !again, true
		seen[r.w] = len(w.shown)
		w.shown = append(w.shown, r)
	}
	for i := 1; i < len(w.shown); i++ {
		jump := w.shown[i].w - w.shown[i-1].w - w.step
		for missing := w.shown[i-1].w + w.step; missing < w.shown[i].w; missing += w.step {
			if _, elsewhere := seen[missing]; !elsewhere {
				r := read(i, time.Unix(missing, 0).UTC())
				r.jump = jump
				w.lost = append(w.lost, r)
			}
		}
	}
	return w
}

// hits are the readings of a walk that match one expression.
type hits struct{ shown, lost []reading }

func (o *oracle) hits(w *wall) hits {
	onDay := make([]bool, len(w.days))
	for i, d := range w.days {
		onDay[i] = o.onDay(d)
	}
	matching := func(rs []reading) (hit []reading) {
		for i := range rs {
			if r := &rs[i]; o.second[r.s] && o.minute[r.m] && o.hour[r.h] && onDay[r.day] {
				hit = append(hit, *r)
			}
		}
		return hit
	}
	return hits{shown: matching(w.shown), lost: matching(w.lost)}
}

// fires applies a policy, in the words of its documentation.
func (o *oracle) fires(w *wall, h hits, d cron.DST) []int64 {
	if d.Gap == cron.GapVixie {
		if d.Gap = cron.GapAfter; o.wildcard {
			d.Gap = cron.GapSkip
		}
	}
	if d.Overlap == cron.OverlapVixie {
		if d.Overlap = cron.OverlapFirst; o.wildcard {
			d.Overlap = cron.OverlapBoth
		}
	}
	var fires []int64
	for _, r := range h.shown {
		if d.Overlap == cron.OverlapBoth || d.Overlap == cron.OverlapFirst && r.first || d.Overlap == cron.OverlapLast && r.last {
			fires = append(fires, w.from+int64(r.at)*w.step)
		}
	}
	for _, r := range h.lost {
		after := w.from + int64(r.at)*w.step
		switch d.Gap {
		case cron.GapAfter:
			fires = append(fires, after)
		case cron.GapShift: // the clock is as far beyond the reading as it jumped
			fires = append(fires, after+r.w+r.jump-w.shown[r.at].w)
		}
	}
	fires = slices.DeleteFunc(fires, func(f int64) bool { return f < w.start.Unix() || f >= w.to.Unix() })
	slices.Sort(fires)
	return slices.Compact(fires)
}

// transitions gives the instants at which a zone changes its offset.
func transitions(loc *time.Location, from, to time.Time) []time.Time {
	offset := func(t time.Time) int { _, o := t.In(loc).Zone(); return o }
	var ts []time.Time
	const stride = 12 * time.Hour
	for t := from; t.Before(to); t = t.Add(stride) {
		if offset(t) == offset(t.Add(stride)) {
			continue
		}
		a, b := t, t.Add(stride)
		for b.Sub(a) > time.Second {
			if mid := a.Add(b.Sub(a) / 2).Truncate(time.Second); offset(mid) == offset(a) {
				a = mid
			} else {
				b = mid
			}
		}
		ts = append(ts, b)
	}
	return ts
}
