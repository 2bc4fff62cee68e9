package sqs_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/sqs"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// bundle is a server with one queue, in a bubble of virtual time.
type bundle struct {
	t      *testing.T
	ctx    context.Context
	server *sqstest.Server
	queue  string
	broker *sqs.Broker
}

func setup(t *testing.T, name string, q sqstest.Queue) *bundle {
	t.Helper()
	server := sqstest.New(t, sqstest.Options{InMemory: true})
	require.NoError(t, server.CreateQueue(name, q))
	b := &bundle{t: t, ctx: t.Context(), server: server, queue: name, broker: sqs.New(server.Config())}
	require.NoError(t, b.broker.Err())
	t.Cleanup(func() { require.NoError(t, b.broker.Close(context.WithoutCancel(b.ctx))) })
	return b
}

// publish sends n events, of the keys given in turn.
func (b *bundle) publish(n int, keys ...string) {
	b.t.Helper()
	evs := make([]eventflow.Event, n)
	for i := range evs {
		evs[i] = eventflow.Event{ID: fmt.Sprintf("e-%d", i), Source: "/test", Type: "test", Data: []byte("x")}
		if len(keys) > 0 {
			evs[i].Key = keys[i%len(keys)]
		}
	}
	require.NoError(b.t, b.broker.Publisher(b.queue).Publish(b.ctx, evs...))
}

// told records what a subscriber tells.
type told struct {
	mu            sync.Mutex // guards what follows
	settled, lost []*eventflow.Delivery
	errs          []error // of both
	when          []time.Time
}

func (x *told) listening() eventflow.Listening {
	note := func(to *[]*eventflow.Delivery) func([]*eventflow.Delivery, error) {
		return func(ds []*eventflow.Delivery, err error) {
			x.mu.Lock()
			defer x.mu.Unlock()
			*to = append(*to, ds...)
			for range ds {
				x.errs, x.when = append(x.errs, err), append(x.when, time.Now())
			}
		}
	}
	return eventflow.Listening{Settled: note(&x.settled), Lost: note(&x.lost)}
}

func (x *told) counts() (settled, lost int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.settled), len(x.lost)
}

// next gives n deliveries.
func (b *bundle) next(s eventflow.Subscriber, n int) []*eventflow.Delivery {
	b.t.Helper()
	var all []*eventflow.Delivery
	for len(all) < n {
		ctx, cancel := context.WithTimeout(b.ctx, 10*time.Minute)
		ds, err := s.Next(ctx, eventflow.Want{Events: n - len(all)})
		cancel()
		require.NoError(b.t, err)
		all = append(all, ds...)
	}
	return all
}

// requests counts what the server was asked, all actions or the one given.
func (b *bundle) requests(action string) int { return b.server.Requests(b.queue, action) }

// admin is a client of the SDK's own, with all rights.
func (b *bundle) admin() *awssqs.Client { return awssqs.NewFromConfig(b.server.Config()) }

func splitLines(b []byte) [][]byte { return bytes.Split(b, []byte("\n")) }
