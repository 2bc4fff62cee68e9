// Command servicebustest is a Service Bus namespace for tests, as a program: for clients in any language, and for
// measurements with the server in a process of its own.
//
//	servicebustest -queue orders -session-queue carts -topic events -subscription events/audit
//
// Its first line on standard output is a connection string with all rights. It ends on SIGTERM or an interrupt.
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

	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
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
	opts := servicebustest.Options{Queues: map[string]servicebustest.Queue{}, Topics: map[string]servicebustest.Topic{}}
	topic := func(name string) servicebustest.Topic {
		t, ok := opts.Topics[name]
		if !ok {
			t = servicebustest.Topic{Subscriptions: map[string]servicebustest.Subscription{}}
			opts.Topics[name] = t
		}
		return t
	}
	var set servicebustest.Queue // of all queues and subscriptions
	var queues, sessionQueues, topics, subscriptions list
	flags := flag.NewFlagSet("servicebustest", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&opts.Addr, "addr", "127.0.0.1:0", "where to listen, on loopback")
	flags.Var(&queues, "queue", "a `queue`; repeatable")
	flags.Var(&sessionQueues, "session-queue", "a `queue` of sessions; repeatable")
	flags.Var(&topics, "topic", "a `topic`; repeatable")
	flags.Var(&subscriptions, "subscription", "a `topic/subscription`, with its topic; repeatable")
	flags.DurationVar(&set.LockDuration, "lock", 0, "how long locks last; a minute when 0")
	flags.IntVar(&set.MaxDeliveryCount, "deliveries", 0, "after how many failed deliveries a message is dead-lettered; 10 when 0")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, name := range queues {
		opts.Queues[name] = set
	}
	for _, name := range sessionQueues {
		q := set
		q.RequiresSession = true
		opts.Queues[name] = q
	}
	for _, name := range topics {
		topic(name)
	}
	for _, path := range subscriptions {
		i := strings.LastIndexByte(path, '/') // a topic's name may hold slashes
		if i < 0 {
			return fmt.Errorf("-subscription %s: want topic/subscription", path)
		}
		topic(path[:i]).Subscriptions[path[i+1:]] = servicebustest.Subscription{LockDuration: set.LockDuration, MaxDeliveryCount: set.MaxDeliveryCount}
	}
	server, err := servicebustest.Start(opts)
	if err != nil {
		return err
	}
	defer server.Close()
	if _, err := fmt.Fprintln(out, server.ConnectionString()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// list is a flag that may be given more than once.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}
