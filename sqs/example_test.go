package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/sqs"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// exampleServer stands for AWS: config.LoadDefaultConfig gives the configuration of a real program.
func exampleServer(queues ...string) *sqstest.Server {
	s, err := sqstest.Start(sqstest.Options{})
	if err != nil {
		panic(err)
	}
	for _, q := range queues {
		if err := s.CreateQueue(q, sqstest.Queue{}); err != nil {
			panic(err)
		}
	}
	return s
}

// A flow on a FIFO queue: the key is the message group, whose events run one after another.
func ExampleNew() {
	server := exampleServer("uploads.fifo", "dead.fifo")
	defer server.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	b := sqs.New(server.Config(), sqs.LongPoll(1e9))
	defer func() { _ = b.Close(context.WithoutCancel(ctx)) }()
	_ = b.Publisher("uploads.fifo").Publish(ctx,
		eventflow.Event{ID: "1", Source: "/example", Type: "uploaded", Key: "ada", Data: []byte("cat.png")},
		eventflow.Event{ID: "2", Source: "/example", Type: "uploaded", Key: "ada", Data: []byte("dog.png")},
	)
	left := 2
	thumbnail := eventflow.NewSink("thumbnail", func(_ context.Context, file string) error {
		fmt.Println("thumbnail of", file)
		if left--; left == 0 {
			stop()
		}
		return nil
	})
	r, err := runner.New(thumbnail, runner.On(b.Subscriber("uploads.fifo", sqs.DeadLetterQueue("dead.fifo"))))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Listen(ctx))
	// Output:
	// thumbnail of cat.png
	// thumbnail of dog.png
	// <nil>
}

// Each record of an S3 notification is a run of its own; the message is deleted when all have ended.
func ExampleS3Events() {
	server := exampleServer("landed", "dead")
	defer server.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	b := sqs.New(server.Config(), sqs.LongPoll(1e9))
	defer func() { _ = b.Close(context.WithoutCancel(ctx)) }()
	_ = b.Publisher("landed").Publish(ctx, eventflow.Event{Data: []byte(`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put",
		"s3":{"bucket":{"name":"photos"},"object":{"key":"summer+2026/cat.png","size":1024,"sequencer":"0055"}}}]}`)})

	var once sync.Once
	flow := eventflow.NewSink("landed", func(_ context.Context, r sqs.S3Record) error {
		fmt.Printf("%s %s/%s, %d bytes\n", r.Event, r.Bucket, r.Key, r.Size)
		once.Do(stop)
		return nil
	})
	r, err := runner.New(flow, runner.On(b.Subscriber("landed", sqs.Decode(sqs.S3Events), sqs.DeadLetterQueue("dead"))))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Listen(ctx))
	// Output:
	// ObjectCreated:Put photos/summer 2026/cat.png, 1024 bytes
	// <nil>
}

// A right that is missing is found at the start, and named.
func ExampleAccessError() {
	server := exampleServer("orders")
	defer server.Close()
	reader := server.Grant(sqstest.Rights{Actions: []string{"GetQueueUrl", "GetQueueAttributes", "ReceiveMessage", "ChangeMessageVisibility"}})
	err := sqs.New(reader.Config()).Subscriber("orders").Start(context.Background(), eventflow.Listening{})
	fmt.Println(err)
	fmt.Println("final:", errors.Is(err, eventflow.ErrFatal))
	// Output:
	// sqs: no right to sqs:DeleteMessage on queue "orders" (AccessDenied)
	// final: true
}

// An event that SQS would refuse is an error before anything is sent.
func ExampleSizeError() {
	server := exampleServer("orders")
	defer server.Close()
	err := sqs.New(server.Config()).Publisher("orders").Publish(context.Background(), eventflow.Event{Data: make([]byte, 1<<20)})
	fmt.Println(err)
	fmt.Println(eventflow.IsPermanent(err))
	// Output:
	// 1 events were not published, the first at 0: sqs: the event has 1398136 bytes as a message, at most 1048576 are allowed
	// true
}

// A URL names a broker: its region, and its endpoint where that is not Amazon's.
func ExampleScheme() {
	b, err := broker.Open(context.Background(), "sqs://eu-central-1?endpoint=http://127.0.0.1:9324&visibility=2m", sqs.Scheme)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(b.Features().MaxLock)
	_, err = broker.Open(context.Background(), "sqs://eu-central-1/orders", sqs.Scheme)
	fmt.Println(errors.Is(err, eventflow.ErrFatal))
	// Output:
	// 2m0s
	// true
}

// A decoder of one's own: each line of a message is an event.
func ExampleDecode() {
	lines := func(ev *eventflow.Event) ([]eventflow.Event, error) {
		var evs []eventflow.Event
		for _, line := range splitLines(ev.Data) {
			evs = append(evs, eventflow.Event{Type: "line", Data: line})
		}
		return evs, nil
	}
	server := exampleServer("logs")
	defer server.Close()
	ctx := context.Background()
	b := sqs.New(server.Config(), sqs.LongPoll(1e9))
	defer func() { _ = b.Close(ctx) }()
	_ = b.Publisher("logs").Publish(ctx, eventflow.Event{ID: "log", Source: "/example", Type: "log", Data: []byte("one\ntwo")})
	s := b.Subscriber("logs", sqs.Decode(lines))
	ds, err := s.Next(ctx, eventflow.Want{Events: 10})
	for _, d := range ds {
		fmt.Printf("%s %s\n", d.Event.ID, d.Event.Data)
	}
	eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
	fmt.Println(err)
	// Output:
	// log/0 one
	// log/1 two
	// <nil>
}
