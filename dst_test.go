package eventflow_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

var (
	_ eventflow.CalendarOption = eventflow.Wall
	_ eventflow.CalendarOption = eventflow.GapSkip
	_ eventflow.CalendarOption = eventflow.OverlapLast
	_ eventflow.CronOption     = eventflow.BothDays
)

// What is expected here was worked out from the zones' published rules, not with this package.
func TestEachSideOfAChangeOfOffsetHasItsPolicy(t *testing.T) {
	t.Parallel()
	type options = []eventflow.CronOption
	for _, c := range []struct {
		promise, zone, expr string
		opts                options
		after               string
		want                string // UTC
	}{
		{"skipped: it does not run", "America/New_York", "30 2 * * *", options{eventflow.GapSkip}, "2026-03-07T12:00:00Z",
			"2026-03-09T06:30:00Z 2026-03-10T06:30:00Z"},
		{"skipped: it runs after the gap", "America/New_York", "30 2 * * *", options{eventflow.GapRunAfter}, "2026-03-07T12:00:00Z",
			"2026-03-08T07:00:00Z 2026-03-09T06:30:00Z"},
		{"skipped: it runs with the offset before the gap, 03:30 by the clock", "America/New_York", "30 2 * * *", options{eventflow.GapShift}, "2026-03-07T12:00:00Z",
			"2026-03-08T07:30:00Z 2026-03-09T06:30:00Z"},
		{"a side that is set holds for wildcard jobs: several run once", "America/New_York", "*/20 2 * * *", options{eventflow.GapRunAfter}, "2026-03-07T12:00:00Z",
			"2026-03-08T07:00:00Z 2026-03-09T06:00:00Z"},
		{"a side that is set holds for wildcard jobs: each shifted", "America/New_York", "*/30 2 * * *", options{eventflow.GapShift}, "2026-03-07T12:00:00Z",
			"2026-03-08T07:00:00Z 2026-03-08T07:30:00Z 2026-03-09T06:00:00Z"},
		{"shifted onto a real reading it is one fire", "America/New_York", "0,30 2,3 * * *", options{eventflow.GapShift}, "2026-03-07T12:00:00Z",
			"2026-03-08T07:00:00Z 2026-03-08T07:30:00Z 2026-03-09T06:00:00Z"},
		{"shifted between real readings the order holds", "America/New_York", "15 2,3,4 * * *", options{eventflow.GapShift, eventflow.OverlapBoth}, "2026-03-07T12:00:00Z",
			"2026-03-08T07:15:00Z 2026-03-08T08:15:00Z 2026-03-09T06:15:00Z"},
		{"twice: the first time", "America/New_York", "30 1 * * *", options{eventflow.OverlapFirst}, "2026-10-31T12:00:00Z",
			"2026-11-01T05:30:00Z 2026-11-02T06:30:00Z"},
		{"twice: the last time", "America/New_York", "30 1 * * *", options{eventflow.OverlapLast}, "2026-10-31T12:00:00Z",
			"2026-11-01T06:30:00Z 2026-11-02T06:30:00Z"},
		{"twice: the last time, asked between the two", "America/New_York", "30 1 * * *", options{eventflow.OverlapLast}, "2026-11-01T05:45:00Z",
			"2026-11-01T06:30:00Z 2026-11-02T06:30:00Z"},
		{"twice: both times", "America/New_York", "30 1 * * *", options{eventflow.OverlapBoth}, "2026-10-31T12:00:00Z",
			"2026-11-01T05:30:00Z 2026-11-01T06:30:00Z 2026-11-02T06:30:00Z"},
		{"Vixie is the default: an hourly job follows elapsed time", "America/New_York", "0 * * * *", nil, "2018-11-04T03:30:00Z",
			"2018-11-04T04:00:00Z 2018-11-04T05:00:00Z 2018-11-04T06:00:00Z 2018-11-04T07:00:00Z 2018-11-04T08:00:00Z"},
		{"an hourly job by the first of two, as Prefect documents it", "America/New_York", "0 * * * *", options{eventflow.OverlapFirst}, "2018-11-04T03:30:00Z",
			"2018-11-04T04:00:00Z 2018-11-04T05:00:00Z 2018-11-04T07:00:00Z 2018-11-04T08:00:00Z"},
		{"an hourly job by the last of two, as Prefect's test had it", "America/New_York", "0 * * * *", options{eventflow.OverlapLast}, "2018-11-04T03:30:00Z",
			"2018-11-04T04:00:00Z 2018-11-04T06:00:00Z 2018-11-04T07:00:00Z 2018-11-04T08:00:00Z"},
		{"an hourly job in spring is the same under each rule that does not shift", "America/New_York", "0 * * * *", options{eventflow.GapSkip, eventflow.OverlapFirst}, "2018-03-11T04:30:00Z",
			"2018-03-11T05:00:00Z 2018-03-11T06:00:00Z 2018-03-11T07:00:00Z 2018-03-11T08:00:00Z"},
		{"Wall skips", "Europe/Lisbon", "30 1 * * *", options{eventflow.Wall}, "2026-03-28T12:00:00Z",
			"2026-03-30T00:30:00Z"},
		{"Wall runs twice", "Europe/Lisbon", "30 1 * * *", options{eventflow.Wall}, "2026-10-24T12:00:00Z",
			"2026-10-25T00:30:00Z 2026-10-25T01:30:00Z 2026-10-26T01:30:00Z"},
		{"RFC 5545 shifts", "Europe/Lisbon", "30 1 * * *", options{eventflow.RFC5545}, "2026-03-28T12:00:00Z",
			"2026-03-29T01:30:00Z 2026-03-30T00:30:00Z"},
		{"RFC 5545 takes the first", "Europe/Lisbon", "*/30 1 * * *", options{eventflow.RFC5545}, "2026-10-24T12:00:00Z",
			"2026-10-25T00:00:00Z 2026-10-25T00:30:00Z 2026-10-26T01:00:00Z"},
		{"the later option holds for its side", "Europe/Lisbon", "30 1 * * *", options{eventflow.RFC5545, eventflow.OverlapLast}, "2026-10-24T12:00:00Z",
			"2026-10-25T01:30:00Z 2026-10-26T01:30:00Z"},
		{"and leaves the other side", "Europe/Lisbon", "30 1 * * *", options{eventflow.RFC5545, eventflow.OverlapLast}, "2026-03-28T12:00:00Z",
			"2026-03-29T01:30:00Z 2026-03-30T00:30:00Z"},
		{"half an hour twice at Lord Howe: the last time", "Australia/Lord_Howe", "45 1 * * *", options{eventflow.OverlapLast}, "2026-04-04T00:00:00Z",
			"2026-04-04T15:15:00Z 2026-04-05T15:15:00Z"},
		{"half an hour twice at Lord Howe: both", "Australia/Lord_Howe", "45 1 * * *", options{eventflow.Wall}, "2026-04-04T00:00:00Z",
			"2026-04-04T14:45:00Z 2026-04-04T15:15:00Z 2026-04-05T15:15:00Z"},
		{"half an hour skipped at Lord Howe: shifted by half an hour", "Australia/Lord_Howe", "10 2 * * *", options{eventflow.RFC5545}, "2026-10-03T00:00:00Z",
			"2026-10-03T15:40:00Z 2026-10-04T15:10:00Z"},
		{"Apia's missing day does not run under Wall", "Pacific/Apia", "0 3 30 12 *", options{eventflow.Wall}, "2011-01-01T00:00:00Z",
			"2012-12-29T13:00:00Z"},
		{"Apia's missing day runs a day later under RFC 5545", "Pacific/Apia", "0 3 30 12 *", options{eventflow.RFC5545}, "2011-01-01T00:00:00Z",
			"2011-12-30T13:00:00Z 2012-12-29T13:00:00Z"},
		{"and is one with that day's own run", "Pacific/Apia", "0 3 * * *", options{eventflow.RFC5545}, "2011-12-29T00:00:00Z",
			"2011-12-29T13:00:00Z 2011-12-30T13:00:00Z 2011-12-31T13:00:00Z"},
		{"Santiago's missing midnight under Wall", "America/Santiago", "0 0 * * 0", options{eventflow.Wall}, "2022-08-21T12:00:00Z",
			"2022-08-28T04:00:00Z 2022-09-04T04:00:00Z 2022-09-18T03:00:00Z"},
		{"half past Santiago's missing midnight under RFC 5545", "America/Santiago", "30 0 * * *", options{eventflow.RFC5545}, "2022-09-10T12:00:00Z",
			"2022-09-11T04:30:00Z 2022-09-12T03:30:00Z"},
		{"Cairo's missing midnight under Wall", "Africa/Cairo", "30 0 * * *", options{eventflow.Wall}, "2023-04-27T00:00:00Z",
			"2023-04-28T21:30:00Z"},
		{"Cairo's missing midnight under RFC 5545", "Africa/Cairo", "30 0 * * *", options{eventflow.RFC5545}, "2023-04-27T00:00:00Z",
			"2023-04-27T22:30:00Z 2023-04-28T21:30:00Z"},
		{"a second that begins with a star has a rhythm too", "America/New_York", "*/30 30 1 * * *", nil, "2026-10-31T12:00:00Z",
			"2026-11-01T05:30:00Z 2026-11-01T05:30:30Z 2026-11-01T06:30:00Z 2026-11-01T06:30:30Z 2026-11-02T06:30:00Z"},
		{"seconds without a star are a fixed time", "America/New_York", "0,30 30 2 * * *", nil, "2026-03-07T12:00:00Z",
			"2026-03-08T07:00:00Z 2026-03-09T06:30:00Z 2026-03-09T06:30:30Z"},
	} {
		clock := eventflow.Cron(c.expr, load(c.zone), c.opts...)
		require.NoError(t, clock.Err(), c.promise)
		want := strings.Fields(c.want)
		require.Equal(t, want, fires(clock, c.after, len(want)), "%s: %v", c.promise, clock)
	}
}

func TestAPolicyHasAText(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"gap=vixie overlap=vixie": eventflow.Vixie.String(),
		"gap=skip overlap=both":   eventflow.Wall.String(),
		"gap=shift overlap=first": eventflow.RFC5545.String(),
		"runafter":                eventflow.GapRunAfter.String(),
		"last":                    eventflow.OverlapLast.String(),
		"Gap(7)":                  eventflow.Gap(7).String(),
		"Overlap(9)":              eventflow.Overlap(9).String(),
	} {
		require.Equal(t, want, got)
	}
	require.Equal(t, eventflow.GapSkip, eventflow.Wall.Gap())
	require.Equal(t, eventflow.OverlapBoth, eventflow.Wall.Overlap())
	require.Zero(t, eventflow.Vixie)
}

func TestAPolicyThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	var none eventflow.Gap
	for _, c := range []struct {
		opts  []eventflow.CronOption
		field string
		value string
	}{
		{[]eventflow.CronOption{eventflow.Gap(4)}, "eventflow.Cron gap", "Gap(4)"},
		{[]eventflow.CronOption{eventflow.Overlap(4)}, "eventflow.Cron overlap", "Overlap(4)"},
		{[]eventflow.CronOption{eventflow.DST(0x05)}, "eventflow.Cron gap", "Gap(5)"},
		{[]eventflow.CronOption{eventflow.DayRule(2)}, "eventflow.Cron days", "2"},
		{[]eventflow.CronOption{none, nil}, "eventflow.Cron option 1", "nil"},
	} {
		clock := eventflow.Cron("0 3 * * *", lisbon, c.opts...)
		var bad *eventflow.ConfigError
		require.ErrorAs(t, clock.Err(), &bad)
		require.Equal(t, c.field, bad.Field)
		require.Equal(t, c.value, bad.Value)
		require.True(t, clock.Next(at("2026-01-01T00:00:00Z")).IsZero())
	}
	require.ErrorContains(t, eventflow.EveryDays(1, lisbon, eventflow.Overlap(7)).Err(), "eventflow.EveryDays overlap")
	require.ErrorContains(t, eventflow.EveryDays(1, lisbon, nil).Err(), "eventflow.EveryDays option 0")
}
