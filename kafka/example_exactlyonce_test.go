package kafka_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
	"github.com/eventflow-go/eventflow/runner"
)

// Orders in, invoices out, and the offset moves with the invoice or not at all.
func ExampleExactlyOnce() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	servers := fake("orders", "orders.dlq", "invoices")
	defer servers.Close()
	cluster, err := kafka.New(kafka.Config{Seeds: servers.ListenAddrs()})
	must(err)
	must(cluster.Publisher("orders").Publish(ctx, eventflow.Event{Data: []byte("a bicycle")}))

	bill := eventflow.NewFlow("bill", func(_ context.Context, order string) (string, error) {
		return "invoice for " + order, nil
	})
	r, err := runner.New(bill,
		runner.On(cluster.Subscriber("orders", eventflow.Group("billing"), kafka.ExactlyOnce(0))),
		runner.PublishTo(cluster.Publisher("invoices")), // of the same cluster: inside the transaction
		runner.Logger(slog.New(slog.DiscardHandler)),
	)
	must(err)

	post := eventflow.NewSink("post", func(_ context.Context, invoice string) error {
		fmt.Println(invoice)
		stop()
		return nil
	})
	s, err := runner.New(post, runner.Logger(slog.New(slog.DiscardHandler)),
		runner.On(cluster.Subscriber("invoices", eventflow.Group("post"), kafka.ReadCommitted(), kafka.NoDeadLetters())))
	must(err)
	must(runner.Listen(ctx, r, s))
	must(cluster.Close(context.Background()))
	// Output: invoice for a bicycle
}
