package kafka_test

import (
	"context"
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
// of any size.
func BenchmarkBacklog(b *testing.B) {
	x := backlog{seeds: serve(b, b.N, 1000), topic: "bench", n: b.N}
	done := make(chan struct{})
	var most uint64
	var watch sync.WaitGroup
	watch.Go(func() {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				metrics.Read(live)
				most = max(most, live[0].Value.Uint64())
			case <-done:
				return
			}
		}
	})
	measured(b, func() { runAll(b, x, "bench", func(context.Context, []byte) error { return nil }) })
	close(done)
	watch.Wait()
	b.ReportMetric(float64(most)/(1<<20), "live-MiB")
}
