package broker_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
)

// benchRound is how many events one broker's round has; a round of the yardstick follows each.
const benchRound = 1 << 14

// The yardstick of all is a buffered channel that carries the same events, from one goroutine to another. What is
// reported is the broker's own time, and the median of the rounds' ratios.

func BenchmarkPublish64(b *testing.B) { benchMemory(b, 64, 0) }

func BenchmarkPublish1(b *testing.B) { benchMemory(b, 1, 0) }

func BenchmarkPublish64Of1000Keys(b *testing.B) { benchMemory(b, 64, 1000) }

func BenchmarkPublish64OfFreshKeys(b *testing.B) { benchMemory(b, 64, -1) }

func benchMemory(b *testing.B, call, keys int) {
	b.Helper()
	m := broker.NewMemory()
	p, s := m.Publisher("bench"), m.Subscriber("bench")
	data := make([]byte, 1024)
	names := make([]string, max(keys, 0))
	for i := range names {
		names[i] = "key-" + strconv.Itoa(i)
	}
	fresh := 0
	key := func(i int) string {
		switch {
		case keys > 0:
			return names[i%keys]
		case keys < 0:
			fresh++
			return strconv.Itoa(fresh)
		}
		return ""
	}
	var brokers, ratios []float64
	b.ReportAllocs()
	for done := 0; done < b.N; done += benchRound {
		n := min(benchRound, b.N-done)
		start := time.Now()
		throughMemory(b, p, s, n, call, func(i int) eventflow.Event { return eventflow.Event{Key: key(i), Data: data} })
		took := time.Since(start)

		b.StopTimer()
		start = time.Now()
		throughChannel(n, call, func(i int) eventflow.Event { return eventflow.Event{Key: key(i), Data: data} })
		ratios = append(ratios, float64(took)/float64(time.Since(start)))
		brokers = append(brokers, float64(took)/float64(n))
		b.StartTimer()
	}
	b.ReportMetric(median(brokers), "ns/event")
	b.ReportMetric(median(ratios), "x-channel")
}

func throughMemory(b *testing.B, p eventflow.Publisher, s eventflow.Subscriber, n, call int, event func(int) eventflow.Event) {
	b.Helper()
	ctx := context.Background()
	done := make(chan error)
	go func() {
		evs := make([]eventflow.Event, 0, call)
		for i := 0; i < n; i += call {
			evs = evs[:0]
			for j := i; j < min(i+call, n); j++ {
				evs = append(evs, event(j))
			}
			if err := p.Publish(ctx, evs...); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for got := 0; got < n; {
		ds, err := s.Next(ctx, eventflow.Want{Events: 64, PerLane: 64})
		if err != nil {
			b.Error(err)
			return
		}
		got += len(ds)
		eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
	}
	if err := <-done; err != nil {
		b.Error(err)
	}
}

func throughChannel(n, call int, event func(int) eventflow.Event) {
	c := make(chan eventflow.Event, 10_000)
	done := make(chan struct{})
	go func() {
		for i := 0; i < n; i += call {
			for j := i; j < min(i+call, n); j++ {
				c <- event(j)
			}
		}
		close(done)
	}()
	for range n {
		<-c
	}
	<-done
}

func median(xs []float64) float64 {
	slices.Sort(xs)
	return xs[len(xs)/2]
}

// BenchmarkOneGoroutine is the broker's work alone: nobody waits for anybody.
func BenchmarkOneGoroutine(b *testing.B) {
	m := broker.NewMemory()
	p, s := m.Publisher("bench"), m.Subscriber("bench")
	ctx := context.Background()
	evs := make([]eventflow.Event, 64)
	data := make([]byte, 1024)
	b.ReportAllocs()
	for done := 0; done < b.N; done += len(evs) {
		for i := range evs {
			evs[i] = eventflow.Event{Data: data}
		}
		if err := p.Publish(ctx, evs...); err != nil {
			b.Fatal(err)
		}
		ds, err := s.Next(ctx, eventflow.Want{Events: 64, PerLane: 64})
		if err != nil {
			b.Fatal(err)
		}
		eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
	}
}

// BenchmarkNextBesideAStuckLane has a million events of one lane in the way, of which the consumer may hold no more. The
// worst Next is the first, which goes through them all once, without keeping others out for long.
func BenchmarkNextBesideAStuckLane(b *testing.B) {
	const stuck = 1_000_000
	m := broker.NewMemory(broker.Capacity(stuck+1000), broker.CapacityBytes(1<<40))
	p, s := m.Publisher("bench"), m.Subscriber("bench")
	ctx := context.Background()
	want := eventflow.Want{Events: 64, PerLane: 64}
	evs := make([]eventflow.Event, 1000)
	for i := range evs {
		evs[i] = eventflow.Event{ID: "1", Key: "stuck"}
	}
	for range stuck / len(evs) {
		if err := p.Publish(ctx, evs...); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := s.Next(ctx, want); err != nil { // the lane is full
		b.Fatal(err)
	}
	evs = evs[:64]
	for i := range evs {
		evs[i].Key = "k" + strconv.Itoa(i)
	}
	worst := time.Duration(0)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += len(evs) {
		if err := p.Publish(ctx, evs...); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		ds, err := s.Next(ctx, want)
		worst = max(worst, time.Since(start))
		if err != nil {
			b.Fatal(err)
		}
		eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
	}
	b.ReportMetric(float64(worst)/1e6, "worst-ms")
}
