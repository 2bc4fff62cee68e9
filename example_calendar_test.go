package eventflow_test

import (
	"fmt"
	"time"
	_ "time/tzdata"

	"github.com/eventflow-go/eventflow"
)

func printNext(c eventflow.TimeClock, after time.Time, n int) {
	for range n {
		after = c.Next(after)
		fmt.Println(after.Format("Mon 2006-01-02 15:04 MST"))
	}
}

// Every third day keeps its time of day when summer time begins, which 72 hours would not.
func ExampleEveryDays() {
	loc, err := time.LoadLocation("Europe/Lisbon")
	if err != nil {
		fmt.Println(err)
		return
	}
	c := eventflow.EveryDays(3, loc).From(2026, time.March, 24).At(9, 30)
	printNext(c, time.Date(2026, time.March, 24, 0, 0, 0, 0, time.UTC), 3)
	fmt.Println(c)
	// Output:
	// Tue 2026-03-24 09:30 WET
	// Fri 2026-03-27 09:30 WET
	// Mon 2026-03-30 09:30 WEST
	// days(3 from 2026-03-24 at 09:30 Europe/Lisbon)
}

// A date gives the day of the week, and which of two weeks is meant.
func ExampleEveryWeeks() {
	c := eventflow.EveryWeeks(2, time.UTC).From(2026, time.March, 6).At(18, 0)
	printNext(c, time.Date(2026, time.April, 1, 0, 0, 0, 0, time.UTC), 2)
	// Output:
	// Fri 2026-04-03 18:00 UTC
	// Fri 2026-04-17 18:00 UTC
}

// The 31st is the last day of a shorter month, and the 31st again afterwards.
func ExampleEveryMonths() {
	c := eventflow.EveryMonths(1, time.UTC).From(2026, time.January, 31)
	printNext(c, time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC), 3)
	// Output:
	// Sat 2026-01-31 00:00 UTC
	// Sat 2026-02-28 00:00 UTC
	// Tue 2026-03-31 00:00 UTC
}

func ExampleEveryYears() {
	c := eventflow.EveryYears(1, time.UTC).From(2026, time.April, 6).At(6, 0)
	printNext(c, time.Date(2026, time.May, 1, 0, 0, 0, 0, time.UTC), 1)
	// Output: Tue 2027-04-06 06:00 UTC
}

func ExampleCalendarClock_SkipShortMonths() {
	c := eventflow.EveryMonths(1, time.UTC).From(2026, time.January, 31).SkipShortMonths()
	printNext(c, time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC), 3)
	// Output:
	// Sat 2026-01-31 00:00 UTC
	// Tue 2026-03-31 00:00 UTC
	// Sun 2026-05-31 00:00 UTC
}

// On 8 March 2026 the clocks of New York go from 02:00 to 03:00, on 1 November back from 02:00 to 01:00.
func ExampleDST() {
	loc, err := time.LoadLocation("America/New_York")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, policy := range []eventflow.DST{eventflow.Vixie, eventflow.Wall, eventflow.RFC5545} {
		fmt.Println(policy)
		printNext(eventflow.Cron("30 2 * * *", loc, policy), time.Date(2026, time.March, 8, 0, 0, 0, 0, loc), 1)
		printNext(eventflow.Cron("30 1 * * *", loc, policy), time.Date(2026, time.November, 1, 0, 0, 0, 0, loc), 2)
	}
	// Output:
	// gap=vixie overlap=vixie
	// Sun 2026-03-08 03:00 EDT
	// Sun 2026-11-01 01:30 EDT
	// Mon 2026-11-02 01:30 EST
	// gap=skip overlap=both
	// Mon 2026-03-09 02:30 EDT
	// Sun 2026-11-01 01:30 EDT
	// Sun 2026-11-01 01:30 EST
	// gap=shift overlap=first
	// Sun 2026-03-08 03:30 EDT
	// Sun 2026-11-01 01:30 EDT
	// Mon 2026-11-02 01:30 EST
}

// Each side may be chosen by itself; the other keeps its default.
func ExampleOverlap() {
	loc, err := time.LoadLocation("America/New_York")
	if err != nil {
		fmt.Println(err)
		return
	}
	c := eventflow.Cron("30 1 * * *", loc, eventflow.OverlapLast)
	printNext(c, time.Date(2026, time.November, 1, 0, 0, 0, 0, loc), 2)
	fmt.Println(c)
	// Output:
	// Sun 2026-11-01 01:30 EST
	// Mon 2026-11-02 01:30 EST
	// cron(30 1 * * * America/New_York overlap=last)
}

func ExampleGap() {
	loc, err := time.LoadLocation("America/New_York")
	if err != nil {
		fmt.Println(err)
		return
	}
	c := eventflow.Cron("30 2 * * *", loc, eventflow.GapSkip)
	printNext(c, time.Date(2026, time.March, 7, 0, 0, 0, 0, loc), 2)
	// Output:
	// Sat 2026-03-07 02:30 EST
	// Mon 2026-03-09 02:30 EDT
}

// The first Tuesday of a month is a day of the first seven that is a Tuesday as well.
func ExampleDayRule() {
	c := eventflow.Cron("0 9 1-7 * TUE", time.UTC, eventflow.BothDays)
	printNext(c, time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC), 2)
	fmt.Println(c)
	// Output:
	// Tue 2026-03-03 09:00 UTC
	// Tue 2026-04-07 09:00 UTC
	// cron(0 9 1-7 * 2 UTC days=both)
}

func ExampleCronClock_Explain() {
	fmt.Println(eventflow.Cron("*/15 9-17 * * MON-FRI", time.UTC).Explain())
	fmt.Println(eventflow.Cron("0 0 13 * FRI", time.UTC).Explain())
	fmt.Println(eventflow.Cron("CRON_TZ=Europe/Lisbon 30 1 L * *", nil).Explain())
	// Output:
	// Every 15 minutes from 09:00 to 17:45 on Monday to Friday, UTC.
	// At 00:00 on the 13th of every month and also on Friday (a day that matches either of the two runs), UTC.
	// At 01:30 on the last day of every month, Europe/Lisbon; a time that the clock skips runs at the first instant after the gap, one that it shows twice runs the first time.
}

func ExampleCalendarClock_Explain() {
	fmt.Println(eventflow.EveryWeeks(2, time.UTC).From(2026, time.March, 6).At(18, 0).Explain())
	// Output: At 18:00 every 2 weeks on Friday, counted from 6 March 2026, UTC.
}

// A clock may stand in a configuration file, in any spelling; what it writes is canonical.
func ExampleCronClock_UnmarshalText() {
	var c eventflow.CronClock
	if err := c.UnmarshalText([]byte("cron(@weekly UTC gap=skip)")); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(&c)
	// Output: cron(0 0 * * 0 UTC gap=skip)
}

func ExampleCalendarClock_UnmarshalText() {
	var c eventflow.CalendarClock
	if err := c.UnmarshalText([]byte("months(1 from 2026-01-31 at 6:30 UTC)")); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(&c)
	// Output: months(1 from 2026-01-31 at 06:30 UTC)
}
