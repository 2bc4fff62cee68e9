package sqltest

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// Events is how many a test delivers: EVENTFLOW_EVENTS, 20,000 by default.
func Events() int {
	if n, err := strconv.Atoi(os.Getenv("EVENTFLOW_EVENTS")); err == nil {
		return n
	}
	return 20_000
}

// CompletesDistinctEvents delivers events, a tenth of them twice, to two runners with a handle on one store each, and checks
// that exactly the distinct ones complete.
func CompletesDistinctEvents(t *testing.T, open func() store.Store) {
	t.Helper()
	n := Events()
	distinct := n - n/10
	events := make([]eventflow.Event, n)
	for i := range events {
		id := i
		if i >= distinct {
			id = (i - distinct) * 7 % distinct
		}
		events[i] = eventflow.Event{ID: strconv.Itoa(id), Source: "redelivery", Data: []byte("{}")}
	}
	mem := broker.NewMemory(broker.Capacity(2*n), broker.Declare("in"))
	runs := make([]int, distinct)
	var mu sync.Mutex // guards runs
	flow := func() *eventflow.Flow {
		return eventflow.NewSink("count", func(_ context.Context, ev eventflow.Event) error {
			i, err := strconv.Atoi(ev.ID)
			mu.Lock()
			runs[i]++
			mu.Unlock()
			return err
		})
	}
	rs := make([]*runner.FlowRunner, 2)
	for i := range rs {
		r, err := runner.New(flow(), runner.On(mem.Subscriber("in"), runner.Named("in")), runner.Store(open()), runner.Logger(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		rs[i] = r
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	listened := make(chan error, len(rs))
	for _, r := range rs {
		go func() { listened <- r.Listen(ctx) }()
	}
	if err := mem.Publisher("in").Publish(ctx, events...); err != nil {
		t.Fatal(err)
	}
	if err := mem.WaitSettled(ctx, "in"); err != nil {
		t.Fatal(err)
	}
	stop()
	succeeded, duplicates := 0, 0
	for range rs {
		if err := <-listened; err != nil {
			t.Error(err)
		}
	}
	for _, r := range rs {
		c := r.Counts()
		succeeded += int(c.Outcomes[eventflow.Succeeded])
		duplicates += int(c.Outcomes[eventflow.Duplicate])
	}
	for i, n := range runs {
		if n != 1 {
			t.Fatalf("event %d ran %d times", i, n)
		}
	}
	if succeeded != distinct || duplicates != n-distinct {
		t.Errorf("%d succeeded and %d were duplicates, want %d and %d", succeeded, duplicates, distinct, n-distinct)
	}
}
