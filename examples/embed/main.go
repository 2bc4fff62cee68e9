// Embed uses the pieces of eventflow one by one, in a program that has loops of its own:
//
//	go run ./examples/embed
//
// It shows clocks alone; [runner.FlowRunner.Handle] in a receive loop; [runner.FlowRunner.Run] in a scheduler, where
// the same fire twice is one run; and [eventflow.Flow.Call], which needs no runner. Nothing here listens.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"time"
	_ "time/tzdata" // it prints the same on a machine without time zones

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	p := &page{out: out}
	for _, show := range []func(context.Context, *page) error{clocks, receiveLoop, scheduler, noRunner} {
		if err := show(ctx, p); err != nil {
			return err
		}
	}
	return p.err
}

// start is the instant at which the program pretends to begin, so that it prints the same every time.
var start = time.Date(2026, time.March, 28, 12, 0, 0, 0, time.UTC)

// clocks asks clocks what they say. A clock is a function from an instant to the next fire: it needs no runner.
func clocks(_ context.Context, p *page) error {
	p.title("Clocks alone")
	for _, c := range []interface {
		eventflow.TimeClock
		Err() error
		String() string
	}{
		eventflow.Every(6 * time.Hour),
		eventflow.Cron("30 8 * * MON-FRI", time.UTC),
		eventflow.Cron("CRON_TZ=Europe/Lisbon 30 1 * * *", nil), // on the 29th the clock jumps from 01:00 to 02:00
		eventflow.Dates(start.AddDate(0, 0, 1), start.AddDate(0, 1, 0)),
	} {
		if err := c.Err(); err != nil {
			return err
		}
		line := []string{fmt.Sprintf("%-49s", c)}
		at := start
		for range 3 {
			if at = c.Next(at); at.IsZero() { // there are no more
				break
			}
			line = append(line, at.Format("Mon _2 Jan 15:04"))
		}
		p.sayf("%s", strings.Join(line, "  "))
	}
	return nil
}

// receiveLoop receives by itself, and lets the runner bring each delivery the whole way: once per event, decoded, run,
// published, settled. Order and parallelism are the loop's.
func receiveLoop(ctx context.Context, p *page) error {
	p.title("A receive loop of one's own")
	mem := broker.NewMemory()
	greet := eventflow.NewFlow("greet", func(_ context.Context, name string) (string, error) {
		if name == "nobody" {
			return "", eventflow.Permanent(errors.New("nobody is there"))
		}
		return "hello " + name, nil
	})
	r, err := runner.New(greet,
		runner.PublishTo(mem.Publisher("greetings")),
		runner.Logger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		return err
	}
	names := mem.Subscriber("names")
	err = mem.Publisher("names").Publish(ctx,
		eventflow.Event{ID: "1", Source: "door", Data: []byte("Ada")},
		eventflow.Event{ID: "2", Source: "door", Data: []byte("nobody")},
		eventflow.Event{ID: "1", Source: "door", Data: []byte("Ada")}, // the bell rang twice
	)
	if err != nil {
		return err
	}
	for mem.Stats("names", "").Queued > 0 {
		ds, err := names.Next(ctx, eventflow.Want{Events: 10})
		if err != nil {
			return err
		}
		for _, d := range ds {
			res := r.Handle(ctx, d)
			p.sayf("event %s, %s: %v", d.Event.ID, d.Event.Data, res.Outcome)
		}
	}
	p.sayf("published: %d, dead letters: %d", mem.Stats("greetings", "").Queued, len(mem.DeadLetters("names")))
	return names.Close(ctx)
}

// scheduler decides by itself when something is due. A fire is known by its clock and its nominal time: a second run of
// it is a duplicate, in every process that shares the runner's store.
func scheduler(ctx context.Context, p *page) error {
	p.title("A scheduler of one's own")
	report := eventflow.NewJob("report", func(ctx context.Context) error {
		run := eventflow.RunFrom(ctx)
		p.sayf("run %s", run.ID())
		return nil
	})
	r, err := runner.New(report)
	if err != nil {
		return err
	}
	clock := eventflow.Every(24 * time.Hour)
	at := start
	for range 2 {
		at = clock.Next(at)
		for range 2 { // two replicas wake up for it
			res := r.Run(ctx, eventflow.Fire{Clock: "daily", Nominal: at})
			p.sayf("%s: %v", at.Format("2 Jan"), res.Outcome)
		}
	}
	return nil
}

// noRunner calls a flow as a function from event to events. There is no policy: one attempt, and its error.
func noRunner(ctx context.Context, p *page) error {
	p.title("No runner at all")
	type order struct {
		Cents int `json:"cents"`
	}
	tax := eventflow.NewFlow("tax", func(_ context.Context, o order) (order, error) { return order{o.Cents / 5}, nil })
	for _, payload := range []string{`{"cents":500}`, `{"cents":"many"}`} {
		in := eventflow.Event{ID: "7", Source: "shop", Data: []byte(payload)}
		key := eventflow.Key{Flow: tax.Name(), Source: in.Source, ID: in.ID}
		results, err := tax.Call(ctx, eventflow.NewRun(tax, key, &in), nil)
		var wrong *json.UnmarshalTypeError // the codec's error is inside a *eventflow.DecodeError
		switch {
		case errors.As(err, &wrong):
			p.sayf("%s does not fit: %s cannot be a %s", payload, wrong.Field, wrong.Value)
		case err != nil:
			return err
		}
		for _, ev := range results {
			p.sayf("%s gives %s", payload, ev.Data)
		}
	}
	return nil
}

// page is what is printed; it keeps the first error.
type page struct {
	out   io.Writer
	began bool
	err   error
}

func (p *page) title(text string) {
	if p.began {
		text = "\n" + text
	}
	p.began = true
	p.print(text + "\n\n")
}

func (p *page) sayf(format string, args ...any) { p.print("  " + fmt.Sprintf(format, args...) + "\n") }

func (p *page) print(text string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.out, text)
	}
}
