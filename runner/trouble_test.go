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

// flakyStore is a store that fails, is slow, or loses answers.
type flakyStore struct {
	store.Store
	mu  sync.Mutex
	rnd *rand.Rand
	bad bool
}

func (s *flakyStore) trouble(ctx context.Context) (before, after error) {
	s.mu.Lock()
	n, d, bad := s.rnd.IntN(100), time.Duration(s.rnd.Int64N(int64(3*time.Second))), s.bad
	s.mu.Unlock()
	switch {
	case bad && n < 15:
		return errors.New("down"), nil
	case bad && n < 25:
		return nil, errors.New("answer lost")
	case n < 60:
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return ctx.Err(), nil
		}
	}
	return nil, nil
}

func (s *flakyStore) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	b, a := s.trouble(ctx)
	if b != nil {
		return b
	}
	if err := s.Store.Claim(ctx, owner, lease, cs); err != nil {
		return err
	}
	return a
}

func (s *flakyStore) Finish(ctx context.Context, owner string, fs []store.Finish) error {
	b, a := s.trouble(ctx)
	if b != nil {
		return b
	}
	if err := s.Store.Finish(ctx, owner, fs); err != nil {
		return err
	}
	return a
}

func (s *flakyStore) Renew(ctx context.Context, owner string, lease time.Duration, cs []*store.Claim) error {
	b, a := s.trouble(ctx)
	if b != nil {
		return b
	}
	if err := s.Store.Renew(ctx, owner, lease, cs); err != nil {
		return err
	}
	return a
}

func (s *flakyStore) Orphans(ctx context.Context, flow string, limit int) ([]eventflow.Key, error) {
	b, _ := s.trouble(ctx)
	if b != nil {
		return nil, b
	}
	return s.Store.Orphans(ctx, flow, limit)
}

// Everything at once: Listen, Backfills, pauses, replicas, a bad store. Whatever happens, it balances, ends, leaves nothing in flight, and
// completes no fire twice.
func TestBackfillsBesideListenUnderTrouble(t *testing.T) {
	t.Parallel()
	for i := range *stressSeeds {
		seed := *stressSeed + uint64(i)
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { troubled(t, seed) })
		})
	}
}

func troubled(t *testing.T, seed uint64) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	b := setup(t)
	st := &flakyStore{Store: store.NewMemory(), rnd: rand.New(rand.NewPCG(seed, 2)), bad: rnd.IntN(2) == 0}
	overlap := runner.OverlapPolicy(rnd.IntN(5))
	missed := runner.MissedMode(rnd.IntN(3))
	lease := []time.Duration{4 * time.Second, 30 * time.Second}[rnd.IntN(2)]
	var mu sync.Mutex
	done := map[time.Time]int{}
	running, most := 0, 0
	began := time.Now()
	runs := rand.New(rand.NewPCG(seed, 3))
	f := eventflow.NewJob("f", func(ctx context.Context) error {
		mu.Lock()
		running++
		most = max(most, running)
		d, n := time.Duration(runs.Int64N(int64(100*time.Second))), runs.IntN(20)
		mu.Unlock()
		defer func() { mu.Lock(); running--; mu.Unlock() }()
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return ctx.Err()
		}
		switch n {
		case 0:
			return errBoom
		case 1:
			panic("boom")
		case 2:
			return eventflow.Busy(time.Second)
		case 3:
			return eventflow.Skip("no")
		case 4:
			return eventflow.Permanent(errBoom)
		}
		return nil
	})
	hook := runner.HookFunc(func(d runner.Decision) {
		if at, ok := d.Key.Nominal(); ok && d.Outcome == eventflow.Succeeded {
			mu.Lock()
			done[at]++
			mu.Unlock()
		}
	})
	replica := func() *runner.FlowRunner {
		return b.new(f, everyMinute(runner.Overlap(overlap), runner.Missed(missed, 0, 0), runner.Jitter(time.Duration(rnd.IntN(2))*20*time.Second)),
			runner.Store(st), runner.FireSlots(1+rnd.IntN(3)), runner.Hooks(hook), runner.Grace(2*time.Minute), runner.Lease(lease))
	}
	rs := []*runner.FlowRunner{replica()}
	if rnd.IntN(2) == 0 {
		rs = append(rs, replica())
	}
	time.Sleep(30 * time.Minute)
	var stops []func() error
	for _, r := range rs {
		stops = append(stops, b.listen(r))
	}
	var wg sync.WaitGroup
	for range 6 {
		r := rs[rnd.IntN(len(rs))]
		from, n := time.Duration(rnd.IntN(25))*time.Minute, time.Duration(rnd.IntN(6))*time.Minute
		wait, limit := time.Duration(rnd.IntN(1200))*time.Second, time.Duration(rnd.IntN(3600))*time.Second
		wg.Go(func() {
			time.Sleep(wait)
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			res, err := r.Backfill(ctx, "minutely", began.Add(from), began.Add(from+n))
			sum := 0
			for _, n := range res.Outcomes {
				sum += n
			}
			if err == nil && sum != res.Fires {
				t.Errorf("no error, and %v", res)
			}
		})
	}
	for range 20 {
		time.Sleep(time.Duration(rnd.IntN(100)) * time.Second)
		for _, r := range rs {
			balanced(t, r)
			r.Why(began.Add(20 * time.Minute).UTC().Format(time.RFC3339Nano))
		}
		switch rnd.IntN(4) {
		case 0:
			_ = rs[0].Pause("minutely")
		case 1:
			_ = rs[0].Resume("minutely")
		}
	}
	for _, stop := range stops {
		if err := stop(); err != nil && !errors.Is(err, eventflow.ErrAbandoned) {
			t.Error(err)
		}
	}
	wg.Wait()
	for i, r := range rs {
		c := balanced(t, r)
		if c.InFlight != 0 {
			for n := range 60 {
				for _, d := range r.Why(began.Add(time.Duration(n) * time.Minute).UTC().Format(time.RFC3339Nano)) {
					if d.Outcome == 0 {
						t.Log(d)
					}
				}
			}
		}
		require.Zero(t, c.InFlight, "runner %d of %d, %v %v bad=%v: %v", i, len(rs), overlap, missed, st.bad, c)
	}
	for at, n := range done {
		require.Equal(t, 1, n, "%v", at)
	}
	if len(rs) == 1 && overlap != runner.OverlapAllowAll && !st.bad {
		require.LessOrEqual(t, most, 1, "%v", overlap)
	}
}

func everyMinute(opts ...runner.AtOption) runner.Option {
	return runner.At(eventflow.Every(time.Minute), append(opts, runner.Named("minutely"))...)
}
