package kafka_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
)

// Consumers of a share group work on one partition together, each event locked by itself, in no order. What fails comes
// back to any of them, and says how often it was handed over.
func ExampleMode_shareGroup() {
	servers, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders", "orders.dlq"))
	must(err)
	defer servers.Close()
	// kafka-configs.sh --alter --entity-type groups --entity-name billing --add-config share.auto.offset.reset=earliest
	servers.SetGroupConfigs("billing", map[string]string{"share.auto.offset.reset": "earliest"})
	cluster, err := kafka.New(kafka.Config{Seeds: servers.ListenAddrs(), Logger: slog.New(slog.DiscardHandler)})
	must(err)
	must(cluster.Publisher("orders").Publish(context.Background(), eventflow.Event{Data: []byte("one")}, eventflow.Event{Data: []byte("two")}))

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	next := func(s eventflow.Subscriber) *eventflow.Delivery {
		ds, failed := s.Next(ctx, eventflow.Want{Events: 1})
		must(failed)
		return ds[0]
	}
	ada, err := cluster.OpenSubscriber("orders", eventflow.Group("billing"), kafka.ShareGroup)
	must(err)
	bob, err := cluster.OpenSubscriber("orders", eventflow.Group("billing"), kafka.ShareGroup)
	must(err)
	one, two := next(ada), next(bob)
	fmt.Printf("ada has %s, bob has %s\n", one.Event.Data, two.Event.Data)
	two.Ack()
	one.Nack(0)
	again := next(ada)
	fmt.Printf("%s comes again, handed over %d times\n", again.Event.Data, again.Receives)
	again.Ack()
	must(cluster.Close(context.Background()))
	// Output:
	// ada has one, bob has two
	// one comes again, handed over 2 times
}
