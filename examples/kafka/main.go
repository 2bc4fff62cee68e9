// Kafka runs a small ETL on a Kafka cluster: real earthquakes in, alerts out.
//
//	go run ./examples/kafka
//	go run ./examples/kafka -broker 'kafka://user:password@host1,host2:9092?tls=true&sasl=scram-sha-512'
//
// Without a broker it runs on kfake, a fake cluster in this process. A real one must have three topics, because eventflow
// makes none: eventflow-example-quakes and -alerts, of a few partitions each, and eventflow-example-quakes.dlq.
//
// A week's earthquakes of magnitude 4 and more are published to the topic of quakes, keyed by their ID. The flow rate
// takes each and returns an alert for those of magnitude 5 and more, which the runner publishes to the topic of alerts;
// quakes of one key keep their order, others run at the same time. The flow load takes the alerts. One quake is cut off
// in the middle: it becomes a dead letter in the quakes' .dlq topic, where the flow report reads it. The program ends when
// its group has no lag any more.
//
// The quakes are of the United States Geological Survey, as examples/quickstart tells.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
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
		fmt.Fprintln(os.Stderr, "kafka:", err)
		os.Exit(1)
	}
}

// Quake is the payload of the events on the topic "quakes".
type Quake struct {
	ID    string    `json:"id"`
	Time  time.Time `json:"time"`
	Mag   float64   `json:"mag"`
	Place string    `json:"place"`
}

// Alert is the payload of the events on the topic "alerts".
type Alert struct {
	Time  time.Time `json:"time"`
	Mag   float64   `json:"mag"`
	Place string    `json:"place"`
}

const strong = 5.0 // the magnitude that is worth an alert

// rate returns an alert if the quake was strong. A nil result publishes nothing.
func rate(_ context.Context, q Quake) (*Alert, error) {
	if q.Mag < strong {
		return nil, nil
	}
	return &Alert{Time: q.Time, Mag: q.Mag, Place: q.Place}, nil
}

// desk is where alerts and dead letters end.
type desk struct {
	cluster *kafka.Broker
	group   string

	mu     sync.Mutex // guards what follows: runs are parallel
	alerts []Alert
	dead   []string
}

func (d *desk) load(_ context.Context, a Alert) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.alerts = append(d.alerts, a)
	return nil
}

// report takes a dead letter as it is: its payload is what could not be decoded.
func (d *desk) report(_ context.Context, ev eventflow.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	said := ev.Attributes.String
	d.dead = append(d.dead, fmt.Sprintf("event %s: %s, in flow %s %s", ev.ID, said("eventflow-reason"), said("eventflow-flow"), said("eventflow-version")))
	return nil
}

func run(ctx context.Context, url string, out io.Writer) error {
	if url == "" {
		fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, quakes, alerts), kfake.SeedTopics(1, deadQuakes))
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
	return etl(ctx, cluster, out)
}

const (
	quakes     = "eventflow-example-quakes"
	alerts     = "eventflow-example-alerts"
	deadQuakes = quakes + ".dlq" // the default
)

func etl(ctx context.Context, cluster *kafka.Broker, out io.Writer) error {
	d := &desk{cluster: cluster, group: fmt.Sprintf("eventflow-example-%d", time.Now().UnixNano())} // a new one starts at the beginning
	group := eventflow.Group(d.group)
	quiet := runner.Logger(slog.New(slog.DiscardHandler))
	rater, err1 := runner.New(eventflow.NewFlow("rate", rate, eventflow.Version("1.0")), quiet,
		runner.On(cluster.Subscriber(quakes, group, kafka.KeyLanes)),
		runner.PublishTo(cluster.Publisher(alerts)))
	loader, err2 := runner.New(eventflow.NewSink("load", d.load), quiet, runner.On(cluster.Subscriber(alerts, group, kafka.NoDeadLetters())))
	reporter, err3 := runner.New(eventflow.NewSink("report", d.report), quiet, runner.On(cluster.Subscriber(deadQuakes, group, kafka.NoDeadLetters())))
	week, err4 := readWeek()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	if err := cluster.Publisher(quakes).Publish(ctx, week...); err != nil { // the whole week in one call
		return err
	}

	listening, stop := context.WithCancel(ctx)
	defer stop()
	waited := make(chan error, 1)
	go func() {
		defer stop()
		waited <- d.wait(listening)
	}()
	err := runner.Listen(listening, rater, loader, reporter)
	stop()
	if failed := <-waited; err == nil && ctx.Err() == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	return d.print(ctx, len(week), out)
}

// wait waits until the group has settled all of the quakes, and after that all that they led to.
func (d *desk) wait(ctx context.Context) error {
	for _, topic := range []string{quakes, alerts, deadQuakes} {
		for {
			n, err := d.lag(ctx, topic)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func (d *desk) lag(ctx context.Context, topic string) (int64, error) {
	partitions, err := d.cluster.Lag(ctx, topic, d.group)
	var n int64
	for _, p := range partitions {
		n += p.Lag
	}
	return n, err
}

// print writes what became of the week.
func (d *desk) print(ctx context.Context, published int, out io.Writer) error {
	slices.SortFunc(d.alerts, func(a, b Alert) int {
		return cmp.Or(cmp.Compare(b.Mag, a.Mag), a.Time.Compare(b.Time))
	})
	var page strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&page, format+"\n", args...) }
	line("%d quakes published", published)
	line("%d alerts, the strongest:", len(d.alerts))
	for _, a := range d.alerts[:min(len(d.alerts), 3)] {
		line("  M %.1f  %s  %s", a.Mag, a.Time.UTC().Format("2 Jan 15:04"), a.Place)
	}
	line("%d dead letters", len(d.dead))
	for _, dead := range d.dead {
		line("  %s", dead)
	}
	for _, topic := range []string{quakes, alerts, deadQuakes} {
		n, err := d.lag(ctx, topic)
		if err != nil {
			return err
		}
		line("lag of %s: %d", topic, n)
	}
	_, err := io.WriteString(out, page.String())
	return err
}
