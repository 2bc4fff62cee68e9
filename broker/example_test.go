package broker_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
)

// A topic, a publisher and a consumer. A runner does the consumer's part.
func ExampleNewMemory() {
	ctx := context.Background()
	mem := broker.NewMemory()
	uploads := mem.Subscriber("uploads")

	err := mem.Publisher("uploads").Publish(ctx,
		eventflow.Event{Key: "lisbon", Data: []byte("cat.png")},
		eventflow.Event{Key: "porto", Data: []byte("dog.png")},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	ds, err := uploads.Next(ctx, eventflow.Want{Events: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range ds {
		fmt.Printf("%s of lane %s\n", d.Event.Data, d.Lane)
		d.Ack()
	}
	// Output:
	// cat.png of lane lisbon
	// dog.png of lane porto
}

// The URL comes from a configuration; the program says which kinds of brokers it knows.
func ExampleOpen() {
	b, err := broker.Open(context.Background(), "memory://?capacity=500&lease=10s", broker.Scheme)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(b.Features().MaxLock)

	_, err = broker.Open(context.Background(), "kafka://user:secret@example.com", broker.Scheme)
	fmt.Println(err)
	// Output:
	// 10s
	// broker.Open URL: "kafka" is not allowed: one of the schemes given: memory
}

// With declared topics a misspelt one is an error.
func ExampleDeclare() {
	mem := broker.NewMemory(broker.Declare("uploads", "thumbs"))
	err := mem.Publisher("upload").Publish(context.Background(), eventflow.Event{})
	fmt.Println(errors.Is(err, eventflow.ErrNoTopic))
	// Output: true
}

// Without FailWhenFull, Publish would wait for room.
func ExampleFailWhenFull() {
	mem := broker.NewMemory(broker.Capacity(2), broker.FailWhenFull())
	err := mem.Publisher("uploads").Publish(context.Background(), make([]eventflow.Event, 3)...)
	if some, ok := errors.AsType[*eventflow.PublishError](err); ok {
		fmt.Println("not taken:", some.Failed[0].Index, errors.Is(err, broker.ErrFull))
	}
	// Output: not taken: 2 true
}

// worker acknowledges what it gets, except for one.
func worker(ctx context.Context, s eventflow.Subscriber) {
	for {
		ds, err := s.Next(ctx, eventflow.Want{Events: 10})
		if err != nil {
			return
		}
		for _, d := range ds {
			if string(d.Event.Data) == "poison" {
				_ = d.DeadLetter(ctx, eventflow.Failure{Reason: "exhausted", Flow: "thumbnail", Attempts: 5})
				continue
			}
			d.Ack()
		}
	}
}

// A test publishes, waits until everything is dealt with, and looks at what failed.
func ExampleMemory_WaitSettled() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	mem := broker.NewMemory()
	uploads := mem.Subscriber("uploads")
	go worker(ctx, uploads)

	_ = mem.Publisher("uploads").Publish(ctx, eventflow.Event{Data: []byte("cat.png")}, eventflow.Event{Data: []byte("poison")})
	if err := mem.WaitSettled(ctx, "uploads"); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("acknowledged:", mem.Stats("uploads", "").Acked)
	for _, dl := range mem.DeadLetters("uploads") {
		fmt.Printf("dead: %s, %s after %d attempts of %s\n", dl.Event.Data, dl.Reason, dl.Attempts, dl.Flow)
	}
	_ = uploads.Close(ctx)
	// Output:
	// acknowledged: 1
	// dead: poison, exhausted after 5 attempts of thumbnail
}

// What was repaired runs again where it ran before.
func ExampleMemory_Redrive() {
	ctx := context.Background()
	mem := broker.NewMemory()
	uploads := mem.Subscriber("uploads")
	_ = mem.Publisher("uploads").Publish(ctx, eventflow.Event{Data: []byte("cat.png")})
	ds, _ := uploads.Next(ctx, eventflow.Want{})
	_ = ds[0].DeadLetter(ctx, eventflow.Failure{Reason: "permanent"})

	n, err := mem.Redrive("uploads")
	fmt.Println(n, err)
	ds, _ = uploads.Next(ctx, eventflow.Want{})
	fmt.Println(ds[0].Redrive, ds[0].Attempts)
	// Output:
	// 1 <nil>
	// 1 0
}

func ExampleMemory_Stats() {
	ctx := context.Background()
	mem := broker.NewMemory()
	uploads := mem.Subscriber("uploads")
	_ = mem.Publisher("uploads").Publish(ctx, eventflow.Event{ID: "1", Key: "lisbon"}, eventflow.Event{ID: "2", Key: "lisbon"})
	_, _ = uploads.Next(ctx, eventflow.Want{})

	st := mem.Stats("uploads", "")
	fmt.Println(st.Queued, "waiting,", st.InFlight, "in flight")
	fmt.Println("event", st.Flights[0].ID, "of lane", st.Flights[0].Lane)
	// Output:
	// 1 waiting, 1 in flight
	// event 1 of lane lisbon
}

// A broker takes the lock away in the middle of a run.
func ExampleMemory_Inject() {
	ctx := context.Background()
	mem := broker.NewMemory()
	uploads := mem.Subscriber("uploads")
	_ = uploads.Start(ctx, eventflow.Listening{Lost: func(ds []*eventflow.Delivery, err error) {
		fmt.Println("lost:", ds[0].Event.ID, errors.Is(err, eventflow.ErrLockLost))
	}})
	_ = mem.Publisher("uploads").Publish(ctx, eventflow.Event{ID: "1"})
	ds, _ := uploads.Next(ctx, eventflow.Want{})

	withdraw := mem.Inject(broker.Fault{Kind: broker.LoseLock})
	again, _ := uploads.Next(ctx, eventflow.Want{})
	ds[0].Ack() // too late
	fmt.Println("again:", again[0].Event.ID, again[0].Open())
	fmt.Println("struck:", withdraw())
	// Output:
	// lost: 1 true
	// again: 1 true
	// struck: 1
}

// A consumer dies: its events come back when its lease ends, and no attempt is counted.
func ExampleMemory_Crash() {
	ctx := context.Background()
	mem := broker.NewMemory(broker.Lease(10 * time.Millisecond))
	first, second := mem.Subscriber("uploads"), mem.Subscriber("uploads")
	_ = mem.Publisher("uploads").Publish(ctx, eventflow.Event{ID: "1"})
	ds, _ := first.Next(ctx, eventflow.Want{})

	_ = mem.Crash(first)
	ds[0].Ack() // from beyond
	ds, _ = second.Next(ctx, eventflow.Want{})
	fmt.Println(ds[0].Event.ID, ds[0].Attempts, ds[0].Receives)
	// Output: 1 0 2
}
