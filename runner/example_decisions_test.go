package runner_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
)

// Why was order 7 not shipped? The log remembers the last thousand decisions; without the option it were ten thousand.
func ExampleFlowRunner_Why() {
	ship := eventflow.NewSink("ship", func(context.Context, string) error {
		return eventflow.Skip("to be collected")
	})
	mem := broker.NewMemory()
	r, err := runner.New(ship, runner.On(mem.Subscriber("orders")), runner.DecisionLog(1000), runner.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	ended := make(chan error, 1)
	go func() { ended <- r.Listen(ctx) }()
	order := eventflow.Event{ID: "7", Source: "web", Data: []byte("seven roses")}
	if err := mem.Publisher("orders").Publish(ctx, order, order); err != nil {
		fmt.Println(err)
	}
	if err := mem.WaitSettled(ctx, "orders"); err != nil {
		fmt.Println(err)
	}
	stop()
	if err := <-ended; err != nil {
		fmt.Println(err)
	}
	for _, d := range r.Why("7") {
		if d.Outcome != 0 { // an end
			fmt.Printf("order %s, attempt %d: %v, %s\n", d.Key.ID, d.Attempt, d.Outcome, d.Reason)
		}
	}
	// Output:
	// order 7, attempt 1: skipped, to be collected
	// order 7, attempt 0: duplicate, skipped
}
