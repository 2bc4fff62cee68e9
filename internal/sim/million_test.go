package sim

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

var million = flag.Int("sim.events", 30_000, "how many events the long backlog has; a million is what is promised of")

const (
	backlogLanes = 50
	backlogSlow  = 5 * time.Millisecond
	backlogClock = 20 * time.Millisecond
)

// backlog is a saturated runner: a source that always has more, one event in a hundred is poison, one in a hundred slow.
type backlog struct {
	mem *broker.Memory

	mu       sync.Mutex // guards what follows
	ran      int
	lateFire time.Duration
	fires    int
	heaps    []uint64
}

// A backlog of any length, with poison and slow events in it, costs no memory beyond the runner's bounds and what the
// store is to remember; fires begin in time all along, and every event ends.
func TestABacklogOfPoisonAndSlowEventsLeavesHeapAndClockAlone(t *testing.T) { //nolint:paralleltest // the heap is the whole process's
	n := *million
	b := &backlog{mem: broker.NewMemory(broker.Capacity(2000), broker.DeadLetterCapacity(n))}
	flow := eventflow.NewSink("backlog", b.run)
	r, err := runner.New(flow, runner.On(b.mem.Subscriber("in"), runner.Named("in")), runner.At(eventflow.Every(backlogClock)),
		runner.Store(store.NewMemory(store.Capacity(5000))), runner.MaxInFlight(512), runner.MaxRuns(8), runner.MaxAttempts(2),
		runner.Backoff(func(int) time.Duration { return 0 }), runner.DeadLetterTo(discard{}), runner.DecisionLog(1000),
		runner.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Listen(ctx) }()
	start := time.Now()
	b.publish(t, n)
	if err = b.mem.WaitSettled(t.Context(), "in"); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	cancel()
	if err = <-done; err != nil {
		t.Fatal(err)
	}
	b.check(t, r.Counts(), n, took)
}

// publish keeps the topic full, and samples the heap at equal steps of the way, where everything so far has ended.
func (b *backlog) publish(t *testing.T, n int) {
	t.Helper()
	const samples = 16
	in := b.mem.Publisher("in")
	evs := make([]eventflow.Event, 0, 100)
	for i := range n {
		kind := "well"
		switch i % 100 {
		case 17:
			kind = "poison"
		case 54:
			kind = "slow"
		}
		evs = append(evs, eventflow.Event{
			ID: strconv.Itoa(i), Source: "backlog", Key: strconv.Itoa((i + i/100) % backlogLanes), Type: kind, Data: make([]byte, 256),
		})
		if len(evs) < cap(evs) && i < n-1 {
			continue
		}
		if err := in.Publish(t.Context(), evs...); err != nil {
			t.Fatal(err)
		}
		evs = evs[:0]
		if step := n / samples; i/step > (i-100)/step && i > 4*step { // by then store, topic and decision log are full
			if err := b.mem.WaitSettled(t.Context(), "in"); err != nil { // what is on its way is bounded, and differs
				t.Fatal(err)
			}
			b.heaps = append(b.heaps, liveHeap())
		}
	}
}

// liveHeap gives what is reachable. A collection counts what is allocated beside it as well, so the lesser of two is nearer.
func liveHeap() uint64 {
	var first, second runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&first)
	runtime.GC()
	runtime.ReadMemStats(&second)
	return min(first.HeapAlloc, second.HeapAlloc)
}

var errPoison = errors.New("sim: poison")

func (b *backlog) run(ctx context.Context, ev eventflow.Event) error {
	info := eventflow.RunFrom(ctx)
	if info.Fire != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.fires++
		b.lateFire = max(b.lateFire, time.Since(info.Fire.Nominal))
		return nil
	}
	switch ev.Type {
	case "slow":
		time.Sleep(backlogSlow)
	case "poison":
		return errPoison
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ran++
	return nil
}

// discard takes dead letters and keeps none.
type discard struct{}

func (discard) Publish(context.Context, ...eventflow.Event) error { return nil }
func (discard) Close(context.Context) error                       { return nil }

func (b *backlog) check(t *testing.T, c runner.Counts, n int, took time.Duration) {
	t.Helper()
	var sum uint64
	for _, h := range b.heaps {
		sum += h
	}
	mean := sum / uint64(len(b.heaps))
	least, most := slices.Min(b.heaps), slices.Max(b.heaps)
	tolerance := mean / 10
	t.Logf("%d events in %v: %v; heap %d to %d KiB in %d samples; %d fires, the latest %v late", n, took.Round(time.Millisecond), c, least>>10, most>>10, len(b.heaps), b.fires, b.lateFire)
	poison := int64((n + 82) / 100)
	if got := c.Outcomes[eventflow.DeadLettered]; got != poison {
		t.Errorf("%d dead letters, of %d poison events", got, poison)
	}
	if b.ran != n-int(poison) {
		t.Errorf("%d events ran well, of %d", b.ran, n-int(poison))
	}
	if b.lateFire > time.Second {
		t.Errorf("a fire was %v late", b.lateFire)
	}
	if b.fires == 0 {
		t.Error("no fire began")
	}
	if most > mean+tolerance || least < mean-tolerance {
		t.Errorf("the heap is not flat: %d to %d KiB, %v", least>>10, most>>10, b.heaps)
	}
}

// A lane whose runs take a second each delays no other: what comes behind its backlog, in other lanes, has ended before
// its first run has.
func TestASlowLaneDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const slow, others = 300, 1000
		mem := broker.NewMemory()
		var mu sync.Mutex // guards what follows
		var ran int
		var last time.Duration
		start := time.Now()
		flow := eventflow.NewSink("f", func(_ context.Context, ev eventflow.Event) error {
			if ev.Key == "slow" {
				time.Sleep(time.Second)
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			ran++
			last = time.Since(start)
			return nil
		})
		var evs []eventflow.Event
		for i := range slow + others {
			ev := eventflow.Event{ID: strconv.Itoa(i), Source: "s", Key: "slow"}
			if i >= slow {
				ev.Key = strconv.Itoa(i % backlogLanes)
			}
			evs = append(evs, ev)
		}
		if err := mem.Publisher("in").Publish(t.Context(), evs...); err != nil {
			t.Fatal(err)
		}
		r, err := runner.New(flow, runner.On(mem.Subscriber("in")), runner.MaxRuns(2), runner.MaxInFlight(64))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Listen(ctx) }()
		if err := mem.WaitSettled(t.Context(), "in"); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if ran != others || last > time.Second {
			t.Errorf("%d events of other lanes have run, of %d, the last after %v", ran, others, last)
		}
	})
}
