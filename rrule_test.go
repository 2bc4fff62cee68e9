package eventflow_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

var _ eventflow.TimeClock = (*eventflow.RRuleClock)(nil)

func TestAReadingThatDoesNotExistFollowsTheOffsetBeforeTheGap(t *testing.T) {
	t.Parallel()
	const text = "DTSTART:20260306T023000 RRULE:FREQ=DAILY"
	local := func(c eventflow.TimeClock) (out []string) {
		at := at("2026-03-06T12:00:00Z")
		for range 3 {
			at = c.Next(at)
			out = append(out, at.Format("02 15:04 MST"))
		}
		return out
	}
	require.Equal(t, []string{"07 02:30 EST", "08 03:30 EDT", "09 02:30 EDT"}, local(eventflow.RRule(text, newYork)), "RFC 5545, section 3.3.5")
	require.Equal(t, []string{"07 02:30 EST", "09 02:30 EDT", "10 02:30 EDT"}, local(eventflow.RRule(text, newYork, eventflow.Wall)))
	require.Equal(t, []string{"07 02:30 EST", "08 03:00 EDT", "09 02:30 EDT"}, local(eventflow.RRule(text, newYork, eventflow.Vixie)))
}

func TestAReadingThatIsShownTwiceFiresTheFirstTime(t *testing.T) {
	t.Parallel()
	const text = "DTSTART:20261030T013000 RRULE:FREQ=DAILY"
	require.Equal(t, []string{"2026-10-31T05:30:00Z", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"}, fires(eventflow.RRule(text, newYork), "2026-10-31T00:00:00Z", 3))
	require.Equal(t, []string{"2026-10-31T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"}, fires(eventflow.RRule(text, newYork, eventflow.OverlapLast), "2026-10-31T00:00:00Z", 3))
	require.Equal(t, []string{"2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"}, fires(eventflow.RRule(text, newYork, eventflow.Wall), "2026-11-01T00:00:00Z", 3))
}

func TestDatesAreAddedAndTakenAway(t *testing.T) {
	t.Parallel()
	c := eventflow.RRule(`DTSTART;TZID=Europe/Lisbon:20260701T090000
RRULE:FREQ=DAILY;COUNT=5
RDATE:20260702T090000,20260710T100000
RDATE:20260720T100000Z
EXDATE:20260703T090000
EXDATE:20260704T080000Z`, nil)
	require.NoError(t, c.Err())
	require.Equal(t, []string{"2026-07-01T08:00:00Z", "2026-07-02T08:00:00Z", "2026-07-05T08:00:00Z", "2026-07-10T09:00:00Z", "2026-07-20T10:00:00Z"}, fires(c, "2026-01-01T00:00:00Z", 9),
		"what is excluded counts for COUNT, what is added does not, and what is there twice fires once")
	require.Equal(t, at("2026-07-01T08:00:00Z"), c.StartDate().UTC())
	require.Equal(t, at("2026-07-20T10:00:00Z"), c.EndDate().UTC())

	several := eventflow.RRule("DTSTART:20260101T120000 RRULE:FREQ=YEARLY;UNTIL=20270601T000000 RRULE:FREQ=MONTHLY;COUNT=2", time.UTC)
	require.Equal(t, []string{"2026-01-01T12:00:00Z", "2026-02-01T12:00:00Z", "2027-01-01T12:00:00Z"}, fires(several, "2025-01-01T00:00:00Z", 9))
	require.Equal(t, at("2027-06-01T00:00:00Z"), several.EndDate())
	require.True(t, eventflow.RRule("DTSTART:20260101T120000 FREQ=DAILY RDATE:20260101T130000", time.UTC).EndDate().IsZero())
}

func TestUntilIsAnInstantWithAZAndAReadingWithout(t *testing.T) {
	t.Parallel()
	const rule = "DTSTART:20261101T000000 RRULE:FREQ=MINUTELY;INTERVAL=30;UNTIL=20261101T"
	require.Equal(t, "2026-11-01T05:30:00Z", last(eventflow.RRule(rule+"013000", newYork)), "01:30 is shown twice, and fires the first time")
	require.Equal(t, "2026-11-01T05:00:00Z", last(eventflow.RRule(rule+"051500Z", newYork)))
	require.Equal(t, "2026-11-01T06:00:00Z", last(eventflow.RRule(rule+"061500Z", newYork, eventflow.OverlapBoth)))
	require.Equal(t, "2026-11-01T06:30:00Z", last(eventflow.RRule(rule+"013000", newYork, eventflow.OverlapBoth)))
}

func last(c eventflow.TimeClock) string {
	at := c.Next(time.Time{})
	for next := at; !next.IsZero(); next = c.Next(next) {
		at = next
	}
	return at.UTC().Format(time.RFC3339)
}

func TestCountIsTheSameFromWhereverItIsAsked(t *testing.T) {
	t.Parallel()
	c := eventflow.RRule("DTSTART:20260101T000000 RRULE:FREQ=MINUTELY;INTERVAL=7;BYHOUR=3,4;COUNT=1000", lisbon)
	var all []time.Time
	for at := c.Next(time.Time{}); !at.IsZero(); at = c.Next(at) {
		all = append(all, at)
	}
	require.Len(t, all, 1000)
	require.Equal(t, all[999], c.EndDate())
	for i := 999; i > 0; i-- { // backwards: nothing that was asked before helps
		require.Equal(t, all[i], c.Next(all[i].Add(-1)))
		require.Equal(t, all[i], c.Next(all[i-1]))
	}
	require.True(t, c.Next(all[999]).IsZero())
}

func TestARuleWithoutAReadingEnds(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{
		"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30,31", "FREQ=SECONDLY;BYMONTH=4;BYMONTHDAY=31",
		"FREQ=HOURLY;INTERVAL=2;BYHOUR=3", "FREQ=SECONDLY;INTERVAL=2;BYSECOND=1", "FREQ=MINUTELY;INTERVAL=60;BYMINUTE=30",
		"FREQ=YEARLY;BYWEEKNO=53;BYMONTH=6;BYDAY=MO", "FREQ=YEARLY;BYDAY=53MO;BYMONTH=3", "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6",
		"FREQ=DAILY;INTERVAL=7;BYDAY=MO", "FREQ=SECONDLY;INTERVAL=86400;BYHOUR=1", "FREQ=DAILY;BYHOUR=9;BYSETPOS=2", "FREQ=YEARLY;INTERVAL=1000000000;BYMONTH=1;BYMONTHDAY=1",
	} {
		c := eventflow.RRule("DTSTART:20260101T000000 RRULE:"+rule, lisbon) // a Thursday
		require.NoError(t, c.Err(), rule)
		require.True(t, c.Next(at("2026-01-02T00:00:00Z")).IsZero(), rule)
	}
	require.Equal(t, []string{"2048-02-29T00:00:00Z", "2076-02-29T00:00:00Z", "2116-02-29T00:00:00Z"},
		fires(eventflow.RRule("DTSTART:20260101T000000 RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SA", time.UTC), "2021-01-01T00:00:00Z", 3), "rare is not never")
}

func TestASearchBeginsWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	c := eventflow.RRule("DTSTART:19700101T000000 RRULE:FREQ=SECONDLY;INTERVAL=7", time.UTC)
	far := at("9000-01-01T00:00:00Z") // a walk from DTSTART would take hours
	require.Equal(t, far.Unix()+7-far.Unix()%7, c.Next(far).Unix())
}

func TestRuleClocksKeepTheLaw(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"FREQ=MINUTELY;INTERVAL=5", "FREQ=HOURLY;BYMINUTE=0,30", "FREQ=DAILY;COUNT=30", "FREQ=MONTHLY;BYDAY=-1FR;BYSETPOS=1", "FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=0,30;BYSETPOS=2,-1",
		"FREQ=DAILY;UNTIL=20270101T000000Z EXDATE:20260401T013000 RDATE:20260401T013001,20260329T013000",
	} {
		for _, policy := range []eventflow.DST{eventflow.RFC5545, eventflow.Vixie, eventflow.Wall} {
			for _, zone := range []*time.Location{lisbon, newYork, time.UTC} {
				c := eventflow.RRule("DTSTART:20260101T013000 RRULE:"+text, zone, policy)
				require.NoError(t, c.Err())
				require.NoError(t, checkLaw(c, at("2026-03-07T22:11:33.123456789Z"), 200), "%v", c)
				require.NoError(t, checkLaw(c, at("2026-10-24T22:11:33.5+02:00"), 200), "%v", c)
			}
		}
	}
}

func TestAClockAsksNothingOfItsUsers(t *testing.T) {
	t.Parallel()
	c := eventflow.RRule("DTSTART:20200101T000000 RRULE:FREQ=MINUTELY;INTERVAL=5;BYDAY=MO,TU,WE,TH,FR;COUNT=100000", lisbon)
	require.NoError(t, c.Err())
	want := map[int64]int64{}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		n := at("2020-01-01T00:00:00Z").Unix() + rnd.Int64N(3*365*86400)
		want[n] = c.Next(time.Unix(n, 0)).Unix()
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { // maps are walked in another order by each
			for n, next := range want {
				if got := c.Next(time.Unix(n, 0)).Unix(); got != next {
					t.Errorf("after %d: %d, not %d", n, got, next)
				}
			}
		})
	}
	wg.Wait()
}

func TestWhatARuleCannotBeIsRefusedByName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, field, value string }{
		{"", "DTSTART", ""},
		{"RRULE:FREQ=DAILY", "DTSTART", ""},
		{"DTSTART:20260101T000000", "RRULE", ""},
		{"DTSTART:20260101T000000 FREQ=DAILY DTSTART:20260102T000000", "DTSTART", "20260102T000000"},
		{"DTSTART:2026-01-01 FREQ=DAILY", "DTSTART", "2026-01-01"},
		{"DTSTART;TZID=Europe/Lisbon:20260101T000000Z FREQ=DAILY", "DTSTART", "20260101T000000Z"},
		{"DTSTART:20260101T000000 INTERVAL=2", "FREQ", ""},
		{"DTSTART:20260101T000000 FREQ=FORTNIGHTLY", "FREQ", "FORTNIGHTLY"},
		{"DTSTART:20260101T000000 FREQ=DAILY;FREQ=DAILY", "FREQ", "DAILY"},
		{"DTSTART:20260101T000000 FREQ=DAILY;INTERVAL=0", "INTERVAL", "0"},
		{"DTSTART:20260101T000000 FREQ=DAILY;COUNT=0", "COUNT", "0"},
		{"DTSTART:20260101T000000 FREQ=DAILY;COUNT=100001", "COUNT", "100001"},
		{"DTSTART:20260101T000000 FREQ=DAILY;COUNT=1;UNTIL=20270101T000000", "COUNT", "1"},
		{"DTSTART:20260101T000000 FREQ=DAILY;UNTIL=tomorrow", "UNTIL", "TOMORROW"},
		{"DTSTART:20260101T000000 FREQ=DAILY;UNTIL=20270101", "UNTIL", "20270101"},
		{"DTSTART:20260101 FREQ=DAILY;UNTIL=20270101T000000", "UNTIL", "20270101T000000"},
		{"DTSTART:20260101T000000 FREQ=DAILY;BYSECOND=60", "BYSECOND", "60"},
		{"DTSTART:20260101T000000 FREQ=DAILY;BYMINUTE=", "BYMINUTE", ""},
		{"DTSTART:20260101T000000 FREQ=DAILY;BYHOUR=24", "BYHOUR", "24"},
		{"DTSTART:20260101T000000 FREQ=DAILY;BYMONTH=13", "BYMONTH", "13"},
		{"DTSTART:20260101T000000 FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY", "0"},
		{"DTSTART:20260101T000000 FREQ=MONTHLY;BYMONTHDAY=-32", "BYMONTHDAY", "-32"},
		{"DTSTART:20260101T000000 FREQ=YEARLY;BYYEARDAY=367", "BYYEARDAY", "367"},
		{"DTSTART:20260101T000000 FREQ=MONTHLY;BYDAY=0MO", "BYDAY", "0MO"},
		{"DTSTART:20260101T000000 FREQ=MONTHLY;BYDAY=1", "BYDAY", "1"},
		{"DTSTART:20260101T000000 FREQ=WEEKLY;BYDAY=1MO", "BYDAY", "WEEKLY"},
		{"DTSTART:20260101T000000 FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO", "BYDAY", "BYWEEKNO"},
		{"DTSTART:20260101T000000 FREQ=MONTHLY;BYWEEKNO=1", "BYWEEKNO", "MONTHLY"},
		{"DTSTART:20260101T000000 FREQ=DAILY;BYYEARDAY=1", "BYYEARDAY", "DAILY"},
		{"DTSTART:20260101T000000 FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY", "WEEKLY"},
		{"DTSTART:20260101T000000 FREQ=DAILY;BYSETPOS=1", "BYSETPOS", ""},
		{"DTSTART:20260101T000000 FREQ=DAILY;WKST=XX", "WKST", "XX"},
		{"DTSTART:20260101T000000 FREQ=YEARLY;BYEASTER=1", "", "BYEASTER"},
		{"DTSTART:20260101T000000 FREQ=DAILY EXRULE:FREQ=DAILY", "", "EXRULE"},
		{"DTSTART:20260101T000000 RDATE;VALUE=PERIOD:20260101T000000Z/PT1H", "RDATE", "VALUE=PERIOD"},
		{"DTSTART:20260101T000000 RDATE:20260101T000000Z,x", "RDATE", "x"},
		{"DTSTART;TZID=Europe/Lisbn:20260101T000000 FREQ=DAILY", "TZID", "Europe/Lisbn"},
		{"DTSTART:20260101T000000 FREQ=DAILY EXDATE;\xff;TZID=X:", "EXDATE", "\xff"},
		{"DTSTART;TZID=Asia/Tokyo;TZID=Asia/Tokyo:20260101T000000 FREQ=DAILY", "DTSTART", "TZID=Asia/Tokyo"},
		{"DTSTART;TZID=Asia/Tokyo:20260101T000000 FREQ=DAILY", "TZID", "Asia/Tokyo"},
		{"DTSTART:20260101T000000 FREQ=DAILY EXDATE;TZID=Asia/Tokyo:20260101T000000", "TZID", "Asia/Tokyo"},
	} {
		loc := time.UTC
		if c.value == "Europe/Lisbn" {
			loc = nil
		}
		clock := eventflow.RRule(c.text, loc)
		var bad *eventflow.ConfigError
		require.ErrorAs(t, clock.Err(), &bad, c.text)
		require.Equal(t, strings.TrimSpace("eventflow.RRule "+c.field), bad.Field, c.text)
		require.Equal(t, c.value, bad.Value, c.text)
		require.NotEmpty(t, bad.Allowed)
		require.True(t, clock.Next(at("2026-01-01T00:00:00Z")).IsZero())
		require.Contains(t, clock.String(), "rrule(")
	}
	for _, c := range []*eventflow.RRuleClock{
		eventflow.RRule("DTSTART:20260101T000000 FREQ=DAILY", nil), eventflow.RRule("DTSTART:20260101T000000 FREQ=DAILY", time.Local),
		eventflow.RRule("DTSTART:20260101T000000 FREQ=DAILY", time.UTC, nil), new(eventflow.RRuleClock),
	} {
		require.ErrorIs(t, c.Err(), eventflow.ErrFatal)
		require.True(t, c.Next(time.Time{}).IsZero())
	}
}

func TestAWeekWithoutADayIsThatOfTheStart(t *testing.T) {
	t.Parallel()
	c := eventflow.RRule("DTSTART:20260107T090000 RRULE:FREQ=YEARLY;BYWEEKNO=-1,20", time.UTC) // a Wednesday
	require.Equal(t, []string{"2026-05-13T09:00:00Z", "2026-12-30T09:00:00Z", "2027-05-19T09:00:00Z", "2027-12-29T09:00:00Z"}, fires(c, "2026-01-01T00:00:00Z", 4))
	mixed := eventflow.RRule("DTSTART:20260101T090000 RRULE:FREQ=MONTHLY;BYDAY=MO,2TU;COUNT=6", time.UTC)
	require.Equal(t, []string{"2026-01-05T09:00:00Z", "2026-01-12T09:00:00Z", "2026-01-13T09:00:00Z", "2026-01-19T09:00:00Z", "2026-01-26T09:00:00Z", "2026-02-02T09:00:00Z"},
		fires(mixed, "2026-01-01T00:00:00Z", 9), "every Monday, and the second Tuesday")
}

func TestALineMayBeFolded(t *testing.T) {
	t.Parallel()
	c := eventflow.RRule("DTSTART;TZID=Europe/Lisbon:20260105T180000\r\nRRULE:FREQ=MONTHLY;B\r\n YDAY=-1FR\r\n", nil)
	require.NoError(t, c.Err())
	require.Equal(t, "rrule(DTSTART:20260105T180000 RRULE:FREQ=MONTHLY;BYDAY=-1FR Europe/Lisbon)", c.String())
}

func BenchmarkRRuleNext(b *testing.B) {
	for name, rule := range map[string]string{
		"5 minutes": "FREQ=MINUTELY;INTERVAL=5", "daily": "FREQ=DAILY", "last Friday": "FREQ=MONTHLY;BYDAY=-1FR", "third of the year": "FREQ=YEARLY;BYDAY=MO,TU;BYSETPOS=3",
		"29 February": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
	} {
		b.Run(name, func(b *testing.B) {
			c := eventflow.RRule("DTSTART:20250101T090000 RRULE:"+rule, newYork)
			after := at("2026-01-01T12:00:00Z")
			b.ReportAllocs()
			for b.Loop() {
				if c.Next(after).IsZero() {
					b.Fatal("it has ended")
				}
			}
		})
	}
}
