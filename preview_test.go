package eventflow_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

// lines writes a preview, one thing a line; a + or - tells a day with a change.
func lines(s *eventflow.Schedule, from, to string) (out []string) {
	for p := range s.Preview(at(from), at(to)) {
		line := p.Time.Format("02 15:04 MST ") + p.Fire.Clock + " " + p.Verdict.String()
		if p.Why != "" {
			line += ": " + p.Why
		}
		if p.OffsetChange != 0 {
			line += fmt.Sprintf(" [%+v]", p.OffsetChange)
		}
		out = append(out, line)
	}
	return out
}

func named1(c eventflow.TimeClock) *eventflow.EntryClock { return eventflow.Entry(c).Named("c") }

func TestPreviewTellsWhatBecomesOfAReadingThatIsSkipped(t *testing.T) {
	t.Parallel()
	const from, to = "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z"
	for policy, want := range map[eventflow.DST][]string{
		eventflow.Vixie:   {"29 02:00 WEST c runs: the clock jumps over 01:30 [1h0m0s]", "30 01:30 WEST c runs"},
		eventflow.RFC5545: {"29 02:30 WEST c runs: the clock jumps over 01:30 [1h0m0s]", "30 01:30 WEST c runs"},
		eventflow.Wall:    {"29 02:00 WEST c no such reading: the clock jumps over 01:30 [1h0m0s]", "30 01:30 WEST c runs"},
	} {
		require.Equal(t, want, lines(eventflow.NewSchedule(named1(eventflow.Cron("30 1 * * *", lisbon, policy))), from, to), policy)
		require.Equal(t, want, lines(eventflow.NewSchedule(named1(eventflow.RRule("DTSTART:20260101T013000 RRULE:FREQ=DAILY", lisbon, policy))), from, to), policy)
		require.Equal(t, want, lines(eventflow.NewSchedule(named1(eventflow.EveryDays(1, lisbon, policy).At(1, 30))), from, to), policy)
	}
}

func TestPreviewTellsWhatBecomesOfAReadingThatIsShownTwice(t *testing.T) {
	t.Parallel()
	const from, to = "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"
	for overlap, want := range map[eventflow.Overlap][]string{
		eventflow.OverlapFirst: {"25 01:30 WEST c runs [-1h0m0s]", "25 01:30 WET c other reading: the clock showed 01:30 before [-1h0m0s]", "26 01:30 WET c runs"},
		eventflow.OverlapLast:  {"25 01:30 WEST c other reading: the clock shows 01:30 again [-1h0m0s]", "25 01:30 WET c runs [-1h0m0s]", "26 01:30 WET c runs"},
		eventflow.OverlapBoth:  {"25 01:30 WEST c runs [-1h0m0s]", "25 01:30 WET c runs [-1h0m0s]", "26 01:30 WET c runs"},
	} {
		require.Equal(t, want, lines(eventflow.NewSchedule(named1(eventflow.Cron("30 1 * * *", lisbon, overlap))), from, to), overlap)
	}
}

func TestPreviewTellsWhatFiltersAndAdjustmentsDo(t *testing.T) {
	t.Parallel()
	nine := eventflow.Cron("0 9 * * *", time.UTC)
	s := eventflow.NewSchedule(named1(nine), eventflow.Entry(nine).Named("same"), eventflow.Entry(nine).Named("other").With(region("x"))).
		NoneOf(eventflow.OnDate(time.March, 6, time.UTC)).AnyOf(eventflow.MonthStart(time.UTC), eventflow.BetweenDates(time.March, 5, time.March, 8, time.UTC))
	require.Equal(t, []string{
		"04 09:00 UTC c filtered: in none of monthstart(UTC), dates(03-05 03-08 UTC)",
		"04 09:00 UTC same filtered: in none of monthstart(UTC), dates(03-05 03-08 UTC)",
		"04 09:00 UTC other filtered: in none of monthstart(UTC), dates(03-05 03-08 UTC)",
		"05 09:00 UTC c runs",
		"05 09:00 UTC same repeated: it is equal to the fire of c",
		"05 09:00 UTC other runs",
		"06 09:00 UTC c filtered: in date(03-06 UTC)",
		"06 09:00 UTC same filtered: in date(03-06 UTC)",
		"06 09:00 UTC other filtered: in date(03-06 UTC)",
	}, lines(s, "2026-03-04T09:00:00Z", "2026-03-07T09:00:00Z"), "from is within, to is not")

	moved := eventflow.NewSchedule(named1(nine)).Adjust(eventflow.NextWeekday(time.UTC))
	require.Equal(t, []string{
		"06 09:00 UTC c runs",
		"07 09:00 UTC c moved: to Mon 2026-03-09 09:00:00 +0000",
		"08 09:00 UTC c moved: to Mon 2026-03-09 09:00:00 +0000",
		"09 09:00 UTC c runs",
		"10 09:00 UTC c runs",
	}, lines(moved, "2026-03-06T00:00:00Z", "2026-03-11T00:00:00Z"))
	require.Equal(t, []string{"07 09:00 UTC c moved: to Sat 2026-03-07 08:00:00 +0000", "08 08:00 UTC c runs: moved here by an adjustment"},
		lines(eventflow.NewSchedule(named1(nine)).Adjust(eventflow.Shift(-time.Hour)), "2026-03-07T08:30:00Z", "2026-03-08T08:30:00Z"))
}

func TestPreviewHasTheFiresOfNextAndNoOthers(t *testing.T) {
	t.Parallel()
	for _, s := range []*eventflow.Schedule{
		eventflow.NewSchedule(eventflow.Every(7*time.Hour), eventflow.Cron("*/30 1 * * *", lisbon, eventflow.Wall), eventflow.Entry(eventflow.Every(14*time.Hour)).Named("twice")),
		eventflow.NewSchedule(eventflow.Cron("0 */5 * * *", newYork), eventflow.RRule("DTSTART:20260101T020000 RRULE:FREQ=DAILY;BYHOUR=2,3", newYork)).
			NoneOf(eventflow.BetweenTimes("22:00", "02:30", newYork)).Adjust(eventflow.NextWeekday(newYork), eventflow.Shift(-3*time.Hour)),
	} {
		for _, from := range []time.Time{at("2026-03-06T00:00:00Z"), at("2026-03-27T01:23:45Z"), at("2026-10-23T00:00:00Z")} {
			to := from.AddDate(0, 0, 10)
			var want, got []eventflow.Fire
			for fires := s.Next(from.Add(-1)); len(fires) > 0 && fires[0].Nominal.Before(to); fires = s.Next(fires[0].Nominal) {
				want = append(want, fires...)
			}
			before := time.Time{}
			for p := range s.Preview(from, to) {
				require.False(t, p.Time.Before(before), "in the order of time")
				before = p.Time
				if p.Verdict == eventflow.Runs {
					got = append(got, p.Fire)
				}
			}
			require.Equal(t, want, got)
		}
	}
}

func TestPreviewSaysWhereASearchGaveUp(t *testing.T) {
	t.Parallel()
	s := eventflow.NewSchedule(named1(eventflow.Every(24*time.Hour))).AllOf(eventflow.Weekdays(time.UTC), eventflow.Weekends(time.UTC))
	require.Equal(t, []string{"07 00:00 UTC c filtered: not in weekdays(UTC)", "07 00:00 UTC c gave up: no fire among the next 10000 candidates"},
		lines(s, "2026-03-07T00:00:00Z", "2026-03-08T00:00:00Z"))
}

func TestPreviewComputesAsFarAsItIsRead(t *testing.T) {
	t.Parallel()
	n := 0
	for p := range eventflow.NewSchedule(named1(eventflow.Every(1))).NoneOf(eventflow.OnDate(time.May, 1, lisbon)).Preview(at("2026-01-01T00:00:00Z"), at("9000-01-01T00:00:00Z")) {
		require.Equal(t, eventflow.Runs, p.Verdict)
		if n++; n == 1000 {
			break
		}
	}
	require.Equal(t, 1000, n)
	one := slices.Collect(eventflow.Preview(foreign{eventflow.Every(time.Hour)}, at("2026-01-01T00:00:00Z"), at("2026-01-01T01:00:00Z")))
	require.Len(t, one, 1, "a clock without a name may be looked at")
	require.Empty(t, slices.Collect(eventflow.Preview(eventflow.Every(0), at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z"))))
}

func TestADayWithAChangeIsMarkedAtMidnightToo(t *testing.T) {
	t.Parallel()
	change := func(zone, from string) (out []string) {
		for p := range eventflow.Preview(eventflow.Cron("0 12 * * *", load(zone)), at(from), at(from).AddDate(0, 0, 3)) {
			if p.OffsetChange != 0 {
				out = append(out, p.Time.Format("01-02")+" "+p.OffsetChange.String())
			}
		}
		return out
	}
	require.Equal(t, []string{"09-06 1h0m0s"}, change("America/Santiago", "2026-09-05T00:00:00Z"), "midnight does not exist")
	require.Equal(t, []string{"04-04 -1h0m0s"}, change("America/Santiago", "2026-04-03T12:00:00Z"), "the last hour of the 4th comes twice")
	require.Equal(t, []string{"10-04 30m0s"}, change("Australia/Lord_Howe", "2026-10-03T00:00:00Z"))
	require.Empty(t, change("Asia/Tokyo", "2026-10-03T00:00:00Z"))
}
