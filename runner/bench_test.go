package runner_test

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// The yardstick of these benchmarks is a buffered channel that carries the same payload in the same run: fifteen rounds
// of each in turn, the medians of their ratios; single rounds differ by a tenth, most of it where the collector's cycles
// fall. Absolute times say more about the machine than about the code.

const (
	benchRounds = 15
	benchEvents = 300_000
	benchWindow = 1024
)

var benchBody = make([]byte, 1024)

// channelRound sends n payloads through a buffered channel and gives ns per payload.
func channelRound(n int) float64 {
	ch := make(chan []byte, benchWindow)
	done := make(chan int)
	start := time.Now()
	go func() {
		sum := 0
		for b := range ch {
			sum += len(b)
		}
		done <- sum
	}()
	for range n {
		ch <- benchBody
	}
	close(ch)
	<-done
	return float64(time.Since(start)) / float64(n)
}

// rig is a runner that listens on a memory broker.
type rig struct {
	b    *testing.B
	in   eventflow.Publisher
	left atomic.Int64
	done chan struct{}
	stop func()
}

func newRig(b *testing.B, publish bool, opts ...runner.Option) *rig {
	b.Helper()
	g := &rig{b: b, done: make(chan struct{}, 1)}
	mem := broker.NewMemory()
	st := store.NewMemory()
	g.in = mem.Publisher("in")
	finished := func() {
		if g.left.Add(-1) == 0 {
			g.done <- struct{}{}
		}
	}
	f := eventflow.NewSink("bench", func(context.Context, []byte) error { finished(); return nil })
	if publish {
		f = eventflow.NewFlow("bench", func(_ context.Context, in []byte) ([]byte, error) { finished(); return in, nil })
		opts = append(opts, runner.PublishTo(mem.Publisher("out")))
	}
	opts = append(opts, runner.On(mem.Subscriber("in")), runner.Store(st), runner.Logger(slog.New(slog.DiscardHandler)))
	r, err := runner.New(f, opts...)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	if publish { // somebody takes the results, as a raw consumer does
		sub := mem.Subscriber("out")
		wg.Go(func() {
			for {
				ds, err := sub.Next(ctx, eventflow.Want{Events: benchWindow})
				if err != nil {
					return
				}
				eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
			}
		})
	}
	wg.Go(func() {
		if err := r.Listen(ctx); err != nil {
			b.Error(err)
		}
	})
	<-r.Ready()
	g.stop = func() { cancel(); wg.Wait() }
	return g
}

// round publishes benchEvents, some a call, waits until all have run, and gives ns, allocations and bytes per event.
func (g *rig) round(call int, keys []string) (ns, allocs, bytes float64) {
	const n = benchEvents
	g.left.Store(n)
	evs := make([]eventflow.Event, call)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	for i, k := 0, 0; i < n; i += call {
		for j := range evs {
			evs[j] = eventflow.Event{Data: benchBody}
			if keys != nil {
				evs[j].Key = keys[k]
				if k++; k == len(keys) {
					k = 0
				}
			}
		}
		if err := g.in.Publish(context.Background(), evs[:min(call, n-i)]...); err != nil {
			g.b.Fatal(err)
		}
	}
	<-g.done
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	per := func(v uint64) float64 { return float64(v) / float64(n) }
	return float64(took) / float64(n), per(after.Mallocs - before.Mallocs), per(after.TotalAlloc - before.TotalAlloc)
}

func median(vs []float64) float64 {
	vs = slices.Clone(vs)
	slices.Sort(vs)
	return vs[len(vs)/2]
}

func names(keys int) (out []string) {
	for i := range keys {
		out = append(out, "key-"+strconv.Itoa(i))
	}
	return out
}

// benchThroughput reports a configuration's ratio to the channel.
func benchThroughput(b *testing.B, call int, opts ...runner.Option) {
	b.Helper()
	g := newRig(b, false, opts...)
	defer g.stop()
	g.round(call, nil) // the store fills: from now on each claim evicts one
	var ratios, nss, allocs, bytes []float64
	for b.Loop() {
		for range benchRounds {
			raw := channelRound(benchEvents)
			ns, a, by := g.round(call, nil)
			ratios, nss, allocs, bytes = append(ratios, ns/raw), append(nss, ns), append(allocs, a), append(bytes, by)
		}
	}
	b.ReportMetric(median(ratios), "x-channel")
	b.ReportMetric(median(nss), "ns/event")
	b.ReportMetric(median(allocs), "allocs/event")
	b.ReportMetric(median(bytes), "B/event")
	b.ReportMetric(0, "ns/op")
}

// benchAgainst reports what one thing more costs: the ratio to the same without it.
func benchAgainst(b *testing.B, publish bool, keys int, opts ...runner.Option) {
	b.Helper()
	base, with := newRig(b, false), newRig(b, publish, opts...)
	defer base.stop()
	defer with.stop()
	base.round(64, nil)
	with.round(64, names(keys))
	var ratios, allocs, bytes []float64
	for b.Loop() {
		for range benchRounds {
			plain, _, _ := base.round(64, nil)
			ns, a, by := with.round(64, names(keys))
			ratios, allocs, bytes = append(ratios, ns/plain), append(allocs, a), append(bytes, by)
		}
	}
	b.ReportMetric(median(ratios), "x-plain")
	b.ReportMetric(median(allocs), "allocs/event")
	b.ReportMetric(median(bytes), "B/event")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkPublish64(b *testing.B) { benchThroughput(b, 64) }
func BenchmarkPublish1(b *testing.B)  { benchThroughput(b, 1) }
func BenchmarkResult(b *testing.B)    { benchAgainst(b, true, 0) }
func BenchmarkTimeout(b *testing.B)   { benchAgainst(b, false, 0, runner.Timeout(time.Minute)) }
func BenchmarkKeys1000(b *testing.B)  { benchAgainst(b, false, 1000) }

// BenchmarkOneAtATime gives the time from Publish to the flow's first line, one event in flight.
func BenchmarkOneAtATime(b *testing.B) {
	mem := broker.NewMemory()
	epoch := time.Now()
	arrived := make(chan time.Duration, 1)
	r, err := runner.New(eventflow.NewSink("bench", func(context.Context, []byte) error {
		arrived <- time.Since(epoch)
		return nil
	}), runner.On(mem.Subscriber("in")))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Listen(ctx); err != nil {
			b.Error(err)
		}
	})
	<-r.Ready()
	in := mem.Publisher("in")
	var took []float64
	for b.Loop() {
		sent := time.Since(epoch)
		if err := in.Publish(ctx, eventflow.Event{Data: benchBody}); err != nil {
			b.Fatal(err)
		}
		took = append(took, float64(<-arrived-sent))
	}
	cancel()
	wg.Wait()
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "p50-ns")
	b.ReportMetric(took[len(took)*99/100], "p99-ns")
}
