package eventflow_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

var (
	_ eventflow.TimeClock = (*eventflow.EntryClock)(nil)
	_ eventflow.TimeClock = (*eventflow.MemberClock)(nil)
)

// plan gives the schedule's next two fires, or as many as there are at the second instant, "name@time".
func plan(s *eventflow.Schedule, after string) (out []string) {
	for t := at(after); len(out) < 2; {
		fires := s.Next(t)
		if fires == nil {
			break
		}
		for _, f := range fires {
			out = append(out, f.Clock+"@"+f.Nominal.Format("2006-01-02T15:04:05.999999999Z"))
		}
		t = fires[0].Nominal
	}
	return out
}

func region(name string) eventflow.Parameters { return eventflow.Parameters{"Region": name} }

func TestFiresOfOneInstantWithDifferentParametersAllCome(t *testing.T) {
	t.Parallel()
	nine := eventflow.Cron("0 9 * * *", lisbon)
	s := eventflow.NewSchedule(
		eventflow.Entry(nine).Named("eu").With(region("eu")).Labelled("a"),
		eventflow.Entry(nine).Named("us").With(region("us")),
		eventflow.Every(time.Hour),
	)
	require.NoError(t, s.Err())
	fires := s.Next(at("2026-03-02T08:30:00Z"))
	require.Equal(t, []eventflow.Fire{
		{Clock: "eu", Nominal: at("2026-03-02T09:00:00Z"), Due: at("2026-03-02T09:00:00Z"), Parameters: region("eu"), Labels: []string{"a"}},
		{Clock: "us", Nominal: at("2026-03-02T09:00:00Z"), Due: at("2026-03-02T09:00:00Z"), Parameters: region("us")},
		{Clock: "every(1h0m0s)", Nominal: at("2026-03-02T09:00:00Z"), Due: at("2026-03-02T09:00:00Z")},
	}, fires, "in the order of their clocks")

	fires[0].Parameters["Region"], fires[0].Labels[0] = "mars", "b"
	require.Equal(t, region("eu"), s.Next(at("2026-03-02T08:30:00Z"))[0].Parameters, "a fire's map is its own")
}

func TestEqualFiresOfOneInstantComeOnceAsThoseOfTheFirstClock(t *testing.T) {
	t.Parallel()
	hourly, daily := eventflow.Every(time.Hour), eventflow.Cron("0 9 * * *", time.UTC)
	require.Equal(t, []string{"every(1h0m0s)@2026-03-02T09:00:00Z", "every(1h0m0s)@2026-03-02T10:00:00Z"}, plan(eventflow.NewSchedule(hourly, daily), "2026-03-02T08:00:00Z"))
	require.Equal(t, []string{"cron(0 9 * * * UTC)@2026-03-02T09:00:00Z", "every(1h0m0s)@2026-03-02T10:00:00Z"}, plan(eventflow.NewSchedule(daily, hourly), "2026-03-02T08:00:00Z"))
	require.Len(t, eventflow.NewSchedule(hourly, eventflow.Entry(daily).Labelled("x")).Next(at("2026-03-02T08:00:00Z")), 2, "labels tell them apart")
	require.Len(t, eventflow.NewSchedule(eventflow.Entry(hourly).Labelled("y", "x"), eventflow.Entry(daily).Labelled("x", "y", "x")).Next(at("2026-03-02T08:00:00Z")), 1, "labels are a set")
	require.Len(t, eventflow.NewSchedule(hourly, hourly, eventflow.Every(time.Hour)).Clocks(), 1, "the same clock counts once")

	s := eventflow.NewSchedule(hourly, daily)
	require.True(t, s.Clocks()[1].Repeats(at("2026-03-02T09:00:00Z")))
	require.False(t, s.Clocks()[0].Repeats(at("2026-03-02T09:00:00Z")))
	require.Equal(t, at("2026-03-02T09:00:00Z"), s.Clocks()[1].Next(at("2026-03-02T08:00:00Z")))
}

func TestOfEqualFiresTheEarlierOnesAreToldInOrder(t *testing.T) {
	t.Parallel()
	hour := func(n int) eventflow.TimeClock {
		return eventflow.Entry(eventflow.Every(time.Duration(n) * time.Hour)).Named(strconv.Itoa(n))
	}
	s := eventflow.NewSchedule(hour(4), hour(3), eventflow.Entry(hour(1)).Named("labelled").Labelled("x"), hour(2), hour(1), hour(6))
	last := s.Clocks()[4]
	for _, c := range []struct{ at, want string }{
		{"2026-03-02T00:00:00Z", "4 3 2"}, {"2026-03-02T01:00:00Z", ""}, {"2026-03-02T02:00:00Z", "2"}, {"2026-03-02T03:00:00Z", "3"}, {"2026-03-02T04:00:00Z", "4 2"},
	} {
		var names []string
		for o := range last.Earlier(at(c.at)) {
			names = append(names, o.Name())
		}
		require.Equal(t, c.want, strings.Join(names, " "), c.at)
		require.Equal(t, c.want != "", last.Repeats(at(c.at)))
	}
}

func TestAnEntryOfASchedulesClockKeepsWhatTheFireIs(t *testing.T) {
	t.Parallel()
	daily := eventflow.Entry(eventflow.Cron("0 9 * * *", time.UTC)).Named("daily").With(region("eu")).Labelled("a").From(at("2026-03-02T00:00:00Z"))
	inner := eventflow.NewSchedule(daily).Adjust(eventflow.Shift(-24 * time.Hour))
	outer := eventflow.NewSchedule(inner.Clocks()[0])
	require.NoError(t, outer.Err())
	require.Equal(t, inner.Next(at("2026-03-01T00:00:00Z")), outer.Next(at("2026-03-01T00:00:00Z")))
	require.Equal(t, "daily", outer.Clocks()[0].Name())
}

func TestASearchThatGivesUpIsToldFromAnEnd(t *testing.T) {
	t.Parallel()
	now := at("2026-03-02T00:00:00Z")
	seven := eventflow.Every(7 * time.Hour) // never at half a minute
	never := eventflow.NewSchedule(seven).AllOf(eventflow.AtTime("09:00:30", time.UTC)).Clocks()[0]
	require.Zero(t, never.Next(now))
	require.True(t, never.GaveUp(now))
	for _, s := range []*eventflow.Schedule{
		eventflow.NewSchedule(seven), eventflow.NewSchedule(eventflow.Dates(now)), eventflow.NewSchedule(eventflow.Entry(seven).Until(now)),
		eventflow.NewSchedule(seven).AllOf(eventflow.BetweenInstants(now.Add(-time.Hour), now)),
	} {
		for _, c := range s.Clocks() {
			require.False(t, c.GaveUp(now), "%v", c)
		}
	}
}

func TestAScheduleCostsInProportionToItsClocks(t *testing.T) { //nolint:paralleltest // what is allocated is the whole process's
	cost := func(n int) uint64 {
		var clocks []eventflow.TimeClock
		for i := range n {
			clocks = append(clocks, eventflow.Entry(eventflow.Every(time.Hour).Phase(time.Duration(i)*time.Millisecond)).Named(strconv.Itoa(i)))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s := eventflow.NewSchedule(clocks...)
		require.NoError(t, s.Err())
		for _, c := range s.Clocks() {
			_ = c.String()
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	few, many := cost(100), cost(1000)
	require.Less(t, many, 15*few, "ten times the clocks: %d B, and %d B for %d", few, many, 100)
}

func TestAClocksFiresStayWhatTheyAreWhenAnotherIsAdded(t *testing.T) {
	t.Parallel()
	daily := eventflow.Cron("0 9 * * *", lisbon)
	alone := eventflow.NewSchedule(daily)
	more := eventflow.NewSchedule(daily, eventflow.Every(time.Hour), eventflow.Entry(daily).Named("other").With(region("x")))
	require.Equal(t, alone.Clocks()[0].String(), more.Clocks()[0].String())
	require.Equal(t, alone.Clocks()[0].Name(), more.Clocks()[0].Name())
	require.Equal(t, more.Clocks()[2].String(), alone.Clocks()[0].String(), "a clock of other parameters takes nothing from it")
	require.Equal(t, alone.Clocks()[0].String(), eventflow.NewSchedule(eventflow.Every(time.Hour), daily).Clocks()[1].String(), "one that takes fires from it does not change its times")
	filtered := alone.AllOf(eventflow.Weekdays(lisbon))
	require.Equal(t, "cron(0 9 * * * Europe/Lisbon)", filtered.Clocks()[0].Name())
	require.Equal(t, "cron(0 9 * * * Europe/Lisbon) all weekdays(Europe/Lisbon)", filtered.Clocks()[0].String())
}

func TestFiltersThenAdjustmentsWhateverTheOrderOfTheCalls(t *testing.T) {
	t.Parallel()
	daily := eventflow.NewSchedule(eventflow.Cron("0 9 * * *", time.UTC))
	weekend, monday := eventflow.Weekends(time.UTC), eventflow.NextWeekday(time.UTC)
	want := []string{"2026-03-02T10:00:00Z", "2026-03-09T10:00:00Z"}
	for _, s := range []*eventflow.Schedule{
		daily.AllOf(weekend).Adjust(monday, eventflow.Shift(time.Hour)),
		daily.Adjust(monday).AllOf(weekend).Adjust(eventflow.Shift(time.Hour)), daily.Adjust(eventflow.Shift(time.Hour), monday).AllOf(weekend),
	} {
		require.NoError(t, s.Err())
		require.Equal(t, want, fires(s.Clocks()[0], "2026-02-28T00:00:00Z", 2))
	}
	some := daily.AnyOf(eventflow.MonthStart(time.UTC)).AnyOf(eventflow.OnWeekday(time.UTC, time.Monday)).NoneOf(eventflow.OnDate(time.March, 9, time.UTC))
	require.Equal(t, []string{"2026-03-01T09:00:00Z", "2026-03-02T09:00:00Z", "2026-03-16T09:00:00Z"}, fires(some.Clocks()[0], "2026-02-28T00:00:00Z", 3))
	require.Equal(t, []string{"2026-02-28T09:00:00Z"}, fires(daily.Clocks()[0], "2026-02-28T00:00:00Z", 1), "the receiver stays as it is")
}

func TestSaturdayAndSundayAreOneMonday(t *testing.T) {
	t.Parallel()
	s := eventflow.NewSchedule(eventflow.Cron("0 9 * * *", lisbon)).Adjust(eventflow.NextWeekday(lisbon))
	require.Equal(t, []string{"2026-03-27T09:00:00Z", "2026-03-30T08:00:00Z", "2026-03-31T08:00:00Z"}, fires(s.Clocks()[0], "2026-03-27T00:00:00Z", 3),
		"the time of day is kept across the change of Sunday")
	weekend := eventflow.NewSchedule(eventflow.Every(time.Second)).AllOf(eventflow.Weekends(lisbon)).Adjust(eventflow.NextWeekday(lisbon))
	require.Equal(t, []string{"2026-03-29T23:00:00Z", "2026-03-29T23:00:01Z"}, fires(weekend.Clocks()[0], "2026-03-28T00:00:00Z", 2), "two days of seconds are one day of seconds")
	require.NoError(t, checkLaw(weekend.Clocks()[0], at("2026-03-28T00:00:00Z"), 50))
	require.Equal(t, []string{"2026-03-30T22:59:59Z", "2026-04-05T23:00:00Z"}, fires(weekend.Clocks()[0], "2026-03-30T22:59:58Z", 2))
}

func TestAnAdjustmentThatMovesEarlierKeepsTheDistance(t *testing.T) {
	t.Parallel()
	s := eventflow.NewSchedule(eventflow.Every(time.Hour)).Adjust(eventflow.Shift(-90 * time.Minute))
	require.Equal(t, []string{"2026-03-02T08:30:00Z", "2026-03-02T09:30:00Z", "2026-03-02T10:30:00Z"}, fires(s.Clocks()[0], "2026-03-02T07:30:00Z", 3))
}

// The oracle walks every raw fire of a window, decides with package time, and sorts. It looks further than any
// adjustment moves.
func TestSchedulesAgreeWithAWalkOverAllFires(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 5))
	clocks := []eventflow.TimeClock{
		eventflow.Every(37 * time.Minute), eventflow.Every(5 * time.Hour).Phase(time.Minute + time.Nanosecond), eventflow.Cron("0 9,17 * * *", lisbon),
		eventflow.Cron("*/20 22-2 * * *", newYork), eventflow.Cron("30 1 * * 6,0", lisbon), eventflow.Dates(at("2026-03-29T01:00:00Z"), at("2026-11-01T05:59:59.5Z")),
	}
	begins := []time.Time{at("2026-03-06T12:00:00Z"), at("2026-03-27T12:00:00Z"), at("2026-04-03T00:00:00Z"), at("2026-10-23T00:00:00Z"), at("2026-12-28T00:00:00Z")}
	for range 200 {
		loc := []*time.Location{time.UTC, lisbon, newYork, load("Africa/Cairo"), load("Australia/Lord_Howe")}[rnd.IntN(5)]
		clock := clocks[rnd.IntN(len(clocks))]
		begin := begins[rnd.IntN(len(begins))].Add(time.Duration(rnd.Int64N(int64(72 * time.Hour))))
		end := begin.AddDate(0, 0, 9)
		filters, keeps := randomFilters(rnd, loc)
		s := eventflow.NewSchedule(clock).AllOf(filters[0]...).AnyOf(filters[1]...).NoneOf(filters[2]...)
		var moves []func(time.Time) time.Time
		for range rnd.IntN(3) {
			switch rnd.IntN(2) {
			case 0:
				d := time.Duration(rnd.Int64N(int64(60*time.Hour))) - 30*time.Hour
				s = s.Adjust(eventflow.Shift(d))
				moves = append(moves, func(t time.Time) time.Time { return t.Add(d) })
			default:
				s = s.Adjust(eventflow.NextWeekday(loc))
				moves = append(moves, func(t time.Time) time.Time { return walkToMonday(t, loc) })
			}
		}
		require.NoError(t, s.Err())
		var want []int64
		for raw := clock.Next(begin.AddDate(0, 0, -9)); !raw.IsZero() && raw.Before(end.AddDate(0, 0, 9)); raw = clock.Next(raw) {
			if !keeps(raw.In(loc)) {
				continue
			}
			moved := raw
			for _, move := range moves {
				moved = move(moved)
			}
			if moved.After(begin) && moved.Before(end) {
				want = append(want, moved.UnixNano())
			}
		}
		slices.Sort(want)
		want = slices.Compact(want)
		var got []int64
		member := s.Clocks()[0]
		for next := member.Next(begin); !next.IsZero() && next.Before(end); next = member.Next(next) {
			got = append(got, next.UnixNano())
		}
		require.Equal(t, want, got, "%v from %v", member, begin)
		require.NoError(t, checkLaw(member, begin, 20), "%v", member)
	}
}

// randomFilters gives filters for all, any and none, and what they come to.
func randomFilters(rnd *rand.Rand, loc *time.Location) (filters [3][]eventflow.Filter, keeps func(time.Time) bool) {
	var tests [3][]func(time.Time) bool
	for range rnd.IntN(4) {
		group := rnd.IntN(3)
		f, test := randomFilter(rnd, loc)
		filters[group] = append(filters[group], f)
		tests[group] = append(tests[group], test)
	}
	return filters, func(t time.Time) bool {
		holds := func(test func(time.Time) bool) bool { return test(t) }
		return !slices.ContainsFunc(tests[0], func(test func(time.Time) bool) bool { return !test(t) }) &&
			(tests[1] == nil || slices.ContainsFunc(tests[1], holds)) && !slices.ContainsFunc(tests[2], holds)
	}
}

func randomFilter(rnd *rand.Rand, loc *time.Location) (eventflow.Filter, func(time.Time) bool) {
	clock := func(t time.Time) string { return t.Format(time.TimeOnly) }
	date := func(t time.Time) int { return int(t.Month())*100 + t.Day() }
	switch rnd.IntN(7) {
	case 0:
		return eventflow.Weekdays(loc), func(t time.Time) bool {
			return slices.Contains([]string{"Mon", "Tue", "Wed", "Thu", "Fri"}, t.Format("Mon"))
		}
	case 1:
		return eventflow.Weekends(loc), func(t time.Time) bool { return slices.Contains([]string{"Sat", "Sun"}, t.Format("Mon")) }
	case 2:
		a, b := fmt.Sprintf("%02d:%02d", rnd.IntN(24), rnd.IntN(60)), fmt.Sprintf("%02d:%02d:%02d", rnd.IntN(24), rnd.IntN(60), rnd.IntN(60))
		return eventflow.BetweenTimes(a, b, loc), func(t time.Time) bool {
			if a+":00" <= b {
				return clock(t) >= a+":00" && clock(t) <= b
			}
			return clock(t) >= a+":00" || clock(t) <= b
		}
	case 3:
		return eventflow.BetweenDates(time.March, 20, time.March, 10, loc), func(t time.Time) bool { return date(t) >= 320 || date(t) <= 310 }
	case 4:
		return eventflow.BetweenDates(time.March, 28, time.October, 25, loc), func(t time.Time) bool { return date(t) >= 328 && date(t) <= 1025 }
	case 5:
		return eventflow.MonthEnd(loc), func(t time.Time) bool {
			return t.Month() != t.Add(30*time.Hour).Month() && t.AddDate(0, 0, 1).Day() == 1
		}
	default:
		return eventflow.OnDays("even", loc, func(d time.Time) bool { return d.Day()%2 == 0 }), func(t time.Time) bool { return t.Day()%2 == 0 }
	}
}

// walkToMonday walks the quarters of an hour, in each of which the offset is one, to the first instant of a Monday that
// shows the time of day or has passed it.
func walkToMonday(t time.Time, loc *time.Location) time.Time {
	ofDay := func(l time.Time) time.Duration {
		return time.Duration(l.Hour())*time.Hour + time.Duration(l.Minute())*time.Minute + time.Duration(l.Second())*time.Second + time.Duration(l.Nanosecond())
	}
	l := t.In(loc)
	if l.Weekday() != time.Saturday && l.Weekday() != time.Sunday {
		return t
	}
	const quarter = 15 * time.Minute
	for u := l.Truncate(quarter); ; u = u.Add(quarter) {
		if late := ofDay(l) - ofDay(u); u.Weekday() == time.Monday && late < quarter {
			return u.Add(max(late, 0))
		}
	}
}

func TestFiltersAreJumpedOverWhole(t *testing.T) {
	t.Parallel()
	s := eventflow.NewSchedule(eventflow.Every(time.Millisecond)).AllOf(eventflow.OnDate(time.February, 29, lisbon), eventflow.AtTime("23:59:59", lisbon))
	require.Equal(t, []string{"clock@2028-02-29T23:59:59Z", "clock@2028-02-29T23:59:59.001Z"}, plan(named(s), "2024-03-01T00:00:00Z"), "126 billion fires away")
}

// named is the schedule under a short name.
func named(s *eventflow.Schedule) *eventflow.Schedule {
	return eventflow.NewSchedule(eventflow.Entry(s.Clocks()[0]).Named("clock"))
}

func TestFiltersThatContradictEachOtherEnd(t *testing.T) {
	t.Parallel()
	s := eventflow.NewSchedule(eventflow.Every(time.Second)).AllOf(eventflow.Weekdays(lisbon), eventflow.Weekends(lisbon))
	require.Empty(t, s.Next(at("2026-01-01T00:00:00Z")))
	never := eventflow.OnDays("never", lisbon, func(time.Time) bool { return false })
	require.Empty(t, eventflow.NewSchedule(eventflow.Every(time.Second)).AllOf(never).Next(at("2026-01-01T00:00:00Z")))
	require.Len(t, eventflow.NewSchedule(eventflow.Every(time.Second)).NoneOf(never).Next(at("2026-01-01T00:00:00Z")), 1)
	require.Empty(t, eventflow.NewSchedule(eventflow.Every(time.Second)).NoneOf(eventflow.BetweenTimes("00:00", "23:59:59", lisbon)).Next(at("2026-01-01T00:00:00Z")))
	require.Empty(t, eventflow.NewSchedule(eventflow.Every(time.Second)).NoneOf(eventflow.BetweenTimes("12:00:00", "11:59:59", lisbon)).Next(at("2026-01-01T00:00:00Z")))
}

func TestInstantsAreKeptOutOrInWithBothTheirEnds(t *testing.T) {
	t.Parallel()
	hourly := eventflow.NewSchedule(eventflow.Every(time.Hour))
	span := eventflow.BetweenInstants(at("2026-03-01T02:00:00Z"), at("2026-03-01T04:00:00Z"))
	require.Equal(t, []string{"2026-03-01T02:00:00Z", "2026-03-01T03:00:00Z", "2026-03-01T04:00:00Z"}, fires(hourly.AllOf(span).Clocks()[0], "2026-03-01T00:00:00Z", 9))
	require.Equal(t, []string{"2026-03-01T01:00:00Z", "2026-03-01T05:00:00Z"}, fires(hourly.NoneOf(span).Clocks()[0], "2026-03-01T00:00:00Z", 2))
	one := eventflow.OnInstant(at("2026-03-01T02:00:00Z"))
	require.Equal(t, []string{"2026-03-01T02:00:00Z"}, fires(hourly.AllOf(one).Clocks()[0], "2026-03-01T00:00:00Z", 9))
	require.Equal(t, []string{"2026-03-01T01:00:00Z", "2026-03-01T03:00:00Z"}, fires(hourly.NoneOf(one).Clocks()[0], "2026-03-01T00:00:00Z", 2))
}

func TestDatesOfAYearWrapAroundItsTurn(t *testing.T) {
	t.Parallel()
	count := func(f eventflow.Filter) (n int) {
		require.NoError(t, f.Err())
		for d := range 365 {
			if f.Holds(at("2026-01-01T12:00:00Z").AddDate(0, 0, d)) {
				n++
			}
		}
		return n
	}
	require.Equal(t, 14, count(eventflow.BetweenDates(time.December, 24, time.January, 6, time.UTC)))
	require.Equal(t, 351, count(eventflow.BetweenDates(time.October, 20, time.October, 5, time.UTC)), "within one month too")
	require.Equal(t, 1, count(eventflow.BetweenDates(time.May, 1, time.May, 1, time.UTC)))
	require.Equal(t, 0, count(eventflow.OnDate(time.February, 29, time.UTC)), "it is no leap year")
	require.Equal(t, 12, count(eventflow.MonthEnd(time.UTC)))
	require.Equal(t, 12, count(eventflow.MonthStart(time.UTC)))
	require.Equal(t, 52, count(eventflow.OnWeekday(time.UTC, time.Sunday)))
	require.True(t, eventflow.OnWeekday(time.UTC, time.Sunday).Holds(at("2026-03-01T12:00:00Z")), "0 is Sunday")
}

func TestAnEntryKeepsToItsBounds(t *testing.T) {
	t.Parallel()
	e := eventflow.Entry(eventflow.Every(time.Hour)).From(at("2026-03-01T00:00:00Z")).Until(at("2026-03-01T02:00:00+01:00"))
	require.NoError(t, e.Err())
	require.Equal(t, []string{"2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z"}, fires(e, "2020-01-01T00:00:00Z", 9), "both ends are within")
	require.Equal(t, "between(2026-03-01T00:00:00Z,2026-03-01T01:00:00Z,every(1h0m0s))", e.String())
	require.NoError(t, checkLaw(e, at("2026-02-28T00:00:00Z"), 9))
	require.Equal(t, "every(1h0m0s)", e.From(time.Time{}).Until(time.Time{}).Name())
	require.Equal(t, "x", e.Named("x").Name())
	require.Equal(t, e, eventflow.Entry(e))
}

func TestAScheduleBeginsWithTheFirstOfItsClocksAndEndsWithTheLast(t *testing.T) {
	t.Parallel()
	a, b := at("2026-03-01T00:00:00Z"), at("2027-03-01T00:00:00Z")
	dates := eventflow.Dates(b, a)
	hourly := eventflow.Entry(eventflow.Every(time.Hour))
	s := eventflow.NewSchedule(dates, hourly.From(a.Add(-1)).Until(b.Add(1)))
	require.Equal(t, a.Add(-1), s.StartDate())
	require.Equal(t, b.Add(1), s.EndDate())
	require.Equal(t, a, eventflow.NewSchedule(eventflow.Entry(dates).From(a.Add(-5)).Until(b.Add(5))).StartDate(), "what the clock begins with, when that is later")
	require.Equal(t, b, eventflow.NewSchedule(eventflow.Entry(dates).From(a.Add(-5)).Until(b.Add(5))).EndDate())
	endless := eventflow.NewSchedule(dates, hourly)
	require.True(t, endless.StartDate().IsZero())
	require.True(t, endless.EndDate().IsZero())
}

// foreign is a clock of somebody else's: it has no name.
type foreign struct{ eventflow.TimeClock }

func TestWhatAScheduleCannotBeIsRefusedByName(t *testing.T) {
	t.Parallel()
	hourly := eventflow.Every(time.Hour)
	for _, c := range []struct {
		schedule     *eventflow.Schedule
		field, value string
	}{
		{eventflow.NewSchedule(), "eventflow.NewSchedule", ""},
		{new(eventflow.Schedule), "eventflow.NewSchedule", ""},
		{eventflow.NewSchedule(nil), "eventflow.Entry", "nil"},
		{eventflow.NewSchedule(slices.Repeat([]eventflow.TimeClock{hourly}, 1001)...), "eventflow.NewSchedule", "1001 clocks"},
		{eventflow.NewSchedule(eventflow.Every(0)), "eventflow.Every", "0s"},
		{eventflow.NewSchedule(foreign{hourly}), "eventflow.NewSchedule", "eventflow_test.foreign"},
		{eventflow.NewSchedule(hourly, eventflow.Entry(hourly).With(region("eu"))), "eventflow.NewSchedule", "every(1h0m0s)"},
		{eventflow.NewSchedule(eventflow.Entry(hourly).Named("x"), eventflow.Entry(eventflow.Every(1)).Named("x")), "eventflow.NewSchedule", "x"},
		{eventflow.NewSchedule(eventflow.Entry(hourly).Named("")), "eventflow.Entry name", ""},
		{eventflow.NewSchedule(eventflow.Entry(hourly).Named(strings.Repeat("x", 513))), "eventflow.Entry name", strings.Repeat("x", 513)},
		{eventflow.NewSchedule(eventflow.Entry(hourly).From(at("2026-03-02T00:00:00Z")).Until(at("2026-03-01T00:00:00Z"))), "eventflow.Entry Until", "2026-03-01T00:00:00Z"},
		{eventflow.NewSchedule(eventflow.Entry(hourly).With(eventflow.Parameters{"F": func() {}})), "eventflow.Entry parameters", "F"},
		{eventflow.NewSchedule(hourly).AllOf(eventflow.Filter{}), "eventflow.Filter", ""},
		{eventflow.NewSchedule(hourly).NoneOf(eventflow.OnDate(time.February, 30, lisbon)), "eventflow.OnDate day", "30"},
		{eventflow.NewSchedule(hourly).NoneOf(eventflow.OnDate(13, 1, lisbon)), "eventflow.OnDate month", "13"},
		{eventflow.NewSchedule(hourly).NoneOf(eventflow.BetweenDates(time.May, 1, time.June, 31, lisbon)), "eventflow.BetweenDates day", "31"},
		{eventflow.NewSchedule(hourly).AnyOf(eventflow.AtTime("9:00", lisbon)), "eventflow.AtTime", "9:00"},
		{eventflow.NewSchedule(hourly).AnyOf(eventflow.BetweenTimes("09:00", "24:00", lisbon)), "eventflow.BetweenTimes last", "24:00"},
		{eventflow.NewSchedule(hourly).AnyOf(eventflow.OnWeekday(lisbon)), "eventflow.OnWeekday", ""},
		{eventflow.NewSchedule(hourly).AnyOf(eventflow.OnWeekday(lisbon, 7)), "eventflow.OnWeekday day", "7"},
		{eventflow.NewSchedule(hourly).AnyOf(eventflow.Weekdays(nil)), "eventflow.Weekdays location", "nil"},
		{eventflow.NewSchedule(hourly).AnyOf(eventflow.OnDays("", lisbon, func(time.Time) bool { return true })), "eventflow.OnDays name", ""},
		{eventflow.NewSchedule(hourly).AnyOf(eventflow.OnDays("x", lisbon, nil)), "eventflow.OnDays match", "nil"},
		{eventflow.NewSchedule(hourly).AnyOf(eventflow.OnInstant(time.Time{})), "eventflow.OnInstant", "0001-01-01T00:00:00Z"},
		{eventflow.NewSchedule(hourly).AnyOf(eventflow.BetweenInstants(at("2026-03-02T00:00:00Z"), at("2026-03-01T00:00:00Z"))), "eventflow.BetweenInstants last", "2026-03-01T00:00:00Z"},
		{eventflow.NewSchedule(hourly).Adjust(eventflow.Adjustment{}), "eventflow.Adjustment", ""},
		{eventflow.NewSchedule(hourly).Adjust(eventflow.NextWeekday(time.Local)), "eventflow.NextWeekday location", "time.Local"},
	} {
		var bad *eventflow.ConfigError
		require.ErrorAs(t, c.schedule.Err(), &bad, "%s %s", c.field, c.value)
		require.Equal(t, c.field, bad.Field)
		require.Equal(t, c.value, bad.Value)
		require.NotContains(t, bad.Allowed, "eu", "no parameter is told")
		if c.value != "eventflow_test.foreign" {
			require.Empty(t, c.schedule.Next(at("2026-01-01T00:00:00Z")), "nothing fires: %v", bad)
		}
	}
	two := eventflow.NewSchedule(eventflow.Every(0)).Adjust(eventflow.Adjustment{}).Err()
	require.ErrorContains(t, two, "eventflow.Every")
	require.ErrorContains(t, two, "eventflow.Adjustment", "all of it at once")
	require.NoError(t, eventflow.NewSchedule(slices.Repeat([]eventflow.TimeClock{hourly}, 1000)...).Err())
	require.Len(t, eventflow.NewSchedule(eventflow.Entry(foreign{hourly}).Named("theirs")).Next(at("2026-01-01T00:00:00Z")), 1)
}

func TestASchedulesClocksAreTheSameForAll(t *testing.T) {
	t.Parallel()
	s := eventflow.NewSchedule(eventflow.Cron("*/10 * * * *", lisbon), eventflow.RRule("DTSTART:20260101T090000 RRULE:FREQ=MONTHLY;BYDAY=-1FR", newYork)).
		NoneOf(eventflow.BetweenTimes("22:00", "06:00", lisbon)).Adjust(eventflow.NextWeekday(lisbon), eventflow.Shift(-time.Hour))
	var want [200][]string
	from := at("2026-03-20T00:00:00Z")
	for i := range want {
		want[i] = plan(s, from.Add(time.Duration(i)*97*time.Minute).Format(time.RFC3339))
	}
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Go(func() {
			for _, i := range rand.New(rand.NewPCG(seed, 1)).Perm(len(want)) {
				if got := plan(s, from.Add(time.Duration(i)*97*time.Minute).Format(time.RFC3339)); !slices.Equal(got, want[i]) {
					t.Errorf("%d: %v, not %v", i, got, want[i])
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkScheduleNext(b *testing.B) {
	s := eventflow.NewSchedule(eventflow.Cron("*/10 * * * *", lisbon), eventflow.Cron("0 9 * * *", lisbon), eventflow.Every(time.Hour)).
		AllOf(eventflow.Weekdays(lisbon)).NoneOf(eventflow.OnDate(time.December, 25, lisbon)).Adjust(eventflow.Shift(time.Minute))
	after := at("2026-03-21T12:00:00Z")
	b.ReportAllocs()
	for b.Loop() {
		if s.Next(after) == nil {
			b.Fatal("it has ended")
		}
	}
}
