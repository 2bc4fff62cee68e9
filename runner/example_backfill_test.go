package runner_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

// A report is new, and wanted for the days before there was one. A day that was backfilled is not reported again, whoever
// asks for it.
func ExampleFlowRunner_Backfill() {
	report := eventflow.NewJob("report", func(ctx context.Context) error {
		fmt.Println("report of", eventflow.RunFrom(ctx).Fire.Nominal.Format(time.DateOnly))
		return nil
	})
	r, err := runner.New(report,
		runner.At(eventflow.Cron("0 3 * * *", time.UTC), runner.Named("nightly")),
		runner.Logger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	day := func(n int) time.Time { return time.Date(2026, time.March, n, 0, 0, 0, 0, time.UTC) }
	done, err := r.Backfill(context.Background(), "nightly", day(1), day(4))
	fmt.Println(done, err)
	done, err = r.Backfill(context.Background(), "nightly", day(2), day(6))
	fmt.Println(done, err)
	// Output:
	// report of 2026-03-01
	// report of 2026-03-02
	// report of 2026-03-03
	// 3 fires = 3 succeeded <nil>
	// report of 2026-03-04
	// report of 2026-03-05
	// 4 fires = 2 succeeded + 2 duplicate <nil>
}

// A backfill that its context ends says where another may begin.
func ExampleBackfillError() {
	ctx, cancel := context.WithCancel(context.Background())
	report := eventflow.NewJob("report", func(context.Context) error {
		cancel() // somebody has had enough during the first
		return nil
	})
	r, err := runner.New(report, runner.At(eventflow.Cron("0 3 * * *", time.UTC), runner.Named("nightly")))
	if err != nil {
		fmt.Println(err)
		return
	}
	done, err := r.Backfill(ctx, "nightly", time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, time.April, 1, 0, 0, 0, 0, time.UTC))
	fmt.Println(done)
	fmt.Println(err)
	// Output:
	// 31 fires = 1 succeeded + 30 not done
	// runner: backfill of "nightly" of flow "report" got as far as 2026-03-02T03:00:00Z: context canceled
}
