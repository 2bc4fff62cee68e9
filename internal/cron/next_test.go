package cron_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/internal/cron"
)

var full = flag.Bool("full", false, "compare every change of offset from 2000 to 2040 in every zone with the oracle, not a sample; takes long")

// Zones with every kind of change: an hour and half an hour, at midnight and at an even hour, on either side of the
// equator, in Ramadan, by decree, with a negative summer time, a day lost, and none.
var oracleZones = strings.Fields(`
	UTC America/New_York Europe/Lisbon Australia/Lord_Howe Asia/Beirut Africa/Cairo America/Santiago
	America/Havana America/Nuuk Pacific/Apia Europe/Dublin Antarctica/Troll Africa/Casablanca
	Pacific/Chatham America/Sao_Paulo Asia/Pyongyang America/Caracas Asia/Gaza
	Europe/London Europe/Berlin Europe/Moscow Europe/Istanbul Europe/Chisinau America/Los_Angeles America/St_Johns
	America/Asuncion America/Mexico_City America/Scoresbysund America/Metlakatla America/Argentina/San_Luis
	America/Port-au-Prince Asia/Tehran Asia/Jerusalem Asia/Amman Asia/Kathmandu Asia/Dhaka Asia/Tokyo
	Australia/Sydney Australia/Adelaide Australia/Eucla Pacific/Auckland Pacific/Norfolk Pacific/Fiji Pacific/Easter
	Pacific/Tongatapu Atlantic/Azores Atlantic/Stanley Africa/Juba Africa/Windhoek Antarctica/Casey Antarctica/Macquarie`)

// Expressions of a minute's grain, then those of a second's.
var (
	oracleExprs = []string{
		"* * * * *", "0 * * * *", "30 * * * *", "*/15 * * * *", "*/7 1-3 * * *", "*/15 2 * * *", "0 */2 * * *", "10 */3 * * *",
		"0 0 * * *", "30 0 * * *", "59 23 * * *", "0 1 * * *", "30 1 * * *", "45 1 * * *", "0 2 * * *", "10 2 * * *", "30 2 * * *",
		"0,30 1-3 * * *", "0-59/10 0-4 * * *", "15 22-2 * * *", "0 3 * * *", "0 0 * * 0", "30 2 * * SAT-MON", "0 0 1 * MON",
		"0 0 */2 * MON", "5 0 28-3 * *", "0 12 30,31 DEC,MAR *", "0-59 1 * * 7",
		"30 2 L * *", "30 2 L-1,L-2 * *", "30 2 LW * *", "15 1 1W,15W,31W * *", "0 0 * * SUN#1,SUN#2,SUN#4,SUN#5", "30 1 * * 7L,5L", "30 2 * 3,4,9-11 0L",
		"30 23 * * SAT", "0 23 * * *", "45 23 * * *", "0 4 * * *", "15 3 * * *", "59 2 * * *", "1 1-3/2 * * *", "0 0,12 * * *", "0 6-18 * * MON-FRI",
		"0-30 0 * * *", "30,31 0-3 * * *", "0 0 8-14 * *", "30 1 25-31 3,10 *", "30 2 25-28,L * *", "30 1,2 * MAR,APR,OCT,NOV SUN", "5/20 1,23 * * *",
		"0 0 1 1 *", "0 5 * * *", "30 3 * * *", "0 0-23 * * *", "30 0-23/3 * * *", "*/30 0,1,23 * * *", "*,30 1 * * *", "30,* 1 * * *", "59 0 1-7,15-21 * SUN",
	}
	oracleSeconds = []string{
		"*/10 59 * * * *", "30 30 1 * * *", "* 30 2 * * *", "0-59 0 0,2 * * *", "15,45 59 0,1,2,23 * * *", "59 59 23 * * 6,0", "0-10/5 */30 1-3 * * *", "7 0 */3 L * *",
	}
)

// pairs are all choices for the two sides.
func pairs() (ds []cron.DST) {
	for g := range cron.GapShift + 1 {
		for o := range cron.OverlapBoth + 1 {
			ds = append(ds, cron.DST{Gap: g, Overlap: o})
		}
	}
	return ds
}

func mustParse(t testing.TB, expr string) cron.Spec {
	t.Helper()
	s, faults := cron.Parse(expr, false)
	require.Empty(t, faults, expr)
	return s
}

func mustLoad(t testing.TB, zone string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	require.NoError(t, err)
	return loc
}

// tally counts what was compared.
type tally struct{ fires, fixedHour int }

// checkAround compares every fire within two days of an instant.
func checkAround(t *testing.T, loc *time.Location, at time.Time, step time.Duration, oracles []*oracle) tally {
	t.Helper()
	at = at.Truncate(time.Hour)
	return check(t, walk(loc, at.Add(-48*time.Hour), at.Add(49*time.Hour), step), oracles)
}

// check compares every fire of a walk with the oracle's, for every policy, and probes the clock law.
func check(t *testing.T, w *wall, oracles []*oracle) (n tally) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(uint64(w.from), uint64(len(oracles))))
	var got []int64
	for _, o := range oracles {
		h := o.hits(w)
		for _, d := range pairs() {
			want := o.fires(w, h, d)
			got = got[:0]
			for a := w.start.Add(-time.Nanosecond); ; {
				next := o.spec.Next(a, w.loc, d)
				if next.IsZero() || !next.Before(w.to) {
					break
				}
				if rnd.IntN(4) == 0 {
					inside := a.Add(time.Duration(rnd.Int64N(int64(next.Sub(a)))))
					if again := o.spec.Next(inside, w.loc, d); again != next {
						t.Fatalf("%s in %v under %v: Next(%v) is %v, but Next(%v) is %v", o.expr, w.loc, d, a, next, inside, again)
					}
				}
				got = append(got, next.Unix())
				a = next
			}
			if !slices.Equal(want, got) {
				t.Fatalf("%s in %v under %v from %v\nwant %v\n got %v", o.expr, w.loc, d, w.start, instants(want, w.loc), instants(got, w.loc))
			}
			n.fires += len(got)
			if o.fixedHour && d == (cron.DST{}) {
				n.fixedHour += len(got)
			}
		}
	}
	return n
}

func instants(secs []int64, loc *time.Location) string {
	var b strings.Builder
	for _, s := range secs[:min(len(secs), 100)] {
		fmt.Fprintf(&b, "%s ", time.Unix(s, 0).In(loc).Format("2006-01-02T15:04:05-07:00"))
	}
	return b.String()
}

// With -full it is every change from 2000 to 2040, else one of each zone, and in each what the calendar has of traps.
func TestEveryFireAroundAChangeOfOffsetIsTheOraclesUnderEveryPolicy(t *testing.T) {
	t.Parallel()
	require.GreaterOrEqual(t, len(oracleZones), 40)
	require.GreaterOrEqual(t, len(oracleExprs), 60)
	minutes, seconds := newOracles(t, oracleExprs...), newOracles(t, oracleSeconds...)
	var fires, fixedHour, changes atomic.Int64
	t.Run("zones", func(t *testing.T) {
		t.Parallel()
		for i, zone := range oracleZones {
			t.Run(zone, func(t *testing.T) {
				t.Parallel()
				loc := mustLoad(t, zone)
				ts := transitions(loc, year(2000), year(2041))
				traps := []time.Time{time.Date(2040, 12, 31, 0, 0, 0, 0, time.UTC), year(2101)}
				if late := transitions(loc, year(2052), year(2053)); len(late) > 0 {
					traps = append(traps, late...)
				}
				if !*full {
					if i%raceScale != 0 {
						return
					}
					rnd := rand.New(rand.NewPCG(20260405, uint64(i)))
					ts, traps = sample(rnd, ts), sample(rnd, traps)
				}
				changes.Add(int64(len(ts)))
				for _, at := range append(ts, traps...) {
					n := checkAround(t, loc, at, time.Minute, minutes)
					if *full {
						m := checkAround(t, loc, at, time.Second, seconds)
						n.fires, n.fixedHour = n.fires+m.fires, n.fixedHour+m.fixedHour
					}
					fires.Add(int64(n.fires))
					fixedHour.Add(int64(n.fixedHour))
				}
			})
		}
	})
	t.Cleanup(func() {
		t.Logf("%d fires at %d changes, all policies; %d of expressions with fixed hours under the default alone", fires.Load(), changes.Load(), fixedHour.Load())
		if *full && !t.Failed() && fixedHour.Load() < 1_000_000 {
			t.Errorf("%d fires of expressions with fixed hours are fewer than a million", fixedHour.Load())
		}
	})
}

// sample gives one of many.
func sample(rnd *rand.Rand, ts []time.Time) []time.Time {
	if len(ts) == 0 {
		return nil
	}
	i := rnd.IntN(len(ts))
	return ts[i : i+1]
}

func TestSecondsAroundAChangeOfOffsetAreTheOracles(t *testing.T) {
	t.Parallel()
	oracles := newOracles(t, oracleSeconds...)
	for zone, at := range map[string]time.Time{
		"America/New_York":    time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC),
		"Australia/Lord_Howe": time.Date(2026, 10, 3, 15, 30, 0, 0, time.UTC),
	} {
		checkAround(t, mustLoad(t, zone), at, time.Second, oracles)
	}
	// Every second, for a few hours.
	at := time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC)
	check(t, walk(mustLoad(t, "Europe/Lisbon"), at.Add(-time.Hour), at.Add(2*time.Hour), time.Second), newOracles(t, "* * * * * *", "*/7 * 1 * * *", "1-59/2 0-59 1,2 * * *"))
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
			checkAround(t, loc, at, time.Minute, oracles)
		})
	}
}

func TestSparseExpressionsAreTheOraclesPastTheYear2100(t *testing.T) {
	t.Parallel()
	oracles := newOracles(t,
		"0 0 29 2 *", "30 3 31 12 *", "0 12 1 1 *", "30 2 8-14 3 0", "*/30 1 1-7 11 *", "0 3 25-31 MAR,OCT SUN", "*/30 */6 29 2 *",
		"30 2 * 3 0#2", "30 1 L-5 2 *", "30 1 * 10 0L", "0 0 30W * *", "30 3 LW 2 *",
	)
	for _, zone := range []string{"America/New_York", "Australia/Lord_Howe"} {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			// Offsets of these years, and so all readings, are multiples of 30 minutes.
			n := check(t, walk(mustLoad(t, zone), year(2105-20/raceScale), year(2105), 30*time.Minute), oracles)
			require.Greater(t, n.fires, 1000/raceScale)
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
		checkAround(t, loc, ts[rnd.IntN(len(ts))], time.Minute, oracles)
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
	dom := func() string {
		switch rnd.IntN(8) {
		case 0:
			return fmt.Sprintf("L-%d,%s", 1+rnd.IntN(20), field(1, 31))
		case 1:
			return fmt.Sprintf("%dW,LW", 1+rnd.IntN(31))
		default:
			return field(1, 31)
		}
	}
	dow := func() string {
		switch rnd.IntN(8) {
		case 0:
			return fmt.Sprintf("%d#%d,%dL", rnd.IntN(8), 1+rnd.IntN(5), rnd.IntN(8))
		default:
			return field(0, 6)
		}
	}
	for {
		expr := strings.Join([]string{field(0, 59), field(0, 23), dom(), field(1, 12), dow()}, " ")
		if _, faults := cron.Parse(expr, false); faults == nil { // an impossible date is one
			return expr
		}
	}
}

func year(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
