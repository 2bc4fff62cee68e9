package kafka_test

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow/kafka"
)

// BenchmarkSleep runs flows that wait for 1 ms, as many at a time as a runner's default, on 1,000 keys, and gives their
// throughput as a part of that of as many goroutines that do nothing else, before and after.
func BenchmarkSleep(b *testing.B) {
	x := backlog{seeds: serve(b, b.N, 1000), topic: "bench", n: b.N}
	bare := sleepers(b.N)
	measured(b, func() {
		runAll(b, x, "bench", func(context.Context, []byte) error {
			time.Sleep(nap)
			return nil
		}, kafka.KeyLanes)
	})
	bare += sleepers(b.N)
	b.ReportMetric(float64(bare)/2/float64(b.Elapsed()), "of-bare")
}

const nap = time.Millisecond

// sleepers gives how long 64 goroutines take for n naps.
func sleepers(n int) time.Duration {
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	start := time.Now()
	for range 64 {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				time.Sleep(nap)
			}
		})
	}
	all.Wait()
	return time.Since(start)
}

// BenchmarkBacklog gives the most memory that was live while a backlog was consumed, which is to be the same for backlogs
// of any size. It has the collector look at a number of places of the backlog, the last event among them: left to itself
// it may not look at all behind the place where the store is full.
func BenchmarkBacklog(b *testing.B) {
	const looks = 32
	x := backlog{seeds: serve(b, b.N, 1000), topic: "bench", n: b.N}
	var seen, most atomic.Uint64
	every := uint64(max(b.N/looks, 1))
	measured(b, func() {
		runAll(b, x, "bench", func(context.Context, []byte) error {
			if n := seen.Add(1); n%every == 0 || n == uint64(b.N) {
				runtime.GC()
				live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
				metrics.Read(live)
				most.Store(max(most.Load(), live[0].Value.Uint64()))
			}
			return nil
		})
	})
	b.ReportMetric(float64(most.Load())/(1<<20), "live-MiB")
}
