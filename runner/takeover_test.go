package runner_test

import (
	"context"
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
