package servicebustest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

// start is what an example has instead of New, which wants a test.
func start(o servicebustest.Options) (*servicebustest.Server, *azservicebus.Client) {
	server, err := servicebustest.Start(o)
	if err != nil {
		panic(err)
	}
	client, err := azservicebus.NewClientFromConnectionString(server.ConnectionString(), nil)
	if err != nil {
		panic(err)
	}
	return server, client
}

func order(client *azservicebus.Client, what string) error {
	sender, err := client.NewSender("orders", nil)
	if err != nil {
		return err
	}
	defer sender.Close(context.Background()) //nolint:errcheck // an example
	return sender.SendMessage(context.Background(), &azservicebus.Message{Body: []byte(what)}, nil)
}

func receive(client *azservicebus.Client) (*azservicebus.Receiver, *azservicebus.ReceivedMessage) {
	r, err := client.NewReceiverForQueue("orders", nil)
	if err != nil {
		panic(err)
	}
	ms, err := r.ReceiveMessages(context.Background(), 1, nil)
	if err != nil {
		panic(err)
	}
	return r, ms[0]
}

func Example() {
	server, client := start(servicebustest.Options{Queues: map[string]servicebustest.Queue{"orders": {}}})
	defer server.Close()
	defer client.Close(context.Background()) //nolint:errcheck // an example

	_ = order(client, "one coffee")
	r, m := receive(client)
	fmt.Println(string(m.Body), m.DeliveryCount)
	_ = r.CompleteMessage(context.Background(), m, nil)
	fmt.Println(server.Stats("orders").Active)
	// Output:
	// one coffee 1
	// 0
}

// A lock that runs out, without waiting for it.
func ExampleManualClock() {
	clock := servicebustest.NewManualClock(time.Now())
	server, client := start(servicebustest.Options{Clock: clock, Queues: map[string]servicebustest.Queue{"orders": {LockDuration: 30 * time.Second}}})
	defer server.Close()
	defer client.Close(context.Background()) //nolint:errcheck // an example

	_ = order(client, "one coffee")
	r, m := receive(client)
	clock.Advance(30 * time.Second)
	err := r.CompleteMessage(context.Background(), m, nil)
	if lost, ok := errors.AsType[*azservicebus.Error](err); ok {
		fmt.Println(lost.Code)
	}
	_, m = receive(client)
	fmt.Println(m.DeliveryCount)
	// Output:
	// locklost
	// 2
}

// The connection is cut after the message was taken: the client has to send it again, and the queue has it twice.
func ExampleServer_FailNext() {
	server, client := start(servicebustest.Options{Queues: map[string]servicebustest.Queue{"orders": {}}})
	defer server.Close()
	defer client.Close(context.Background()) //nolint:errcheck // an example

	server.FailNext(servicebustest.Sending, "orders", servicebustest.Fault{Action: servicebustest.Cut, Applied: true})
	fmt.Println(order(client, "two teas"))
	fmt.Println(server.Stats("orders").Active)
	// Output:
	// <nil>
	// 2
}

// Every receiver's settlement of one queue is refused, until the interceptor is stopped.
func ExampleServer_Intercept() {
	server, client := start(servicebustest.Options{Queues: map[string]servicebustest.Queue{"orders": {}}})
	defer server.Close()
	defer client.Close(context.Background()) //nolint:errcheck // an example

	stop := server.Intercept(func(op servicebustest.Operation) servicebustest.Fault {
		if op.Kind == servicebustest.Settlement && op.Entity == "orders" {
			return servicebustest.Fault{Action: servicebustest.Refuse, Condition: "com.microsoft:message-lock-lost"}
		}
		return servicebustest.Fault{}
	})
	defer stop()
	_ = order(client, "one coffee")
	r, m := receive(client)
	fmt.Println(r.CompleteMessage(context.Background(), m, nil) != nil, server.Stats("orders").Locked)
	// Output:
	// true 1
}

// A key that may only send.
func ExampleServer_Grant() {
	server, root := start(servicebustest.Options{Queues: map[string]servicebustest.Queue{"orders": {}}})
	defer server.Close()
	defer root.Close(context.Background()) //nolint:errcheck // an example

	client, err := azservicebus.NewClientFromConnectionString(server.Grant(servicebustest.Send, "orders"), nil)
	if err != nil {
		panic(err)
	}
	defer client.Close(context.Background()) //nolint:errcheck // an example
	fmt.Println(order(client, "one coffee"))
	r, err := client.NewReceiverForQueue("orders", nil)
	if err != nil {
		panic(err)
	}
	_, err = r.ReceiveMessages(context.Background(), 1, nil)
	if refused, ok := errors.AsType[*azservicebus.Error](err); ok {
		fmt.Println(refused.Code == azservicebus.CodeUnauthorizedAccess)
	}
	// Output:
	// <nil>
	// true
}

// Client and server without a socket, as a bubble of testing/synctest needs it.
func ExampleServer_Dial() {
	server, err := servicebustest.Start(servicebustest.Options{InMemory: true, Queues: map[string]servicebustest.Queue{"orders": {}}})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	client, err := azservicebus.NewClientFromConnectionString(server.ConnectionString(), &azservicebus.ClientOptions{
		NewWebSocketConn: func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
			return server.Dial(ctx)
		},
	})
	if err != nil {
		panic(err)
	}
	defer client.Close(context.Background()) //nolint:errcheck // an example
	fmt.Println(order(client, "one coffee"), server.Stats("orders").Active)
	// Output:
	// <nil> 1
}
