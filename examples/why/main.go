// Why answers the question that every operator of an event system has: why did this event not run?
//
//	go run ./examples/why
//
// A flow that ships orders is given a dozen of them, of which most do not get shipped: each for another reason. The runner
// remembers its decisions, all but the plain successes, and [runner.FlowRunner.Why] tells those about one event, and where
// it is when nothing has been decided yet. Nothing was configured for that. The program ends by itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
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
		fmt.Fprintln(os.Stderr, "why:", err)
		os.Exit(1)
	}
}

// Order is what the events hold.
type Order struct{ To string }

var errNoAddress = errors.New("there is no such address")

// ship is the flow. A clock starts it too, to print the day's list, and then there is no order.
func ship(ctx context.Context, o Order) error {
	switch o.To {
	case "": // the clock's: it takes longer than the time to its next fire
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
		}
		return nil
	case "nowhere":
		return eventflow.Permanent(errNoAddress)
	case "the moon":
		return fmt.Errorf("no rocket today: %w", io.ErrUnexpectedEOF)
	case "the shop":
		return eventflow.Skip("to be collected")
	case "Berlin":
		return eventflow.Busy(time.Minute) // the lorry is full
	}
	return nil
}

// orders are published in this order. Those of one customer, their Key, are shipped one after another.
func orders() []eventflow.Event {
	order := func(id, to string) eventflow.Event {
		return eventflow.Event{ID: id, Source: "web", Data: fmt.Appendf(nil, `{"To":%q}`, to)}
	}
	old := order("o-3", "Rome")
	old.Time = time.Now().Add(-24 * time.Hour)
	cancelled := order("o-4", "Rome")
	cancelled.Type = "cancelled"
	broken := order("o-5", "")
	broken.Data = []byte("<order/>")
	full, behind := order("o-9", "Berlin"), order("o-10", "Rome")
	full.Key, behind.Key = "Ada", "Ada"
	return []eventflow.Event{
		order("o-1", "Rome"), order("o-2", "Rome"), order("o-2", "Rome"), old, cancelled, broken,
		order("o-6", "nowhere"), order("o-7", "the moon"), order("o-8", "the shop"), full, behind,
	}
}

func run(ctx context.Context, out io.Writer) error {
	mem := broker.NewMemory()
	first := time.Now().Add(100 * time.Millisecond).UTC()
	second := first.Add(100 * time.Millisecond)
	const ends = 13 // decisions until all is said that will be
	decided := make(chan struct{}, ends)
	r, err := runner.New(eventflow.NewSink("ship", ship),
		runner.On(mem.Subscriber("orders"), runner.Filter(func(ev *eventflow.Event) bool { return ev.Type != "cancelled" })),
		runner.At(eventflow.Dates(first, second), runner.Named("list")),
		runner.MaxRuns(1), // one after another, so that the story is the same each time
		runner.MaxAge(time.Hour),
		runner.MaxAttempts(2),
		runner.Backoff(func(int) time.Duration { return 10 * time.Millisecond }),
		runner.Hooks(runner.HookFunc(func(runner.Decision) {
			select {
			case decided <- struct{}{}:
			default: // a hook must not block
			}
		})),
		runner.Logger(slog.New(slog.DiscardHandler)), // the story tells what the log would
	)
	if err != nil {
		return err
	}
	listening, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- r.Listen(listening) }()
	if err = mem.Publisher("orders").Publish(ctx, orders()...); err != nil {
		return err
	}
	for range ends {
		select {
		case <-decided:
		case <-ctx.Done():
			return <-ended
		case err = <-ended:
			return err
		}
	}

	say := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(out, format, args...)
		}
	}
	say("Why was it not shipped?\n\n")
	for _, id := range []string{"o-1", "o-2", "o-3", "o-4", "o-5", "o-6", "o-7", "o-8", "o-9", "o-10", "o-11"} {
		say("  %-5s %s\n", id, why(r, id))
	}
	say("\nAnd why is there one list of the day only?\n\n  %-5s %s\n", "list", why(r, second.Format(time.RFC3339Nano)))
	stop()
	err = errors.Join(err, <-ended)
	say("\nAfter the shutdown\n\n  %-5s %s\n", "o-10", why(r, "o-10"))
	return err
}

// why tells in a line what the runner knows.
func why(r *runner.FlowRunner, id string) string {
	ds := r.Why(id)
	if len(ds) == 0 {
		return "it was, at the first attempt, if it ever came"
	}
	told := make([]string, 0, len(ds))
	for _, d := range ds {
		s := d.Outcome.String() + ": " + d.Reason
		if d.Outcome == 0 {
			s = "held: " + d.Reason
		}
		if d.Attempt > 0 {
			s = fmt.Sprintf("attempt %d, %s", d.Attempt, s)
		}
		if d.Class != "" {
			s += " (" + d.Class + ")"
		}
		told = append(told, s)
	}
	return strings.Join(told, "; ")
}
