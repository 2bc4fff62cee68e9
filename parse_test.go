package eventflow_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

// canonical are texts that stand for themselves.
var canonical = []string{
	"every(1h30m0s)", "every(1h30m0s+5m0s)", "every(1ns)",
	"dates(2026-03-01T08:00:00Z)", "dates(2026-03-01T08:00:00Z,2026-06-01T08:00:00.25Z)",
	"cron(0 3 * * * Europe/Lisbon)", "cron(30 2 * * * Europe/Lisbon gap=skip overlap=both)",
	"days(3 from 1970-01-01 at 09:30 Europe/Lisbon)",
	"rrule(DTSTART:20260105T180000 RRULE:FREQ=MONTHLY;BYDAY=-1FR Europe/Lisbon)",
	"rrule(DTSTART:20260105 RRULE:FREQ=DAILY;INTERVAL=2;COUNT=10 UTC)",
	"rrule(DTSTART:20260105T180000 RRULE:FREQ=DAILY;UNTIL=20270101T000000Z RRULE:FREQ=YEARLY;BYSECOND=1,2;BYMINUTE=3;BYHOUR=4;BYDAY=MO;" +
		"BYWEEKNO=5;BYMONTH=1,2;BYSETPOS=-1,1;WKST=SU RDATE:20260601T180000 RDATE:20260602T180000Z EXDATE:20260731T180000 EXDATE:20260801T180000Z Europe/Lisbon gap=skip overlap=last)",
	"between(2026-01-01T00:00:00Z,,every(1h0m0s))", "between(,2026-12-31T23:59:59.5Z,cron(0 3 * * * Europe/Lisbon))",
	"between(2026-01-01T00:00:00Z,2027-01-01T00:00:00Z,dates(2026-03-01T08:00:00Z,2026-06-01T08:00:00Z))",
}

var canonicalFilters = []string{
	"instant(2026-03-01T08:00:00Z)", "instants(2026-03-01T08:00:00Z,2026-03-02T08:00:00.5Z)", "date(02-29 Europe/Lisbon)", "dates(12-24 01-06 Europe/Lisbon)", "time(09:00:00 UTC)",
	"times(22:00:00 06:00:30 America/New_York)", "weekdays(Europe/Lisbon)", "weekends(CET+01:00)", "weekday(SUN,MON,FRI Europe/Lisbon)", "monthstart(UTC)", "monthend(UTC)",
}

func TestACanonicalTextIsReadBackAsAnEqualClock(t *testing.T) {
	t.Parallel()
	for _, text := range canonical {
		c, err := eventflow.ParseClock(text)
		require.NoError(t, err, text)
		got, err := c.(interface{ MarshalText() ([]byte, error) }).MarshalText()
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	}
	for _, text := range canonicalFilters {
		f, err := eventflow.ParseFilter(text)
		require.NoError(t, err, text)
		require.Equal(t, text, f.String())
	}
	for _, text := range []string{"shift(-1h30m0s)", "nextweekday(Europe/Lisbon)"} {
		a, err := eventflow.ParseAdjustment(text)
		require.NoError(t, err, text)
		require.Equal(t, text, a.String())
	}
}

func TestATextThatIsTooLongForANameIsWholeInMarshalText(t *testing.T) {
	t.Parallel()
	long := make([]time.Time, 500)
	for i := range long {
		long[i] = at("2026-03-01T08:00:00Z").Add(time.Duration(i*i) * time.Minute)
	}
	rule := strings.TrimSuffix(strings.TrimPrefix(canonical[10], "rrule("), " Europe/Lisbon gap=skip overlap=last)")
	for _, c := range []interface {
		eventflow.TimeClock
		String() string
		MarshalText() ([]byte, error)
	}{eventflow.Dates(long...), eventflow.RRule(rule, lisbon), eventflow.Entry(eventflow.Dates(long...)).From(long[3])} {
		require.LessOrEqual(t, len(c.String()), 128)
		text, err := c.MarshalText()
		require.NoError(t, err)
		require.Greater(t, len(text), 128)
		back, err := eventflow.ParseClock(string(text))
		require.NoError(t, err)
		require.Equal(t, fires(c, "2026-01-01T00:00:00Z", 600), fires(back, "2026-01-01T00:00:00Z", 600))
		_, err = eventflow.ParseClock(c.String())
		require.Error(t, err, "the name is no text")
	}
}

func TestClocksFiltersAndAdjustmentsStandInAConfiguration(t *testing.T) {
	t.Parallel()
	type config struct {
		Clock    eventflow.EntryClock
		Interval eventflow.IntervalClock
		Dates    *eventflow.DatesClock
		Rule     *eventflow.RRuleClock
		Only     []eventflow.Filter
		Move     eventflow.Adjustment
	}
	const text = `{"Clock":"cron(0 9 * * * Europe/Lisbon)","Interval":"every(1h0m0s)","Dates":"dates(2026-03-01T08:00:00Z)",` +
		`"Rule":"rrule(DTSTART:20260105T180000 RRULE:FREQ=DAILY UTC)","Only":["weekdays(Europe/Lisbon)"],"Move":"shift(1h0m0s)"}`
	var c config
	require.NoError(t, json.Unmarshal([]byte(text), &c))
	back, err := json.Marshal(&c)
	require.NoError(t, err)
	require.Equal(t, text, string(back))
	require.Equal(t, []string{"2026-03-02T10:00:00Z"}, fires(eventflow.NewSchedule(&c.Clock).AllOf(c.Only...).Adjust(c.Move).Clocks()[0], "2026-02-28T00:00:00Z", 1))

	require.ErrorContains(t, json.Unmarshal([]byte(`{"Interval":"dates(2026-03-01T08:00:00Z)"}`), &c), "IntervalClock")
	require.Equal(t, "every(1h0m0s)", c.Interval.String(), "an error leaves it as it was")
	for _, v := range []any{eventflow.Every(0), eventflow.Dates(), &eventflow.RRuleClock{}, eventflow.Entry(nil), eventflow.Filter{}, eventflow.Adjustment{}} {
		_, err := json.Marshal(v)
		require.ErrorIs(t, err, eventflow.ErrFatal, "%T", v)
	}
}

func TestATextThatIsNoneIsRefusedByName(t *testing.T) {
	t.Parallel()
	for text, field := range map[string]string{
		"": "eventflow.ParseClock", "every": "eventflow.ParseClock", "every(": "eventflow.ParseClock", "often(1h)": "eventflow.ParseClock",
		"every()": "eventflow.Every", "every(0s)": "eventflow.Every", "every(1h+)": "eventflow.Every", "dates()": "eventflow.Dates instant", "dates(2026-03-01)": "eventflow.Dates instant",
		"between(,,every(1h))": "eventflow.Entry", "between(every(1h))": "eventflow.Entry", "between(x,,every(1h))": "eventflow.Entry From instant", "between(,x,every(1h))": "eventflow.Entry Until instant",
		"between(2026-03-01T00:00:00Z,,between(2026-03-01T00:00:00Z,,every(1h)))": "eventflow.Entry", "between(2026-03-01T00:00:00Z,,x)": "eventflow.ParseClock",
		"between(2026-03-01T00:00:00Z,2026-02-01T00:00:00Z,every(1h))": "eventflow.Entry Until",
		"rrule(RRULE:FREQ=DAILY UTC)":                                  "eventflow.RRule DTSTART", "rrule(DTSTART:20260101T000000 RRULE:FREQ=DAILY)": "eventflow.RRule location",
		"rrule(DTSTART:20260101T000000 RRULE:FREQ=DAILY UTC gap=mind)": "eventflow.RRule gap",
	} {
		_, err := eventflow.ParseClock(text)
		var bad *eventflow.ConfigError
		require.ErrorAs(t, err, &bad, text)
		require.Equal(t, field, bad.Field, text)
		require.NotEmpty(t, bad.Allowed)
	}
	for _, text := range []string{"", "x", "always(UTC)", "weekdays()", "weekdays(1 UTC)", "weekdays(Europe/Lisbn)", "weekdays(UTC gap=skip)", "date(2-30 UTC)", "date(x UTC)",
		"dates(01-01 UTC)", "time(25:00 UTC)", "weekday(XXX UTC)", "instant(now)", "instant(2026-03-01T00:00:00Z,2026-03-01T00:00:00Z)", "instants(2026-03-01T00:00:00Z)", `days("even" UTC)`} {
		_, err := eventflow.ParseFilter(text)
		require.ErrorIs(t, err, eventflow.ErrFatal, text)
	}
	for _, text := range []string{"", "shift()", "shift(1)", "nextweekday()", "nextweekday(Europe/Lisbn)", "nextmonth(UTC)"} {
		_, err := eventflow.ParseAdjustment(text)
		require.ErrorIs(t, err, eventflow.ErrFatal, text)
	}
}

func FuzzClockText(f *testing.F) {
	for _, text := range canonical {
		f.Add(text, int64(1774700000))
	}
	f.Fuzz(func(t *testing.T, text string, sec int64) {
		c, err := eventflow.ParseClock(text)
		if err != nil {
			require.ErrorIs(t, err, eventflow.ErrFatal)
			return
		}
		checkFixedPoint(t, c)
		checkForward(t, c, sec)
	})
}

func FuzzFilterText(f *testing.F) {
	for _, text := range canonicalFilters {
		f.Add(text, int64(1774700000))
	}
	f.Fuzz(func(t *testing.T, text string, sec int64) {
		only, err := eventflow.ParseFilter(text)
		if err != nil {
			require.ErrorIs(t, err, eventflow.ErrFatal)
			return
		}
		back, err := eventflow.ParseFilter(only.String())
		require.NoError(t, err, "%q", only.String())
		require.Equal(t, only.String(), back.String())
		s := eventflow.NewSchedule(eventflow.Every(61 * time.Second))
		for _, s := range []*eventflow.Schedule{s.AllOf(only), s.NoneOf(only).Adjust(eventflow.NextWeekday(lisbon))} {
			checkForward(t, s.Clocks()[0], sec)
		}
	})
}

func FuzzRRule(f *testing.F) {
	for _, example := range rfcExamples {
		f.Add(example.start, example.rules, int64(880000000), uint8(0))
	}
	f.Add("20260101", "FREQ=SECONDLY;INTERVAL=86399;BYMONTH=2;BYMONTHDAY=29;BYHOUR=1;BYMINUTE=2;BYSECOND=3;COUNT=100000", int64(0), uint8(2))
	f.Fuzz(func(t *testing.T, start, rules string, sec int64, policy uint8) {
		policies := []eventflow.DST{eventflow.RFC5545, eventflow.Vixie, eventflow.Wall}
		c := eventflow.RRule("DTSTART:"+start+"T090000\n"+rules, newYork, policies[int(policy)%len(policies)])
		if c.Err() != nil {
			require.ErrorIs(t, c.Err(), eventflow.ErrFatal)
			require.True(t, c.Next(time.Unix(sec, 0)).IsZero())
			return
		}
		checkFixedPoint(t, c)
		checkForward(t, c, sec)
	})
}

// checkFixedPoint sees that the canonical text stands for itself.
func checkFixedPoint(t *testing.T, c eventflow.TimeClock) {
	t.Helper()
	text, err := c.(interface{ MarshalText() ([]byte, error) }).MarshalText()
	require.NoError(t, err)
	back, err := eventflow.ParseClock(string(text))
	require.NoError(t, err, "%q", text)
	again, err := back.(interface{ MarshalText() ([]byte, error) }).MarshalText()
	require.NoError(t, err)
	require.Equal(t, string(text), string(again))
	now := at("2026-03-28T12:00:00Z")
	require.True(t, c.Next(now).Equal(back.Next(now)), "%q", text)
}

// checkForward sees that a few fires come one strictly after another, and are the same from halfway.
func checkForward(t *testing.T, c eventflow.TimeClock, sec int64) {
	t.Helper()
	after := time.Unix(sec%(1<<40), 0)
	for range 4 {
		next := c.Next(after)
		if next.IsZero() {
			return
		}
		require.True(t, next.After(after), "%v is not after %v", next, after)
		if half := next.Sub(after) / 2; half < 1<<62 && !after.Before(time.Time{}) {
			require.True(t, c.Next(after.Add(half)).Equal(next), "from halfway between %v and %v", after, next)
		}
		after = next
	}
}
