package eventflow_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

// longCron has a canonical text of more than 128 bytes.
const longCron = "1,3,4,7,8,11,13,17,18,22,23,29,31,37,38,41,43,47,53,59 1,4,5,9,16,18,20,22 1,2,4,7,11,13,16,19,22,29 1,4,6,9,12 1,3,6"

func TestACronClockReadsItsOwnText(t *testing.T) {
	t.Parallel()
	for _, c := range []*eventflow.CronClock{
		eventflow.Cron("@daily", time.UTC),
		eventflow.Cron("0 3 * * MON-FRI", lisbon),
		eventflow.Cron("*/10 0-29/2 3 L-2,15W,LW * FRI#2,5L", lisbon),
		eventflow.Cron("0 0 1-7 * TUE", newYork, eventflow.BothDays, eventflow.Wall),
		eventflow.Cron("0 0 * * TUE", newYork, eventflow.BothDays),
		eventflow.Cron("* * * * *", newYork, eventflow.GapShift),
		eventflow.Cron("30 2 * * *", newYork, eventflow.RFC5545, eventflow.OverlapLast),
		eventflow.Cron("30 2 * * *", newYork, eventflow.RFC5545, eventflow.GapVixie),
		eventflow.Cron("0 0 * * *", time.FixedZone("CET", 3600)),
		eventflow.Cron("0 0 * * *", time.FixedZone("CET", 0)),
		eventflow.Cron("0 0 * * *", time.FixedZone("", -1815)),
		eventflow.Cron("0 0 * * *", time.FixedZone("the office, by gap=skip", 3600)),
		eventflow.Cron("0 0 * * *", time.FixedZone(`5 "o'clock"`, -3600)),
		eventflow.Cron("0 0 * * *", time.FixedZone("5", 18000)),
		eventflow.Cron("0 0 * * *", time.FixedZone("Etc/GMT+5", 18000)),
		eventflow.Cron("0 0 * * *", load("Etc/GMT+5")),
		eventflow.Cron("0 0 * * *", load("GMT-0")),
		eventflow.Cron(longCron, lisbon, eventflow.Wall),
	} {
		require.NoError(t, c.Err())
		text, err := c.MarshalText()
		require.NoError(t, err)
		var again eventflow.CronClock
		require.NoError(t, again.UnmarshalText(text), string(text))
		require.Equal(t, c.String(), again.String())
		require.Equal(t, c.Explain(), again.Explain())
		for _, after := range []string{"2025-12-31T00:00:00Z", "2026-03-08T06:59:00Z", "2026-11-01T05:15:00Z", "2026-11-01T06:15:00Z"} {
			require.True(t, c.Next(at(after)).Equal(again.Next(at(after))), "%s after %s", text, after)
		}
	}
}

func TestTheTextOfACronClockNamesZoneAndPolicy(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]*eventflow.CronClock{
		"cron(0 3 * * * Europe/Lisbon)":                          eventflow.Cron("0 3 * * *", lisbon, eventflow.Vixie, eventflow.EitherDay),
		"cron(0 3 * * * Europe/Lisbon gap=skip overlap=both)":    eventflow.Cron("0 3 * * *", lisbon, eventflow.Wall),
		"cron(0 3 * * * Europe/Lisbon gap=shift overlap=first)":  eventflow.Cron("0 3 * * *", lisbon, eventflow.RFC5545),
		"cron(0 3 * * * Europe/Lisbon gap=runafter)":             eventflow.Cron("0 3 * * *", lisbon, eventflow.GapRunAfter),
		"cron(0 0 1-7 * 2 Europe/Lisbon days=both overlap=last)": eventflow.Cron("0 0 1-7 * TUE", lisbon, eventflow.OverlapLast, eventflow.BothDays),
		"cron(0 0 * * 2 Europe/Lisbon)":                          eventflow.Cron("0 0 * * TUE", lisbon, eventflow.BothDays),
		"cron(30 0 3 * * * UTC)":                                 eventflow.Cron("30 0 3 * * *", time.UTC),
		"cron(0 3 * * * UTC)":                                    eventflow.Cron("0 0 3 * * *", time.UTC),
		`cron(0 3 * * * "gap=skip"+01:00)`:                       eventflow.Cron("0 3 * * *", time.FixedZone("gap=skip", 3600)),
		"cron(0 3 * * * CET+00:00)":                              eventflow.Cron("0 3 * * *", time.FixedZone("CET", 0)),
	} {
		require.Equal(t, want, c.String())
	}
	long := eventflow.Cron(longCron, lisbon)
	text, err := long.MarshalText()
	require.NoError(t, err)
	require.Equal(t, "cron("+longCron+" Europe/Lisbon)", string(text), "the name is shortened, the text is not")
	require.Len(t, long.String(), 128)
}

func TestACronClocksTextSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"cron(0 25 * * * UTC)":                         `eventflow.Cron hour: "25"`,
		"cron(0 3 * * *)":                              "eventflow.Cron location",
		"cron(0 3 * * * Europe/Atlantis)":              "time/tzdata",
		"cron(0 3 * * * Local)":                        "time.LoadLocation",
		"cron(0 3 * * UTC)":                            "this has 4 fields",
		"cron()":                                       "eventflow.Cron text",
		"cron(gap=skip)":                               "eventflow.Cron text",
		"cron(0 3 * * * UTC gap=late)":                 "one of vixie, skip, runafter, shift",
		"cron(0 3 * * * UTC days=none)":                "one of either, both",
		"cron(0 3 * * * UTC wrong=1)":                  `eventflow.Cron option: "wrong"`,
		"cron(0 3 * * * UTC+25:00)":                    "eventflow.Cron location",
		"cron(0 3 * * * \"a\\x00\"+01:00)":             "without control characters",
		"cron(0 3 * * * UTC":                           "a text such as cron(",
		"0 3 * * *":                                    "a text such as cron(",
		"cron(" + strings.Repeat("0 ", 2000) + " UTC)": "at most 1024 bytes",
	} {
		var c eventflow.CronClock
		require.ErrorContains(t, c.UnmarshalText([]byte(text)), want, text)
		require.ErrorIs(t, c.UnmarshalText([]byte(text)), eventflow.ErrFatal, text)
		require.Error(t, c.Err(), "it is as it was")
	}
	_, err := eventflow.Cron("0 25 * * *", time.UTC).MarshalText()
	require.ErrorContains(t, err, "eventflow.Cron hour")
}

func TestAFaultOfAnExpressionSaysWhereItStands(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		"0 25 * * *":                     `at character 3 in "0 25 * * *"`,
		"TZ=UTC  0 3 L-2,32 * *":         `at character 17 in "TZ=UTC  0 3 L-2,32 * *"`,
		"CRON_TZ=Asia/Tokyo 0 0 * * üXL": `at character 28 in`,
		"0 0 * ü 8":                      `at character 9 in`,
	} {
		require.ErrorContains(t, eventflow.Cron(expr, nil).Err(), want)
	}
}

func FuzzCronText(f *testing.F) {
	for _, text := range []string{
		"cron(0 3 * * * Europe/Lisbon)", "cron(0 0 1-7 * 2 Europe/Lisbon days=both gap=skip overlap=last)", "cron(@daily UTC)",
		`cron(*/10 0 0 L-2,LW 2 5#5 "a b"+05:30 gap=shift)`, "cron(59 59 23 31W 12 7L Pacific/Apia)", "cron(TZ=UTC 0 0 29 2 1 UTC days=both)",
	} {
		f.Add(text, int64(1_793_509_200), int64(3600))
	}
	f.Fuzz(func(t *testing.T, text string, sec, within int64) {
		var c, again eventflow.CronClock
		fuzzClockText(t, &c, &again, text, sec, within)
	})
}

func FuzzCalendarText(f *testing.F) {
	for _, text := range []string{
		"days(3 from 1970-01-01 at 09:30 Europe/Lisbon)", "weeks(2 UTC)", "months(7 from 2024-01-31 at 02:30 America/New_York gap=skip short=skip)",
		"years(100 from 2000-02-29 at 00:00 Etc/GMT-14 short=skip)", "months(1000000 from 9999-12-31 at 23:59 Africa/Cairo overlap=last)",
	} {
		f.Add(text, int64(1_793_509_200), int64(3600))
	}
	f.Fuzz(func(t *testing.T, text string, sec, within int64) {
		var c, again eventflow.CalendarClock
		fuzzClockText(t, &c, &again, text, sec, within)
	})
}

type textClock interface {
	eventflow.TimeClock
	UnmarshalText(text []byte) error
	MarshalText() ([]byte, error)
	Explain() string
	String() string
	Err() error
}

// fuzzClockText reads a text, which may be wrong; a clock that comes of it has a text that reads back, keeps the law and
// can be explained. That Next's work is bounded is the engine's own fuzz target's matter.
func fuzzClockText(t *testing.T, c, again textClock, text string, sec, within int64) {
	t.Helper()
	if err := c.UnmarshalText([]byte(text)); err != nil {
		require.ErrorIs(t, err, eventflow.ErrFatal)
		require.Error(t, c.Err())
		return
	}
	require.NoError(t, c.Err())
	canonical, err := c.MarshalText()
	require.NoError(t, err)
	require.NoError(t, again.UnmarshalText(canonical), "%q is written %q", text, canonical)
	twice, err := again.MarshalText()
	require.NoError(t, err)
	require.Equal(t, string(canonical), string(twice))
	require.Equal(t, c.Explain(), again.Explain())
	require.LessOrEqual(t, len(c.String()), 128)

	after := time.Unix(sec%(1<<38), 0)
	next := c.Next(after)
	require.True(t, next.Equal(again.Next(after)), "%q after %v", canonical, after)
	if next.IsZero() {
		return
	}
	require.True(t, next.After(after), "%q: Next(%v) is %v", canonical, after, next)
	inside := next.Add(-1)
	if between := next.Sub(after); within > 0 && between > 0 {
		inside = after.Add(time.Duration(within) % between)
	}
	require.Equal(t, next, c.Next(inside), "%q: Next(%v), and of %v", canonical, after, inside)
}
