// Schedules prints a week of fires of a dozen clocks, day by day, with what is moved, skipped or left out, and why:
//
//	go run ./examples/schedules
//	go run ./examples/schedules -from 2026-10-23
//
// The first week has the night in which summer time begins in Lisbon, the second one that in which it ends. Nothing
// runs: it is all [eventflow.Schedule.Preview].
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // it prints the same on a machine without time zones

	"github.com/eventflow-go/eventflow"
)

func main() {
	from := flag.String("from", "2026-03-27", "the first day of the week")
	flag.Parse()
	if err := run(os.Stdout, *from); err != nil {
		fmt.Fprintln(os.Stderr, "schedules:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, from string) error {
	lisbon, err := time.LoadLocation("Europe/Lisbon")
	if err != nil {
		return err
	}
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		return err
	}
	first, err := time.ParseInLocation(time.DateOnly, from, lisbon)
	if err != nil {
		return err
	}
	all := schedules(lisbon, newYork)
	var week []eventflow.Planned
	for _, s := range all {
		if err := s.Err(); err != nil {
			return err
		}
		week = slices.AppendSeq(week, s.Preview(first, first.AddDate(0, 0, 7)))
	}
	slices.SortStableFunc(week, func(a, b eventflow.Planned) int { return a.Time.Compare(b.Time) })
	return write(out, week, lisbon)
}

// schedules are what the office has: most of it as it comes, and what people are to see, on working days only.
func schedules(lisbon, newYork *time.Location) []*eventflow.Schedule {
	// Three ways to be nightly at half past one, which summer time jumps over.
	const cron, rule = "30 1 * * *", "DTSTART:20260101T013000 RRULE:FREQ=DAILY"
	office := eventflow.NewSchedule(
		eventflow.Entry(eventflow.Cron(cron, lisbon)).Named("backup"),
		eventflow.Entry(eventflow.Cron(cron, lisbon, eventflow.Wall)).Named("backup, to the letter").Labelled("strict"),
		eventflow.Entry(eventflow.RRule(rule, lisbon)).Named("backup, as calendars do").Labelled("calendar"),
		eventflow.Entry(eventflow.Cron("0 18 * * MON-FRI", newYork)).Named("close of New York"),
		eventflow.Entry(eventflow.EveryDays(3, lisbon).At(22, 15)).Named("stocktaking"),
		eventflow.Entry(eventflow.Every(36*time.Hour)).Named("certificates"),
		eventflow.Entry(eventflow.Dates(time.Date(2026, time.March, 31, 10, 0, 0, 0, time.UTC))).Named("launch"),
		eventflow.Entry(eventflow.Cron("0 20 L 3,6,9,12 *", lisbon)).Named("end of the quarter"),
	)
	people := eventflow.NewSchedule(
		eventflow.Entry(eventflow.Cron("0 9 * * *", lisbon)).Named("report").With(eventflow.Parameters{"For": "everybody"}),
		eventflow.Entry(eventflow.RRule("DTSTART:20260105T173000 RRULE:FREQ=WEEKLY;BYDAY=TU,TH", lisbon)).Named("digest"),
		eventflow.Entry(eventflow.Cron("0 8 * * MON", lisbon)).Named("week's plan").From(time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)),
	).AllOf(eventflow.Weekdays(lisbon)).NoneOf(eventflow.OnDate(time.April, 1, lisbon))
	pay := eventflow.NewSchedule(
		eventflow.Entry(eventflow.EveryMonths(1, lisbon).From(2026, time.January, 28).At(12, 0)).Named("wages"),
	).Adjust(eventflow.NextWeekday(lisbon))
	return []*eventflow.Schedule{office, people, pay}
}

// signs stand in front of a line: a fire has none.
var signs = map[eventflow.Verdict]string{eventflow.Filtered: "-", eventflow.Moved: ">", eventflow.NoSuchReading: "x", eventflow.OtherReading: "x", eventflow.Repeated: "="}

func write(out io.Writer, week []eventflow.Planned, loc *time.Location) error {
	day := ""
	var errs []error
	line := func(text string) {
		_, err := fmt.Fprintln(out, strings.TrimRight(text, " "))
		errs = append(errs, err)
	}
	for _, p := range week {
		at := p.Time.In(loc)
		if d := at.Format("Monday, 2 January 2006"); d != day {
			change := ""
			if by := offsetChange(at); by != 0 {
				change = fmt.Sprintf("   (the clock is put %s by %v)", map[bool]string{true: "forward", false: "back"}[by > 0], max(by, -by))
			}
			line("\n" + d + change)
			day = d
		}
		why := p.Why
		if p.Time.Location().String() != loc.String() && p.Time.Location() != time.UTC {
			why = strings.TrimPrefix(why+"; "+p.Time.Format("15:04 MST"), "; ")
		}
		line(fmt.Sprintf("%1s %s %-4s  %-24s %s%s", signs[p.Verdict], at.Format("15:04"), at.Format("MST"), p.Fire.Clock, verdict(p.Verdict), why))
	}
	line("\n- kept out by a filter   > moved by an adjustment   x not run because of summer time")
	return errors.Join(errs...)
}

func verdict(v eventflow.Verdict) string {
	if v == eventflow.Runs || v == eventflow.Moved {
		return ""
	}
	return v.String() + ": "
}

// offsetChange is by how much the day is shorter or longer than others. A preview marks the days of each clock's zone;
// this page has the days of one.
func offsetChange(t time.Time) time.Duration {
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
	return 24*time.Hour - midnight.AddDate(0, 0, 1).Sub(midnight)
}
