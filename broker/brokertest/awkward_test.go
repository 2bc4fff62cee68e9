package brokertest_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker/brokertest"
)

// What a broker far away does, and may: every call takes its time, Next gives a few at once and fails now and then,
// marks are written later, and confirmed later still.
func far(w *wrapped) {
	type mark struct {
		s     *wrappedSubscriber
		write func()
	}
	var (
		calls   int
		pending []*mark // under w.mu, in order
	)
	flush := func(s *wrappedSubscriber, only *mark) {
		w.mu.Lock()
		var due []*mark
		pending = slices.DeleteFunc(pending, func(m *mark) bool {
			if m.s != s || only != nil && m != only {
				return false
			}
			due = append(due, m)
			return true
		})
		w.mu.Unlock()
		for _, m := range due {
			m.write()
		}
	}
	later := func(s *wrappedSubscriber, write func()) {
		m := &mark{s, write}
		w.mu.Lock()
		pending = append(pending, m)
		w.mu.Unlock()
		time.AfterFunc(7*time.Millisecond, func() { flush(s, m) })
	}
	w.next = func(s *wrappedSubscriber, ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
		s.w.mu.Lock()
		calls++
		n := calls
		s.w.mu.Unlock()
		time.Sleep(3 * time.Millisecond)
		if n%5 == 0 && ctx.Err() == nil {
			return nil, fmt.Errorf("connection reset: %w", errFault)
		}
		want.Events = min(max(want.Events, 1), 1+n%3)
		return s.receive(ctx, want)
	}
	w.settle = func(s *wrappedSubscriber, ds []*eventflow.Delivery, st eventflow.Settlement) {
		if st.Verb != eventflow.Ack {
			s.pass(ds, st) // the lane waits for what was given back, from now on
			return
		}
		ds = slices.Clone(ds)
		later(s, func() { s.pass(ds, st) })
	}
	w.attempted = func(s *wrappedSubscriber, ds []*eventflow.Delivery) {
		ds = slices.Clone(ds)
		later(s, func() {
			for _, in := range s.w.inners(ds) {
				in.Attempted()
			}
		})
	}
	w.settled = func(s *wrappedSubscriber, ds []*eventflow.Delivery, err error) {
		time.AfterFunc(11*time.Millisecond, func() { s.tellSettled(ds, err) })
	}
	w.publish = func(p *wrappedPublisher, ctx context.Context, evs []eventflow.Event) error {
		time.Sleep(5 * time.Millisecond)
		return p.Publisher.Publish(ctx, evs...)
	}
	w.close = func(s *wrappedSubscriber, ctx context.Context) error {
		time.Sleep(5 * time.Millisecond)
		flush(s, nil)
		return s.Subscriber.Close(ctx)
	}
}

// Rules must not ask for more than is promised: an awkward broker that keeps every promise passes.
func TestFarBrokerKeepsEveryRule(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, wrap(virtualMemory(), far))
}

// A FIFO queue may hand over one event of a group at a time.
func TestPiecemealBrokerKeepsEveryRule(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, wrap(virtualMemory(), wants(func(want *eventflow.Want) { want.PerLane = 1 })))
}

// partition is a key's lane, as a topic of three partitions has it.
func partition(key string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return fmt.Sprint("partition-", h.Sum32()%3)
}

// Keys may share a lane, and events without one have it too.
func TestBrokerOfThreePartitionsKeepsEveryRule(t *testing.T) {
	t.Parallel()
	const hidden = "partitionkey"
	restore := func(ev *eventflow.Event) {
		ev.Key = ev.Attributes.String(hidden)
		ev.Attributes = ev.Attributes.Without(hidden)
	}
	h := wrap(virtualMemory(), func(w *wrapped) {
		changesEvent(func(ev *eventflow.Event) {
			ev.Attributes = append(slices.Clone(ev.Attributes), eventflow.Attribute{Name: hidden, Value: ev.Key})
			ev.Key = partition(ev.Key)
		})(w)
		w.handOver = func(_ *wrappedSubscriber, d *eventflow.Delivery) { restore(&d.Event) }
	})
	open := h.Open
	h.Open = func(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
		f := open(t, s)
		f.Keys = func(_ string, n int) []string {
			var keys []string
			for i := 0; len(keys) < n; i++ {
				if k := fmt.Sprint("key-", i); partition(k) == fmt.Sprint("partition-", len(keys)%3) {
					keys = append(keys, k)
				}
			}
			return keys
		}
		read := f.DeadLetters
		f.DeadLetters = func(ctx context.Context, topic string) ([]brokertest.DeadLetter, error) {
			dead, err := read(ctx, topic)
			for i := range dead {
				restore(&dead[i].Event)
			}
			return dead, err
		}
		return f
	}
	brokertest.Run(t, h)
}
