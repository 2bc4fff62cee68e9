// Servicebus runs a flow between a queue and a topic of Azure Service Bus: uploads come from the queue "uploads", and
// what the flow makes of them is published to the topic "thumbs", whose subscription "gallery" is read in the end.
//
//	go run ./examples/servicebus
//	SERVICEBUS_CONNECTION_STRING='Endpoint=sb://…' go run ./examples/servicebus
//
// Without a connection string it brings its own server. With one, the queue, the topic and the subscription must exist.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/servicebus"
	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

type upload struct {
	Name  string
	Bytes int
}

type thumb struct{ Name string }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Getenv("SERVICEBUS_CONNECTION_STRING"))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "servicebus:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, connectionString string) (err error) {
	if connectionString == "" {
		var server *servicebustest.Server
		server, err = servicebustest.Start(servicebustest.Options{
			Queues: map[string]servicebustest.Queue{"uploads": {}},
			Topics: map[string]servicebustest.Topic{"thumbs": {Subscriptions: map[string]servicebustest.Subscription{"gallery": {}}}},
		})
		if err != nil {
			return err
		}
		defer server.Close()
		connectionString = server.ConnectionString()
	}
	bus, err := servicebus.New(servicebus.Config{ConnectionString: connectionString})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bus.Close(context.WithoutCancel(ctx))) }()

	thumbnail := eventflow.NewFlow("thumbnail", func(_ context.Context, up upload) (thumb, error) {
		if up.Bytes == 0 {
			return thumb{}, eventflow.Permanent(errors.New("there is nothing to draw"))
		}
		return thumb{"small-" + up.Name}, nil
	})
	r, err := runner.New(thumbnail, runner.On(bus.Queue("uploads")), runner.PublishTo(bus.Publisher("thumbs")))
	if err != nil {
		return err
	}
	listening, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- r.Listen(listening) }()

	if err := publish(ctx, bus.Publisher("uploads"), upload{"cat.png", 7}, upload{"void.png", 0}, upload{"dog.png", 9}); err != nil {
		return err
	}
	if err := read(ctx, out, bus.Subscription("thumbs", "gallery"), 2); err != nil {
		return err
	}
	if err := read(ctx, out, bus.Queue("uploads", servicebus.DeadLetters()), 1); err != nil {
		return err
	}
	stop()
	return <-ended
}

func publish(ctx context.Context, p *servicebus.Publisher, ups ...upload) error {
	var events []eventflow.Event
	for _, up := range ups {
		ev, err := eventflow.Encode(eventflow.JSON, up)
		if err != nil {
			return err
		}
		ev.ID, ev.Source, ev.Type, ev.Key = up.Name, "examples/servicebus", "upload", up.Name
		events = append(events, ev)
	}
	return p.Publish(ctx, events...)
}

// read prints and acknowledges n events.
func read(ctx context.Context, out io.Writer, s *servicebus.Subscriber, n int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for n > 0 {
		ds, err := s.Next(ctx, eventflow.Want{Events: n})
		if err != nil {
			return err
		}
		for _, d := range ds {
			if _, err := fmt.Fprintf(out, "%s %s\n", d.Event.Data, d.Event.Attributes.String("DeadLetterReason")); err != nil {
				return err
			}
			d.Ack()
		}
		n -= len(ds)
	}
	return s.Close(ctx)
}
