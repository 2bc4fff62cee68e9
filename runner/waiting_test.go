package runner_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// MissedAll runs all, one after another, also when two replicas come up at once: what the other one runs is waited for.
func TestReplicasMakeUpForAllMissedFires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec, st := setup(t), &recorder{}, store.NewMemory()
		f := eventflow.NewJob("f", func(ctx context.Context) error {
			rec.note(eventflow.RunFrom(ctx).Fire.Nominal.Format("15"))
			time.Sleep(2 * time.Minute)
			return nil
		})
		at := everyHour(runner.Missed(runner.MissedAll, 0, 0))
		stop := b.listen(b.new(f, at, runner.Store(st)))
		time.Sleep(time.Hour + 5*time.Minute)
		require.NoError(t, stop())
		time.Sleep(5 * time.Hour) // 06:05
		r1, r2 := b.new(f, at, runner.Store(st)), b.new(f, at, runner.Store(st))
		s1, s2 := b.listen(r1), b.listen(r2)
		time.Sleep(50 * time.Minute)
		got := rec.list()
		slices.Sort(got)
		require.NoError(t, s1())
		require.NoError(t, s2())
		require.Equal(t, "01 02 03 04 05 06", strings.Join(got, " "), "%v; %v", r1.Counts().Reasons, r2.Counts().Reasons)
	})
}

// A fire that waits for a slot is not lost because a later one of its clock was skipped before a restart.
func TestAFireThatWaitsForASlotOutlivesARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec, st := setup(t), &recorder{}, store.NewMemory()
		began := time.Now()
		f := eventflow.NewJob("f", func(ctx context.Context) error {
			f := eventflow.RunFrom(ctx).Fire
			if f.Clock == "long" {
				time.Sleep(150 * time.Minute)
				return nil
			}
			for _, at := range append(f.Missed, f.Nominal) {
				rec.note(at.Format("15"))
			}
			return nil
		})
		opts := []runner.Option{runner.Store(st), runner.FireSlots(1), runner.Grace(3 * time.Hour), everyHour(), runner.At(eventflow.Dates(began.Add(90*time.Minute)), runner.Named("long"))}
		stop := b.listen(b.new(f, opts...))
		time.Sleep(3*time.Hour + time.Minute) // 01 ran, long runs from 01:30, 02 waits for the slot, 03 is skipped
		require.NoError(t, stop())            // a deployment
		stop = b.listen(b.new(f, opts...))
		time.Sleep(30 * time.Minute)
		require.NoError(t, stop())
		require.Contains(t, rec.list(), "02", "it neither ran nor was skipped")
	})
}

// A wall clock that is a day ahead for two minutes, and put right again, does not silence the runner's clocks for a day.
func TestAWallClockThatWasAheadForAMomentSilencesNoClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec, m := setup(t), &recorder{}, &machine{Store: store.NewMemory()}
		r := b.new(fires(rec, "02T15:04"), runner.At(eventflow.Every(time.Hour)), runner.Store(m))
		stop := b.listenAt(r, m.now)
		time.Sleep(90 * time.Minute)
		m.step(24 * time.Hour)
		time.Sleep(2 * time.Minute)
		m.step(-24 * time.Hour) // 01:32 again
		time.Sleep(3 * time.Hour)
		require.NoError(t, stop())
		require.Subset(t, rec.list(), []string{"01T02:00", "01T03:00", "01T04:00"}, "they never ran, and are due: %v", rec.list())
	})
}

// What a flow does to its Fire, or a caller to the map that he gave to With, changes no other run.
func TestAFiresParametersAndLabelsAreItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var sizes []int
		var labels []string
		given := eventflow.Parameters{"Size": 1}
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, p struct{ Size int }) error {
			f := eventflow.RunFrom(ctx).Fire
			sizes, labels = append(sizes, p.Size), append(labels, f.Labels[0])
			f.Labels[0] = "changed"
			f.Parameters["Size"] = 7
			return nil
		}), everyHour(runner.With(given), runner.Labels("nightly")))
		given["Size"] = 3
		stop := b.listen(r)
		time.Sleep(2*time.Hour + time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{"nightly", "nightly"}, labels)
		require.Equal(t, []int{1, 1}, sizes)
	})
}
