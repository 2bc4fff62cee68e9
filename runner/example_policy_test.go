package runner_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

// A report that takes longer than its clock's interval is to run again as soon as it has ended, but once; after a
// downtime every hour of the last day is made up for; and a hundred such services are not to start at the same second.
func ExampleOverlap() {
	report := eventflow.NewJob("report", func(context.Context) error { return nil })
	r, err := runner.New(report, runner.At(eventflow.Every(time.Hour),
		runner.Overlap(runner.OverlapBufferOne),
		runner.Missed(runner.MissedAll, 24*time.Hour, 24),
		runner.Jitter(5*time.Minute),
	))
	if err != nil {
		fmt.Println(err)
		return
	}
	for line := range strings.Lines(r.String()) {
		if strings.HasPrefix(line, "At") {
			fmt.Println(strings.Join(strings.Fields(line), " "))
		}
	}
	// Output:
	// At every(1h0m0s), Overlap BufferOne, Missed All within 24h0m0s, at most 24, Jitter 5m0s
}

// A policy that is none, and a period that is none, are said by name.
func ExampleMissed() {
	report := eventflow.NewJob("report", func(context.Context) error { return nil })
	_, err := runner.New(report, runner.At(eventflow.Every(time.Hour), runner.Missed(runner.MissedMode(7), 0, 0), runner.Jitter(-time.Second)))
	fmt.Println(err)
	// Output:
	// runner.Missed: "MissedMode(7)" is not allowed: MissedLatest, MissedAll or MissedNone
	// runner.Jitter: "-1s" is not allowed: 0s to 24h0m0s
}
