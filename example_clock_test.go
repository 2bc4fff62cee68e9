package eventflow_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
)

func ExampleEvery() {
	c := eventflow.Every(90 * time.Minute)
	t := time.Date(2026, time.March, 1, 9, 12, 0, 0, time.UTC)
	for range 3 {
		t = c.Next(t)
		fmt.Println(t)
	}
	fmt.Println(c)
	// Output:
	// 2026-03-01 10:30:00 +0000 UTC
	// 2026-03-01 12:00:00 +0000 UTC
	// 2026-03-01 13:30:00 +0000 UTC
	// every(1h30m0s)
}

// The epoch was a Thursday: four days later a week begins.
func ExampleIntervalClock_Phase() {
	c := eventflow.Every(7 * 24 * time.Hour).Phase(4 * 24 * time.Hour)
	fmt.Println(c.Next(time.Date(2026, time.March, 1, 9, 12, 0, 0, time.UTC)).Format(time.RFC850))
	// Output: Monday, 02-Mar-26 00:00:00 UTC
}

func ExampleDates() {
	c := eventflow.Dates(
		time.Date(2026, time.June, 1, 8, 0, 0, 0, time.UTC),
		time.Date(2026, time.March, 1, 8, 0, 0, 0, time.UTC),
	)
	for t := c.Next(time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)); !t.IsZero(); t = c.Next(t) {
		fmt.Println(t)
	}
	// Output:
	// 2026-03-01 08:00:00 +0000 UTC
	// 2026-06-01 08:00:00 +0000 UTC
}

// Summer time begins in Lisbon on 29 March 2026, at 01:00: the clock shows 02:00 next, and 01:30 runs then.
func ExampleCron() {
	loc, err := time.LoadLocation("Europe/Lisbon")
	if err != nil {
		fmt.Println(err)
		return
	}
	c := eventflow.Cron("30 1 * * *", loc)
	t := time.Date(2026, time.March, 27, 12, 0, 0, 0, time.UTC)
	for range 3 {
		t = c.Next(t)
		fmt.Println(t)
	}
	fmt.Println(c)
	// Output:
	// 2026-03-28 01:30:00 +0000 WET
	// 2026-03-29 02:00:00 +0100 WEST
	// 2026-03-30 01:30:00 +0100 WEST
	// cron(30 1 * * * Europe/Lisbon)
}

// The zone may stand in the expression, as it does in a configuration file.
func ExampleCron_zone() {
	c := eventflow.Cron("CRON_TZ=Asia/Tokyo 0 9 * * MON-FRI", nil)
	fmt.Println(c.Next(time.Date(2026, time.March, 6, 12, 0, 0, 0, time.UTC)))
	// Output: 2026-03-09 09:00:00 +0900 JST
}

// A clock that is wrong never fires, and says what to mend; a runner that is given it fails with the same error.
func ExampleCronClock_Err() {
	err := eventflow.Cron("0 25 * * *", time.UTC).Err()
	if bad, ok := errors.AsType[*eventflow.ConfigError](err); ok {
		fmt.Println(bad.Field)
		fmt.Println(bad.Value)
	}
	// Output:
	// eventflow.Cron hour
	// 25
}
