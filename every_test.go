package eventflow_test

import (
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

var _ eventflow.TimeClock = (*eventflow.IntervalClock)(nil)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

// fires gives the clock's next n fires, in UTC.
func fires(c eventflow.TimeClock, after string, n int) []string {
	var out []string
	for t := at(after); len(out) < n; {
		if t = c.Next(t); t.IsZero() {
			break
		}
		out = append(out, t.UTC().Format(time.RFC3339Nano))
	}
	return out
}

func TestEveryIsAnchoredAtTheEpochNotAtTheStart(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"2026-03-01T10:30:00Z", "2026-03-01T12:00:00Z", "2026-03-01T13:30:00Z"},
		fires(eventflow.Every(90*time.Minute), "2026-03-01T09:00:00.000000001Z", 3))
	require.Equal(t, []string{"1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T01:00:00Z"},
		fires(eventflow.Every(time.Hour), "1969-12-31T22:00:00Z", 3), "before the epoch too")
	require.Equal(t, []string{"1970-01-01T00:00:00.1Z", "1970-01-01T00:00:00.2Z"},
		fires(eventflow.Every(100*time.Millisecond), "1970-01-01T00:00:00.05Z", 2))
	require.Equal(t, time.Thursday, eventflow.Every(7*24*time.Hour).Next(at("2026-03-01T00:00:00Z")).Weekday())
}

func TestEveryHourGoesOnHourByHourThroughAChangeOfSummerTime(t *testing.T) {
	t.Parallel()
	hourly := eventflow.Every(time.Hour)
	require.Equal(t, []string{"2018-03-11T05:00:00Z", "2018-03-11T06:00:00Z", "2018-03-11T07:00:00Z", "2018-03-11T08:00:00Z"},
		fires(hourly, "2018-03-10T23:00:00-05:00", 4))
	require.Equal(t, []string{"2018-11-04T04:00:00Z", "2018-11-04T05:00:00Z", "2018-11-04T06:00:00Z", "2018-11-04T07:00:00Z"},
		fires(hourly, "2018-11-03T23:00:00-04:00", 4))
}

func TestPhaseMovesEveryFireAndLeavesItsClockAlone(t *testing.T) {
	t.Parallel()
	hourly := eventflow.Every(time.Hour)
	late := hourly.Phase(5 * time.Minute)
	require.Equal(t, []string{"2026-03-01T09:05:00Z", "2026-03-01T10:05:00Z"}, fires(late, "2026-03-01T09:00:00Z", 2))
	require.Equal(t, []string{"2026-03-01T10:00:00Z"}, fires(hourly, "2026-03-01T09:00:00Z", 1))
	require.Equal(t, []string{"2026-03-01T10:05:00Z"}, fires(late, "2026-03-01T09:05:00Z", 1), "strictly after")

	monday := eventflow.Every(7 * 24 * time.Hour).Phase(4 * 24 * time.Hour)
	require.Equal(t, []string{"2026-03-02T00:00:00Z"}, fires(monday, "2026-03-01T00:00:00Z", 1))
}

func TestEqualIntervalsHaveOneName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "every(1h30m0s)", eventflow.Every(90*time.Minute).String())
	hourly := eventflow.Every(time.Hour)
	for phase, want := range map[time.Duration]string{
		0: "every(1h0m0s)", 5 * time.Minute: "every(1h0m0s+5m0s)", 65 * time.Minute: "every(1h0m0s+5m0s)",
		-55 * time.Minute: "every(1h0m0s+5m0s)", 2 * time.Hour: "every(1h0m0s)", -time.Hour: "every(1h0m0s)",
		math.MinInt64: hourly.Phase(math.MinInt64 % time.Hour).String(),
	} {
		require.Equal(t, want, hourly.Phase(phase).String(), phase)
	}
	require.Equal(t, "every(1h0m0s)", hourly.Phase(time.Minute).Phase(0).String(), "a second phase replaces the first")
	require.NoError(t, hourly.Phase(time.Minute).Err())
}

func TestAnIntervalThatIsNotAboveZeroIsRefusedByName(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{0, -1, math.MinInt64} {
		for _, c := range []*eventflow.IntervalClock{eventflow.Every(d), eventflow.Every(d).Phase(time.Second)} {
			var bad *eventflow.ConfigError
			require.ErrorAs(t, c.Err(), &bad)
			require.Equal(t, "eventflow.Every", bad.Field)
			require.Equal(t, d.String(), bad.Value)
			require.ErrorIs(t, c.Err(), eventflow.ErrFatal)
			require.True(t, c.Next(time.Now()).IsZero())
		}
	}
}

// The oracle here is arithmetic without bounds: floor((t-phase)/d)+1 multiples of d.
func TestEveryAgreesWithUnboundedArithmeticInAnyYear(t *testing.T) {
	t.Parallel()
	nanos := func(x time.Time) *big.Int {
		n := new(big.Int).Mul(big.NewInt(x.Unix()), big.NewInt(1e9))
		return n.Add(n, big.NewInt(int64(x.Nanosecond())))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	intervals := []time.Duration{1, 3, 999, time.Microsecond, time.Second - 1, time.Second, 7 * time.Second, time.Hour, 24*time.Hour + 1, 1 << 62, math.MaxInt64}
	for range 20_000 {
		d := intervals[rnd.IntN(len(intervals))]
		if rnd.IntN(2) == 0 {
			d = time.Duration(1 + rnd.Int64N(math.MaxInt64>>rnd.IntN(60)))
		}
		phase := time.Duration(rnd.Int64() >> rnd.IntN(60))
		// From the year 1 to 9999: most of it is outside what 64 bits of nanoseconds hold.
		after := time.Unix(-62135596800+rnd.Int64N(62135596800+253402300800), rnd.Int64N(1e9))
		if rnd.IntN(3) == 0 {
			after = time.Unix(rnd.Int64N(4e9), rnd.Int64N(1e9))
		}
		if d < time.Second && rnd.IntN(2) == 0 {
			after = after.Truncate(d)
		}

		k := new(big.Int).Sub(nanos(after), big.NewInt(int64(phase)))
		k.Div(k, big.NewInt(int64(d))).Add(k, big.NewInt(1)) // Div is Euclidean: the floor, for a positive d
		want := k.Mul(k, big.NewInt(int64(d))).Add(k, big.NewInt(int64(phase)))

		got := eventflow.Every(d).Phase(phase).Next(after)
		if got.IsZero() {
			limit := nanos(at("9999-12-31T23:59:59.999999999Z"))
			require.Positive(t, want.Cmp(limit), "every %v + %v after %v gives nothing", d, phase, after.UTC())
			continue
		}
		require.Zero(t, want.Cmp(nanos(got)), "every %v + %v after %v gives %v", d, phase, after.UTC(), got)
	}
}

func TestNothingFiresAfterTheYear9999OrBeforeTheYear1(t *testing.T) {
	t.Parallel()
	noon, err := time.Parse("15:04", "12:00")
	require.NoError(t, err)
	for _, c := range []eventflow.TimeClock{
		eventflow.Every(time.Hour), eventflow.Every(time.Hour).Phase(time.Minute), eventflow.Every(math.MaxInt64),
		eventflow.Cron("0 * * * *", time.UTC), eventflow.Cron("0 0 * * *", lisbon), eventflow.Cron("0 * * * *", newYork), // five hours are left of its year
	} {
		last := at("9999-12-31T23:30:00Z")
		require.True(t, c.Next(last).IsZero(), "%v", c)
		for _, far := range []time.Time{last.AddDate(1, 0, 0), time.Unix(1<<40, 0), time.Unix(1<<55, 0), time.Unix(math.MaxInt64-62135596800, 0)} {
			require.True(t, c.Next(far).IsZero(), "%v after %v", c, far)
		}

		first := c.Next(time.Time{})
		require.True(t, first.After(time.Time{}), "%v: %v", c, first)
		require.False(t, first.IsZero())
		require.Equal(t, first, c.Next(time.Time{}.AddDate(-1000, 0, 0)), "%v", c)
		require.False(t, c.Next(noon).IsZero(), "%v in the year 0", c)
	}
}

// impure adds to its argument: it stands for what the law forbids, so that checkLaw can fail.
type impure struct{}

func (impure) Next(after time.Time) time.Time { return after.Add(time.Hour) }

// checkLaw reports a breach of the clock law: Next(t) is Next(after) for every t in [after, Next(after)).
func checkLaw(c eventflow.TimeClock, after time.Time, steps int) error {
	for range steps {
		next := c.Next(after)
		if next.IsZero() {
			return nil
		}
		if !next.After(after) {
			return errors.New("a fire that is not after " + after.String())
		}
		gap := next.Sub(after)
		for _, d := range []time.Duration{0, 1, gap / 7, gap / 2, gap - 1} {
			if t := after.Add(d); d < gap && c.Next(t) != next {
				return errors.New("Next(" + t.String() + ") is " + c.Next(t).String() + ", not " + next.String())
			}
		}
		after = next
	}
	return nil
}

func TestEveryClockKeepsTheLaw(t *testing.T) {
	t.Parallel()
	require.Error(t, checkLaw(impure{}, at("2026-03-28T00:00:00Z"), 1), "what breaks it is seen")

	for _, c := range []eventflow.TimeClock{
		eventflow.Every(time.Hour), eventflow.Every(7 * time.Second).Phase(3), eventflow.Every(1),
		eventflow.Dates(at("2026-03-29T01:00:00Z"), at("2026-03-29T01:00:00.5Z"), at("2027-01-01T00:00:00Z")),
		eventflow.Cron("*/7 * * * *", lisbon), eventflow.Cron("30 1 * * *", lisbon), eventflow.Cron("0 0 29 2 *", lisbon),
	} {
		require.NoError(t, checkLaw(c, at("2026-03-28T22:11:33.123456789Z"), 300), "%v", c)
		require.NoError(t, checkLaw(c, at("2026-10-24T22:11:33.5+02:00"), 300), "%v", c)
		now := time.Now() // has a monotonic reading
		require.NoError(t, checkLaw(c, now, 2), "%v", c)
		require.Equal(t, c.Next(now.Round(0)), c.Next(now), "%v: the very same value, not just the same instant", c)
	}
}
