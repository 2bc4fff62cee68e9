package runner_test

import (
	"context"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

// Each clock brings its parameters to the run. A schedule with an end ends Listen.
func ExampleAtSchedule() {
	type params struct{ Region string }
	report := eventflow.NewSink("report", func(ctx context.Context, p params) error {
		fmt.Println(eventflow.RunFrom(ctx).Fire.Clock, "reports for", p.Region)
		return nil
	})
	soon := eventflow.Dates(time.Now().Add(10 * time.Millisecond))
	s := eventflow.NewSchedule(
		eventflow.Entry(soon).Named("eu").With(eventflow.Parameters{"Region": "Europe"}),
		eventflow.Entry(soon).Named("us").With(eventflow.Parameters{"Region": "America"}),
	)
	r, err := runner.New(report, runner.AtSchedule(s))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := r.Listen(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Unordered output:
	// eu reports for Europe
	// us reports for America
}
