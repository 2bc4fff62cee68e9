package runner_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
)

// Upload and Thumb are the payloads of the examples.
type (
	Upload struct{ Path string }
	Thumb  struct{ Path string }
)

var thumbnail = eventflow.NewFlow("thumbnail", func(_ context.Context, up Upload) (Thumb, error) {
	return Thumb{Path: "small/" + up.Path}, nil
}, eventflow.Version("v1"))

// printing is a flow that prints its events.
var printing = eventflow.NewSink("index", func(_ context.Context, data string) error {
	fmt.Println("index has", data)
	return nil
})

// send publishes each text as an event of one lane, with the text as its ID.
func send(mem *broker.Memory, topic string, texts ...string) {
	var evs []eventflow.Event
	for _, s := range texts {
		evs = append(evs, eventflow.Event{ID: s, Source: "shop", Key: "lane", Data: []byte(s)})
	}
	if err := mem.Publisher(topic).Publish(context.Background(), evs...); err != nil {
		fmt.Println(err)
	}
}

// listen makes a runner, and stops it when everything that was published has been dealt with.
func listen(mem *broker.Memory, f *eventflow.Flow, opts ...runner.Option) *runner.FlowRunner {
	r, err := runner.New(f, append(opts, quiet)...)
	if err != nil {
		fmt.Println(err)
		return nil
	}
	listenAll(mem, r)
	return r
}

func listenAll(mem *broker.Memory, rs ...*runner.FlowRunner) {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- runner.Listen(ctx, rs...) }()
	if err := mem.WaitSettled(ctx); err != nil {
		fmt.Println(err)
	}
	stop()
	if err := <-done; err != nil {
		fmt.Println(err)
	}
}

var quiet = runner.Logger(slog.New(slog.DiscardHandler))

// A runner merges its triggers, runs the flow for each event and each fire, publishes what it returns, and only then
// acknowledges.
func ExampleNew() {
	mem := broker.NewMemory()
	thumbs := mem.Subscriber("thumbs")

	r, err := runner.New(thumbnail,
		runner.On(mem.Subscriber("uploads")),             // an event starts a run: its payload becomes up
		runner.At(eventflow.Cron("0 3 * * *", time.UTC)), // so does 03:00: up is the zero Upload
		runner.PublishTo(mem.Publisher("thumbs")),        // the result is the next flow's event
		runner.Logger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	listening := make(chan error, 1)
	go func() { listening <- r.Listen(ctx) }()

	send(mem, "uploads", `{"Path":"a.png"}`)
	ds, err := thumbs.Next(ctx, eventflow.Want{Events: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(ds[0].Event.Data), "of", ds[0].Event.Source)
	ds[0].Ack()

	stop()
	fmt.Println(<-listening)
	// Output:
	// {"Path":"small/a.png"} of eventflow/thumbnail
	// <nil>
}

// Every mistake is said at once, each a *eventflow.ConfigError.
func ExampleNew_mistakes() {
	_, err := runner.New(printing,
		runner.At(nil),
		runner.PublishTo(broker.NewMemory().Publisher("out")),
		runner.MaxRuns(0),
	)
	fmt.Println(err)
	// Output:
	// runner.At: "nil" is not allowed: a TimeClock, such as eventflow.Cron or eventflow.Every
	// runner.MaxRuns: "0" is not allowed: 1 to 100000
	// runner.PublishTo: "flow index" is not allowed: a flow with a result: eventflow.NewFlow or NewSource
}

// Several runners of one program, each with its flow. When one fails, all stop.
func ExampleListen() {
	mem := broker.NewMemory()
	thumbs, err := runner.New(thumbnail, runner.On(mem.Subscriber("uploads")), runner.PublishTo(mem.Publisher("thumbs")))
	if err != nil {
		fmt.Println(err)
		return
	}
	index, err := runner.New(printing, runner.On(mem.Subscriber("thumbs")))
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	listening := make(chan error, 1)
	go func() { listening <- runner.Listen(ctx, thumbs, index) }()
	send(mem, "uploads", `{"Path":"a.png"}`)
	fmt.Println(mem.WaitSettled(ctx))
	stop()
	fmt.Println(<-listening)
	// Output:
	// index has {"Path":"small/a.png"}
	// <nil>
	// <nil>
}

// A loop of one's own hands each delivery to the runner, which takes it the whole way: claim, run, publish, settle.
func ExampleFlowRunner_Handle() {
	ctx := context.Background()
	mem := broker.NewMemory()
	r, err := runner.New(printing)
	if err != nil {
		fmt.Println(err)
		return
	}
	uploads := mem.Subscriber("uploads")
	send(mem, "uploads", "a.png", "b.png", "a.png") // one of them twice
	ds, err := uploads.Next(ctx, eventflow.Want{Events: 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range ds {
		res := r.Handle(ctx, d)
		fmt.Println(res.Outcome)
	}
	fmt.Println("acknowledged:", mem.Stats("uploads", "").Acked)
	// Output:
	// index has a.png
	// succeeded
	// index has b.png
	// succeeded
	// duplicate
	// acknowledged: 3
}

// A scheduler of one's own asks for a run. The same fire twice is one run.
func ExampleFlowRunner_Run() {
	sweep := eventflow.NewJob("sweep", func(ctx context.Context) error {
		fmt.Println("sweeping for", eventflow.RunFrom(ctx).Fire.Nominal)
		return nil
	})
	r, err := runner.New(sweep)
	if err != nil {
		fmt.Println(err)
		return
	}
	fire := eventflow.Fire{Clock: "nightly", Nominal: time.Date(2026, time.March, 1, 3, 0, 0, 0, time.UTC)}
	fmt.Println(r.Run(context.Background(), fire).Outcome)
	fmt.Println(r.Run(context.Background(), fire).Outcome)
	// Output:
	// sweeping for 2026-03-01 03:00:00 +0000 UTC
	// succeeded
	// duplicate
}

// In every snapshot, received is the sum of the outcomes and what is in flight.
func ExampleFlowRunner_Counts() {
	mem := broker.NewMemory()
	send(mem, "uploads", "a.png", "notes.txt", "a.png")
	r := listen(mem, eventflow.NewSink("index", func(_ context.Context, path string) error {
		if strings.HasSuffix(path, ".txt") {
			return eventflow.Skip("no picture")
		}
		return nil
	}), runner.On(mem.Subscriber("uploads")))

	c := r.Counts()
	fmt.Println("received: ", c.Received)
	fmt.Println("in flight:", c.InFlight)
	fmt.Println("succeeded:", c.Outcomes[eventflow.Succeeded])
	fmt.Println("duplicate:", c.Outcomes[eventflow.Duplicate])
	fmt.Println("skipped:  ", c.Reasons[runner.Reason{Outcome: eventflow.Skipped, Why: "no picture"}])
	// Output:
	// received:  3
	// in flight: 0
	// succeeded: 1
	// duplicate: 1
	// skipped:   1
}

// A trigger that is paused receives nothing; what waits stays with its broker.
func ExampleFlowRunner_Pause() {
	mem := broker.NewMemory()
	r, err := runner.New(printing, runner.On(mem.Subscriber("uploads"), runner.Named("uploads")))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Pause("uploads"))
	send(mem, "uploads", "a.png")

	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	listening := make(chan error, 1)
	go func() { listening <- r.Listen(ctx) }()
	<-r.Ready()
	fmt.Println("received:", r.Counts().Received)

	fmt.Println(r.Resume("uploads"))
	if err := mem.WaitSettled(ctx); err != nil {
		fmt.Println(err)
	}
	stop()
	fmt.Println(<-listening)
	// Output:
	// <nil>
	// received: 0
	// <nil>
	// index has a.png
	// <nil>
}

// A runner's life, as a health check sees it.
func ExampleFlowRunner_State() {
	mem := broker.NewMemory()
	r, err := runner.New(printing, runner.On(mem.Subscriber("uploads")))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.State())

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	listening := make(chan error, 1)
	go func() { listening <- r.Listen(ctx) }()
	<-r.Ready() // every subscriber has started
	fmt.Println(r.State())

	stop()
	err = <-listening
	fmt.Println(r.State(), err)

	var bad *eventflow.ConfigError
	fmt.Println("listens once:", errors.As(r.Listen(context.Background()), &bad))
	// Output:
	// Scheduled
	// Listening
	// Stopped <nil>
	// listens once: true
}

// A runner describes itself, defaults included.
func ExampleFlowRunner_String() {
	r, err := runner.New(thumbnail, runner.MaxRuns(8), runner.Timeout(time.Minute))
	if err != nil {
		fmt.Println(err)
		return
	}
	for line := range strings.Lines(r.String()) {
		switch name := strings.Fields(line)[0]; name {
		case "flow", "MaxRuns", "MaxAttempts", "Backoff", "Timeout":
			fmt.Println(strings.Join(strings.Fields(line), " "))
		}
	}
	// Output:
	// flow thumbnail v1
	// MaxRuns 8
	// MaxAttempts 5
	// Backoff 1s doubling to 1m0s, full jitter
	// Timeout 1m0s
}
