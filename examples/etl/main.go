// Etl loads what lands in a bucket: S3 tells an SQS queue of new files, a flow parses each and publishes its orders to
// another queue, and a second flow adds them up.
//
//	go run ./examples/etl
//
// It runs on a server of SQS in its own process, with two real notifications: S3's test event, which is ignored, and one
// of two files, which is one message and two runs. With -endpoint it runs on any other server, whose queues "landed",
// "orders" and "dead" must exist; on AWS the region and the credentials are the SDK's own.
package main

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/sqs"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// bucket stands for the files in S3, and for what S3 says of them.
//
//go:embed files
var bucket embed.FS

type order struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Amount   int    `json:"amount"`
}

func main() {
	endpoint := flag.String("endpoint", "", "of a server of SQS; none: one in this process")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := start(ctx, *endpoint)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "etl:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, endpoint string) error {
	if endpoint != "" {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return err
		}
		cfg.BaseEndpoint = aws.String(endpoint)
		return run(ctx, cfg, os.Stdout)
	}
	server, err := sqstest.Start(sqstest.Options{Queues: map[string]sqstest.Queue{"landed": {}, "orders": {}, "dead": {}}})
	if err != nil {
		return err
	}
	defer server.Close()
	return run(ctx, server.Config(), os.Stdout)
}

func run(ctx context.Context, cfg aws.Config, out io.Writer) error {
	b := sqs.New(cfg, sqs.DeadLetterQueue("dead"))
	defer func() { _ = b.Close(context.WithoutCancel(ctx)) }()
	if err := notify(ctx, b.Publisher("landed")); err != nil {
		return err
	}

	extract := eventflow.NewFlow("extract", func(_ context.Context, r sqs.S3Record) (eventflow.Many[order], error) {
		return parse(r.Key)
	})
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	t := totals{sums: map[string]int{}, left: 5, done: stop}
	total := eventflow.NewSink("total", t.add)

	landed, err := runner.New(extract, runner.On(b.Subscriber("landed", sqs.Decode(sqs.S3Events))), runner.PublishTo(b.Publisher("orders")))
	if err != nil {
		return err
	}
	orders, err := runner.New(total, runner.On(b.Subscriber("orders")))
	if err != nil {
		return err
	}
	if err := runner.Listen(ctx, landed, orders); err != nil {
		return err
	}
	return t.print(out)
}

// notify sends what S3 would.
func notify(ctx context.Context, p eventflow.Publisher) error {
	body, err := bucket.ReadFile("files/notifications.jsonl")
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		if err := p.Publish(ctx, eventflow.Event{Data: bytes.Clone(lines.Bytes())}); err != nil {
			return err
		}
	}
	return nil
}

// parse reads a file of orders. One that is broken will be broken the next time, too.
func parse(key string) ([]order, error) {
	f, err := bucket.Open("files/" + key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, eventflow.Permanent(err)
	}
	var orders []order
	for _, row := range rows[min(1, len(rows)):] {
		amount, err := strconv.Atoi(row[2])
		if err != nil {
			return nil, eventflow.Permanent(err)
		}
		orders = append(orders, order{ID: row[0], Customer: row[1], Amount: amount})
	}
	return orders, nil
}

// totals adds up the orders of each customer, until there are none left.
type totals struct {
	mu   sync.Mutex // guards sums and left
	sums map[string]int
	left int
	done func()
}

func (t *totals) add(_ context.Context, o order) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sums[o.Customer] += o.Amount
	if t.left--; t.left == 0 {
		t.done()
	}
	return nil
}

func (t *totals) print(out io.Writer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, customer := range slices.Sorted(maps.Keys(t.sums)) {
		if _, err := fmt.Fprintf(out, "%-8s %4d\n", customer, t.sums[customer]); err != nil {
			return err
		}
	}
	return nil
}
