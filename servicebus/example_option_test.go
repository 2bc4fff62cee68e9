package servicebus_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/servicebus"
	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

// connected gives a broker on a server of its own, with a queue, a queue of sessions and a topic of two subscriptions.
func connected() (bus *servicebus.Broker, end func()) {
	server, err := servicebustest.Start(servicebustest.Options{
		Queues: map[string]servicebustest.Queue{"orders": {DuplicateWindow: time.Hour}, "carts": {RequiresSession: true}},
		Topics: map[string]servicebustest.Topic{"news": {Subscriptions: map[string]servicebustest.Subscription{"audit": {}, "mail": {}}}},
	})
	if err != nil {
		panic(err)
	}
	if bus, err = servicebus.New(servicebus.Config{ConnectionString: server.ConnectionString()}); err != nil {
		panic(err)
	}
	return bus, func() {
		if err := bus.Close(context.Background()); err != nil {
			panic(err)
		}
		server.Close()
	}
}

// send publishes an event.
func send(p *servicebus.Publisher, id, key string) {
	if err := p.Publish(context.Background(), eventflow.Event{ID: id, Source: "me", Type: "order", Key: key, Data: []byte("{}")}); err != nil {
		panic(err)
	}
}

// receive gives the next event, and acknowledges it.
func receive(s *servicebus.Subscriber) eventflow.Event {
	ds, err := s.Next(context.Background(), eventflow.Want{})
	if err != nil {
		panic(err)
	}
	ds[0].Ack()
	return ds[0].Event
}

// Whatever names an entity otherwise than Broker.Subscription takes the option: the topic is what is opened.
func ExampleSubscription() {
	bus, end := connected()
	defer end()
	send(bus.Publisher("news"), "1", "")

	for _, name := range []string{"audit", "mail"} {
		s, err := bus.OpenSubscriber("news", servicebus.Subscription(name))
		if err != nil {
			panic(err)
		}
		ds, err := s.Next(context.Background(), eventflow.Want{})
		if err != nil {
			panic(err)
		}
		fmt.Println(name, ds[0].Event.ID)
		ds[0].Ack()
	}
	// Output:
	// audit 1
	// mail 1
}

// Each session is a lane: its events come in order, one run at a time.
func ExampleSessions() {
	bus, end := connected()
	defer end()
	p := bus.Publisher("carts")
	for _, id := range []string{"1", "2", "3"} {
		send(p, id, "ann")
	}
	s := bus.Queue("carts", servicebus.Sessions(10))
	for range 3 {
		ev := receive(s)
		fmt.Println(ev.Key, ev.ID)
	}
	// Output:
	// ann 1
	// ann 2
	// ann 3
}

// With one session at a time, a short idle time lets the next one begin soon.
func ExampleSessionIdle() {
	bus, end := connected()
	defer end()
	p := bus.Publisher("carts")
	send(p, "1", "ann")
	send(p, "2", "bob")
	s := bus.Queue("carts", servicebus.Sessions(1), servicebus.SessionIdle(20*time.Millisecond))
	fmt.Println(receive(s).Key)
	fmt.Println(receive(s).Key)
	// Output:
	// ann
	// bob
}

// A run counts the events of its session in the session's state.
func ExampleSubscriber_Session() {
	bus, end := connected()
	defer end()
	s := bus.Queue("carts", servicebus.Sessions(10))
	seen := make(chan string, 2)
	r, err := runner.New(eventflow.NewSink("count", func(ctx context.Context, ev eventflow.Event) error {
		session, err := s.Session(ctx)
		if err != nil {
			return err
		}
		state, err := session.State(ctx)
		if err != nil {
			return err
		}
		state = append(state, ev.ID...)
		seen <- session.ID() + " " + string(state)
		return session.SetState(ctx, state)
	}), runner.On(s))
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.Listen(ctx) }()
	p := bus.Publisher("carts")
	send(p, "a", "ann")
	send(p, "b", "ann")
	fmt.Println(<-seen)
	fmt.Println(<-seen)
	stop()
	fmt.Println(<-ended)
	// Output:
	// ann a
	// ann ab
	// <nil>
}

// On a machine whose clock is off, the entity's own lock duration is what locks are measured by.
func ExampleLockDuration() {
	bus, end := connected()
	defer end()
	send(bus.Publisher("orders"), "1", "")
	ds, err := bus.Queue("orders", servicebus.LockDuration(time.Minute)).Next(context.Background(), eventflow.Want{})
	if err != nil {
		panic(err)
	}
	fmt.Println(time.Until(ds[0].LockedUntil).Round(10 * time.Second))
	ds[0].Ack()
	// Output:
	// 1m0s
}

// A message of somebody else's is named by its place in the queue, or by its own ID.
func ExampleUseMessageIDs() {
	server, err := servicebustest.Start(servicebustest.Options{Queues: map[string]servicebustest.Queue{"orders": {}}})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	ctx := context.Background()
	client, err := azservicebus.NewClientFromConnectionString(server.ConnectionString(), nil)
	if err != nil {
		panic(err)
	}
	defer client.Close(ctx) //nolint:errcheck // an example
	sender, err := client.NewSender("orders", nil)
	if err != nil {
		panic(err)
	}
	id := "order-4711"
	if err = sender.SendMessage(ctx, &azservicebus.Message{MessageID: &id, Body: []byte("{}")}, nil); err != nil {
		panic(err)
	}

	bus, err := servicebus.New(servicebus.Config{ConnectionString: server.ConnectionString()})
	if err != nil {
		panic(err)
	}
	defer bus.Close(ctx) //nolint:errcheck // an example
	fmt.Println(receive(bus.Queue("orders", servicebus.UseMessageIDs())).ID)
	// Output:
	// order-4711
}

// A retry that is to come in longer than the runner's MaxHold waits in the queue, not in the process: a copy of the message
// is scheduled there.
func ExampleDelayByCopy() {
	bus, end := connected()
	defer end()
	runs := make(chan string, 2)
	r, err := runner.New(eventflow.NewSink("retry", func(ctx context.Context, ev eventflow.Event) error {
		run := eventflow.RunFrom(ctx)
		runs <- fmt.Sprint(ev.ID, ", attempt ", run.Attempt)
		if run.Attempt == 1 {
			return errors.New("not yet")
		}
		return nil
	}), runner.On(bus.Queue("orders", servicebus.DelayByCopy())),
		runner.MaxHold(10*time.Millisecond), runner.Backoff(func(int) time.Duration { return 100 * time.Millisecond }))
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.Listen(ctx) }()
	send(bus.Publisher("orders"), "1", "")
	fmt.Println(<-runs)
	fmt.Println(<-runs)
	stop()
	fmt.Println(<-ended)
	// Output:
	// 1, attempt 1
	// 1, attempt 2
	// <nil>
}

// What is published is a JSON document, for consumers that know CloudEvents in structured mode only.
func ExampleStructured() {
	bus, end := connected()
	defer end()
	send(bus.Publisher("orders", servicebus.Structured()), "1", "")
	ds, err := bus.Queue("orders").Next(context.Background(), eventflow.Want{})
	if err != nil {
		panic(err)
	}
	m := ds[0].Native.(*azservicebus.ReceivedMessage)
	fmt.Println(*m.ContentType)
	fmt.Println(string(m.Body))
	fmt.Println(string(ds[0].Event.Data))
	ds[0].Ack()
	// Output:
	// application/cloudevents+json
	// {"specversion":"1.0","id":"1","source":"me","type":"order","data":{}}
	// {}
}

// Events of a partitioned entity go to the partition of their key, and one batch to one partition.
func ExamplePartitioned() {
	bus, end := connected()
	defer end()
	ctx := context.Background()
	p := bus.Publisher("orders", servicebus.Partitioned())
	err := p.Publish(ctx,
		eventflow.Event{ID: "1", Source: "me", Type: "order", Key: "ann"},
		eventflow.Event{ID: "2", Source: "me", Type: "order", Key: "bob"},
	)
	if err != nil {
		panic(err)
	}
	s := bus.Queue("orders")
	fmt.Println(receive(s).Key, receive(s).Key)
	// Output:
	// ann bob
}

// Consumers see an event when its delay is over.
func ExampleDelay() {
	bus, end := connected()
	defer end()
	begin := time.Now()
	send(bus.Publisher("orders", servicebus.Delay(100*time.Millisecond)), "1", "")
	fmt.Println(receive(bus.Queue("orders")).ID, time.Since(begin) >= 100*time.Millisecond)
	// Output:
	// 1 true
}

// Consumers see an event from a time on.
func ExamplePublisher_PublishAt() {
	bus, end := connected()
	defer end()
	at := time.Now().Add(100 * time.Millisecond)
	if err := bus.Publisher("orders").PublishAt(context.Background(), at, eventflow.Event{ID: "1", Source: "me", Type: "order"}); err != nil {
		panic(err)
	}
	fmt.Println(receive(bus.Queue("orders")).ID, !time.Now().Before(at))
	// Output:
	// 1 true
}

// A URL without a key is opened with a credential, such as one of azidentity.
func ExampleSchemeWith() {
	b, err := broker.Open(context.Background(), "servicebus://contoso", servicebus.SchemeWith(credential{}))
	if err != nil {
		panic(err)
	}
	bus, _ := eventflow.As[*servicebus.Broker](b)
	fmt.Println(bus.Queue("orders"))
	// Output:
	// servicebus/contoso.servicebus.windows.net/orders
}

// What the service refuses says of which entity it is and what to do.
func ExampleError() {
	bus, end := connected()
	defer end()
	err := bus.Queue("carts").Start(context.Background(), eventflow.Listening{})
	var e *servicebus.Error
	fmt.Println(errors.As(err, &e), errors.Is(err, servicebus.ErrSessions), errors.Is(err, eventflow.ErrFatal))
	fmt.Println(e.Entity+":", e.Do)
	// Output:
	// true true true
	// carts: open it with servicebus.Sessions
}
