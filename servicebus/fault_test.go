package servicebus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/servicebus"
	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

// bench is a server in memory and a broker on it, in a bubble of virtual time.
type bench struct {
	*testing.T
	server *servicebustest.Server
	bus    *servicebus.Broker
}

const patience = 10 * time.Minute // virtual

// bubble runs a test in virtual time. Everything is closed before the bubble ends, and nothing may be left then.
func bubble(t *testing.T, queues map[string]servicebustest.Queue, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server, err := servicebustest.Start(servicebustest.Options{InMemory: true, Queues: queues})
		require.NoError(t, err)
		defer server.Close()
		b := &bench{T: t, server: server}
		b.bus = b.connect(server.ConnectionString())
		defer b.close(b.bus)
		test(b)
	})
}

func (b *bench) connect(connectionString string) *servicebus.Broker {
	b.Helper()
	bus, err := servicebus.New(servicebus.Config{ConnectionString: connectionString, Client: dialled(b.server)})
	require.NoError(b, err)
	return bus
}

func (b *bench) close(x interface {
	Close(ctx context.Context) error
}) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	require.NoError(b, x.Close(ctx))
}

// live runs a test in real time, with a server on loopback: under faults the client holds mutexes while it waits, and
// virtual time stands still then.
func live(t *testing.T, queues map[string]servicebustest.Queue, test func(b *bench)) {
	t.Helper()
	b := &bench{T: t, server: servicebustest.New(t, servicebustest.Options{Queues: queues})}
	var err error
	b.bus, err = servicebus.New(servicebus.Config{ConnectionString: b.server.ConnectionString()})
	require.NoError(t, err)
	test(b)
	b.close(b.bus)
}

// publish publishes until everything was taken, as a runner does.
func (b *bench) publish(events ...eventflow.Event) {
	b.Helper()
	p := b.bus.Publisher("q")
	defer b.close(p)
	for len(events) > 0 {
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		err := p.Publish(ctx, events...)
		cancel()
		if some, ok := errors.AsType[*eventflow.PublishError](err); ok {
			var again []eventflow.Event
			for _, f := range some.Failed {
				again = append(again, events[f.Index])
			}
			events = again
		}
		if err == nil {
			return
		}
		require.NotErrorIs(b, err, eventflow.ErrFatal)
		time.Sleep(10 * time.Millisecond)
	}
}

// next gives the next delivery; errors that go away are waited out.
func (b *bench) next(s eventflow.Subscriber) *eventflow.Delivery {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	for {
		ds, err := s.Next(ctx, eventflow.Want{Events: 1})
		if err == nil {
			return ds[0]
		}
		require.NoError(b, ctx.Err())
		require.NotErrorIs(b, err, eventflow.ErrFatal)
		time.Sleep(50 * time.Millisecond)
	}
}

func numbered(n, keys int) []eventflow.Event {
	evs := make([]eventflow.Event, n)
	for i := range evs {
		evs[i] = eventflow.Event{ID: fmt.Sprint(i), Source: "test", Type: "test", Data: []byte("x")}
		if keys > 0 {
			evs[i].Key = fmt.Sprint("key-", i%keys)
		}
	}
	return evs
}

// faulty makes one operation in a hundred fail, in each way in turn, and one delivery in a hundred, which are counted apart
// so that both are met. What opens links is refused or cut, and never left without an answer, nor is what the client gives
// back by itself: it waits a minute for that. first says which way is the first.
func faulty(server *servicebustest.Server, first int) (stop func()) {
	faults := []servicebustest.Fault{
		{Action: servicebustest.Refuse}, {Action: servicebustest.Cut}, {Action: servicebustest.Cut, Applied: true}, {Action: servicebustest.Detach},
		{Action: servicebustest.Detach, Applied: true}, {Delay: 20 * time.Millisecond}, {Action: servicebustest.Silence}, {Action: servicebustest.Silence, Applied: true},
	}
	operations, deliveries, faulted := 0, 0, first
	return server.Intercept(func(op servicebustest.Operation) servicebustest.Fault {
		if op.Kind == servicebustest.Delivery {
			if deliveries++; deliveries%100 != 0 {
				return servicebustest.Fault{}
			}
		} else if operations++; operations%100 != 0 {
			return servicebustest.Fault{}
		}
		faulted++
		f := faults[faulted%len(faults)]
		if f.Action == servicebustest.Silence && (op.Kind == servicebustest.Attach || op.Name == "put-token" || op.Name == "release") {
			f.Action = servicebustest.Refuse
		}
		return f
	})
}

// TestNothingIsLostUnderFaults: 10,000 events. They are of several queues, each with a server and a broker of its own,
// at once: what a fault costs is waiting.
func TestNothingIsLostUnderFaults(t *testing.T) {
	t.Parallel()
	faultyShards(t, 10_000, servicebustest.Queue{}, 0)
}

func TestNothingIsLostOfSessionsUnderFaults(t *testing.T) {
	t.Parallel()
	faultyShards(t, 2_000, servicebustest.Queue{RequiresSession: true}, 40, servicebus.Sessions(20))
}

// faultyShards runs events of several queues under faults. What is left behind when the servers are closed is found by
// TestMain. They are goroutines, for of parallel tests only as many run as there are processors.
func faultyShards(t *testing.T, events int, q servicebustest.Queue, keys int, opts ...eventflow.SubscriberOption) {
	t.Helper()
	const shards = 8
	q.LockDuration, q.MaxDeliveryCount = 5*time.Second, 1000
	var running sync.WaitGroup
	for i := range shards {
		running.Go(func() {
			live(t, map[string]servicebustest.Queue{"q": q}, func(b *bench) {
				b.nothingIsLost(b.bus.Queue("q", opts...), numbered(events/shards, keys), i)
			})
		})
	}
	running.Wait()
}

func (b *bench) nothingIsLost(s *servicebus.Subscriber, events []eventflow.Event, firstFault int) {
	b.Helper()
	stop := faulty(b.server, firstFault)
	var mu sync.Mutex // guards completed
	completed := map[string]int{}
	done := make(chan struct{})
	r, err := runner.New(eventflow.NewSink("count", func(_ context.Context, ev eventflow.Event) error {
		mu.Lock()
		defer mu.Unlock()
		if completed[ev.ID]++; len(completed) == len(events) && completed[ev.ID] == 1 {
			close(done)
		}
		return nil
	}), runner.On(s), runner.MaxInFlight(200), runner.Logger(slog.New(slog.DiscardHandler)))
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Listen(ctx) }()
	b.publish(events...)
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		mu.Lock()
		b.Errorf("%d of %d events were run: %+v", len(completed), len(events), b.server.Stats("q"))
		mu.Unlock()
	}
	stop()
	settled := func() bool { return b.server.Stats("q").Active == 0 }
	for end := time.Now().Add(time.Minute); !settled() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	require.True(b, settled(), "%+v", b.server.Stats("q"))
	require.Zero(b, b.server.Stats("q").Dead)
	cancel()
	require.NoError(b, <-ended)
	for id, n := range completed {
		if n != 1 { // the store knows what was run
			b.Errorf("event %s completed %d runs", id, n)
		}
	}
}
