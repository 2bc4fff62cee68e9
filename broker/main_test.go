package broker_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
)

// The broker starts no goroutine: a test that leaves one behind is wrong about that.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a broker with one topic, a publisher and a consumer of its default group.
type bench struct {
	t *testing.T
	m *broker.Memory
	p eventflow.Publisher
	s eventflow.Subscriber
}

func setup(t *testing.T, opts ...broker.MemoryOption) *bench {
	t.Helper()
	m := broker.NewMemory(opts...)
	require.NoError(t, m.Err())
	return &bench{t: t, m: m, p: m.Publisher("q"), s: m.Subscriber("q")}
}

// publish publishes each text as an event without a key.
func (b *bench) publish(texts ...string) {
	b.t.Helper()
	b.publishKey("", texts...)
}

func (b *bench) publishKey(key string, texts ...string) {
	b.t.Helper()
	evs := make([]eventflow.Event, len(texts))
	for i, s := range texts {
		evs[i] = eventflow.Event{Key: key, Data: []byte(s)}
	}
	require.NoError(b.t, b.p.Publish(b.t.Context(), evs...))
}

// next waits for deliveries of the bench's consumer, at most n.
func (b *bench) next(n int) []*eventflow.Delivery {
	b.t.Helper()
	return nextOf(b.t, b.s, eventflow.Want{Events: n})
}

func nextOf(t *testing.T, s eventflow.Subscriber, want eventflow.Want) []*eventflow.Delivery {
	t.Helper()
	ds, err := s.Next(t.Context(), want)
	require.NoError(t, err)
	require.NotEmpty(t, ds)
	return ds
}

// later waits for deliveries in a goroutine of its own, which ends with the test at the latest.
func later(t *testing.T, s eventflow.Subscriber, n int) <-chan []*eventflow.Delivery {
	t.Helper()
	got := make(chan []*eventflow.Delivery, 1)
	go func() {
		ds, err := s.Next(t.Context(), eventflow.Want{Events: n})
		if err != nil {
			t.Errorf("next: %v", err)
		}
		got <- ds
	}()
	return got
}

// none asserts that there is nothing for s now, in a bubble.
func none(t *testing.T, s eventflow.Subscriber, want eventflow.Want) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var ds []*eventflow.Delivery
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		ds, err = s.Next(ctx, want)
	}()
	synctest.Wait()
	cancel()
	<-done
	require.Empty(t, texts(ds))
	require.ErrorIs(t, err, context.Canceled)
}

// texts gives the payloads.
func texts(ds []*eventflow.Delivery) []string {
	out := make([]string, len(ds))
	for i, d := range ds {
		out[i] = string(d.Event.Data)
	}
	return out
}

func ack(ds ...*eventflow.Delivery) {
	eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
}
