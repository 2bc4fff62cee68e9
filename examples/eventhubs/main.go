// Eventhubs takes the events of an Azure event hub through its Kafka endpoint and prints them:
//
//	export EVENTHUBS_CONNECTION_STRING='Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=…;SharedAccessKey=…'
//	go run ./examples/eventhubs -hub orders
//
// The namespace must be of the standard tier or above: the basic one has no Kafka endpoint. An event hub is a topic and
// its consumer groups are groups; the hub for dead letters, orders.dlq here, is made beforehand like the other. Ctrl-C
// ends the program: what runs is finished, and the next start goes on where this one stopped.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
	"github.com/eventflow-go/eventflow/runner"
)

const variable = "EVENTHUBS_CONNECTION_STRING"

var errNoString = errors.New(variable + " is not set: the portal has it under the namespace's shared access policies")

func main() {
	hub := flag.String("hub", "orders", "the event hub")
	group := flag.String("group", "eventflow-example", "the consumer group")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Getenv(variable), *hub, *group)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "eventhubs:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, connectionString, hub, group string) error {
	if connectionString == "" {
		return errNoString
	}
	namespace, err := kafka.EventHubs(connectionString, kafka.Config{ClientID: "eventflow-example"})
	if err != nil {
		return err // the connection string is a secret: no error shows it
	}
	defer namespace.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the runner has closed what matters
	return listen(ctx, namespace, hub, group, os.Stdout)
}

// listen needs nothing of Azure: any cluster will do.
func listen(ctx context.Context, cluster *kafka.Broker, hub, group string, out io.Writer) error {
	events, err := cluster.OpenSubscriber(hub, eventflow.Group(group))
	if err != nil {
		return err
	}
	show := eventflow.NewSink("show", func(_ context.Context, ev eventflow.Event) error {
		_, failed := fmt.Fprintf(out, "%s %s: %s\n", ev.Source, ev.ID, ev.Data)
		return failed
	})
	r, err := runner.New(show, runner.On(events), runner.MaxRuns(1)) // one writer at a time
	if err != nil {
		return err
	}
	return r.Listen(ctx)
}
