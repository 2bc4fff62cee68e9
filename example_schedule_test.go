package eventflow_test

import (
	"cmp"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
)

// Two clocks that fire at one instant, each with its own parameters; neither at Christmas.
func ExampleSchedule() {
	nine := eventflow.Cron("CRON_TZ=Europe/Lisbon 0 9 * * MON-FRI", nil)
	zone, err := time.LoadLocation("Europe/Lisbon")
	if err != nil {
		fmt.Println(err)
		return
	}
	s := eventflow.NewSchedule(
		eventflow.Entry(nine).Named("eu").With(eventflow.Parameters{"Region": "eu"}),
		eventflow.Entry(nine).Named("us").With(eventflow.Parameters{"Region": "us"}),
	).NoneOf(eventflow.OnDate(time.December, 25, zone))

	for _, f := range s.Next(time.Date(2026, time.December, 24, 12, 0, 0, 0, time.UTC)) {
		fmt.Println(f.Clock, f.Nominal, f.Parameters["Region"])
	}
	// Output:
	// eu 2026-12-28 09:00:00 +0000 UTC eu
	// us 2026-12-28 09:00:00 +0000 UTC us
}

// A loop that keeps time for each clock by itself asks each by itself.
func ExampleSchedule_Clocks() {
	s := eventflow.NewSchedule(eventflow.Every(time.Hour), eventflow.Every(3*time.Hour))
	at := time.Date(2026, time.March, 1, 3, 0, 0, 0, time.UTC)
	for _, c := range s.Clocks() {
		fmt.Println(c.Name(), c.Next(at.Add(-1)).Equal(at), c.Repeats(at))
	}
	// Output:
	// every(1h0m0s) true false
	// every(3h0m0s) true true
}

// Wages are paid on the 28th, and when that is a Saturday or Sunday, on the Monday that follows.
func ExampleNextWeekday() {
	s := eventflow.NewSchedule(eventflow.Cron("0 12 28 * *", time.UTC)).Adjust(eventflow.NextWeekday(time.UTC))
	for t, n := time.Date(2026, time.February, 1, 0, 0, 0, 0, time.UTC), 0; n < 3; n++ {
		t = s.Next(t)[0].Nominal
		fmt.Println(t.Format("Mon 2 Jan"))
	}
	// Output:
	// Mon 2 Mar
	// Mon 30 Mar
	// Tue 28 Apr
}

func ExampleShift() {
	s := eventflow.NewSchedule(eventflow.Every(24 * time.Hour)).Adjust(eventflow.Shift(-15 * time.Minute))
	fmt.Println(s.Next(time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC))[0].Nominal)
	// Output: 2026-03-01 23:45:00 +0000 UTC
}

func ExampleEntry() {
	c := eventflow.Entry(eventflow.Every(time.Hour)).
		From(time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC)).
		Until(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)).
		Labelled("trial")
	fmt.Println(c.Next(time.Time{}))
	fmt.Println(c)
	// Output:
	// 2026-03-01 00:00:00 +0000 UTC
	// between(2026-03-01T00:00:00Z,2026-03-01T12:00:00Z,every(1h0m0s))
}

func ExampleBetweenTimes() {
	night := eventflow.BetweenTimes("22:00", "06:00", time.UTC)
	for _, hour := range []int{5, 12, 23} {
		fmt.Println(hour, night.Holds(time.Date(2026, time.March, 1, hour, 0, 0, 0, time.UTC)))
	}
	fmt.Println(night)
	// Output:
	// 5 true
	// 12 false
	// 23 true
	// times(22:00:00 06:00:00 UTC)
}

// A calendar of one's own: a function under a name.
func ExampleOnDays() {
	holidays := map[string]bool{"2026-12-24": true, "2026-12-25": true}
	banking := eventflow.OnDays("banking days 2026", time.UTC, func(day time.Time) bool { return !holidays[day.Format(time.DateOnly)] })
	s := eventflow.NewSchedule(eventflow.Cron("0 9 * * *", time.UTC)).AllOf(banking)
	fmt.Println(s.Next(time.Date(2026, time.December, 24, 0, 0, 0, 0, time.UTC))[0].Nominal)
	// Output: 2026-12-26 09:00:00 +0000 UTC
}

// In the night of 29 March the clock in Lisbon goes from 01:00 to 02:00.
func ExamplePreview() {
	zone, err := time.LoadLocation("Europe/Lisbon")
	if err != nil {
		fmt.Println(err)
		return
	}
	from := time.Date(2026, time.March, 28, 0, 0, 0, 0, zone)
	for p := range eventflow.Preview(eventflow.Cron("30 1 * * *", zone, eventflow.GapSkip), from, from.AddDate(0, 0, 3)) {
		fmt.Printf("%s %v: %v %s\n", p.Time.Format("Mon 15:04"), p.OffsetChange, p.Verdict, cmp.Or(p.Why, "as planned"))
	}
	// Output:
	// Sat 01:30 0s: runs as planned
	// Sun 02:00 1h0m0s: no such reading the clock jumps over 01:30
	// Mon 01:30 0s: runs as planned
}

// The last Friday of each month, but not in July.
func ExampleRRule() {
	c := eventflow.RRule(`DTSTART;TZID=Europe/Lisbon:20260105T180000
RRULE:FREQ=MONTHLY;BYDAY=-1FR
EXDATE:20260731T180000`, nil)
	t := time.Date(2026, time.June, 1, 0, 0, 0, 0, time.UTC)
	for range 3 {
		t = c.Next(t)
		fmt.Println(t)
	}
	// Output:
	// 2026-06-26 18:00:00 +0100 WEST
	// 2026-08-28 18:00:00 +0100 WEST
	// 2026-09-25 18:00:00 +0100 WEST
}

// What a store or a page shows of a clock is all that is needed to make it again.
func ExampleParseClock() {
	c, err := eventflow.ParseClock("cron(30 2 * * * Europe/Lisbon gap=skip)")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c)
	fmt.Println(c.Next(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)))
	// Output:
	// cron(30 2 * * * Europe/Lisbon gap=skip)
	// 2026-03-02 02:30:00 +0000 WET
}
