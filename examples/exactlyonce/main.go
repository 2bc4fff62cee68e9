// Exactlyonce moves money on a Kafka cluster: each transfer becomes two bookings, exactly once, although the teller is
// thrown out of its group again and again while it works.
//
//	go run ./examples/exactlyonce
//	go run ./examples/exactlyonce -broker 'kafka://user:password@host1,host2:9092?tls=true&sasl=scram-sha-512'
//
// Without a broker it runs on kfake, a fake cluster in this process. A real one must have three topics, because eventflow
// makes none: eventflow-example-transfers and -bookings, of a few partitions each, and eventflow-example-transfers.dlq.
//
// The flow book takes a transfer and returns two bookings: from one account, to another. They, the dead letter of a
// transfer that cannot be booked, and the group's offset are one transaction of Kafka. The program reads the bookings as
// any bank should, with the isolation level "read committed", adds them up, and finds that no cent was made or lost. Read
// without it, those of the transactions that were aborted are there as well.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/kafka"
	"github.com/eventflow-go/eventflow/runner"
)

func main() {
	url := flag.String("broker", "", "the cluster, such as kafka://host1,host2:9092; empty: a fake one in this process")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *url, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "exactlyonce:", err)
		os.Exit(1)
	}
}

const (
	transfers     = "eventflow-example-transfers"
	bookings      = "eventflow-example-bookings"
	deadTransfers = transfers + ".dlq" // the default
)

// Transfer is the payload of the events on the topic of transfers.
type Transfer struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Cents int    `json:"cents"`
}

// Booking is the payload of the events on the topic of bookings. Batch is the run of this program.
type Booking struct {
	Batch   string `json:"batch"`
	Account string `json:"account"`
	Cents   int    `json:"cents"` // below zero: taken from the account
}

// bank is one run of this program: its name is the group's and in every booking, because a real cluster keeps those of
// earlier ones.
type bank struct {
	cluster *kafka.Broker
	name    string
}

// book is the flow. It may run twice for a transfer; its bookings are there once.
func (b *bank) book(_ context.Context, t Transfer) (eventflow.Many[Booking], error) {
	if t.Cents <= 0 {
		return nil, eventflow.Permanent(errors.New("a transfer of nothing"))
	}
	time.Sleep(time.Millisecond) // tellers are slow: an abort finds transactions under way
	return eventflow.Many[Booking]{
		{Batch: b.name, Account: t.From, Cents: -t.Cents},
		{Batch: b.name, Account: t.To, Cents: t.Cents},
	}, nil
}

func run(ctx context.Context, url string, out io.Writer) error {
	if url == "" {
		fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, transfers, bookings), kfake.SeedTopics(1, deadTransfers))
		if err != nil {
			return err
		}
		defer fake.Close()
		url = "kafka://" + fake.ListenAddrs()[0]
	}
	opened, err := broker.Open(ctx, url, kafka.Scheme)
	if err != nil {
		return err
	}
	defer opened.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the runners have closed what matters
	cluster, _ := eventflow.As[*kafka.Broker](opened)
	b := &bank{cluster: cluster, name: fmt.Sprintf("eventflow-example-%d", time.Now().UnixNano())}
	return b.day(ctx, out)
}

// A day's transfers: one cent, two cents, … between three accounts in a circle, and one of nothing.
const day = 300

func (b *bank) day(ctx context.Context, out io.Writer) error {
	accounts := []string{"ada", "grace", "emmy"}
	var events []eventflow.Event
	for i := range day {
		t := Transfer{From: accounts[i%3], To: accounts[(i+1)%3], Cents: i}
		ev, err := eventflow.Encode(eventflow.JSON, t)
		if err != nil {
			return err
		}
		ev.Key = t.From
		events = append(events, ev)
	}
	if err := b.cluster.Publisher(transfers).Publish(ctx, events...); err != nil {
		return err
	}
	if err := b.work(ctx); err != nil {
		return err
	}
	return b.close(ctx, accounts, out)
}

// work runs one teller after another, each for a moment only, until all transfers of the group are booked.
func (b *bank) work(ctx context.Context) error {
	for shift := 200 * time.Millisecond; ctx.Err() == nil; shift += 100 * time.Millisecond {
		teller, err := runner.New(eventflow.NewFlow("book", b.book),
			runner.On(b.cluster.Subscriber(transfers, eventflow.Group(b.name), kafka.KeyLanes, kafka.ExactlyOnce(0))),
			runner.PublishTo(b.cluster.Publisher(bookings)),
			runner.Logger(slog.New(slog.DiscardHandler)),
			runner.Grace(time.Millisecond), // what is under way is aborted
		)
		if err != nil {
			return err
		}
		short, stop := context.WithTimeout(ctx, shift)
		err = teller.Listen(short)
		stop()
		if err != nil && !errors.Is(err, eventflow.ErrAbandoned) {
			return err
		}
		left, err := b.lag(ctx)
		if err != nil || left == 0 {
			return err
		}
	}
	return ctx.Err()
}

func (b *bank) lag(ctx context.Context) (n int64, err error) {
	partitions, err := b.cluster.Lag(ctx, transfers, b.name)
	for _, p := range partitions {
		n += p.Lag
	}
	return n, err
}

// close adds the bookings up that are committed.
func (b *bank) close(ctx context.Context, accounts []string, out io.Writer) error {
	listening, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	const all = 2 * (day - 1)
	balance, n := map[string]int{}, 0
	audit := eventflow.NewSink("audit", func(_ context.Context, x Booking) error {
		if x.Batch != b.name {
			return nil
		}
		balance[x.Account] += x.Cents
		if n++; n == all {
			time.AfterFunc(time.Second, stop) // for one too many
		}
		return nil
	})
	auditor, err := runner.New(audit, runner.MaxRuns(1), runner.Logger(slog.New(slog.DiscardHandler)),
		runner.On(b.cluster.Subscriber(bookings, eventflow.Group(b.name+"-audit"), kafka.ReadCommitted(), kafka.NoDeadLetters())))
	if err != nil {
		return err
	}
	if err = auditor.Listen(listening); err != nil {
		return err
	}
	sum := 0
	var page strings.Builder
	for _, a := range accounts {
		fmt.Fprintf(&page, "%-5s %+d cents\n", a, balance[a])
		sum += balance[a]
	}
	fmt.Fprintf(&page, "%d bookings of %d transfers, which add up to %d cents\n", n, day-1, sum)
	_, err = io.WriteString(out, page.String())
	return err
}
