package runner_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
)

// generator is an event clock that makes n events as fast as it is asked.
type generator struct {
	n, made int
	gave    func(made int) // told after each hand-over, if set
}

func (g *generator) Next(_ context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	if g.made == g.n {
		return nil, eventflow.ErrEnd
	}
	ds := make([]*eventflow.Delivery, 0, want.Events)
	for range min(want.Events, g.n-g.made, 256) {
		g.made++
		ds = append(ds, &eventflow.Delivery{Event: eventflow.Event{ID: fmt.Sprint(g.made), Source: "generator", Data: make([]byte, 1024)}})
	}
	if g.gave != nil {
		g.gave(g.made)
	}
	return ds, nil
}

// The counters balance in every sample that a concurrent reader takes of a storm, and nothing is lost in it: failures,
// retries, lost locks, duplicates, refused results, panics, restarts.
func TestCountersBalanceInEverySampleOfAStorm(t *testing.T) {
	t.Parallel()
	const events = 4000
	b := setup(t, broker.Lease(100*time.Millisecond))
	b.mem.Inject(broker.Fault{Kind: broker.DuplicateDelivery, Times: -1, Match: func(*eventflow.Event) bool { return rand.IntN(50) == 0 }})
	b.mem.Inject(broker.Fault{Kind: broker.LoseLock, Times: 100, Match: func(*eventflow.Event) bool { return rand.IntN(40) == 0 }})
	b.mem.Inject(broker.Fault{Kind: broker.FailPublish, Topics: []string{"out"}, Times: -1, Match: func(*eventflow.Event) bool { return rand.IntN(20) == 0 }})
	b.mem.Inject(broker.Fault{Kind: broker.FailNext, Topics: []string{"q"}, Times: 3})
	var mu sync.Mutex
	done := map[string]bool{}
	f := eventflow.NewFlow("storm", func(ctx context.Context, s string) (string, error) {
		switch rand.IntN(40) {
		case 0:
			return "", errBoom
		case 1:
			return "", eventflow.Busy(time.Millisecond)
		case 2:
			panic("storm")
		case 3:
			select {
			case <-time.After(3 * time.Millisecond):
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		mu.Lock()
		defer mu.Unlock()
		done[s] = true
		return s, nil
	})
	out := b.mem.Subscriber("out")
	var consumer sync.WaitGroup
	results := map[string]bool{}
	ctx, cancel := context.WithCancel(t.Context())
	consumer.Go(func() {
		for {
			ds, err := out.Next(ctx, eventflow.Want{Events: 100})
			if err != nil {
				return
			}
			for _, d := range ds {
				results[string(d.Event.Data)] = true
			}
			eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
		}
	})
	consumer.Go(func() {
		for i := 0; i < events; {
			var evs []eventflow.Event
			for range 50 {
				ev := eventflow.Event{ID: fmt.Sprint(i), Source: "storm", Data: []byte(fmt.Sprint(i))}
				if i%2 == 0 {
					ev.Key = fmt.Sprint(i % 30)
				}
				evs = append(evs, ev)
				i++
			}
			if err := b.mem.Publisher("q").Publish(ctx, evs...); err != nil {
				t.Error(err)
				return
			}
		}
	})

	samples := 0
	for restart := 0; ; restart++ { // one runner after another: what one hands back is the next one's
		r := b.new(f, runner.On(b.mem.Subscriber("q")), runner.PublishTo(b.mem.Publisher("out")), runner.MaxAttempts(50), runner.Slack(1000),
			runner.Backoff(func(int) time.Duration { return time.Duration(rand.IntN(3)) * time.Millisecond }), runner.MaxInFlight(200), runner.Grace(5*time.Millisecond))
		stop := b.listen(r)
		for range 2500 {
			balanced(t, r)
			samples++
			runtime.Gosched()
		}
		if restart >= 3 {
			wait, stopWaiting := context.WithTimeout(ctx, 30*time.Second)
			require.NoError(t, b.mem.WaitSettled(wait, "q"))
			stopWaiting()
			require.NoError(t, stop())
			require.Zero(t, balanced(t, r).InFlight)
			break
		}
		require.NoError(t, stop())
		require.Zero(t, balanced(t, r).InFlight)
	}
	require.GreaterOrEqual(t, samples, 10_000)
	require.NoError(t, b.mem.WaitSettled(ctx, "out"))
	cancel()
	consumer.Wait()
	require.NoError(t, out.Close(t.Context()))
	require.Empty(t, b.mem.DeadLetters("q"))
	require.Len(t, done, events)
	require.Len(t, results, events, "every event's result")
}

// The runner's own memory is bounded by its configuration, whatever the backlog. It runs alone: not parallel.
func TestHeapIsFlatAsTheBacklogGrows(t *testing.T) { //nolint:paralleltest // the heap is the whole process's
	small, large := heapOf(t, 100_000/raceScale), heapOf(t, 1_000_000/raceScale)
	t.Logf("heap while running: %d KiB with %d events, %d KiB with ten times as many", small>>10, 100_000/raceScale, large>>10)
	require.InEpsilon(t, small, large, 0.1)
}

// heapOf gives the mean of the live heap, sampled at equal steps of a run over n generated events. Runs stand still while
// a sample is taken, with the runner as full as it gets: what a collection runs beside would count as live.
func heapOf(t *testing.T, n int) uint64 {
	t.Helper()
	const window, samples = 256, 10
	b := setup(t)
	var mu sync.Mutex // guards what follows
	changed := sync.NewCond(&mu)
	ran, quota, received := 0, 0, 0
	gave := func(made int) {
		mu.Lock()
		defer mu.Unlock()
		received = made
		changed.Broadcast()
	}
	r := b.new(eventflow.NewSink("heap", func(context.Context, []byte) error {
		mu.Lock()
		defer mu.Unlock()
		ran++
		changed.Broadcast()
		for ran > quota {
			changed.Wait()
		}
		return nil
	}), runner.On(&generator{n: n, gave: gave}, runner.Named("generator")), runner.Store(newStore(10_000/raceScale)), runner.MaxInFlight(window), runner.MaxRuns(8))
	done := make(chan error, 1)
	go func() { done <- r.Listen(t.Context()) }()
	var sum uint64
	for step := 2; step <= samples+1; step++ { // by the second the store is full; behind the last more is left than fits
		mu.Lock()
		quota = n * step / (samples + 2)
		changed.Broadcast()
		for ran <= quota || received < quota+window*3/4 { // all that it may, but for what the last quarter waits for
			changed.Wait()
		}
		mu.Unlock()
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		sum += m.HeapAlloc
	}
	mu.Lock()
	quota = n
	changed.Broadcast()
	mu.Unlock()
	require.NoError(t, <-done)
	return sum / samples
}
