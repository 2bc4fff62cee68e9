package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/sqs"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
	"github.com/eventflow-go/eventflow/store"
)

// lossy is a bundle whose way to the server leads through the proxy that fails, over the network, with a witness at
// both ends. Time is real.
type lossy struct {
	bundle

	proxy   *sqstest.Proxy
	witness *witness
}

func newLossy(t *testing.T, name string, q sqstest.Queue) *lossy {
	t.Helper()
	server := sqstest.New(t, sqstest.Options{InMemory: true})
	require.NoError(t, server.CreateQueue(name, q))
	w := newWitness()
	proxy := sqstest.NewProxy(t, w.before(t, server))
	cfg := proxy.Config()
	cfg.HTTPClient = w.client(t)
	cfg.Retryer = func() aws.Retryer { // the SDK's own, but that it waits for less than 20 s
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = 20 * time.Millisecond })
	}
	l := &lossy{bundle{t: t, ctx: t.Context(), server: server, queue: name, broker: sqs.New(cfg, sqs.LongPoll(time.Second))}, proxy, w}
	t.Cleanup(func() { require.NoError(t, l.broker.Close(context.WithoutCancel(l.ctx))) })
	return l
}

// publish sends n events, whose data are the name and a number, until the queue has taken each.
func (l *lossy) publish(n int, name string, keys ...string) {
	l.t.Helper()
	p := l.broker.Publisher(l.queue)
	for from := 0; from < n; from += 500 {
		var evs []eventflow.Event
		for i := from; i < min(from+500, n); i++ {
			ev := eventflow.Event{ID: fmt.Sprintf("%s-%d", name, i), Source: "/test", Type: "test", Data: fmt.Appendf(nil, "%s-%d", name, i)}
			if len(keys) > 0 {
				ev.Key = keys[i%len(keys)]
			}
			evs = append(evs, ev)
		}
		for len(evs) > 0 {
			evs = refused(evs, p.Publish(l.ctx, evs...))
			require.NoError(l.t, l.ctx.Err())
		}
	}
}

// refused gives the events that an error of Publish names.
func refused(evs []eventflow.Event, err error) (again []eventflow.Event) {
	failed, _ := errors.AsType[*eventflow.PublishError](err)
	switch {
	case err == nil:
		return nil
	case failed == nil:
		return evs
	}
	for _, f := range failed.Failed {
		again = append(again, evs[f.Index])
	}
	return again
}

// faulty lets a twentieth of all requests meet each kind of fault.
func faulty(seed uint64) func(sqstest.Request) sqstest.Fault {
	kinds := []sqstest.Fault{
		{Action: sqstest.Refuse, Code: "RequestThrottled"},
		{Action: sqstest.Refuse, Code: "InternalError"},
		{Action: sqstest.Refuse, Code: "InternalError", Entries: 3},
		{Action: sqstest.Cut},
		{Action: sqstest.Pass, Delay: 50 * time.Millisecond},
		{Action: sqstest.Pass, Delay: 50 * time.Millisecond, Applied: true},
		{Action: sqstest.Cut, Applied: true},
		{Action: sqstest.Refuse, Code: "InternalError", Applied: true},
	}
	rnd := rand.New(rand.NewPCG(seed, 7)) // requests are shown one at a time
	return func(sqstest.Request) sqstest.Fault {
		if i := rnd.IntN(20); i < len(kinds) {
			return kinds[i]
		}
		return sqstest.Fault{}
	}
}

// runs counts the runs of each event.
type runs struct {
	mu sync.Mutex // guards of
	of map[string]int
}

func (r *runs) add(data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[string]int{}
	}
	r.of[string(data)]++
}

func (r *runs) all() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.of)
}

// decisions records those that say why an event may come again.
type decisions struct {
	mu sync.Mutex // guards by
	by map[string][]string
}

func (x *decisions) Decided(d runner.Decision) {
	if d.Reason != "lock lost" && d.Reason != "unconfirmed" {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.by == nil {
		x.by = map[string][]string{}
	}
	x.by[d.Key.ID] = append(x.by[d.Key.ID], fmt.Sprintf("%v: %v", d, d.Err))
}

func (x *decisions) of(id string) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.by[id]
}

// quiet leaves out what a runner says of faults that are wanted.
func quiet() runner.Option { return runner.Logger(slog.New(slog.DiscardHandler)) }

// forgetful is a store that finds no duplicates, so that what the queue hands out twice runs twice.
func forgetful() runner.Option { return runner.Store(store.NewMemory(store.Window(time.Nanosecond))) }

// A twentieth of all requests meets each kind of fault on the network: nothing is lost, and an event runs once more at
// most for each answer about it that was lost.
func TestNothingIsLostAmongFaults(t *testing.T) { //nolint:paralleltest,tparallel // others, which measure real time, would be late
	const n = 10_000
	keys := make([]string, 50)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	for name, queue := range map[string]string{"standard": "q", "FIFO": "q.fifo"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Longer than a busy machine holds up a process, for a lock that lapses makes duplicates too.
			l := newLossy(t, queue, sqstest.Queue{VisibilityTimeout: 15 * time.Second})
			calm := l.proxy.Intercept(faulty(1))
			var r runs
			flow := eventflow.NewSink("count", func(_ context.Context, ev eventflow.Event) error {
				r.add(ev.Data)
				return nil
			})
			var publishing sync.WaitGroup
			publishing.Go(func() { l.publish(n, "e", keys...) })
			done := func() bool {
				ran := len(r.all())
				if ran >= n-n/100 { // the last that a lost answer made invisible come back without more of it
					calm()
				}
				return ran == n && l.server.Stats(queue) == sqstest.Stats{}
			}
			var told decisions
			l.listen(done, flow, quiet(), forgetful(), runner.Hooks(&told), runner.On(l.broker.Subscriber(queue, sqs.LeavePoison())))
			publishing.Wait()
			require.Equal(t, sqstest.Stats{}, l.server.Stats(queue))
			lost, answers := l.witness.lost()
			twice := 0
			for ev, times := range r.all() {
				twice += times - 1
				require.LessOrEqualf(t, times-1, lost[ev], "%s ran %d times; what the runner was told: %v", ev, times, told.of(ev))
			}
			t.Logf("%d of %d ran again, %d answers were lost about %d events, %d requests", twice, n, answers, len(lost), l.proxy.Requests(queue, ""))
			require.Len(t, r.all(), n)
			require.NotEmpty(t, lost)
			if queue == "q" {
				require.NotZero(t, twice, "a standard queue takes twice what is sent twice")
			}
		})
	}
}
