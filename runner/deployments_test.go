package runner_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// With MissedAll and no pause, after any number of deployments every fire since the first has its end in the store: it ran, or was skipped for a
// reason that was counted. None is left, and none completes twice.
func TestNoFireIsLostOverDeployments(t *testing.T) {
	t.Parallel()
	for i := range *stressSeeds {
		seed := *stressSeed + uint64(i)
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { deployed(t, seed) })
		})
	}
}

func deployed(t *testing.T, seed uint64) {
	t.Helper()
	rnd, runs := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 3))
	b, st := setup(t), store.NewMemory()
	overlap := runner.OverlapPolicy(rnd.IntN(5))
	jitter := time.Duration(rnd.IntN(2)) * 30 * time.Second
	var mu sync.Mutex
	done := map[time.Time]int{}
	quick, skipped := false, map[time.Time]bool{}
	f := eventflow.NewJob("f", func(ctx context.Context) error {
		mu.Lock()
		d, n := time.Duration(runs.Int64N(int64(200*time.Second))), runs.IntN(20)
		if quick {
			d = time.Second
		}
		mu.Unlock()
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return ctx.Err()
		}
		if n == 0 {
			return errBoom
		}
		return nil
	})
	hook := runner.HookFunc(func(d runner.Decision) {
		if at, ok := d.Key.Nominal(); ok && d.Outcome == eventflow.Succeeded {
			mu.Lock()
			done[at]++
			mu.Unlock()
		} else if ok && d.Outcome == eventflow.Skipped {
			mu.Lock()
			for first := at; ; first = first.Add(-2 * time.Minute) {
				skipped[first] = true
				if d.Fires < 2 || !first.After(d.First) {
					break
				}
			}
			mu.Unlock()
		}
	})
	slots := 1 + rnd.IntN(3)
	replica := func() *runner.FlowRunner {
		return b.new(f, runner.At(eventflow.Every(2*time.Minute), runner.Named("c"), runner.Overlap(overlap), runner.Missed(runner.MissedAll, 0, 0), runner.Jitter(jitter)),
			runner.Store(st), runner.FireSlots(slots), runner.Hooks(hook), runner.Grace(time.Duration(rnd.IntN(3))*time.Minute))
	}
	var first time.Time
	for range 6 {
		replicas := 1 + rnd.IntN(2)
		var stops []func() error
		for range replicas {
			stops = append(stops, b.listen(replica()))
			if first.IsZero() {
				synctest.Wait()
				first = time.Now()
			}
			time.Sleep(time.Duration(rnd.IntN(100)) * time.Second)
		}
		time.Sleep(time.Duration(rnd.IntN(1800)) * time.Second)
		for _, stop := range stops {
			if err := stop(); err != nil && !errors.Is(err, eventflow.ErrAbandoned) {
				t.Error(err)
			}
		}
		time.Sleep(time.Duration(rnd.IntN(1200)) * time.Second)
	}
	mu.Lock()
	quick = true
	mu.Unlock()
	r := replica()
	stop := b.listen(r)
	time.Sleep(3 * time.Hour)
	last := time.Now().Add(-10 * time.Minute)
	require.NoError(t, stop())
	require.Zero(t, balanced(t, r).InFlight)
	claimed := false
	for at := eventflow.Every(2 * time.Minute).Next(first); at.Before(last); at = at.Add(2 * time.Minute) {
		cs := []store.Claim{{Key: eventflow.FireKey("f", "c", at)}}
		require.NoError(t, st.Claim(t.Context(), "probe", time.Second, cs))
		if cs[0].Status == store.Done {
			claimed = true
		} else if claimed && !skipped[at.UTC()] { // before the first claim there is no cursor: a clock that is new begins now
			t.Errorf("%v: %v is %v, with %v, jitter %v, %d slots", seed, at.Format("15:04"), cs[0].Status, overlap, jitter, slots)
		}
	}
	for at, n := range done {
		require.Equal(t, 1, n, "%v", at)
	}
}
