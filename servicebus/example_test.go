package servicebus_test

import (
	"context"
	"fmt"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/servicebus"
	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

// A flow between two queues, on a server in the test's process.
func Example() {
	server, err := servicebustest.Start(servicebustest.Options{Queues: map[string]servicebustest.Queue{"uploads": {}, "thumbs": {}}})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	bus, err := servicebus.New(servicebus.Config{ConnectionString: server.ConnectionString()})
	if err != nil {
		panic(err)
	}
	defer bus.Close(context.Background()) //nolint:errcheck // an example

	thumbnail := eventflow.NewFlow("thumbnail", func(_ context.Context, name string) (string, error) { return "small-" + name, nil })
	r, err := runner.New(thumbnail, runner.On(bus.Queue("uploads")), runner.PublishTo(bus.Publisher("thumbs")))
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.Listen(ctx) }()

	err = bus.Publisher("uploads").Publish(ctx, eventflow.Event{ID: "1", Source: "me", Type: "upload", Data: []byte("cat.png")})
	if err != nil {
		panic(err)
	}
	ds, err := bus.Queue("thumbs").Next(ctx, eventflow.Want{})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(ds[0].Event.Data))
	ds[0].Ack()
	stop()
	fmt.Println(<-ended)
	// Output:
	// small-cat.png
	// <nil>
}

// A broker by URL: the key is in it, percent-encoded.
func ExampleScheme() {
	b, err := broker.Open(context.Background(), "servicebus://RootManageSharedAccessKey:c2VjcmV0@contoso", servicebus.Scheme)
	if err != nil {
		panic(err)
	}
	bus, _ := eventflow.As[*servicebus.Broker](b)
	fmt.Println(bus.Queue("orders"))
	fmt.Println(bus.Subscription("orders", "audit"))
	// Output:
	// servicebus/contoso.servicebus.windows.net/orders
	// servicebus/contoso.servicebus.windows.net/orders/Subscriptions/audit
}

// The dead letters of a queue, and why they are there.
func ExampleDeadLetters() {
	server, err := servicebustest.Start(servicebustest.Options{Queues: map[string]servicebustest.Queue{"orders": {}}})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	bus, err := servicebus.New(servicebus.Config{ConnectionString: server.ConnectionString()})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	defer bus.Close(ctx) //nolint:errcheck // an example

	_ = bus.Publisher("orders").Publish(ctx, eventflow.Event{ID: "1", Source: "me", Type: "order", Data: []byte("{}")})
	ds, err := bus.Queue("orders").Next(ctx, eventflow.Want{})
	if err != nil {
		panic(err)
	}
	_ = ds[0].DeadLetter(ctx, eventflow.Failure{Reason: "permanent", Flow: "ship", Attempts: 1})

	dead, err := bus.Queue("orders", servicebus.DeadLetters()).Next(ctx, eventflow.Want{})
	if err != nil {
		panic(err)
	}
	fmt.Println(dead[0].Event.ID, dead[0].Event.Attributes.String("DeadLetterReason"))
	// Output:
	// 1 permanent
}
