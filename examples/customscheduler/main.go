// Customscheduler is a scheduler of one's own. It uses eventflow's clocks and their preview, and nothing else: no
// runner, no store, no broker. The loop is in loop.go.
//
//	go run ./examples/customscheduler
//
// A day passes in no time, because the program brings its own clock, and it ends when the schedule does.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"
	_ "time/tzdata" // it prints the same on a machine without time zones

	"github.com/eventflow-go/eventflow"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "customscheduler:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	lisbon, err := time.LoadLocation("Europe/Lisbon")
	if err != nil {
		return err
	}
	begin := time.Date(2026, time.March, 28, 22, 0, 0, 0, lisbon)
	end := begin.Add(12 * time.Hour)
	s := eventflow.NewSchedule(
		eventflow.Entry(eventflow.Cron("30 */2 * * *", lisbon)).Named("crawl").Until(end),
		eventflow.Entry(eventflow.Cron("30 4 * * *", lisbon)).Named("mail eu").With(eventflow.Parameters{"Region": "eu"}).Until(end),
		eventflow.Entry(eventflow.Cron("30 4 * * *", lisbon)).Named("mail us").With(eventflow.Parameters{"Region": "us"}).Until(end),
		eventflow.Entry(eventflow.Cron("30 1 * * *", lisbon)).Named("index").Until(end), // 01:30 does not exist on the 29th
	).NoneOf(eventflow.BetweenTimes("05:00", "07:00", lisbon))
	if err := s.Err(); err != nil {
		return err
	}

	if _, err := fmt.Fprintln(out, "The plan"); err != nil {
		return err
	}
	for p := range s.Preview(begin, end.Add(1)) {
		if _, err := fmt.Fprintf(out, "  %-10s %-8s %s\n", p.Time.Format("15:04 MST"), p.Fire.Clock, strings.TrimSuffix(p.Verdict.String()+": "+p.Why, ": ")); err != nil {
			return err
		}
	}

	if _, err := fmt.Fprintln(out, "\nThe runs"); err != nil {
		return err
	}
	now := begin // a real program takes time.Now, and a timer
	l := loop{
		schedule: s,
		now:      func() time.Time { return now },
		sleep:    func(ctx context.Context, d time.Duration) error { now = now.Add(d); return ctx.Err() },
		run: func(_ context.Context, f eventflow.Fire, missed int) error {
			_, err := fmt.Fprintf(out, "  %-10s %-8s nominally %s, %d missed, parameters %v\n", now.In(lisbon).Format("15:04 MST"), f.Clock, f.Nominal.In(lisbon).Format("15:04"), missed, f.Parameters)
			if f.Clock == "crawl" && f.Nominal.Hour() == 0 {
				now = now.Add(5 * time.Hour) // it takes longer than it should
			}
			return err
		},
	}
	return l.listen(ctx, begin)
}
