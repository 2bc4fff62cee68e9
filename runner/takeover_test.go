package runner_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
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

// No later fire would see that the process which claimed the last one is gone.
func TestTheLastFireIsTakenOverByARunnerThatStartsWithIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), store.NewMemory()
		runs := 0
		f := eventflow.NewJob("f", func(context.Context) error {
			runs++
			return nil
		})
		at := time.Now().Add(time.Minute)
		clock := eventflow.Dates(at)
		time.Sleep(time.Minute)
		sum := sha256.Sum256([]byte(clock.String()))
		dead := []store.Claim{{Key: eventflow.FireKey("f", "once", at), Fire: &store.Fire{Definition: hex.EncodeToString(sum[:8]), Nominal: at}}}
		require.NoError(t, st.Claim(t.Context(), "a process that dies", 30*time.Second, dead))
		require.NoError(t, b.new(f, runner.At(clock, runner.Named("once")), runner.Store(st)).Listen(t.Context()))
		require.Equal(t, 1, runs, "Listen returned before the dead process's claim lapsed")
	})
}

func TestFiresOfAClockThatHasEndedAreTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), store.NewMemory()
		var runs atomic.Int64
		f := eventflow.NewJob("f", func(ctx context.Context) error {
			if runs.Add(1) > 1 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		clock := eventflow.Dates(time.Now().Add(time.Minute), time.Now().Add(90*time.Second))
		at := runner.At(clock, runner.Named("twice"), runner.Overlap(runner.OverlapAllowAll))
		stop := b.listen(b.new(f, at, runner.Store(st), runner.Grace(0), runner.FireSlots(2)))
		time.Sleep(2 * time.Minute)
		require.NoError(t, stop()) // a deployment: the first of the two is handed back
		require.EqualValues(t, 2, runs.Load())
		require.NoError(t, b.new(f, at, runner.Store(unhurried{st})).Listen(t.Context()))
		require.EqualValues(t, 3, runs.Load(), "the first was handed back and nobody runs it")
	})
}

func TestTheLastFireOfAClockWhoseProcessDiedIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), store.NewMemory()
		runs := 0
		f := eventflow.NewJob("f", func(context.Context) error {
			runs++
			return nil
		})
		at := runner.At(eventflow.Dates(time.Now().Add(time.Minute)), runner.Named("once"))
		dead := b.new(f, at, runner.Store(endless{st}), runner.Grace(0), runner.HardStop(time.Second))
		stop := b.listen(dead)
		time.Sleep(time.Minute + time.Second)
		require.NoError(t, stop()) // its claim is neither finished nor given back
		require.Equal(t, 1, runs)
		began := time.Now()
		r := b.new(f, at, runner.Store(st))
		require.NoError(t, r.Listen(t.Context()))
		require.Equal(t, 2, runs, "Listen returned before the dead process's claim lapsed")
		require.Less(t, time.Since(began), time.Minute)

		r = b.new(f, at, runner.Store(st))
		require.NoError(t, r.Listen(t.Context()))
		require.Equal(t, 2, runs)
		require.EqualValues(t, 1, r.Counts().Outcomes[eventflow.Duplicate], "it was asked for, and is done")
	})
}

// endless is a store to which the end of a run never comes through.
type endless struct{ store.Store }

func (endless) Finish(context.Context, string, []store.Finish) error {
	return errors.New("unreachable")
}

// unhurried is a store that takes its time to say which fires were left.
type unhurried struct{ store.Store }

func (s unhurried) Orphans(ctx context.Context, flow string, limit int) ([]eventflow.Key, error) {
	time.Sleep(time.Second)
	return s.Store.Orphans(ctx, flow, limit)
}

// leave claims a fire and dies.
func leave(t *testing.T, st store.Store, clock string, at time.Time) {
	t.Helper()
	claim := store.Claim{Key: eventflow.FireKey("f", clock, at), Fire: &store.Fire{Definition: "d", Nominal: at}}
	require.NoError(t, st.Claim(t.Context(), "dead", time.Second, []store.Claim{claim}))
}

// The store tells of the oldest first, and always of the same ones.
func TestOrphansOfAClockThatIsGoneAreInNobodysWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec, st := setup(t), &recorder{}, store.NewMemory()
		began := time.Now()
		for i := range 9 {
			leave(t, st, "was taken out", began.Add(time.Duration(i)))
		}
		leave(t, st, hourly, began)
		time.Sleep(time.Minute)
		stop := b.listen(b.new(hours(rec), everyHour(), runner.Store(st)))
		time.Sleep(50 * time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{"00"}, rec.list())
	})
}

func TestOrphansOfAPausedClockAreInNobodysWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec, st := setup(t), &recorder{}, store.NewMemory()
		began := time.Now()
		for i, clock := range []string{"p", "p", "p", "q"} {
			leave(t, st, clock, began.Add(time.Duration(i)))
		}
		time.Sleep(time.Minute)
		r := b.new(eventflow.NewJob("f", func(ctx context.Context) error { rec.note(eventflow.RunFrom(ctx).Fire.Clock); return nil }),
			runner.At(eventflow.Every(time.Hour), runner.Named("p")), runner.At(eventflow.Every(time.Hour), runner.Named("q")), runner.Store(st))
		require.NoError(t, r.Pause("p"))
		stop := b.listen(r)
		time.Sleep(50 * time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{"q"}, rec.list())
	})
}

// A later fire that was skipped behind those that wait must not move the clock past them.
func TestFiresThatWaitOutliveARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec, st := setup(t), &recorder{}, store.NewMemory()
		f := eventflow.NewJob("f", func(ctx context.Context) error {
			rec.note(eventflow.RunFrom(ctx).Fire.Nominal.Format("15"))
			time.Sleep(40 * time.Minute)
			return nil
		})
		at := everyHour(runner.Missed(runner.MissedAll, 0, 0))
		stop := b.listen(b.new(f, at, runner.Store(st)))
		time.Sleep(time.Hour + 45*time.Minute)
		require.NoError(t, stop())
		time.Sleep(4*time.Hour + 5*time.Minute) // 05:50: 02 to 05 were missed
		stop = b.listen(b.new(f, at, runner.Store(st), runner.Grace(time.Hour)))
		time.Sleep(15 * time.Minute) // 06:05: 02 runs, 03 to 05 wait, 06 was skipped
		require.Equal(t, []string{"01", "02"}, rec.list())
		require.NoError(t, stop()) // a deployment
		stop = b.listen(b.new(f, at, runner.Store(st), runner.Grace(time.Hour)))
		time.Sleep(10 * time.Hour)
		require.NoError(t, stop())
		require.Subset(t, rec.list(), []string{"03", "04", "05"}, "MissedAll runs all")
	})
}

func TestABufferedFireOutlivesARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), store.NewMemory()
		var long atomic.Bool
		long.Store(true)
		var last atomic.Pointer[eventflow.Fire]
		f := eventflow.NewJob("f", func(ctx context.Context) error {
			last.Store(eventflow.RunFrom(ctx).Fire)
			if long.Load() {
				time.Sleep(150 * time.Minute)
			}
			return nil
		})
		at := everyHour(runner.Overlap(runner.OverlapBufferOne))
		stop := b.listen(b.new(f, at, runner.Store(st), runner.Grace(time.Hour)))
		time.Sleep(3*time.Hour + time.Minute) // 01 runs, 02 is kept, 03 is skipped
		long.Store(false)
		require.NoError(t, stop()) // a deployment
		stop = b.listen(b.new(f, at, runner.Store(st)))
		time.Sleep(20 * time.Minute)
		require.NoError(t, stop())
		require.Equal(t, "02", last.Load().Nominal.Format("15"), "the latest of the missed was skipped when it was due")
	})
}
