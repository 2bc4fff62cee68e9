// Pipeline chains three flows on the in-memory broker, and tells the story of five orders:
//
//	go run ./examples/pipeline
//
// Orders go from the topic "orders" through the flow validate to "validated", through invoice to "invoiced", and from
// there to the flow post, which writes them into a ledger. On the way they show what a flow can say besides nil: an
// error that is worth a retry, [eventflow.Permanent], [eventflow.Busy], and [eventflow.Many] results. A second group of
// consumers audits the same orders. Orders that cannot be accepted become dead letters, and are redriven when the
// reason is gone.
//
// The program ends by itself. shop.go holds the flows, this file their wiring.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pipeline:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	mem := broker.NewMemory()
	s := &shop{out: out, customers: map[string]bool{"Ada": true, "Ben": true, "Cleo": true, "Dora": true}}
	quiet := runner.Logger(slog.New(slog.DiscardHandler)) // the story tells what the log would

	validate, validateErr := runner.New(eventflow.NewFlow("validate", s.validate, eventflow.Version("2.1")), quiet,
		runner.On(mem.Subscriber("orders")),
		runner.PublishTo(mem.Publisher("validated")),
	)
	invoice, invoiceErr := runner.New(eventflow.NewFlow("invoice", s.invoice), quiet,
		runner.On(mem.Subscriber("validated")),
		runner.PublishTo(mem.Publisher("invoiced")),
		runner.MaxAttempts(3),
		runner.Backoff(func(int) time.Duration { return 100 * time.Millisecond }),
	)
	post, postErr := runner.New(eventflow.NewSink("post", s.post), quiet,
		runner.On(mem.Subscriber("invoiced")),
	)
	audit, auditErr := runner.New(eventflow.NewSink("audit", s.audit), quiet,
		runner.On(mem.Subscriber("orders", eventflow.Group("audit"))), // a group of its own sees every order
	)
	if err := errors.Join(validateErr, invoiceErr, postErr, auditErr); err != nil {
		return err
	}

	listening, stop := context.WithCancel(ctx)
	defer stop()
	told := make(chan error, 1)
	go func() {
		defer stop()
		told <- story(listening, mem, s)
	}()
	err := runner.Listen(listening, validate, invoice, post, audit)
	stop()
	if failed := <-told; err == nil && ctx.Err() == nil {
		err = failed
	}
	if err != nil {
		return err
	}

	s.title("What ran")
	for _, r := range []*runner.FlowRunner{validate, invoice, post, audit} {
		c := r.Counts()
		s.sayf(r.Flow().Name(), "%2d events = %s, retries: %d", c.Received, sum(c.Outcomes), c.Retries)
	}
	s.sayf("ledger", "%d.%02d in %d entries", s.cents/100, s.cents%100, s.entries)
	s.sayf("audited", "%d orders", s.audited)
	return nil
}

// story is what happens outside the flows.
func story(ctx context.Context, mem *broker.Memory, s *shop) error {
	s.title("Five orders come in, the first one twice")
	ada := Order{ID: 1001, Customer: "Ada", Lines: []Line{{"books", 1250}, {"tea", 480}}}
	err := publish(ctx, mem.Publisher("orders"),
		ada, ada,
		Order{ID: 1002, Customer: "Ben", Lines: []Line{{"paper", 300}}},
		Order{ID: 1003, Customer: "Cleo", Lines: []Line{{"ink", 720}}},
		Order{ID: 1004, Customer: "Dora", Lines: []Line{{"pens", -1}}},
		Order{ID: 1005, Customer: "Emil", Lines: []Line{{"glue", 99}}},
	)
	if err != nil {
		return err
	}
	if err := mem.WaitSettled(ctx); err != nil { // in every topic: the whole chain is done
		return err
	}
	showDead(mem, s)

	s.title("Emil becomes a customer, and the dead letters are redriven")
	s.welcome("Emil")
	if _, err := mem.Redrive("orders"); err != nil {
		return err
	}
	if err := mem.WaitSettled(ctx); err != nil {
		return err
	}
	showDead(mem, s)
	return nil
}

// publish publishes orders with IDs of their own: the same order twice is the same event twice, and runs once.
func publish(ctx context.Context, to eventflow.Publisher, orders ...Order) error {
	events := make([]eventflow.Event, len(orders))
	for i, o := range orders {
		ev, err := eventflow.Encode(eventflow.JSON, o)
		if err != nil {
			return err
		}
		ev.ID, ev.Source, ev.Key = strconv.Itoa(o.ID), "shop", o.Customer
		events[i] = ev
	}
	return to.Publish(ctx, events...)
}

func showDead(mem *broker.Memory, s *shop) {
	s.title("Dead letters")
	for _, dl := range mem.DeadLetters("orders") {
		s.sayf("order "+dl.Event.ID, "%s, in attempt %d of %s %s, redrives: %d", dl.Reason, dl.Attempts, dl.Flow, dl.Version, dl.Redrive)
	}
}

// sum writes outcomes as a sum: "4 succeeded + 1 duplicate".
func sum(outcomes map[eventflow.Outcome]int64) string {
	var parts []string
	for o := eventflow.Succeeded; int(o) <= eventflow.Outcomes; o++ {
		if n := outcomes[o]; n > 0 {
			parts = append(parts, strconv.FormatInt(n, 10)+" "+o.String())
		}
	}
	return strings.Join(parts, " + ")
}
