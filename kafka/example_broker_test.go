package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/kafka"
	"github.com/eventflow-go/eventflow/runner"
)

// fake is a cluster for the examples; yours is Config.Seeds.
func fake(topics ...string) *kfake.Cluster {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics...))
	must(err)
	return c
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A flow between two topics.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	servers := fake("orders", "orders.dlq", "invoices")
	defer servers.Close()

	cluster, err := kafka.New(kafka.Config{Seeds: servers.ListenAddrs()})
	must(err)
	order := eventflow.Event{Key: "ada", Data: []byte(`{"Cents":1250}`)}
	must(cluster.Publisher("orders").Publish(ctx, order))

	type Order struct{ Cents int }
	bill := eventflow.NewFlow("bill", func(_ context.Context, o Order) (string, error) {
		defer stop()
		return fmt.Sprintf("%d.%02d EUR", o.Cents/100, o.Cents%100), nil
	})
	r, err := runner.New(bill,
		runner.On(cluster.Subscriber("orders", eventflow.Group("billing"), kafka.KeyLanes)),
		runner.PublishTo(cluster.Publisher("invoices")),
		runner.Logger(slog.New(slog.DiscardHandler)),
	)
	must(err)
	must(r.Listen(ctx))
	fmt.Println(r.Counts().Outcomes)

	lag, err := cluster.Lag(context.Background(), "orders", "billing")
	must(err)
	fmt.Println("committed", lag[0].Committed, "lag", lag[0].Lag)
	must(cluster.Close(context.Background()))
	// Output:
	// map[succeeded:1]
	// committed 1 lag 0
}

// Mistakes are found before anything is connected, all at once.
func ExampleNew() {
	_, err := kafka.New(kafka.Config{
		Seeds:  []string{"kafka-1:9092"},
		SASL:   kafka.Plain("billing", "password"),
		Client: []kgo.Opt{kgo.AutoCommitMarks()},
	})
	fmt.Println(err)
	// Output:
	// kafka.Config.SASL: "PLAIN without TLS" is not allowed: Config.TLS beside it, or InsecurePlaintext where the network is private: the password or token goes over as it is
	// kafka.Config.Client: "kgo.AutoCommitMarks" is not allowed: the subscriber's own commits
}

// Certificates and keys are given as PEM.
func ExampleTLS() {
	_, err := kafka.TLS([]byte("-----BEGIN CERTIFICATE-----\n…"), nil, nil)
	fmt.Println(err)
	// Output: kafka.TLS ca: "(not shown)" is not allowed: certificates as PEM
}

func ExampleScheme() {
	cluster, err := broker.Open(context.Background(), "kafka://billing:p%40ssword@kafka-1,kafka-2:9093?tls=true&sasl=scram-sha-512", kafka.Scheme)
	must(err)
	fmt.Println(cluster.Features().MaxEvent)
	// Output: 983628
}

func ExampleEventHubs() {
	_, err := kafka.EventHubs("Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=billing", kafka.Config{})
	fmt.Println(err)
	// Output: kafka.EventHubs connection string: "(not shown)" is not allowed: Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=…;SharedAccessKey=…
}

// The error of a publish says which events were not taken, and what to do.
func ExampleError() {
	servers := fake("orders")
	defer servers.Close()
	cluster, err := kafka.New(kafka.Config{Seeds: servers.ListenAddrs()})
	must(err)
	p, err := cluster.OpenPublisher("order") // misspelt
	must(err)
	err = p.Publish(context.Background(), eventflow.Event{Data: []byte("an order")})
	if e, ok := errors.AsType[*kafka.Error](err); ok {
		fmt.Println(e.Op, e.Topic, errors.Is(err, eventflow.ErrNoTopic))
		fmt.Println(e.Do)
	}
	must(cluster.Close(context.Background()))
	// Output:
	// publish order true
	// create the topic, or correct its name
}
