package runnertest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/internal/conform"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// asks runs one rule on the memory broker, and fails the test when it is broken.
func asks(t *testing.T, h Harness, name string) {
	t.Helper()
	for _, c := range conform.Failures(t, probe(t, h), conform.Find(t, suite(), name), conform.Virtual(h.Broker.Virtual), conform.Within(10*time.Minute)) {
		t.Error(c)
	}
}

// A topic that is deleted and made again counts from the beginning: what brings no ID of its own must not be taken for
// what the old topic had.
func TestRecreatedTopicRunsEveryEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		var ran atomic.Int64
		for range 2 {
			m := broker.NewMemory()
			r, err := runner.New(eventflow.NewSink("f", func(context.Context, string) error { ran.Add(1); return nil }),
				runner.On(m.Subscriber("orders")), runner.Store(st))
			if err != nil {
				t.Fatal(err)
			}
			for i := range 5 {
				if err := m.Publisher("orders").Publish(t.Context(), eventflow.Event{Data: fmt.Append(nil, i)}); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if err := r.Listen(ctx); err != nil {
				t.Fatal(err)
			}
			cancel()
			if c := r.Counts(); c.Outcomes[eventflow.Succeeded] != 5 {
				t.Errorf("%v, want 5 succeeded", c)
			}
		}
		if n := ran.Load(); n != 10 {
			t.Errorf("%d of 10 events ran", n)
		}
	})
}

// A million events wait, behind a store that forgets most of them. It runs alone, as the heap is the whole process's.
func TestBacklogOfAMillionEvents(t *testing.T) { //nolint:paralleltest // see above
	n := 1_000_000
	if testing.Short() || raced {
		n /= 50
	}
	h := memory(true)
	h.Backlog = n
	h.Store = func(T) store.Store { return store.NewMemory(store.Capacity(5_000)) }
	var heap []uint64
	var ran atomic.Int64
	h.plant.subscriber = func(_ *process, s eventflow.Subscriber) eventflow.Subscriber {
		return &sampled{Subscriber: s, every: n / 20, ran: &ran, sample: func() {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			heap = append(heap, m.HeapAlloc)
		}}
	}
	began := time.Now()
	asks(t, h, "BacklogDelaysNoFire")
	t.Logf("%d events in %v; heap in KiB: %v", n, time.Since(began).Round(time.Millisecond), inKiB(heap))
	if len(heap) < 15 {
		t.Fatalf("only %d samples of the heap were taken", len(heap))
	}
	early, late := slices.Clone(heap[3:9]), slices.Clone(heap[9:])
	slices.Sort(early)
	slices.Sort(late)
	if e, l := early[len(early)/2], late[len(late)/2]; l > e+e/10+256<<10 {
		t.Errorf("the heap grew from %d to %d KiB as the backlog ran", e>>10, l>>10)
	}
}

// sampled takes a sample between hand-overs, every so many events.
type sampled struct {
	eventflow.Subscriber
	every  int
	ran    *atomic.Int64
	sample func()
}

// String is the trigger's name.
func (s *sampled) String() string { return "runnertest" }

func (s *sampled) Next(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	ds, err := s.Subscriber.Next(ctx, want)
	if before := s.ran.Add(int64(len(ds))) - int64(len(ds)); int(before)/s.every != (int(before)+len(ds))/s.every {
		s.sample()
	}
	return ds, err
}

func inKiB(ns []uint64) (out []uint64) {
	for _, n := range ns {
		out = append(out, n>>10)
	}
	return out
}

// queue is a broker that can do less: no lanes, no groups, no dead letters, and a fixture that breaks nothing.
type queue struct{ *broker.Memory }

func (q queue) Features() eventflow.Features {
	f := q.Memory.Features()
	f.Lanes, f.Groups, f.DeadLetter = false, false, false
	return f
}

func (q queue) OpenPublisher(topic string, opts ...eventflow.PublisherOption) (eventflow.Publisher, error) {
	p, err := q.Memory.OpenPublisher(topic, opts...)
	return keyless{p}, err
}

// keyless publishes without keys: each event is a lane of its own.
type keyless struct{ eventflow.Publisher }

func (p keyless) Publish(ctx context.Context, evs ...eventflow.Event) error {
	out := slices.Clone(evs)
	for i := range out {
		out[i].Key = ""
	}
	return p.Publisher.Publish(ctx, out...)
}

// The rules that need what a broker has not are not asked, and all others are.
func TestBrokerThatCanDoLess(t *testing.T) {
	t.Parallel()
	h := memory(true)
	open := h.Broker.Open
	h.Broker.Open = func(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
		f := open(t, s)
		f.Broker = queue{f.Broker.(*broker.Memory)}
		f.DeadLetters, f.Redrive, f.Lose, f.Stall, f.Crash, f.Missing, f.MaxReceives = nil, nil, nil, nil, nil, "", 0
		return f
	}
	h.Excused = map[string]string{}
	s := probe(t, h)
	for _, r := range suite() {
		if r.Excuse(s) != "" {
			h.Excused[r.Name] = "this queue cannot do that"
		}
	}
	if n := len(h.Excused); n < 15 || n > 25 {
		t.Errorf("%d rules are excused", n)
	}
	Run(t, h)
}
