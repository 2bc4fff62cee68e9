package runner_test

import (
	"context"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

const idleClocks = 100_000

// idle makes a runner of many clocks, of which none fires, and gives what a clock of it takes beyond itself and its name.
func idle(tb testing.TB) (r *runner.FlowRunner, bytes float64) {
	tb.Helper()
	opts := make([]runner.Option, 0, idleClocks+2)
	at := time.Now().Add(1000 * time.Hour)
	for i := range idleClocks {
		opts = append(opts, runner.At(eventflow.Dates(at.Add(time.Duration(i)*time.Second)), runner.Named("clock "+strconv.Itoa(i))))
	}
	opts = append(opts, runner.Store(store.NewMemory()))
	f := eventflow.NewJob("idle", func(context.Context) error { return nil })
	before := heapNow()
	r, err := runner.New(f, opts...)
	require.NoError(tb, err)
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.Listen(tb.Context()) })
	<-r.Ready()
	after := heapNow()
	tb.Cleanup(wg.Wait)
	runtime.KeepAlive(opts)
	return r, float64(after-before) / idleClocks
}

func heapNow() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestAnIdleClockTakesLittleMemoryAndNoGoroutine(t *testing.T) { //nolint:paralleltest // the heap is the whole process's
	goroutines := runtime.NumGoroutine()
	r, bytes := idle(t)
	t.Logf("%.0f B a clock", bytes)
	require.Less(t, bytes, 300.0)
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines+8)
	require.Equal(t, runner.Listening, r.State())
}

// BenchmarkThousandFiresASecond gives how late fires start when 100 clocks of 100 ms fire all at once, ten times a
// second. The yardstick is how late a timer of the same instants is in the same run: what the machine has no time for.
func BenchmarkThousandFiresASecond(b *testing.B) {
	var mu sync.Mutex
	var late []float64
	f := eventflow.NewJob("bench", func(ctx context.Context) error {
		l := float64(time.Since(eventflow.RunFrom(ctx).Fire.Due))
		mu.Lock()
		late = append(late, l)
		mu.Unlock()
		return nil
	})
	var opts []runner.Option
	for i := range 100 {
		opts = append(opts, runner.At(eventflow.Every(100*time.Millisecond), runner.Named(strconv.Itoa(i))))
	}
	r, err := runner.New(f, opts...)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.Listen(ctx) })
	<-r.Ready()
	var bare []float64
	for b.Loop() {
		for range 10 {
			next := time.Now().Truncate(100 * time.Millisecond).Add(100 * time.Millisecond)
			time.Sleep(time.Until(next))
			bare = append(bare, float64(time.Since(next)))
		}
	}
	cancel()
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(late)
	slices.Sort(bare)
	b.ReportMetric(bare[len(bare)/2], "timer-p50-ns")
	b.ReportMetric(bare[len(bare)*99/100], "timer-p99-ns")
	b.ReportMetric(late[len(late)/2], "p50-ns")
	b.ReportMetric(late[len(late)*99/100], "p99-ns")
	b.ReportMetric(float64(len(late))/b.Elapsed().Seconds(), "fires/s")
	b.ReportMetric(0, "ns/op")
}
