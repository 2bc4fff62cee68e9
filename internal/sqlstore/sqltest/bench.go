package sqltest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// ClaimFinish times a store against two yardsticks that take turns with it: a file to which the same callers append rows of
// 300 bytes, with one fdatasync for what waits, and the same engine as one would use it without a committer, a transaction
// a call. Each caller claims a key and finishes it, both durable, one key a call. x-raw and x-ungrouped are the parts of
// their rates that the store reaches, by the medians of the rounds. TMPDIR must be on the disk that the store is on.
func ClaimFinish(b *testing.B, s store.Store, ungrouped func(b *testing.B, n int64)) {
	b.Helper()
	var next atomic.Int64
	next.Store(time.Now().UnixNano())
	for _, callers := range []int{1, 32, 128} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			raw := openRaw(b)
			defer raw.close()
			var ours, theirs, alone []float64
			for b.Loop() {
				ours = append(ours, rate(callers, max(20*callers, 200), func() { claimFinish(b, s, next.Add(1)) }))
				theirs = append(theirs, rate(callers, max(20*callers, 200), func() { raw.append(); raw.append() }))
				alone = append(alone, rate(callers, 200, func() { ungrouped(b, next.Add(1)) }))
			}
			b.ReportMetric(median(ours), "keys/s")
			b.ReportMetric(median(theirs), "raw-keys/s")
			b.ReportMetric(median(ours)/median(theirs), "x-raw")
			b.ReportMetric(median(ours)/median(alone), "x-ungrouped")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// ClaimLatency times a claim under half of the load that the store can take: x-fsync is its 99th percentile in units of the
// median fdatasync, timed in the same run.
func ClaimLatency(b *testing.B, s store.Store) {
	b.Helper()
	raw := openRaw(b)
	defer raw.close()
	var next atomic.Int64
	next.Store(time.Now().UnixNano())
	full := rate(32, 4000, func() { claimFinish(b, s, next.Add(1)) })
	every := time.Duration(2 * 32 / full * float64(time.Second))
	var waits, syncs []float64
	for b.Loop() {
		var mu sync.Mutex // guards waits
		rate(32, 2000, func() {
			start := time.Now()
			took := claimFinish(b, s, next.Add(1))
			mu.Lock()
			waits = append(waits, took.Seconds())
			mu.Unlock()
			time.Sleep(every - time.Since(start))
		})
		for range 50 {
			start := time.Now()
			raw.append()
			syncs = append(syncs, time.Since(start).Seconds())
		}
	}
	slices.Sort(waits)
	p99 := waits[len(waits)*99/100]
	b.ReportMetric(p99*1e6, "p99-us")
	b.ReportMetric(median(waits)*1e6, "p50-us")
	b.ReportMetric(p99/median(syncs), "x-fsync")
	b.ReportMetric(0, "ns/op")
}

// BesideHistory times claims and ends in a store that remembers many runs against one that remembers few, by turns: x-empty
// is the part of the rate that is left. EVENTFLOW_HISTORY says how many, 100,000 by default.
func BesideHistory(b *testing.B, few, many store.Store) {
	b.Helper()
	rows, err := strconv.Atoi(os.Getenv("EVENTFLOW_HISTORY"))
	if err != nil {
		rows = 100_000
	}
	var next atomic.Int64
	for chunk := 1000; rows > 0; rows -= chunk {
		cs, fs := make([]store.Claim, chunk), make([]store.Finish, chunk)
		for i := range cs {
			cs[i].Key = eventflow.Key{Flow: "thumbnail", Binding: "uploads", Source: "kafka://uploads", ID: fmt.Sprintf("history/%012d", next.Add(1))}
			fs[i] = store.Finish{Claim: &cs[i], State: store.Terminal, Outcome: eventflow.Succeeded}
		}
		if err := many.Claim(b.Context(), "host-1/4711", time.Hour, cs); err != nil {
			b.Fatal(err)
		}
		if err := many.Finish(b.Context(), "host-1/4711", fs); err != nil {
			b.Fatal(err)
		}
	}
	var empty, full []float64
	for b.Loop() {
		empty = append(empty, rate(32, 2000, func() { claimFinish(b, few, next.Add(1)) }))
		full = append(full, rate(32, 2000, func() { claimFinish(b, many, next.Add(1)) }))
	}
	b.ReportMetric(median(full)/median(empty), "x-empty")
	b.ReportMetric(0, "ns/op")
}

// claimFinish gives how long the claim took.
func claimFinish(b *testing.B, s store.Store, n int64) time.Duration { //nolint:thelper // Helper would be timed too
	cs := []store.Claim{{Key: eventflow.Key{Flow: "thumbnail", Binding: "uploads", Source: "kafka://uploads", ID: fmt.Sprintf("cluster/topic/3/%012d", n)}}}
	ctx := context.Background() //nolint:usetesting // a context that can end costs what is measured
	start := time.Now()
	if err := s.Claim(ctx, "host-1/4711", 30*time.Second, cs); err != nil || cs[0].Status != store.Granted {
		b.Error(cs[0].Status, err)
		return 0
	}
	took := time.Since(start)
	fs := []store.Finish{{Claim: &cs[0], State: store.Terminal, Outcome: eventflow.Succeeded, StartedAt: time.Now()}}
	if err := s.Finish(ctx, "host-1/4711", fs); err != nil || fs[0].Fenced {
		b.Error(fs[0].Fenced, err)
	}
	return took
}

// rate gives how many of n a second callers get done.
func rate(callers, n int, do func()) float64 {
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	start := time.Now()
	for range callers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				do()
			}
		})
	}
	all.Wait()
	return float64(n) / time.Since(start).Seconds()
}

func median(fs []float64) float64 {
	slices.Sort(fs)
	return fs[len(fs)/2]
}

// rawLog is a file that many append to, as fast as that can be.
type rawLog struct {
	f   *os.File
	row [300]byte

	mu    sync.Mutex
	wake  sync.Cond
	queue []chan struct{}
	ended bool
	lane  sync.WaitGroup
}

func openRaw(b *testing.B) *rawLog {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	r := &rawLog{f: f}
	r.wake.L = &r.mu
	r.lane.Go(func() {
		var rows []byte
		for {
			r.mu.Lock()
			for len(r.queue) == 0 && !r.ended {
				r.wake.Wait()
			}
			callers := r.queue
			r.queue = nil
			r.mu.Unlock()
			if len(callers) == 0 {
				return
			}
			rows = rows[:0]
			for range callers {
				rows = append(rows, r.row[:]...)
			}
			if _, err := f.Write(rows); err != nil {
				b.Error(err)
			}
			if err := fdatasync(f); err != nil {
				b.Error(err)
			}
			for _, c := range callers {
				c <- struct{}{}
			}
		}
	})
	return r
}

func (r *rawLog) append() {
	done := make(chan struct{}, 1)
	r.mu.Lock()
	r.queue = append(r.queue, done)
	r.wake.Signal()
	r.mu.Unlock()
	<-done
}

func (r *rawLog) close() {
	r.mu.Lock()
	r.ended = true
	r.wake.Signal()
	r.mu.Unlock()
	r.lane.Wait()
	_ = r.f.Close()
}
