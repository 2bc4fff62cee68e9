package servicebus_test

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/servicebus"
	"github.com/eventflow-go/eventflow/store"
)

// TestHeapIsFlatAsTheBacklogGrows: tenfold. The server is a process of its own.
func TestHeapIsFlatAsTheBacklogGrows(t *testing.T) { //nolint:paralleltest // the heap is the whole process's
	bound := 0.1
	if raced {
		bound = 0.25 // the detector has pools let go of what they hold, now and then
	}
	connectionString := elsewhere(t)
	heapOf(t, connectionString, 3_000) // what is made once
	small, large := heapOf(t, connectionString, 3_000), heapOf(t, connectionString, 30_000)
	t.Logf("heap while running: %d KiB with 3,000 events, %d KiB with ten times as many", small>>10, large>>10)
	require.InEpsilon(t, small, large, bound)
}

// heapOf gives the median of the live heap, sampled at equal steps of a run over a queue of n events. Runs stand still while a
// sample is taken, with as much held as the runner asks for: it asks for more when a quarter is free.
func heapOf(t *testing.T, connectionString string, n int) uint64 {
	t.Helper()
	const held, samples = 64, 11
	bus, err := servicebus.New(servicebus.Config{ConnectionString: connectionString})
	require.NoError(t, err)
	p := bus.Publisher("q")
	for evs := thousands(n); len(evs) > 0; evs = evs[min(500, len(evs)):] {
		require.NoError(t, p.Publish(t.Context(), evs[:min(500, len(evs))]...))
	}
	var mu sync.Mutex // guards what follows
	changed := sync.NewCond(&mu)
	ran, quota := 0, 0
	r, err := runner.New(eventflow.NewSink("heap", func(context.Context, []byte) error {
		mu.Lock()
		defer mu.Unlock()
		ran++
		changed.Broadcast()
		for ran > quota {
			changed.Wait()
		}
		return nil
	}), runner.On(bus.Queue("q")), runner.MaxInFlight(held), runner.Store(store.NewMemory(store.Capacity(1000))))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- r.Listen(ctx) }()
	var heaps []uint64
	for step := 4; step < 4+samples; step++ { // by the fourth the store is full; behind the last more is left than fits
		mu.Lock()
		quota = n * step / (samples + 6)
		changed.Broadcast()
		for ran <= quota {
			changed.Wait()
		}
		mu.Unlock()
		last := int64(0)
		require.Eventually(t, func() bool { // what comes has come
			now := r.Counts().InFlight
			same := now == last && now >= held*3/4
			last = now
			return same
		}, time.Minute, 10*time.Millisecond)
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what a pool has is let go by the second
		runtime.ReadMemStats(&m)
		heaps = append(heaps, m.HeapAlloc)
	}
	mu.Lock()
	quota = n
	changed.Broadcast()
	for ran < n {
		changed.Wait()
	}
	mu.Unlock()
	stop()
	require.NoError(t, <-ended)
	require.NoError(t, bus.Close(t.Context()))
	slices.Sort(heaps)
	return heaps[samples/2]
}
