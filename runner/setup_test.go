package runner_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBoom = errors.New("boom")

// bundle is a memory broker with one topic, and a way to run a runner on it.
type bundle struct {
	t   *testing.T
	mem *broker.Memory
}

func setup(t *testing.T, opts ...broker.MemoryOption) *bundle {
	t.Helper()
	return &bundle{t: t, mem: broker.NewMemory(opts...)}
}

// publish publishes events whose Data is also their ID: "KEY:ID", or "ID" without a key.
func (b *bundle) publish(topic string, ids ...string) {
	b.t.Helper()
	var evs []eventflow.Event
	for _, id := range ids {
		key := ""
		for i := range id {
			if id[i] == ':' {
				key = id[:i]
			}
		}
		evs = append(evs, eventflow.Event{ID: id, Source: "test", Key: key, Data: []byte(id)})
	}
	require.NoError(b.t, b.mem.Publisher(topic).Publish(b.t.Context(), evs...))
}

// warm has 200 quick runs made in a bubble, so that the chunks behind them have several.
func (b *bundle) warm() {
	b.t.Helper()
	for i := range 200 {
		b.publish("q", fmt.Sprintf("w%d", i))
	}
	synctest.Wait()
}

func (b *bundle) new(f *eventflow.Flow, opts ...runner.Option) *runner.FlowRunner {
	b.t.Helper()
	r, err := runner.New(f, append([]runner.Option{runner.Logger(slog.New(slog.DiscardHandler))}, opts...)...)
	require.NoError(b.t, err)
	return r
}

// listen starts r; the returned function stops it and gives Listen's error.
func (b *bundle) listen(r *runner.FlowRunner) (stop func() error) {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Listen(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

// balanced checks the promise of Counts.
func balanced(t *testing.T, r *runner.FlowRunner) runner.Counts {
	t.Helper()
	c := r.Counts()
	sum := c.InFlight
	for _, n := range c.Outcomes {
		sum += n
	}
	require.Equal(t, c.Received, sum, "received = outcomes + in flight: %+v", c)
	return c
}

func ids(evs []eventflow.Event) (out []string) {
	for _, ev := range evs {
		out = append(out, ev.ID)
	}
	return out
}

func runtimeGoexit() { runtime.Goexit() }

func newStore(capacity int) store.Store { return store.NewMemory(store.Capacity(capacity)) }
