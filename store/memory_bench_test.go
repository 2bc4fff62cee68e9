package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// What a runner does to a store that has been full for long: it claims a chunk of new keys, each of which makes the
// store forget an old one, and finishes it. ns/key is claim and finish together.
func BenchmarkMemoryClaimFinishAtCapacity(b *testing.B) {
	for _, chunk := range []int{1, 32, 64} {
		b.Run(fmt.Sprintf("chunk=%d", chunk), func(b *testing.B) {
			ids := benchIDs(2 * store.DefaultCapacity)
			m := store.NewMemory()
			cs, fs := make([]store.Claim, chunk), make([]store.Finish, chunk)
			next := 0
			step := func() {
				for i := range cs {
					cs[i].Key = eventflow.Key{Flow: "thumbnail", Binding: "uploads", Source: "kafka://uploads", ID: ids[next]}
					if next++; next == len(ids) {
						next = 0
					}
				}
				claimAndFinish(b, m, cs, fs)
			}
			for range len(ids)/chunk + 1 {
				step()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				step()
			}
			b.StopTimer()
			if m.Len() != store.DefaultCapacity {
				b.Fatalf("the store holds %d keys, want it full", m.Len())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*chunk), "ns/key")
		})
	}
}

// The same as at capacity, while something else goes through the caches between chunks, as the fetch buffers of a
// consumer do: the store finds most of what it touches in memory, or in the last cache. The keys are new, as are their
// strings; the ends of a chunk come in another order than its claims. Only the store's calls are timed.
func BenchmarkMemoryClaimFinishCold(b *testing.B) {
	const chunk = 64
	other := make([]uint64, 4<<20/8)
	rnd := rand.New(rand.NewPCG(1, 2))
	m := store.NewMemory()
	cs, fs, order := make([]store.Claim, chunk), make([]store.Finish, chunk), rnd.Perm(chunk)
	var ends [chunk]int
	var text []byte
	made := 0
	ctx := b.Context()
	step := func() (claim, finish time.Duration) {
		text = text[:0]
		for i := range cs {
			text = append(text, "MkU3OEVBNTcwNTJENDM2Qk/3/"...)
			text = strconv.AppendInt(text, int64(100_000_000+made), 10)
			made++
			ends[i] = len(text)
		}
		ids, from := string(text), 0
		for i := range cs {
			cs[i].Key = eventflow.Key{Flow: "thumbnail", Binding: "uploads", Source: "kafka://uploads", ID: ids[from:ends[i]]}
			from = ends[i]
		}
		rnd.Shuffle(chunk, func(i, j int) { order[i], order[j] = order[j], order[i] })
		for i, o := range order {
			fs[i] = store.Finish{Claim: &cs[o], State: store.Terminal, Outcome: eventflow.Succeeded}
		}
		t0 := time.Now()
		err := m.Claim(ctx, "bench", time.Minute, cs)
		t1 := time.Now()
		if err != nil || cs[0].Status != store.Granted {
			b.Fatal(cs[0].Status, err)
		}
		t2 := time.Now()
		err = m.Finish(ctx, "bench", fs)
		t3 := time.Now()
		if err != nil || fs[0].Fenced {
			b.Fatal(fs[0].Fenced, err)
		}
		return t1.Sub(t0), t3.Sub(t2)
	}
	for range 5 * store.DefaultCapacity / chunk {
		step()
	}
	b.ResetTimer()
	var claim, finish time.Duration
	for range b.N {
		for i := 0; i < len(other); i += 8 {
			other[i]++
		}
		c, f := step()
		claim, finish = claim+c, finish+f
	}
	b.ReportMetric(float64(claim.Nanoseconds())/float64(b.N*chunk), "claim-ns/key")
	b.ReportMetric(float64(finish.Nanoseconds())/float64(b.N*chunk), "finish-ns/key")
	b.ReportMetric(0, "ns/op") // it holds what goes through the caches
}

// The yardstick: the same with a Go map, a mutex and a ring of keys, and nothing of what a store promises besides.
func BenchmarkMapClaimFinishAtCapacity(b *testing.B) {
	const chunk = 32
	type entry struct {
		done  bool
		until time.Time
	}
	ids := benchIDs(2 * store.DefaultCapacity)
	var mu sync.Mutex
	held := make(map[eventflow.Key]entry, store.DefaultCapacity)
	ring := make([]eventflow.Key, store.DefaultCapacity)
	cs := make([]store.Claim, chunk)
	next, oldest := 0, 0
	step := func() {
		for i := range cs {
			cs[i].Key = eventflow.Key{Flow: "thumbnail", Binding: "uploads", Source: "kafka://uploads", ID: ids[next]}
			if next++; next == len(ids) {
				next = 0
			}
		}
		mu.Lock()
		until := time.Now().Add(time.Minute)
		for i := range cs {
			if _, ok := held[cs[i].Key]; ok {
				b.Fatal("held")
			}
			delete(held, ring[oldest])
			ring[oldest] = cs[i].Key
			if oldest++; oldest == len(ring) {
				oldest = 0
			}
			held[cs[i].Key] = entry{until: until}
		}
		mu.Unlock()
		mu.Lock()
		for i := range cs {
			e := held[cs[i].Key]
			e.done = true
			held[cs[i].Key] = e
		}
		mu.Unlock()
	}
	for range len(ids)/chunk + 1 {
		step()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		step()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*chunk), "ns/key")
}

// The same keys in four spaces by turns, which is the worst order for what the keys of a chunk have in common.
func BenchmarkMemoryClaimFinishMixedSources(b *testing.B) {
	const chunk = 32
	sources := [...]string{"kafka://a", "kafka://b", "kafka://c", "kafka://d"}
	ids := benchIDs(2 * store.DefaultCapacity)
	m := store.NewMemory()
	cs, fs := make([]store.Claim, chunk), make([]store.Finish, chunk)
	next := 0
	step := func() {
		for i := range cs {
			cs[i].Key = eventflow.Key{Flow: "thumbnail", Binding: "uploads", Source: sources[i%len(sources)], ID: ids[next]}
			if next++; next == len(ids) {
				next = 0
			}
		}
		claimAndFinish(b, m, cs, fs)
	}
	for range len(ids)/chunk + 1 {
		step()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		step()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*chunk), "ns/key")
}

// A duplicate costs a look-up.
func BenchmarkMemoryDuplicates(b *testing.B) {
	const chunk = 32
	ids := benchIDs(store.DefaultCapacity / chunk * chunk)
	m := store.NewMemory()
	cs, fs := make([]store.Claim, chunk), make([]store.Finish, chunk)
	next := 0
	fill := func() {
		for i := range cs {
			cs[i].Key = eventflow.Key{Flow: "thumbnail", Binding: "uploads", Source: "kafka://uploads", ID: ids[next]}
			if next++; next == len(ids) {
				next = 0
			}
		}
	}
	for range len(ids) / chunk {
		fill()
		claimAndFinish(b, m, cs, fs)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		fill()
		if err := m.Claim(b.Context(), "bench", time.Minute, cs); err != nil || cs[0].Status != store.Done {
			b.Fatal(cs[0].Status, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*chunk), "ns/key")
}

func claimAndFinish(b *testing.B, m *store.Memory, cs []store.Claim, fs []store.Finish) { //nolint:thelper // Helper would be timed too
	ctx := context.Background()
	if err := m.Claim(ctx, "bench", time.Minute, cs); err != nil {
		b.Fatal(err)
	}
	for i := range cs {
		if cs[i].Status != store.Granted {
			b.Fatalf("%v was %v", cs[i].Key, cs[i].Status)
		}
		fs[i] = store.Finish{Claim: &cs[i], State: store.Terminal, Outcome: eventflow.Succeeded}
	}
	if err := m.Finish(ctx, "bench", fs); err != nil {
		b.Fatal(err)
	}
}

func benchIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("MkU3OEVBNTcwNTJENDM2Qk/AAAAAAAAAAAB/7/%d", i)
	}
	return ids
}
