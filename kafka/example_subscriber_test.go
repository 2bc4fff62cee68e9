package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
)

// first opens a subscriber and gives the first n events that it hands over, one of each lane.
func first(cluster *kafka.Broker, n int, opts ...eventflow.SubscriberOption) []*eventflow.Delivery {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := cluster.OpenSubscriber("orders", append(opts, eventflow.Group("billing"))...)
	must(err)
	var ds []*eventflow.Delivery
	for len(ds) < n {
		more, err := s.Next(ctx, eventflow.Want{Events: n, PerLane: 1})
		must(err)
		ds = append(ds, more...)
	}
	return ds
}

// The mode is the option: here the events of one key run one after another, and what is of no key at the same time, although
// they share a partition.
func ExampleMode() {
	servers := fake("orders", "orders.dlq")
	defer servers.Close()
	cluster, err := kafka.New(kafka.Config{Seeds: servers.ListenAddrs(), Logger: slog.New(slog.DiscardHandler)})
	must(err)
	must(cluster.Publisher("orders").Publish(context.Background(),
		eventflow.Event{Key: "ada", Data: []byte("first of ada")},
		eventflow.Event{Key: "ada", Data: []byte("second of ada")},
		eventflow.Event{Data: []byte("of nobody")},
	))
	ds := first(cluster, 2, kafka.KeyLanes)
	fmt.Println(len(ds), "at the same time")
	for _, d := range ds {
		fmt.Printf("%s\n", d.Event.Data)
		d.Ack()
	}
	must(cluster.Close(context.Background()))
	// Unordered output:
	// 2 at the same time
	// first of ada
	// of nobody
}

// The lock of an event lasts for the session: at most what is said here, and less where the group's is shorter.
func ExampleServerSideBalancer() {
	servers := fake("orders", "orders.dlq")
	defer servers.Close()
	cluster, err := kafka.New(kafka.Config{Seeds: servers.ListenAddrs(), Logger: slog.New(slog.DiscardHandler)})
	must(err)
	must(cluster.Publisher("orders").Publish(context.Background(), eventflow.Event{Data: []byte("an order")}))
	d := first(cluster, 1, kafka.ServerSideBalancer(30*time.Second), kafka.StaticMember("billing-1"))[0]
	left := time.Until(d.LockedUntil)
	fmt.Println(left > 20*time.Second, left <= 30*time.Second)
	d.Ack()
	must(cluster.Close(context.Background()))
	// Output: true true
}

// Records that were deleted before they were seen end the subscription, or are passed and noted.
func ExampleOnGap() {
	servers := fake("orders", "orders.dlq")
	defer servers.Close()
	cluster, err := kafka.New(kafka.Config{Seeds: servers.ListenAddrs(), Logger: slog.New(slog.DiscardHandler)})
	must(err)
	for range 3 {
		must(cluster.Publisher("orders").Publish(context.Background(), eventflow.Event{Data: []byte("an order")}))
	}
	s, err := cluster.OpenSubscriber("orders", eventflow.Group("billing"))
	must(err)
	ds, err := s.Next(context.Background(), eventflow.Want{Events: 1})
	must(err)
	ds[0].Ack()
	must(s.Close(context.Background()))
	must(servers.DeleteRecords("orders", 0, 2)) // as retention does

	s, err = cluster.OpenSubscriber("orders", eventflow.Group("billing"))
	must(err)
	_, err = s.Next(context.Background(), eventflow.Want{Events: 1})
	if gap, ok := errors.AsType[*kafka.GapError](err); ok {
		fmt.Println("stopped at", gap.From)
	}
	must(s.Close(context.Background()))

	first(cluster, 1, kafka.OnGap(kafka.ContinueOnGap))[0].Ack()
	for _, gap := range cluster.Gaps() {
		fmt.Println("lost", gap.From, "to", gap.To)
	}
	must(cluster.Close(context.Background()))
	// Output:
	// stopped at 1
	// lost 1 to 2
}

// A subscriber writes what failed for good to a topic beside its own, unless another is named or none is wanted.
func ExampleDeadLetterTopic() {
	cluster, err := kafka.New(kafka.Config{Seeds: []string{"kafka-1:9092"}})
	must(err)
	_, err = cluster.OpenSubscriber("orders", eventflow.Group("billing"), kafka.DeadLetterTopic("orders that failed"))
	fmt.Println(err)
	_, err = cluster.OpenSubscriber("orders", eventflow.Group("billing"), kafka.NoDeadLetters())
	fmt.Println(err)
	must(cluster.Close(context.Background()))
	// Output:
	// kafka.DeadLetterTopic: "orders that failed" is not allowed: 1 to 249 of a-z, A-Z, 0-9, dot, underscore and hyphen
	// <nil>
}
