package cron_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/internal/cron"
)

// The oracle: it walks every minute with package time, asks each wall clock reading whether it matches, and follows the
// rule as it is written for users. It shares nothing with the engine: no masks, no arithmetic, no zone bounds, and a
// reader of expressions of its own.

// oracle answers for one expression; spec is what it judges.
type oracle struct {
	expr                          string
	spec                          cron.Spec
	minute, hour, dom, month, dow []bool // by value
	bothDays, wildcard            bool
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
	fs := strings.Fields(expr)
	table := func(i, low, high int) []bool {
		vs := make([]bool, high+1)
		for v := low; v <= high; v++ {
			vs[v] = oracleField(t, fs[i], v, low, high)
		}
		return vs
	}
	star := func(i int) bool { return fs[i][0] == '*' }
	return &oracle{
		expr: expr, spec: mustParse(t, expr),
		minute: table(0, 0, 59), hour: table(1, 0, 23), dom: table(2, 1, 31), month: table(3, 1, 12), dow: table(4, 0, 6),
		bothDays: star(2) || star(4), wildcard: star(0) || star(1),
	}
}

// matches asks one reading.
func (o *oracle) matches(w time.Time) bool {
	if !o.minute[w.Minute()] || !o.hour[w.Hour()] || !o.month[w.Month()] {
		return false
	}
	dom, dow := o.dom[w.Day()], o.dow[w.Weekday()]
	if o.bothDays {
		return dom && dow
	}
	return dom || dow
}

var oracleNames = strings.Fields("JAN 1 FEB 2 MAR 3 APR 4 MAY 5 JUN 6 JUL 7 AUG 8 SEP 9 OCT 10 NOV 11 DEC 12 " +
	"SUN 0 MON 1 TUE 2 WED 3 THU 4 FRI 5 SAT 6")

func oracleField(t *testing.T, text string, value, low, high int) bool {
	t.Helper()
	for item := range strings.SplitSeq(strings.NewReplacer(oracleNames...).Replace(strings.ToUpper(text)), ",") {
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

// readings gives, for each step of [from, to), what the wall clock shows, written as if it were UTC.
func readings(loc *time.Location, from, to time.Time, step time.Duration) []time.Time {
	var ws []time.Time
	for t := from; t.Before(to); t = t.Add(step) {
		l := t.In(loc)
		ws = append(ws, time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), l.Second(), 0, time.UTC))
	}
	return ws
}

// fires gives the fires among the readings ws, one every step from an instant on, at or after start.
func (o *oracle) fires(ws []time.Time, from, start time.Time, step time.Duration) []int64 {
	var fires []int64
	reached := ws[0]
	for i, w := range ws {
		fire := false
		if o.wildcard {
			fire = o.matches(w)
		} else {
			// Each reading that the clock has reached or passed for the first time.
			for ; !reached.After(w); reached = reached.Add(step) {
				fire = o.matches(reached) || fire
			}
		}
		if at := from.Add(time.Duration(i) * step); fire && !at.Before(start) {
			fires = append(fires, at.Unix())
		}
	}
	return fires
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

var oracleZones = []string{
	"UTC", "America/New_York", "Europe/Lisbon", "Australia/Lord_Howe", "Asia/Beirut", "Africa/Cairo", "America/Santiago",
	"America/Havana", "America/Nuuk", "Pacific/Apia", "Europe/Dublin", "Antarctica/Troll", "Africa/Casablanca",
	"Pacific/Chatham", "America/Sao_Paulo", "Asia/Pyongyang", "America/Caracas", "Asia/Gaza",
}

var oracleExprs = []string{
	"* * * * *", "0 * * * *", "30 * * * *", "*/15 * * * *", "*/7 1-3 * * *", "*/15 2 * * *", "0 */2 * * *", "10 */3 * * *",
	"0 0 * * *", "30 0 * * *", "59 23 * * *", "0 1 * * *", "30 1 * * *", "45 1 * * *", "0 2 * * *", "10 2 * * *", "30 2 * * *",
	"0,30 1-3 * * *", "0-59/10 0-4 * * *", "15 22-2 * * *", "0 3 * * *", "0 0 * * 0", "30 2 * * SAT-MON", "0 0 1 * MON",
	"0 0 */2 * MON", "5 0 28-3 * *", "0 12 30,31 DEC,MAR *", "0-59 1 * * 7",
}

func mustParse(t testing.TB, expr string) cron.Spec {
	t.Helper()
	s, faults := cron.Parse(expr)
	require.Empty(t, faults, expr)
	return s
}

func mustLoad(t testing.TB, zone string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	require.NoError(t, err)
	return loc
}

// checkAround compares every fire within three days of an instant.
func checkAround(t *testing.T, loc *time.Location, at time.Time, oracles []*oracle) (fires int) {
	t.Helper()
	at = at.Truncate(time.Hour)
	return check(t, loc, at.AddDate(0, 0, -3), at.AddDate(0, 0, 3), time.Minute, oracles)
}

// check compares every fire of [start, to) with the oracle's, which looks at the clock every step, and probes the clock
// law. It gives the number of fires.
func check(t *testing.T, loc *time.Location, start, to time.Time, step time.Duration, oracles []*oracle) (fires int) {
	t.Helper()
	from := start.AddDate(0, 0, -2) // what the clock showed before decides what it shows again
	ws := readings(loc, from, to, step)
	for _, o := range oracles {
		spec, expr := &o.spec, o.expr
		want := o.fires(ws, from, start, step)
		var got []int64
		rnd := rand.New(rand.NewPCG(uint64(start.Unix()), uint64(len(expr))))
		for a := start.Add(-time.Nanosecond); ; {
			n := spec.Next(a, loc)
			if n.IsZero() || !n.Before(to) {
				break
			}
			inside := a.Add(time.Duration(rnd.Int64N(int64(n.Sub(a)))))
			if again := spec.Next(inside, loc); again != n {
				t.Fatalf("%s in %v: Next(%v) is %v, but Next(%v) is %v", expr, loc, a, n, inside, again)
			}
			got = append(got, n.Unix())
			a = n
		}
		if !slices.Equal(want, got) {
			t.Fatalf("%s in %v from %v\nwant %v\n got %v", expr, loc, start, instants(want, loc), instants(got, loc))
		}
		fires += len(got)
	}
	return fires
}

func instants(secs []int64, loc *time.Location) string {
	var b strings.Builder
	for _, s := range secs[:min(len(secs), 100)] {
		fmt.Fprintf(&b, "%s ", time.Unix(s, 0).In(loc).Format("2006-01-02T15:04-07:00"))
	}
	return b.String()
}

func TestEveryFireAroundAChangeOfOffsetIsTheOracles(t *testing.T) {
	t.Parallel()
	oracles := newOracles(t, oracleExprs...)
	for _, zone := range oracleZones[:len(oracleZones)/raceScale] {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			loc := mustLoad(t, zone)
			// The newest changes, some of the computed future with a leap year's end, and what is special below.
			ts := transitions(loc, year(2006), year(2027))
			if len(ts) > 4 {
				ts = ts[len(ts)-4:]
			}
			ts = append(ts, year(2041), time.Date(2040, 12, 31, 0, 0, 0, 0, time.UTC), year(2101))
			if late := transitions(loc, year(2052), year(2053)); len(late) > 0 {
				ts = append(ts, late...)
			}
			fires := 0
			for _, at := range ts {
				fires += checkAround(t, loc, at, oracles)
			}
			require.Greater(t, fires, 1000*len(ts), "the comparison compared something")
		})
	}
}

func TestChangesOfMoreThanAnHourFollowTheSameRule(t *testing.T) {
	t.Parallel()
	oracles := newOracles(t, oracleExprs...)
	for zone, at := range map[string]time.Time{
		"Pacific/Apia":               time.Date(2011, 12, 30, 10, 0, 0, 0, time.UTC), // a day that does not exist
		"Pacific/Kwajalein":          time.Date(1969, 9, 30, 13, 0, 0, 0, time.UTC),  // 23 hours twice
		"Pacific/Enderbury":          time.Date(1994, 12, 31, 11, 0, 0, 0, time.UTC), // a day that does not exist
		"Antarctica/Casey":           time.Date(2010, 3, 4, 15, 0, 0, 0, time.UTC),   // three hours twice
		"Antarctica/Davis":           time.Date(2009, 10, 17, 18, 0, 0, 0, time.UTC),
		"Asia/Kathmandu":             time.Date(1985, 12, 31, 18, 30, 0, 0, time.UTC), // a quarter of an hour
		"America/Metlakatla":         time.Date(2019, 1, 20, 10, 0, 0, 0, time.UTC),   // in mid-season
		"Australia/Lord_Howe":        time.Date(1981, 2, 28, 14, 0, 0, 0, time.UTC),
		"America/Argentina/San_Luis": time.Date(2008, 1, 21, 2, 0, 0, 0, time.UTC),
	} {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			loc := mustLoad(t, zone)
			require.NotEmpty(t, transitions(loc, at.Add(-36*time.Hour), at.Add(36*time.Hour)), "there is a change")
			checkAround(t, loc, at, oracles)
		})
	}
}

func TestSparseExpressionsAreTheOraclesPastTheYear2100(t *testing.T) {
	t.Parallel()
	oracles := newOracles(t,
		"0 0 29 2 *", "30 3 31 12 *", "0 12 1 1 *", "30 2 8-14 3 0", "*/30 1 1-7 11 *", "0 3 25-31 MAR,OCT SUN", "*/30 */6 29 2 *",
	)
	for _, zone := range []string{"America/New_York", "Australia/Lord_Howe"} {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			// Offsets of these years, and so all readings, are multiples of 30 minutes.
			require.Greater(t, check(t, mustLoad(t, zone), year(2109-71/raceScale), year(2109), 30*time.Minute, oracles), 1000/raceScale)
		})
	}
}

func TestRandomExpressionsAreTheOraclesToo(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(20260405, 2))
	for range 40 / raceScale {
		loc := mustLoad(t, oracleZones[rnd.IntN(len(oracleZones))])
		ts := transitions(loc, year(2010), year(2012))
		ts = append(ts, year(2011).Add(time.Duration(rnd.Int64N(int64(20*365*24*time.Hour)))).Truncate(time.Second))
		var oracles []*oracle
		for range 5 {
			oracles = append(oracles, newOracle(t, randomExpr(rnd)))
		}
		checkAround(t, loc, ts[rnd.IntN(len(ts))], oracles)
	}
}

// randomExpr gives a valid expression that fires often.
func randomExpr(rnd *rand.Rand) string {
	item := func(low, high int) string {
		a, b := low+rnd.IntN(high-low+1), low+rnd.IntN(high-low+1)
		span := b - a + 1
		if b < a {
			span += high - low + 1
		}
		switch rnd.IntN(6) {
		case 0:
			return "*"
		case 1:
			return fmt.Sprintf("*/%d", 1+rnd.IntN(high-low+1))
		case 2:
			return fmt.Sprintf("%d-%d/%d", a, b, 1+rnd.IntN(span))
		case 3:
			return strconv.Itoa(a)
		case 4:
			return fmt.Sprintf("%d/%d", a, 1+rnd.IntN(high-a+1))
		default:
			return fmt.Sprintf("%d-%d", a, b)
		}
	}
	field := func(low, high int) string {
		f := item(low, high)
		for rnd.IntN(3) == 0 {
			f += "," + item(low, high)
		}
		return f
	}
	for {
		expr := strings.Join([]string{field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)}, " ")
		if _, faults := cron.Parse(expr); faults == nil { // an impossible date is one
			return expr
		}
	}
}

func year(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
