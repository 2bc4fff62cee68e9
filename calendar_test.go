package eventflow_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

var _ eventflow.TimeClock = (*eventflow.CalendarClock)(nil)

func TestCalendarStepsKeepTheirTimeOfDay(t *testing.T) {
	t.Parallel()
	nyc := func(n int) *eventflow.CalendarClock { return eventflow.EveryDays(n, newYork) }
	for _, c := range []struct {
		promise string
		clock   *eventflow.CalendarClock
		after   string
		want    string // UTC
	}{
		{"daily at 9 in spring", nyc(1).At(9, 0), "2018-03-08T00:00:00-05:00",
			"2018-03-08T14:00:00Z 2018-03-09T14:00:00Z 2018-03-10T14:00:00Z 2018-03-11T13:00:00Z 2018-03-12T13:00:00Z"},
		{"daily at 9 in autumn", nyc(1).At(9, 0), "2018-11-01T12:00:00-04:00",
			"2018-11-02T13:00:00Z 2018-11-03T13:00:00Z 2018-11-04T14:00:00Z 2018-11-05T14:00:00Z"},
		{"a date in January does not move the time of day in July", nyc(1).From(2018, time.January, 1).At(9, 0), "2018-07-10T00:00:00Z",
			"2018-07-10T13:00:00Z 2018-07-11T13:00:00Z"},
		{"every third day across the change", nyc(3).From(2018, time.March, 9).At(9, 0), "2018-03-05T00:00:00Z",
			"2018-03-06T14:00:00Z 2018-03-09T14:00:00Z 2018-03-12T13:00:00Z 2018-03-15T13:00:00Z"},
		{"days are counted from 1 January 1970", eventflow.EveryDays(10, time.UTC), "1969-12-15T00:00:00Z",
			"1969-12-22T00:00:00Z 1970-01-01T00:00:00Z 1970-01-11T00:00:00Z"},
		{"weeks are counted from a Monday", eventflow.EveryWeeks(2, time.UTC), "2026-03-01T00:00:00Z",
			"2026-03-02T00:00:00Z 2026-03-16T00:00:00Z 2026-03-30T00:00:00Z"},
		{"a date chooses the day of the week", eventflow.EveryWeeks(2, lisbon).From(2026, time.March, 20).At(18, 30), "2026-03-01T00:00:00Z",
			"2026-03-06T18:30:00Z 2026-03-20T18:30:00Z 2026-04-03T17:30:00Z"},
		{"months from the first", eventflow.EveryMonths(3, time.UTC), "2026-01-01T00:00:00Z",
			"2026-04-01T00:00:00Z 2026-07-01T00:00:00Z 2026-10-01T00:00:00Z 2027-01-01T00:00:00Z"},
		{"the 31st is the last day where there is none, and never drifts", eventflow.EveryMonths(1, time.UTC).From(2024, time.January, 31), "2024-01-01T00:00:00Z",
			"2024-01-31T00:00:00Z 2024-02-29T00:00:00Z 2024-03-31T00:00:00Z 2024-04-30T00:00:00Z 2024-05-31T00:00:00Z"},
		{"or such months are passed over", eventflow.EveryMonths(1, time.UTC).From(2024, time.January, 31).SkipShortMonths(), "2024-01-01T00:00:00Z",
			"2024-01-31T00:00:00Z 2024-03-31T00:00:00Z 2024-05-31T00:00:00Z 2024-07-31T00:00:00Z"},
		{"every fifth month of the 30th", eventflow.EveryMonths(5, time.UTC).From(2025, time.April, 30), "2025-05-01T00:00:00Z",
			"2025-09-30T00:00:00Z 2026-02-28T00:00:00Z 2026-07-30T00:00:00Z"},
		{"years", eventflow.EveryYears(2, lisbon).From(2025, time.July, 4).At(12, 0), "2024-01-01T00:00:00Z",
			"2025-07-04T11:00:00Z 2027-07-04T11:00:00Z"},
		{"29 February is the 28th elsewhere", eventflow.EveryYears(1, time.UTC).From(2096, time.February, 29), "2096-01-01T00:00:00Z",
			"2096-02-29T00:00:00Z 2097-02-28T00:00:00Z"},
		{"or only in leap years, which 2100 is none of", eventflow.EveryYears(1, time.UTC).From(2096, time.February, 29).SkipShortMonths(), "2096-03-01T00:00:00Z",
			"2104-02-29T00:00:00Z 2108-02-29T00:00:00Z"},
		{"a time of day that is skipped runs after the gap", nyc(1).At(2, 30), "2026-03-07T12:00:00Z",
			"2026-03-08T07:00:00Z 2026-03-09T06:30:00Z"},
		{"or not, by the policy", eventflow.EveryDays(1, newYork, eventflow.Wall).At(2, 30), "2026-03-07T12:00:00Z",
			"2026-03-09T06:30:00Z"},
		{"or shifted", eventflow.EveryDays(1, newYork, eventflow.RFC5545).At(2, 30), "2026-03-07T12:00:00Z",
			"2026-03-08T07:30:00Z 2026-03-09T06:30:00Z"},
		{"a time of day that comes twice runs once", nyc(1).At(1, 30), "2026-10-31T12:00:00Z",
			"2026-11-01T05:30:00Z 2026-11-02T06:30:00Z"},
		{"or the last time", eventflow.EveryDays(1, newYork, eventflow.OverlapLast).At(1, 30), "2026-10-31T12:00:00Z",
			"2026-11-01T06:30:00Z 2026-11-02T06:30:00Z"},
		{"Apia's missing day runs late", eventflow.EveryDays(1, load("Pacific/Apia")).At(3, 0), "2011-12-29T00:00:00Z",
			"2011-12-29T13:00:00Z 2011-12-30T10:00:00Z 2011-12-30T13:00:00Z"},
		{"Santiago's missing midnight runs", eventflow.EveryWeeks(1, load("America/Santiago")).From(2022, time.September, 11), "2022-09-04T05:00:00Z",
			"2022-09-11T04:00:00Z 2022-09-18T03:00:00Z"},
	} {
		require.NoError(t, c.clock.Err(), c.promise)
		want := strings.Fields(c.want)
		require.Equal(t, want, fires(c.clock, c.after, len(want)), "%s: %v", c.promise, c.clock)
	}
}

func TestCalendarStepsEndWithTheYear9999(t *testing.T) {
	t.Parallel()
	years := eventflow.EveryYears(1000, time.UTC).From(9000, time.January, 1)
	require.Equal(t, at("9000-01-01T00:00:00Z"), years.Next(at("8000-01-01T00:00:00Z")))
	require.True(t, years.Next(at("9000-01-01T00:00:00Z")).IsZero())
	days := eventflow.EveryDays(1, time.UTC)
	require.Equal(t, at("9999-12-31T00:00:00Z"), days.Next(at("9999-12-30T00:00:00Z")))
	require.True(t, days.Next(at("9999-12-31T00:00:00Z")).IsZero())
	require.True(t, eventflow.EveryMonths(1_000_000, time.UTC).Next(at("1970-01-01T00:00:00Z")).IsZero())
}

// Every clock of calendar steps is some walk over days, which this takes one by one with package time.
func TestCalendarStepsAreThoseOfAWalkOverDays(t *testing.T) {
	t.Parallel()
	from := time.Date(2023, time.January, 31, 0, 0, 0, 0, time.UTC)
	for n := 1; n <= 13; n++ {
		days, weeks, months, years := eventflow.EveryDays(n, time.UTC), eventflow.EveryWeeks(n, time.UTC), eventflow.EveryMonths(n, time.UTC), eventflow.EveryYears(n, time.UTC)
		for name, c := range map[string]struct {
			clock *eventflow.CalendarClock
			on    func(d time.Time) bool
		}{
			"days":  {days, func(d time.Time) bool { return int(d.Sub(from).Hours())/24%n == 0 }},
			"weeks": {weeks, func(d time.Time) bool { return int(d.Sub(from).Hours())/24%(7*n) == 0 }},
			"months": {months, func(d time.Time) bool {
				return monthsBetween(from, d)%n == 0 && (d.Day() == 31 || d.AddDate(0, 0, 1).Day() == 1)
			}},
			"months without": {months.SkipShortMonths(), func(d time.Time) bool { return monthsBetween(from, d)%n == 0 && d.Day() == 31 }},
			"years":          {years, func(d time.Time) bool { return d.Month() == time.January && d.Day() == 31 && (d.Year()-2023)%n == 0 }},
		} {
			clock := c.clock.From(from.Date())
			require.NoError(t, clock.Err())
			next := clock.Next(at("1990-01-01T00:00:00Z").Add(-1))
			for d := at("1990-01-01T00:00:00Z"); d.Year() < 2040; d = d.AddDate(0, 0, 1) {
				if c.on(d) {
					require.Equal(t, d, next, "%s: %v", name, clock)
					next = clock.Next(d)
				}
			}
			require.Equal(t, 2040, min(2040, next.Year()), "%s: nothing beside the walk", name)
		}
	}
}

func monthsBetween(a, b time.Time) int {
	return (b.Year()-a.Year())*12 + int(b.Month()) - int(a.Month())
}

func TestEqualCalendarClocksHaveOneName(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]*eventflow.CalendarClock{
		"days(3 from 1970-01-01 at 09:30 Europe/Lisbon)":                           eventflow.EveryDays(3, lisbon).At(9, 30),
		"weeks(2 from 1970-01-05 at 00:00 UTC)":                                    eventflow.EveryWeeks(2, time.UTC),
		"weeks(1 from 2026-03-06 at 18:00 America/New_York gap=skip overlap=both)": eventflow.EveryWeeks(1, newYork, eventflow.Wall).At(18, 0).From(2026, time.March, 6),
		"months(1 from 2026-01-31 at 00:00 UTC short=skip)":                        eventflow.EveryMonths(1, time.UTC).SkipShortMonths().From(2026, time.January, 31),
		"years(4 from 2024-02-29 at 00:00 CET+01:00 overlap=last)":                 eventflow.EveryYears(4, time.FixedZone("CET", 3600), eventflow.OverlapLast).From(2024, time.February, 29),
	} {
		require.NoError(t, c.Err())
		require.Equal(t, want, c.String())
	}
}

func TestACalendarClockGivesAnotherAndStaysWhatItIs(t *testing.T) {
	t.Parallel()
	c := eventflow.EveryMonths(1, lisbon)
	name := c.String()
	_ = c.At(9, 30).From(2026, time.January, 31).SkipShortMonths()
	require.Equal(t, name, c.String())
	require.NotEqual(t, c.Next(at("2026-01-10T00:00:00Z")), c.At(9, 30).Next(at("2026-01-10T00:00:00Z")))
}

func TestCalendarStepsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		clock                 *eventflow.CalendarClock
		field, value, allowed string
	}{
		{eventflow.EveryDays(0, lisbon), "eventflow.EveryDays", "0", "1 to 1000000"},
		{eventflow.EveryWeeks(-1, lisbon), "eventflow.EveryWeeks", "-1", "1 to 1000000"},
		{eventflow.EveryYears(1_000_001, lisbon), "eventflow.EveryYears", "1000001", "1 to 1000000"},
		{eventflow.EveryMonths(1, nil), "eventflow.EveryMonths location", "nil", "time.UTC if you mean UTC"},
		{eventflow.EveryMonths(1, time.Local), "eventflow.EveryMonths location", "time.Local", "time.LoadLocation"},
		{eventflow.EveryMonths(1, time.FixedZone("far", 86400)), "eventflow.EveryMonths location", "24h0m0s", "less than a day from UTC"},
		{eventflow.EveryDays(1, lisbon).At(24, 0), "eventflow.EveryDays At", "24:00", "0:00 to 23:59"},
		{eventflow.EveryDays(1, lisbon).At(9, 60), "eventflow.EveryDays At", "9:60", "0:00 to 23:59"},
		{eventflow.EveryDays(1, lisbon).At(-1, 0).At(9, 0), "eventflow.EveryDays At", "-1:00", "0:00 to 23:59"},
		{eventflow.EveryDays(1, lisbon).From(2026, time.February, 30), "eventflow.EveryDays From", "2026-02-30", "that exists"},
		{eventflow.EveryYears(1, lisbon).From(2026, time.February, 29), "eventflow.EveryYears From", "2026-02-29", "that exists"},
		{eventflow.EveryDays(1, lisbon).From(0, time.January, 1), "eventflow.EveryDays From", "0000-01-01", "years 1 to 9999"},
		{eventflow.EveryDays(1, lisbon).From(10000, time.January, 1), "eventflow.EveryDays From", "10000-01-01", "years 1 to 9999"},
		{eventflow.EveryDays(1, lisbon).From(2026, 13, 1), "eventflow.EveryDays From", "2026-13-01", "that exists"},
		{eventflow.EveryDays(1, lisbon).SkipShortMonths(), "eventflow.EveryDays SkipShortMonths", "", "EveryMonths or EveryYears"},
		{new(eventflow.CalendarClock), "eventflow.CalendarClock", "", "EveryDays"},
		{new(eventflow.CalendarClock).At(9, 0).From(2026, 1, 1), "eventflow.CalendarClock", "", "EveryDays"},
	} {
		var bad *eventflow.ConfigError
		require.ErrorAs(t, c.clock.Err(), &bad, c.field)
		require.Equal(t, c.field, bad.Field)
		require.Equal(t, c.value, bad.Value, c.field)
		require.Contains(t, bad.Allowed, c.allowed, c.field)
		require.True(t, c.clock.Next(at("2026-01-01T00:00:00Z")).IsZero(), "%s: nothing fires", c.field)
		require.NotEmpty(t, c.clock.String())
		require.Contains(t, c.clock.Explain(), "Never: ")
		_, err := c.clock.MarshalText()
		require.ErrorAs(t, err, &bad)
	}
}

func TestACalendarClockReadsItsOwnText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"days(3 from 1970-01-01 at 09:30 Europe/Lisbon)":                          "",
		"days(3 Europe/Lisbon)":                                                   "days(3 from 1970-01-01 at 00:00 Europe/Lisbon)",
		" weeks( 2  at 9:05 UTC ) ":                                               "weeks(2 from 1970-01-05 at 09:05 UTC)",
		"months(1 at 00:00 from 2026-01-31 UTC gap=vixie short=skip)":             "months(1 from 2026-01-31 at 00:00 UTC short=skip)",
		"years(4 from 2024-02-29 at 00:00 CET+01:00 short=last overlap=last)":     "years(4 from 2024-02-29 at 00:00 CET+01:00 overlap=last)",
		`days(1 from 1970-01-01 at 00:00 "my own zone"+05:30 gap=shift)`:          "",
		`days(1 from 1970-01-01 at 00:00 -00:30:15)`:                              "",
		`days(1 from 1970-01-01 at 00:00 Asia/Tokyo gap=runafter overlap=first)`:  "",
		`days(1000000 from 9999-12-31 at 23:59 Etc/GMT+5 gap=skip overlap=first)`: "",
	} {
		var c eventflow.CalendarClock
		require.NoError(t, c.UnmarshalText([]byte(text)), text)
		if want == "" {
			want = text
		}
		got, err := c.MarshalText()
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	for text, want := range map[string]string{
		"days(0 UTC)":                   `eventflow.EveryDays: "0"`,
		"days(x UTC)":                   `eventflow.EveryDays text: "x"`,
		"days(UTC)":                     "a number",
		"days()":                        "eventflow.EveryDays text",
		"days(1 from 2026-02-30 UTC)":   "a date that exists",
		"days(1 at 25:00 UTC)":          "a time of day",
		"days(1 until 25:00 UTC)":       "from and a date",
		"days(1 from UTC)":              "from and a date",
		"days(1 Europe/Atlantis)":       "eventflow.EveryDays location",
		"days(1 UTC gap=never)":         "one of vixie, skip, runafter, shift",
		"days(1 UTC gap=skip gap=skip)": "once",
		"days(1 UTC days=both)":         `eventflow.EveryDays option: "days"`,
		"days(1 UTC short=skip)":        "EveryMonths or EveryYears",
		"hours(1 UTC)":                  "days(3 from 1970-01-01",
		"days(1 UTC":                    "days(3 from 1970-01-01",
		"":                              "days(3 from 1970-01-01",
	} {
		var c eventflow.CalendarClock
		require.ErrorContains(t, c.UnmarshalText([]byte(text)), want, text)
		require.ErrorIs(t, c.UnmarshalText([]byte(text)), eventflow.ErrFatal, text)
		require.Error(t, c.Err(), "it is as it was")
	}
}

func TestClocksStandInAConfigurationFile(t *testing.T) {
	t.Parallel()
	var config struct {
		Nightly *eventflow.CronClock
		Billing *eventflow.CalendarClock
	}
	text := `{"Nightly":"cron(0 3 * * MON-FRI Europe/Lisbon gap=skip)","Billing":"months(1 from 2026-01-31 at 06:00 Europe/Lisbon)"}`
	require.NoError(t, json.Unmarshal([]byte(text), &config))
	require.Equal(t, "2026-03-02T03:00:00Z", config.Nightly.Next(at("2026-03-01T00:00:00Z")).UTC().Format(time.RFC3339))
	require.Equal(t, "2026-02-28T06:00:00Z", config.Billing.Next(at("2026-02-01T00:00:00Z")).UTC().Format(time.RFC3339))
	again, err := json.Marshal(config)
	require.NoError(t, err)
	require.JSONEq(t, strings.Replace(text, "MON-FRI", "1-5", 1), string(again))
	require.ErrorContains(t, json.Unmarshal([]byte(`{"Nightly":"cron(0 25 * * * UTC)"}`), &config), "eventflow.Cron hour")
}
