package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
)

func TestWithoutAConnectionStringItSaysWhereToFindOne(t *testing.T) {
	t.Parallel()
	if err := run(t.Context(), "", "orders", "g"); !errors.Is(err, errNoString) {
		t.Error(err)
	}
	err := run(t.Context(), "Endpoint=sb://x/;SharedAccessKey=secret", "orders", "g")
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// writes hands on what is printed.
type writes chan string

func (w writes) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

func TestEventsOfTheHubArePrinted(t *testing.T) {
	t.Parallel()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders", "orders.dlq"))
	if err != nil {
		t.Fatal(err)
	}
	defer fake.Close()
	cluster, err := kafka.New(kafka.Config{Seeds: fake.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	p, err := cluster.OpenPublisher("orders")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context(), eventflow.Event{ID: "7", Source: "shop", Data: []byte("an order")}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	out, ended := make(writes), make(chan error, 1)
	go func() { ended <- listen(ctx, cluster, "orders", "g", out) }()
	if got := <-out; got != "shop 7: an order\n" {
		t.Errorf("printed %q", got)
	}
	stop()
	if err := errors.Join(<-ended, cluster.Close(t.Context())); err != nil {
		t.Error(err)
	}
}
