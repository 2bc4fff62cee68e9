// Command sqstest is Amazon SQS for tests, as a program: for clients in any language, and for measurements with the
// server in a process of its own.
//
//	sqstest -addr 127.0.0.1:9324 -queue orders -queue carts.fifo
//
// Its first line on standard output is its endpoint; any access key will do. A GET on the endpoint tells how many
// requests of each action arrived. It ends on SIGTERM or an interrupt.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	opts := sqstest.Options{Queues: map[string]sqstest.Queue{}}
	var set sqstest.Queue // of all queues
	var queues list
	receives := 0
	flags := flag.NewFlagSet("sqstest", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&opts.Addr, "addr", "127.0.0.1:0", "where to listen, on loopback")
	flags.StringVar(&opts.Region, "region", "us-east-1", "the `region` in ARNs")
	flags.Var(&queues, "queue", "a `queue`, FIFO when its name ends with .fifo; repeatable. Clients can make more")
	flags.DurationVar(&set.VisibilityTimeout, "visibility", 0, "how long a received message is hidden; 30s when 0")
	flags.IntVar(&receives, "receives", 0, "after how many receives a message goes to its queue's dead letters, QUEUE-dead; no dead letters when 0")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, name := range queues {
		q := set
		if receives != 0 {
			q.DeadLetterQueue, q.MaxReceiveCount = deadLetters(name), receives
			opts.Queues[q.DeadLetterQueue] = set
		}
		opts.Queues[name] = q
	}
	server, err := sqstest.Start(opts)
	if err != nil {
		return err
	}
	defer server.Close()
	if _, err := fmt.Fprintln(out, server.Endpoint()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func deadLetters(queue string) string {
	stem, fifo := strings.CutSuffix(queue, ".fifo")
	if fifo {
		return stem + "-dead.fifo"
	}
	return stem + "-dead"
}

// list is a flag that may be given more than once.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}
