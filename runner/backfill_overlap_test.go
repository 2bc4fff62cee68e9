package runner_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// While another process runs a backfilled fire, nothing of the clock is live here, so live fires run as ever.
func TestABackfilledFireThatRunsElsewhereOverlapsNothingHere(t *testing.T) {
	t.Parallel()
	for _, overlap := range []runner.OverlapPolicy{runner.OverlapSkip, runner.OverlapBufferOne, runner.OverlapBufferAll, runner.OverlapCancelOther} {
		t.Run(overlap.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, rec, st := setup(t), &recorder{}, store.NewMemory()
				began := time.Now()
				time.Sleep(90 * time.Minute)
				held := []store.Claim{{Key: eventflow.FireKey("f", hourly, began.Add(time.Hour))}}
				require.NoError(t, st.Claim(t.Context(), "other", 2*time.Hour, held)) // and dies in the end
				r := b.new(hours(rec), everyHour(runner.Overlap(overlap)), runner.Store(st))
				stop := b.listen(r)
				<-r.Ready()
				done, err := r.Backfill(t.Context(), hourly, began.Add(time.Hour), began.Add(time.Hour+1))
				require.NoError(t, err)
				require.Equal(t, "1 fires = 1 succeeded", done.String())
				require.NoError(t, stop())
				require.Equal(t, []string{"02", "03", "01"}, rec.list())
				require.Equal(t, "3 received = 3 succeeded", balanced(t, r).String())
			})
		})
	}
}

// lateHolder has another process claim a fire, for half a minute, in which it dies.
func lateHolder(t *testing.T, st store.Store, at time.Time) {
	t.Helper()
	f := &store.Fire{Nominal: at}
	require.NoError(t, st.Claim(t.Context(), "dead", 30*time.Second, []store.Claim{{Key: eventflow.FireKey("f", hourly, at), Fire: f}}))
}

// slow is a job that takes 20 minutes, and notes when it begins and ends.
func slow(rec *recorder) *eventflow.Flow {
	return eventflow.NewJob("f", func(ctx context.Context) error {
		hour := eventflow.RunFrom(ctx).Fire.Nominal.Format("15")
		rec.note("[" + hour)
		time.Sleep(20 * time.Minute)
		rec.note(hour + "]")
		return nil
	})
}

func TestABackfillWaitsForAFireThatWasTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec, st := setup(t), &recorder{}, store.NewMemory()
		began := time.Now()
		r := b.new(slow(rec), everyHour(), runner.Store(st))
		stop := b.listen(r)
		time.Sleep(time.Hour - time.Second)
		lateHolder(t, st, began.Add(time.Hour)) // a replica whose clock is a second ahead
		time.Sleep(5 * time.Minute)
		require.Equal(t, []string{"[01"}, rec.list(), "it was taken over, and runs")
		done, err := r.Backfill(t.Context(), hourly, began, began.Add(1))
		require.NoError(t, err)
		require.Equal(t, "1 fires = 1 succeeded", done.String())
		require.Equal(t, []string{"[01", "01]", "[00", "00]"}, rec.list())
		require.NoError(t, stop())
	})
}

// A live fire whose holder dies while a backfilled one of its clock runs here runs when that has ended, and before the next.
func TestAFireThatIsTakenOverWaitsForABackfilledOne(t *testing.T) {
	t.Parallel()
	for name, stopped := range map[string]bool{"and runs": false, "and is handed back when the runner stops": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, rec, st := setup(t), &recorder{}, store.NewMemory()
				began := time.Now()
				time.Sleep(2*time.Hour + 30*time.Minute)
				r := b.new(slow(rec), everyHour(), runner.Store(st))
				stop := b.listen(r)
				time.Sleep(30*time.Minute - time.Second)
				lateHolder(t, st, began.Add(3*time.Hour))
				time.Sleep(10 * time.Second) // 03:00 is held elsewhere
				done := make(chan runner.Backfilled)
				go func() {
					d, err := r.Backfill(t.Context(), hourly, began, began.Add(time.Hour+1))
					if err != nil {
						t.Error(err)
					}
					done <- d
				}()
				time.Sleep(5 * time.Minute)
				require.Equal(t, []string{"[00"}, rec.list())
				require.EqualValues(t, 2, balanced(t, r).InFlight)
				if stopped {
					require.NoError(t, stop())
				}
				require.Equal(t, "2 fires = 2 succeeded", (<-done).String())
				want := []string{"[00", "00]", "[03", "03]", "[01", "01]"}
				if stopped {
					want = slices.Delete(want, 2, 4)
				} else {
					require.NoError(t, stop())
				}
				require.Equal(t, want, rec.list())
				require.Zero(t, balanced(t, r).InFlight)
			})
		})
	}
}

// aside delays the first claim of a fire.
type aside struct {
	store.Store
	id    string
	delay time.Duration
	once  sync.Once
}

func (s *aside) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	if cs[0].Key.ID == s.id {
		s.once.Do(func() { time.Sleep(s.delay) })
	}
	return s.Store.Claim(ctx, owner, lease, cs)
}

func TestCancelOtherReachesABackfilledFireThatBegins(t *testing.T) {
	t.Parallel()
	for name, held := range map[string]bool{"here": false, "elsewhere": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, rec := setup(t), &recorder{}
				began := time.Now()
				time.Sleep(59*time.Minute + 59*time.Second)
				key := eventflow.FireKey("f", hourly, began)
				st := &aside{Store: store.NewMemory(), id: key.ID, delay: 5 * time.Second}
				want, ran := "1 fires = 1 skipped", []string{"01"}
				if held { // then it waits for nobody, and nobody for it: it runs when that process has died
					require.NoError(t, st.Store.Claim(t.Context(), "dead", 10*time.Minute, []store.Claim{{Key: key}}))
					want, ran = "1 fires = 1 succeeded", []string{"01", "00"}
				}
				r := b.new(hours(rec), everyHour(runner.Overlap(runner.OverlapCancelOther)), runner.Store(st))
				stop := b.listen(r)
				<-r.Ready()
				done, err := r.Backfill(t.Context(), hourly, began, began.Add(1)) // 01:00 comes while the store is asked
				require.NoError(t, err)
				require.Equal(t, want, done.String())
				synctest.Wait()
				require.NoError(t, stop())
				require.Equal(t, ran, rec.list())
			})
		})
	}
}
