package runner_test

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// A fire has no redelivery: one that was cut short by a shutdown, or whose process died, is taken over by the next listener.
func TestAFireThatWasHandedBackIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), store.NewMemory()
		var done atomic.Bool
		var nominal []time.Time
		f := eventflow.NewJob("f", func(ctx context.Context) error {
			nominal = append(nominal, eventflow.RunFrom(ctx).Fire.Nominal)
			if done.Load() {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		clock := eventflow.Every(24 * time.Hour)
		stop := b.listen(b.new(f, runner.At(clock), runner.Store(st), runner.Grace(time.Second)))
		time.Sleep(24*time.Hour + time.Second)
		require.NoError(t, stop()) // a deployment
		require.Len(t, nominal, 1)
		done.Store(true)
		stop = b.listen(b.new(f, runner.At(clock), runner.Store(st)))
		time.Sleep(time.Hour)
		require.NoError(t, stop())
		require.Len(t, nominal, 2, "the day's fire was cut short and is not run again")
	})
}

// A fire that is due cancels the live one, also while that one waits for its next attempt.
func TestCancelOtherReachesAFireThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var starts []time.Duration
		began := time.Now()
		var first atomic.Bool
		f := eventflow.NewJob("f", func(ctx context.Context) error {
			starts = append(starts, eventflow.RunFrom(ctx).Fire.Nominal.Sub(began))
			if !first.Swap(true) {
				return errBoom
			}
			select {
			case <-ctx.Done():
			case <-time.After(30 * time.Second):
			}
			return ctx.Err()
		})
		b := setup(t)
		r := b.new(f, runner.At(eventflow.Every(time.Minute), runner.Overlap(runner.OverlapCancelOther)),
			runner.Backoff(func(int) time.Duration { return 90 * time.Second }))
		stop := b.listen(r)
		time.Sleep(130 * time.Second)
		require.NoError(t, stop())
		require.Equal(t, []time.Duration{time.Minute, 2 * time.Minute}, starts, "the second fire is due and does not start")
	})
}

// slowClaims is a store that is far away: a claim takes up to 300 ms.
type slowClaims struct{ store.Store }

func (s *slowClaims) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
	err := s.Store.Claim(ctx, owner, lease, cs)
	time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
	return err
}

// As review-3, with runs of 9 s and a store that is not in the same process: still no run overlaps another.
func TestReplicasRunEveryFireOnceWithAStoreFarAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), &slowClaims{store.NewMemory()}
		var ran atomic.Int64
		f := eventflow.NewJob("f", func(context.Context) error {
			ran.Add(1)
			time.Sleep(9 * time.Second)
			return nil
		})
		var stops []func() error
		var rs []*runner.FlowRunner
		for range 3 {
			r := b.new(f, runner.At(eventflow.Every(10*time.Second)), runner.Store(st))
			rs, stops = append(rs, r), append(stops, b.listen(r))
		}
		time.Sleep(time.Hour + 5*time.Second)
		n := ran.Load()
		for i, stop := range stops {
			require.NoError(t, stop())
			t.Log(rs[i].Counts().Reasons, rs[i].Counts())
		}
		require.InDelta(t, 360, n, 1, "fires that were skipped although nothing was running")
	})
}
