package eventflow_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

var _ eventflow.TimeClock = (*eventflow.CronClock)(nil)

var (
	lisbon  = load("Europe/Lisbon")
	newYork = load("America/New_York")
)

func load(zone string) *time.Location {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		panic(err)
	}
	return loc
}

// What is expected here was worked out from the zones' published rules, not with this package.
func TestCronAtChangesOfOffset(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		promise, zone, expr, after string
		want                       string // UTC
	}{
		{"a wildcard job goes on hour by hour when an hour is skipped", "America/New_York", "0 * * * *", "2018-03-10T23:00:00-05:00",
			"2018-03-11T05:00:00Z 2018-03-11T06:00:00Z 2018-03-11T07:00:00Z 2018-03-11T08:00:00Z"},
		{"a wildcard job goes on hour by hour when an hour comes twice", "America/New_York", "0 * * * *", "2018-11-03T23:00:00-04:00",
			"2018-11-04T04:00:00Z 2018-11-04T05:00:00Z 2018-11-04T06:00:00Z 2018-11-04T07:00:00Z 2018-11-04T08:00:00Z"},
		{"a daily job keeps its time of day in spring", "America/New_York", "0 9 * * *", "2018-03-08T00:00:00-05:00",
			"2018-03-08T14:00:00Z 2018-03-09T14:00:00Z 2018-03-10T14:00:00Z 2018-03-11T13:00:00Z 2018-03-12T13:00:00Z"},
		{"a daily job keeps its time of day in autumn", "America/New_York", "0 9 * * *", "2018-11-02T00:00:00-04:00",
			"2018-11-02T13:00:00Z 2018-11-03T13:00:00Z 2018-11-04T14:00:00Z 2018-11-05T14:00:00Z"},
		{"a reading that is skipped runs at the first instant after the gap", "America/New_York", "30 2 * * *", "2018-03-10T12:00:00Z",
			"2018-03-11T07:00:00Z 2018-03-12T06:30:00Z"},
		{"several that are skipped, and the one at its end, run once", "America/New_York", "0,30 2,3 * * *", "2018-03-10T12:00:00Z",
			"2018-03-11T07:00:00Z 2018-03-11T07:30:00Z 2018-03-12T06:00:00Z"},
		{"a wildcard job does not run at readings that are skipped", "America/New_York", "*/30 2 * * *", "2018-03-10T12:00:00Z",
			"2018-03-12T06:00:00Z"},
		{"a reading that comes twice runs the first time", "America/New_York", "30 1 * * *", "2018-11-03T12:00:00Z",
			"2018-11-04T05:30:00Z 2018-11-05T06:30:00Z"},
		{"and not again when asked between the two", "America/New_York", "30 1 * * *", "2018-11-04T06:00:00Z",
			"2018-11-05T06:30:00Z"},
		{"a wildcard job runs at both", "America/New_York", "*/30 1 * * *", "2018-11-03T12:00:00Z",
			"2018-11-04T05:00:00Z 2018-11-04T05:30:00Z 2018-11-04T06:00:00Z 2018-11-04T06:30:00Z 2018-11-05T06:00:00Z"},
		{"half an hour comes twice at Lord Howe", "Australia/Lord_Howe", "*/15 * * * *", "2026-04-04T14:29:00Z",
			"2026-04-04T14:30:00Z 2026-04-04T14:45:00Z 2026-04-04T15:00:00Z 2026-04-04T15:15:00Z 2026-04-04T15:30:00Z"},
		{"a fixed time in that half hour runs once", "Australia/Lord_Howe", "45 1 * * *", "2026-04-04T00:00:00Z",
			"2026-04-04T14:45:00Z 2026-04-05T15:15:00Z"},
		{"02:00 after it is a real run", "Australia/Lord_Howe", "0 2 * * *", "2026-04-04T00:00:00Z",
			"2026-04-04T15:30:00Z 2026-04-05T15:30:00Z"},
		{"half an hour is skipped at Lord Howe", "Australia/Lord_Howe", "10 2 * * *", "2026-10-03T00:00:00Z",
			"2026-10-03T15:30:00Z 2026-10-04T15:10:00Z"},
		{"03:10 after it is a real run", "Australia/Lord_Howe", "10 3 * * *", "2026-10-03T00:00:00Z",
			"2026-10-03T16:10:00Z 2026-10-04T16:10:00Z"},
		{"an hourly wildcard job skips 02:00 there", "Australia/Lord_Howe", "0 * * * *", "2026-10-03T14:00:00Z",
			"2026-10-03T14:30:00Z 2026-10-03T16:00:00Z"},
		{"Apia's skipped day runs its job once, late", "Pacific/Apia", "0 3 * * *", "2011-12-29T00:00:00Z",
			"2011-12-29T13:00:00Z 2011-12-30T10:00:00Z 2011-12-30T13:00:00Z 2011-12-31T13:00:00Z"},
		{"a job of that very date is not lost", "Pacific/Apia", "0 3 30 12 *", "2011-01-01T00:00:00Z",
			"2011-12-30T10:00:00Z 2012-12-29T13:00:00Z"},
		{"hours go on across that day", "Pacific/Apia", "0 * * * *", "2011-12-30T08:30:00Z",
			"2011-12-30T09:00:00Z 2011-12-30T10:00:00Z 2011-12-30T11:00:00Z"},
		{"Santiago's missing midnight", "America/Santiago", "0 0 * * 0", "2022-08-21T12:00:00Z",
			"2022-08-28T04:00:00Z 2022-09-04T04:00:00Z 2022-09-11T04:00:00Z 2022-09-18T03:00:00Z"},
		{"Cairo's missing midnight", "Africa/Cairo", "30 0 * * *", "2023-04-27T00:00:00Z",
			"2023-04-27T22:00:00Z 2023-04-28T21:30:00Z"},
		{"Cairo's evening comes twice", "Africa/Cairo", "30 23 * * *", "2023-10-26T00:00:00Z",
			"2023-10-26T20:30:00Z 2023-10-27T21:30:00Z"},
		{"Cairo's midnight after it comes once", "Africa/Cairo", "0 0 27 10 *", "2023-10-01T00:00:00Z",
			"2023-10-26T22:00:00Z 2024-10-26T21:00:00Z"},
		{"Havana's missing midnight", "America/Havana", "0 0 * * *", "2026-03-07T12:00:00Z",
			"2026-03-08T05:00:00Z 2026-03-09T04:00:00Z"},
		{"Havana's midnight comes twice", "America/Havana", "0 0 1 11 *", "2026-01-01T00:00:00Z",
			"2026-11-01T04:00:00Z 2027-11-01T04:00:00Z"},
		{"Beirut's missing midnight", "Asia/Beirut", "0 0 29 3 *", "2026-01-01T00:00:00Z",
			"2026-03-28T22:00:00Z 2027-03-28T21:00:00Z"},
		{"Beirut's evening comes twice", "Asia/Beirut", "*/30 23 * * *", "2026-10-24T00:00:00Z",
			"2026-10-24T20:00:00Z 2026-10-24T20:30:00Z 2026-10-24T21:00:00Z 2026-10-24T21:30:00Z 2026-10-25T21:00:00Z"},
		{"Nuuk's Saturday ends an hour early: its last run is on Sunday", "America/Nuuk", "30 23 * * SAT", "2024-03-25T00:00:00Z",
			"2024-03-31T01:00:00Z 2024-04-07T00:30:00Z"},
		{"29 February skips 2100", "Europe/Lisbon", "0 12 29 2 *", "2092-03-01T00:00:00Z",
			"2096-02-29T12:00:00Z 2104-02-29T12:00:00Z"},
		{"the last day of 2040 ends", "America/New_York", "0 */12 * * *", "2040-12-30T20:00:00Z",
			"2040-12-31T05:00:00Z 2040-12-31T17:00:00Z 2041-01-01T05:00:00Z"},
		{"the year ends of leap years to come", "Europe/Lisbon", "59 23 31 12 *", "2039-06-01T00:00:00Z",
			"2039-12-31T23:59:00Z 2040-12-31T23:59:00Z 2041-12-31T23:59:00Z"},
		{"summer time is computed in 2101", "Europe/Lisbon", "30 1 27,28 3 *", "2101-01-01T00:00:00Z",
			"2101-03-27T01:00:00Z 2101-03-28T00:30:00Z"},
		{"seconds of an old offset are no trap", "Africa/Monrovia", "15 0 * * *", "1972-01-06T00:00:00Z",
			"1972-01-06T00:59:30Z 1972-01-07T00:44:30Z 1972-01-08T00:15:00Z"},
	} {
		clock := eventflow.Cron(c.expr, load(c.zone))
		require.NoError(t, clock.Err(), c.promise)
		want := strings.Fields(c.want)
		require.Equal(t, want, fires(clock, c.after, len(want)), "%s: %v", c.promise, clock)
	}
}

func TestCronDaysOfMonthAndOfWeek(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ promise, expr, want string }{
		{"either, when both are set", "0 0 8 * MON", "2026-03-02T00:00:00Z 2026-03-08T00:00:00Z 2026-03-09T00:00:00Z 2026-03-16T00:00:00Z"},
		{"both, when one begins with a star", "0 0 */2 * MON", "2026-03-09T00:00:00Z 2026-03-23T00:00:00Z 2026-04-13T00:00:00Z"},
		{"a month without the day is passed over", "0 0 31 * *", "2026-03-31T00:00:00Z 2026-05-31T00:00:00Z 2026-07-31T00:00:00Z"},
		{"7 is Sunday", "0 0 * * 7", "2026-03-08T00:00:00Z 2026-03-15T00:00:00Z"},
		{"ranges wrap", "0 22-2/2 * * *", "2026-03-01T02:00:00Z 2026-03-01T22:00:00Z 2026-03-02T00:00:00Z"},
		{"weekdays wrap", "0 0 * * SAT-MON", "2026-03-02T00:00:00Z 2026-03-07T00:00:00Z 2026-03-08T00:00:00Z 2026-03-09T00:00:00Z"},
	} {
		want := strings.Fields(c.want)
		require.Equal(t, want, fires(eventflow.Cron(c.expr, time.UTC), "2026-03-01T00:00:00Z", len(want)), c.promise)
	}
}

func TestCronFiresAreInTheClocksZone(t *testing.T) {
	t.Parallel()
	next := eventflow.Cron("0 3 * * *", lisbon).Next(at("2026-07-01T00:00:00-07:00"))
	require.Equal(t, lisbon, next.Location())
	require.Equal(t, "2026-07-02T03:00:00+01:00", next.Format(time.RFC3339))
}

func TestEqualCronClocksHaveOneName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "cron(0 3 * * * Europe/Lisbon)", eventflow.Cron("0 03 * * *", lisbon).String())
	require.Equal(t, "cron(0 3 * * * Europe/Lisbon)", eventflow.Cron("CRON_TZ=Europe/Lisbon 0 3 * * *", nil).String())
	require.Equal(t, "cron(0 3 * * * Europe/Lisbon)", eventflow.Cron("TZ=Europe/Lisbon 0 3 * * *", lisbon).String())
	require.Equal(t, "cron(0 0 * * * UTC)", eventflow.Cron("@daily", time.UTC).String())
	require.Equal(t, "cron(0 0 * * 1-5 UTC)", eventflow.Cron("TZ=UTC 0 0 * * mon-FRI", nil).String())

	for want, loc := range map[string]*time.Location{
		"cron(0 0 * * * CET+01:00)":    time.FixedZone("CET", 3600),
		"cron(0 0 * * * CET+02:00)":    time.FixedZone("CET", 7200),
		"cron(0 0 * * * UTC-00:30:15)": time.FixedZone("UTC", -1815),
		"cron(0 0 * * * +00:00)":       time.FixedZone("", 0),
		"cron(0 0 * * * Etc/GMT+5)":    load("Etc/GMT+5"),
	} {
		require.Equal(t, want, eventflow.Cron("@daily", loc).String())
	}

	long := "1,3,4,7,8,11,13,17,18,22,23,29,31,37,38,41,43,47,53,59 1,4,5,9,16,18,20,22 1,2,4,7,11,13,16,19,22,29 1,4,6,9,12 1,3,6"
	a, b := eventflow.Cron(long, lisbon), eventflow.Cron(long, newYork)
	require.NoError(t, a.Err())
	require.Regexp(t, `^cron\(1,3,4,7,.*… [0-9a-f]{32}\)$`, a.String())
	require.LessOrEqual(t, len(a.String()), 128)
	require.LessOrEqual(t, len(b.String()), 128)
	require.NotEqual(t, a.String(), b.String(), "what is cut off is in the hash")
	require.Equal(t, a.String(), eventflow.Cron(long, lisbon).String())
}

func TestCronSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	named := func(name string) *time.Location { return time.FixedZone(name, 3600) }
	for _, c := range []struct {
		what                  string
		clock                 *eventflow.CronClock
		field, value, allowed string
	}{
		{"a value out of range", eventflow.Cron("0 25 * * *", time.UTC), "eventflow.Cron hour", "25", `0 to 23`},
		{"and the whole expression", eventflow.Cron("0 25 * * *", time.UTC), "eventflow.Cron hour", "25", `in "0 25 * * *"`},
		{"a step beyond its range", eventflow.Cron("*/90 * * * *", time.UTC), "eventflow.Cron minute", "*/90", "a step of 1 to 60"},
		{"a date that no year has", eventflow.Cron("0 0 30 2 *", time.UTC), "eventflow.Cron day of month", "30", "a day that one of the months 2 has"},
		{"too few fields", eventflow.Cron("0 25", time.UTC), "eventflow.Cron", "0 25", "five fields"},
		{"no expression", eventflow.Cron("", time.UTC), "eventflow.Cron", "", "five fields"},
		{"an interval", eventflow.Cron("@every 1h", time.UTC), "eventflow.Cron", "@every 1h", "eventflow.Every"},
		{"no location", eventflow.Cron("0 3 * * *", nil), "eventflow.Cron location", "nil", "time.UTC if you mean UTC"},
		{"the machine's own zone", eventflow.Cron("0 3 * * *", time.Local), "eventflow.Cron location", "time.Local", `time.LoadLocation("Europe/Lisbon")`},
		{"the machine's own zone by its name", eventflow.Cron("0 3 * * *", named("Local")), "eventflow.Cron location", "time.Local", "time.LoadLocation"},
		{"the machine's own zone as a prefix", eventflow.Cron("TZ=Local 0 3 * * *", nil), "eventflow.Cron location", "time.Local", "time.LoadLocation"},
		{"the machine's own zone beside a prefix", eventflow.Cron("TZ=UTC 0 3 * * *", time.Local), "eventflow.Cron location", "time.Local", "time.LoadLocation"},
		{"a prefix that contradicts", eventflow.Cron("TZ=Asia/Tokyo 0 3 * * *", lisbon), "eventflow.Cron location", "Europe/Lisbon", `"Asia/Tokyo"`},
		{"an empty prefix", eventflow.Cron("CRON_TZ= 0 3 * * *", nil), "eventflow.Cron TZ=", "", "UTC if you mean UTC"},
		{"an unknown zone", eventflow.Cron("TZ=Europe/Atlantis 0 3 * * *", nil), "eventflow.Cron TZ=", "Europe/Atlantis", "time/tzdata"},
		{"a zone outside the database", eventflow.Cron("TZ=../../etc/passwd 0 3 * * *", nil), "eventflow.Cron TZ=", "../../etc/passwd", "IANA"},
		{"a name that is no text", eventflow.Cron("0 3 * * *", named("a\x00b")), "eventflow.Cron location", "a\x00b", "without control characters"},
		{"an endless expression", eventflow.Cron("0 0 * * ü"+strings.Repeat("ü", 1000), time.UTC), "eventflow.Cron", "0 0 * * üüüüüüüüüüüü…", "at most 1024 bytes"},
		{"a clock that nobody made", new(eventflow.CronClock), "eventflow.CronClock", "", "made by eventflow.Cron"},
	} {
		var bad *eventflow.ConfigError
		require.ErrorAs(t, c.clock.Err(), &bad, c.what)
		require.Equal(t, c.field, bad.Field, c.what)
		require.Equal(t, c.value, bad.Value, c.what)
		require.Contains(t, bad.Allowed, c.allowed, c.what)
		require.ErrorIs(t, c.clock.Err(), eventflow.ErrFatal, c.what)
		require.True(t, c.clock.Next(at("2026-01-01T00:00:00Z")).IsZero(), "%s: nothing fires", c.what)
		require.Contains(t, c.clock.String(), "cron(", c.what)
		require.LessOrEqual(t, len(c.clock.String()), 128, c.what)
		require.True(t, utf8.ValidString(c.clock.String()), c.what)
	}
}

// The environment variable TZ gives time.Local the name of a zone, or "UTC"; it is the machine's own all the same. It is
// read once in a process, so other processes say it.
func TestTheMachinesOwnZoneIsRefusedWhateverItsName(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"Asia/Tokyo", "UTC", ""} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCronSaysWhatIsWrong$", "-test.v")
		cmd.Env = append(os.Environ(), "TZ="+zone)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "TZ=%s: %s", zone, out)
		require.Contains(t, string(out), "--- PASS: TestCronSaysWhatIsWrong", "it ran")
	}
}

func TestCronSaysEverythingThatIsWrongAtOnce(t *testing.T) {
	t.Parallel()
	err := eventflow.Cron("60 25 * * *", nil).Err()
	for _, want := range []string{"eventflow.Cron minute", "eventflow.Cron hour", "eventflow.Cron location"} {
		require.ErrorContains(t, err, want)
	}
}

func TestAClockIsOneForManyGoroutines(t *testing.T) {
	t.Parallel()
	clocks := []eventflow.TimeClock{
		eventflow.Cron("*/5 * * * *", newYork), eventflow.Cron("30 2 * * *", newYork), eventflow.Cron("0 0 29 2 *", lisbon),
		eventflow.Cron("*/10 30 1,2 L,1-15 * 5#2", newYork, eventflow.RFC5545), eventflow.Cron("30 1,2 * * *", newYork, eventflow.GapSkip, eventflow.OverlapLast),
		eventflow.EveryDays(1, newYork).At(2, 30), eventflow.EveryMonths(5, lisbon, eventflow.Wall).From(2024, time.August, 31).At(1, 30),
		eventflow.Every(7 * time.Minute), eventflow.Dates(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")),
	}
	rnd := rand.New(rand.NewPCG(20260405, 4))
	const steps = 200
	var instants [steps]time.Time
	for i := range instants {
		instants[i] = at("2025-10-01T00:00:00Z").Add(time.Duration(rnd.Int64N(int64(500 * 24 * time.Hour))))
		if i%4 == 0 { // where the clock of New York goes back
			instants[i] = at("2026-11-01T04:00:00Z").Add(time.Duration(rnd.Int64N(int64(4 * time.Hour))))
		}
	}
	instant := func(i int) time.Time { return instants[i] }
	var want [steps][]time.Time
	for i := range want {
		for _, c := range clocks {
			want[i] = append(want[i], c.Next(instant(i)))
		}
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for k := range steps {
				i := (k*(2*g+1) + g) % steps // each in an order of its own: odd strides and an even count
				for j, c := range clocks {
					if got := c.Next(instant(i)); got != want[i][j] {
						t.Errorf("%v: Next(%v) is %v, not %v", c, instant(i), got, want[i][j])
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// It counts allocations, so it cannot run beside other tests.
func TestNextAllocatesNothing(t *testing.T) { //nolint:paralleltest // testing.AllocsPerRun forbids it
	for _, c := range []eventflow.TimeClock{
		eventflow.Cron("*/5 * * * *", newYork), eventflow.Cron("30 2 8-14 3 0", newYork), eventflow.Cron("0 0 29 2 *", lisbon),
		eventflow.Cron("* 30 1 LW * 5#5,7L", newYork, eventflow.RFC5545), eventflow.EveryMonths(7, newYork, eventflow.OverlapLast).At(1, 30).SkipShortMonths(),
		eventflow.Every(time.Hour).Phase(time.Minute), eventflow.Dates(at("2026-01-01T00:00:00Z")),
	} {
		after := at("2025-11-02T05:30:00Z")
		require.Zero(t, testing.AllocsPerRun(100, func() { after = c.Next(after).Add(-time.Second) }), "%v", c)
	}
}
