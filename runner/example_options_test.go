package runner_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// nextOf gives the data of the next event of a topic.
func nextOf(s eventflow.Subscriber) *eventflow.Event {
	ds, err := s.Next(context.Background(), eventflow.Want{Events: 1})
	if err != nil {
		fmt.Println(err)
		return &eventflow.Event{}
	}
	ds[0].Ack()
	return &ds[0].Event
}

// Each run's result is published before its event is acknowledged, with an ID that a rerun would give it again.
func ExamplePublishTo() {
	mem := broker.NewMemory()
	send(mem, "uploads", `{"Path":"a.png"}`)
	listen(mem, thumbnail, runner.On(mem.Subscriber("uploads")), runner.PublishTo(mem.Publisher("thumbs")))

	ev := nextOf(mem.Subscriber("thumbs"))
	fmt.Println(string(ev.Data), ev.Type, ev.Key)
	// Output: {"Path":"small/a.png"} thumbnail lane
}

// Dead letters go to a topic of one's choice: the event itself, with attributes that say why.
func ExampleDeadLetterTo() {
	mem := broker.NewMemory()
	send(mem, "uploads", "not JSON")
	listen(mem, thumbnail, runner.On(mem.Subscriber("uploads")), runner.DeadLetterTo(mem.Publisher("dead")))

	ev := nextOf(mem.Subscriber("dead"))
	fmt.Printf("%s\n", ev.Data)
	for _, name := range []string{"eventflow-reason", "eventflow-flow", "eventflow-version", "eventflow-trigger", "eventflow-attempts"} {
		fmt.Println(name, ev.Attributes.String(name))
	}
	// Output:
	// not JSON
	// eventflow-reason decode
	// eventflow-flow thumbnail
	// eventflow-version v1
	// eventflow-trigger memory/uploads
	// eventflow-attempts 1
}

// The text of an error often holds what the payload held, so it is written only when somebody says how.
func ExampleDeadLetterErrors() {
	mem := broker.NewMemory()
	send(mem, "uploads", "a.png")
	f := eventflow.NewSink("pay", func(context.Context, string) error {
		return eventflow.Permanent(errors.New("card 4111 is closed"))
	})
	listen(mem, f, runner.On(mem.Subscriber("uploads")), runner.DeadLetterTo(mem.Publisher("dead")),
		runner.DeadLetterErrors(func(error) string { return "card is closed" }))
	fmt.Println(nextOf(mem.Subscriber("dead")).Attributes.String("eventflow-error-text"))
	// Output: card is closed
}

// Runners that share a store run an event once between them; one on disk or in a database remembers across restarts.
func ExampleStore() {
	shared := store.NewMemory()
	defer shared.Close() //nolint:errcheck // a memory store has nothing to lose

	for range 2 { // the second is the process after a restart
		mem := broker.NewMemory()
		send(mem, "uploads", "a.png")
		r := listen(mem, printing, runner.On(mem.Subscriber("uploads")), runner.Store(shared))
		fmt.Println("duplicates:", r.Counts().Outcomes[eventflow.Duplicate])
	}
	// Output:
	// index has a.png
	// duplicates: 0
	// duplicates: 1
}

// A failed run is tried again under the event's lock, after the backoff; then the event is dead-lettered.
func ExampleMaxAttempts() {
	mem := broker.NewMemory()
	send(mem, "uploads", "poison", "a.png")
	f := eventflow.NewSink("index", func(ctx context.Context, path string) error {
		fmt.Println(path, "attempt", eventflow.RunFrom(ctx).Attempt)
		if path == "poison" {
			return errors.New("cannot be indexed")
		}
		return nil
	})
	listen(mem, f, runner.On(mem.Subscriber("uploads")),
		runner.MaxAttempts(3),
		runner.Backoff(func(attempt int) time.Duration { return time.Duration(attempt) * time.Millisecond }),
	)
	for _, dead := range mem.DeadLetters("uploads") {
		fmt.Println(dead.Event.ID, "is dead:", dead.Reason, "after", dead.Attempts)
	}
	// Output:
	// poison attempt 1
	// poison attempt 2
	// poison attempt 3
	// a.png attempt 1
	// poison is dead: exhausted after 3
}

// A run takes up to five events here; the first of them waits up to a second for the others.
func ExampleBatchOf() {
	mem := broker.NewMemory()
	send(mem, "uploads", "a", "b", "c", "d", "e")
	f := eventflow.NewSink("index", func(_ context.Context, b eventflow.Batch[string]) error {
		fmt.Println(b.Values())
		return nil
	})
	listen(mem, f, runner.On(mem.Subscriber("uploads")), runner.BatchOf(5, time.Second))
	// Output: [a b c d e]
}

// A run that takes too long has its context ended; what it returns then is a failed attempt.
func ExampleTimeout() {
	mem := broker.NewMemory()
	send(mem, "uploads", "a.png")
	f := eventflow.NewSink("slow", func(ctx context.Context, _ string) error {
		<-ctx.Done()
		fmt.Println(ctx.Err())
		return ctx.Err()
	})
	listen(mem, f, runner.On(mem.Subscriber("uploads")), runner.Timeout(10*time.Millisecond), runner.MaxAttempts(1))
	fmt.Println(mem.DeadLetters("uploads")[0].Reason)
	// Output:
	// context deadline exceeded
	// exhausted
}

// What is too old when its turn comes is done with, unrun.
func ExampleMaxAge() {
	mem := broker.NewMemory()
	err := mem.Publisher("alerts").Publish(context.Background(), eventflow.Event{ID: "old", Time: time.Now().Add(-time.Hour)}, eventflow.Event{ID: "new", Time: time.Now()})
	if err != nil {
		fmt.Println(err)
	}
	r := listen(mem, eventflow.NewJob("alert", func(ctx context.Context) error {
		fmt.Println("alert:", eventflow.RunFrom(ctx).Event().ID)
		return nil
	}), runner.On(mem.Subscriber("alerts")), runner.MaxAge(10*time.Minute))
	fmt.Println("expired:", r.Counts().Outcomes[eventflow.Expired])
	// Output:
	// alert: new
	// expired: 1
}

// Hooks are told each decision: a retry has no outcome yet.
func ExampleHooks() {
	mem := broker.NewMemory()
	send(mem, "uploads", "a.png")
	f := eventflow.NewSink("index", func(ctx context.Context, _ string) error {
		if eventflow.RunFrom(ctx).Attempt == 1 {
			return errors.New("not yet")
		}
		return nil
	})
	listen(mem, f, runner.On(mem.Subscriber("uploads")),
		runner.Backoff(func(int) time.Duration { return time.Millisecond }),
		runner.Hooks(runner.HookFunc(func(d runner.Decision) {
			if d.Outcome == 0 {
				fmt.Println("attempt", d.Attempt, "is held:", d.Reason, "after", d.After, "because", d.Err)
				return
			}
			fmt.Println("attempt", d.Attempt, "of", d.Key, "ended as", d.Outcome)
		})),
	)
	// Output:
	// attempt 1 is held: retry after 1ms because not yet
	// attempt 2 of index/memory%2Fuploads/shop/a.png ended as succeeded
}

// A flow that ignores its context past grace and hard stop is fenced and named.
func ExampleHardStop() {
	mem := broker.NewMemory()
	send(mem, "uploads", "a.png")
	begun, end := make(chan struct{}), make(chan struct{})
	deaf := eventflow.NewSink("deaf", func(context.Context, string) error {
		close(begun)
		<-end
		return nil
	})
	r, err := runner.New(deaf, runner.On(mem.Subscriber("uploads")), runner.Grace(0), runner.HardStop(10*time.Millisecond), quiet)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		<-begun
		stop()
	}()
	err = r.Listen(ctx)
	fmt.Println(errors.Is(err, eventflow.ErrAbandoned), err)
	close(end)
	// Output: true eventflow: flows ignored their context: flow "deaf": deaf/memory%2Fuploads/shop/a.png
}
