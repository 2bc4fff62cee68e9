package runner_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// hours is a job that notes the hour of each fire, and its clock.
func hours(rec *recorder) *eventflow.Flow {
	return eventflow.NewJob("f", func(ctx context.Context) error {
		rec.note(eventflow.RunFrom(ctx).Fire.Nominal.Format("15"))
		return nil
	})
}

const hourly = "hourly"

func everyHour(opts ...runner.AtOption) runner.Option {
	return runner.At(eventflow.Every(time.Hour), append(opts, runner.Named(hourly))...)
}

func TestBackfillRunsTheFiresOfARangeOldestFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		time.Sleep(10 * time.Hour)
		midnight := time.Now().Add(-10 * time.Hour)
		var got *eventflow.Run
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, p struct{ Size int }) error {
			got = eventflow.RunFrom(ctx)
			require.Equal(t, 128, p.Size)
			rec.note(got.Fire.Nominal.Format("15"))
			return nil
		}), everyHour(runner.With(eventflow.Parameters{"Size": 128}), runner.Labels("nightly")))
		done, err := r.Backfill(t.Context(), hourly, midnight.Add(2*time.Hour), midnight.Add(6*time.Hour))
		require.NoError(t, err)
		require.Equal(t, "02 03 04 05", strings.Join(rec.list(), " "), "from is inclusive, to is not")
		require.Equal(t, "4 fires = 4 succeeded", done.String())
		require.Equal(t, hourly, got.Fire.Clock)
		require.Equal(t, []string{"nightly"}, got.Fire.Labels)
		require.Equal(t, eventflow.FireKey("f", hourly, midnight.Add(5*time.Hour)), got.Key, "the live fire's identity")
		c := balanced(t, r)
		require.EqualValues(t, 4, c.Fires.Outcomes[eventflow.Succeeded])
		require.Zero(t, c.InFlight)
	})
}

func TestBackfillOverAnAlreadyRunRangeIsAllDuplicates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec, st := setup(t), &recorder{}, store.NewMemory()
		began := time.Now()
		r := b.new(hours(rec), everyHour(), runner.Store(st))
		stop := b.listen(r)
		time.Sleep(5*time.Hour + time.Minute)
		require.Len(t, rec.list(), 5)
		done, err := r.Backfill(t.Context(), hourly, began, time.Now()) // beside Listen
		require.NoError(t, err)
		require.Equal(t, "6 fires = 1 succeeded + 5 duplicate", done.String(), "the first hour was before the runner was")
		require.NoError(t, stop())

		done, err = r.Backfill(t.Context(), hourly, began, time.Now()) // after it
		require.NoError(t, err)
		require.Equal(t, "6 fires = 6 duplicate", done.String())

		other := b.new(hours(rec), everyHour(), runner.Store(st)) // without it, by a replica
		done, err = other.Backfill(t.Context(), hourly, began, time.Now())
		require.NoError(t, err)
		require.Equal(t, "6 fires = 6 duplicate", done.String())
		require.Len(t, rec.list(), 6)
	})
}

func TestTwoReplicasThatBackfillBesideLiveFiresRunEachOnce(t *testing.T) {
	t.Parallel()
	for _, overlap := range []runner.OverlapPolicy{runner.OverlapSkip, runner.OverlapBufferAll, runner.OverlapAllowAll} {
		t.Run(overlap.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, st := setup(t), store.NewMemory()
				var mu sync.Mutex
				runs := map[string]int{}
				f := eventflow.NewJob("f", func(ctx context.Context) error {
					mu.Lock()
					runs[eventflow.RunFrom(ctx).ID()]++
					mu.Unlock()
					time.Sleep(7 * time.Second)
					return nil
				})
				began := time.Now()
				time.Sleep(time.Hour + time.Second)
				var wg sync.WaitGroup
				for range 3 {
					r := b.new(f, runner.At(eventflow.Every(time.Minute), runner.Named("c"), runner.Overlap(overlap)), runner.Store(st))
					stop := b.listen(r)
					<-r.Ready()
					time.Sleep(30 * time.Minute)
					to := time.Now()
					wg.Go(func() {
						defer func() { require.NoError(t, stop()) }()
						done, err := r.Backfill(t.Context(), "c", began, to)
						require.NoError(t, err)
						require.Equal(t, done.Fires, done.Outcomes[eventflow.Succeeded]+done.Outcomes[eventflow.Duplicate])
						balanced(t, r)
					})
				}
				wg.Wait()
				until := began.Add(150 * time.Minute)
				if overlap == runner.OverlapSkip { // it skips live ones that meet a backfilled one
					until = began.Add(time.Hour)
				}
				for at := began; at.Before(until); at = at.Add(time.Minute) {
					require.Equal(t, 1, runs[eventflow.FireKey("f", "c", at).String()], at)
				}
				for id, n := range runs {
					require.Equal(t, 1, n, id)
				}
			})
		})
	}
}

func TestBackfillNeitherMovesTheCursorNorLeavesAFireToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec, st := setup(t), &recorder{}, store.NewMemory()
		began := time.Now()
		stop := b.listen(b.new(hours(rec), everyHour(), runner.Store(st)))
		time.Sleep(90 * time.Minute)
		require.NoError(t, stop())
		time.Sleep(4 * time.Hour) // down from 01:30 to 05:30

		r := b.new(hours(rec), everyHour(), runner.Store(st))
		_, err := r.Backfill(t.Context(), hourly, began.Add(3*time.Hour), began.Add(4*time.Hour))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cut := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}), everyHour(), runner.Store(st))
		done, err := cut.Backfill(ctx, hourly, began, began.Add(time.Hour)) // 00:00, and it is cut short
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, "1 fires = 1 not done", done.String())

		r = b.new(hours(rec), everyHour(runner.Missed(runner.MissedAll, 0, 0)), runner.Store(st))
		stop = b.listen(r)
		time.Sleep(2 * time.Minute) // several sweeps
		require.NoError(t, stop())
		require.Equal(t, "01 03 02 04 05", strings.Join(rec.list(), " "), "the cursor stood at 01:00")
		require.Equal(t, "4 received = 3 succeeded + 1 duplicate", r.Counts().String())

		_, err = r.Backfill(t.Context(), hourly, began, began.Add(time.Hour))
		require.NoError(t, err)
		require.Equal(t, "00", rec.list()[5], "what was cut short can be backfilled again")
	})
}

func TestABackfillThatIsStoppedSaysHowFarItCame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		began := time.Now()
		time.Sleep(24 * time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
			if rec.note(eventflow.RunFrom(ctx).Fire.Nominal.Format("15")); len(rec.list()) == 4 {
				cancel()
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}), everyHour())
		done, err := r.Backfill(ctx, hourly, began, time.Now())
		require.Equal(t, "24 fires = 3 succeeded + 21 not done", done.String())
		var stopped *runner.BackfillError
		require.ErrorAs(t, err, &stopped)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, began.Add(3*time.Hour).UTC(), stopped.From)
		require.ErrorContains(t, err, hourly)

		done, err = r.Backfill(t.Context(), hourly, stopped.From, time.Now())
		require.NoError(t, err)
		require.Equal(t, "21 fires = 21 succeeded", done.String())
		balanced(t, r)
	})
}

func TestABackfillOfAClosedStoreEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), store.NewMemory()
		began := time.Now()
		time.Sleep(3 * time.Hour)
		require.NoError(t, st.Close())
		_, err := b.new(hours(&recorder{}), everyHour(), runner.Store(st)).Backfill(t.Context(), hourly, began, time.Now())
		require.ErrorIs(t, err, eventflow.ErrClosed)
		var stopped *runner.BackfillError
		require.ErrorAs(t, err, &stopped)
		require.Equal(t, began.UTC(), stopped.From)
	})
}

func TestWhatABackfillCannotDoIsSaidBeforeAnythingRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		r := b.new(eventflow.NewJob("f", func(context.Context) error { panic("it ran") }),
			everyHour(), runner.At(eventflow.Every(time.Second), runner.Named("second")))
		now := time.Now()
		for _, tc := range []struct {
			clock    string
			from, to time.Time
			says     []string
		}{
			{"hourli", now.Add(-time.Hour), now, []string{"runner.Backfill clock", "hourli", "hourly, second"}},
			{hourly, now.Add(-time.Hour), now.Add(1), []string{"runner.Backfill to", "no later than now"}},
			{hourly, now, now.Add(-1), []string{"runner.Backfill to", "not before from"}},
			{"second", now.Add(-10_001 * time.Second), now, []string{"runner.Backfill to", "10000 fires", now.Add(-time.Second).UTC().Format(time.RFC3339)}},
		} {
			done, err := r.Backfill(t.Context(), tc.clock, tc.from, tc.to)
			var config *eventflow.ConfigError
			require.ErrorAs(t, err, &config)
			for _, s := range tc.says {
				require.ErrorContains(t, err, s)
			}
			require.Zero(t, done.Fires)
		}
		done, err := r.Backfill(t.Context(), hourly, now, now)
		require.NoError(t, err)
		require.Equal(t, "0 fires = 0 not done", done.String())
		require.Zero(t, r.Counts().Received)
	})
}

func TestAFireThatJitterStillDelaysIsLeftToItsClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		began := time.Now()
		time.Sleep(5 * time.Hour)
		r := b.new(hours(rec), everyHour(runner.Jitter(59*time.Minute)))
		done, err := r.Backfill(t.Context(), hourly, began, time.Now())
		require.NoError(t, err)
		require.Equal(t, 5, done.Outcomes[eventflow.Succeeded])
		time.Sleep(time.Millisecond)
		done, err = r.Backfill(t.Context(), hourly, began, time.Now())
		require.NoError(t, err)
		require.Equal(t, "5 fires = 5 duplicate", done.String(), "05:00 is not due yet")
	})
}

// A live fire meets a backfilled run, and a backfill a live run: the clock's policy holds between them.
func TestBackfilledAndLiveFiresOverlapAsTheClockSays(t *testing.T) {
	t.Parallel()
	for policy, want := range map[runner.OverlapPolicy]string{
		runner.OverlapSkip:        "[00] [01] [02] [03]",
		runner.OverlapBufferOne:   "[00] [05] [01] [02] [03]",
		runner.OverlapBufferAll:   "[00] [05] [01] [02] [03]",
		runner.OverlapCancelOther: "[00 cancelled [05] [01] [02] [03]",
		runner.OverlapAllowAll:    "[00 [01 ] ] [02 [03 ] ] [05]",
	} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				var mu sync.Mutex
				var said strings.Builder
				say := func(s string) { mu.Lock(); said.WriteString(s); mu.Unlock() }
				began := time.Now()
				time.Sleep(4*time.Hour + 59*time.Minute)
				r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
					say(" [" + eventflow.RunFrom(ctx).Fire.Nominal.Format("15"))
					select {
					case <-time.After(90 * time.Second):
						say("]")
						return nil
					case <-ctx.Done():
						say(" cancelled")
						return ctx.Err()
					}
				}), everyHour(runner.Overlap(policy)), runner.FireSlots(2))
				stop := b.listen(r)
				<-r.Ready()
				done, err := r.Backfill(t.Context(), hourly, began, began.Add(4*time.Hour)) // 05:00 comes during its first run
				require.NoError(t, err)
				require.Equal(t, 4, done.Fires)
				synctest.Wait()
				time.Sleep(2 * time.Minute)
				require.NoError(t, stop())
				c := balanced(t, r)
				require.Zero(t, c.InFlight)
				if policy == runner.OverlapAllowAll {
					require.Equal(t, 5, strings.Count(said.String(), "]"))
					return
				}
				require.Equal(t, want, strings.TrimSpace(said.String()))
				skipped := c.Reasons[runner.Reason{Outcome: eventflow.Skipped, Why: "overlap"}]
				require.Equal(t, policy == runner.OverlapSkip || policy == runner.OverlapCancelOther, skipped == 1)
			})
		})
	}
}

// A live fire cancels a backfilled one also while that waits for its next attempt.
func TestCancelOtherReachesABackfilledFireThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		began := time.Now()
		time.Sleep(59 * time.Minute)
		r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
			f := eventflow.RunFrom(ctx).Fire
			if rec.note(f.Nominal.Format("15")); f.Nominal.Equal(began) {
				return errBoom
			}
			require.Equal(t, f.Due, time.Now().UTC(), "the live one is on time")
			return nil
		}), everyHour(runner.Overlap(runner.OverlapCancelOther)), runner.Backoff(func(int) time.Duration { return time.Hour }))
		stop := b.listen(r)
		<-r.Ready()
		done, err := r.Backfill(t.Context(), hourly, began, began.Add(time.Minute))
		require.NoError(t, err)
		require.Equal(t, "1 fires = 1 skipped", done.String())
		synctest.Wait()
		require.NoError(t, stop())
		require.Equal(t, []string{"00", "01"}, rec.list())
		balanced(t, r)
	})
}

func TestABackfilledFireHasItsAttemptsAndItsDeadLetter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		began := time.Now()
		time.Sleep(2 * time.Hour)
		dead := b.mem.Subscriber("dead")
		var n atomic.Int64
		r := b.new(eventflow.NewJob("f", func(context.Context) error { n.Add(1); return errBoom }), everyHour(), runner.MaxAttempts(3), runner.DeadLetterTo(b.mem.Publisher("dead")))
		done, err := r.Backfill(t.Context(), hourly, began, time.Now())
		require.NoError(t, err, "that a flow fails is no failure of the backfill")
		require.Equal(t, "2 fires = 2 failed", done.String())
		require.EqualValues(t, 6, n.Load())
		require.Len(t, drain(t, dead), 2)
	})
}

// A fire that another replica runs is waited for: its end is the backfill's.
func TestABackfillWaitsForAFireThatRunsElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), store.NewMemory()
		began := time.Now()
		time.Sleep(59 * time.Minute)
		f := eventflow.NewJob("f", func(context.Context) error { time.Sleep(10 * time.Minute); return nil })
		r := b.new(f, everyHour(), runner.Store(st))
		stop := b.listen(r)
		time.Sleep(2 * time.Minute) // 01:00 runs
		other := b.new(f, everyHour(), runner.Store(st))
		done, err := other.Backfill(t.Context(), hourly, began.Add(time.Hour), time.Now())
		require.NoError(t, err)
		require.Equal(t, "1 fires = 1 duplicate", done.String())
		require.WithinDuration(t, began.Add(70*time.Minute), time.Now(), 2*time.Second)
		require.Equal(t, "1 received = 1 duplicate", balanced(t, other).String(), "however often it asked")
		require.NoError(t, stop())
	})
}

// The process that backfilled has died: nobody takes its fire over, and the next backfill runs it when the lease has lapsed.
func TestAFireOfABackfillThatDiedIsTheNextOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), store.NewMemory()
		began := time.Now()
		time.Sleep(time.Hour)
		cs := []store.Claim{{Key: eventflow.FireKey("f", hourly, began)}}
		require.NoError(t, st.Claim(t.Context(), "dead", 30*time.Second, cs))
		died := time.Now()
		var attempts []int
		r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
			attempts = append(attempts, eventflow.RunFrom(ctx).Attempt)
			return nil
		}), everyHour(), runner.Store(st))
		done, err := r.Backfill(t.Context(), hourly, began, began.Add(1))
		require.NoError(t, err)
		require.Equal(t, "1 fires = 1 succeeded", done.String())
		require.Equal(t, []int{2}, attempts)
		require.WithinDuration(t, died.Add(30*time.Second), time.Now(), 2*time.Second)
		keys, err := st.Orphans(t.Context(), "f", 10)
		require.NoError(t, err)
		require.Empty(t, keys)
	})
}

func TestTheStoresOutageHoldsABackfillUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		st := &outage{Store: store.NewMemory()}
		st.down.Store(true)
		began := time.Now()
		time.Sleep(3 * time.Hour)
		back := time.Now().Add(time.Hour)
		time.AfterFunc(time.Hour, func() { st.down.Store(false) })
		done, err := b.new(hours(rec), everyHour(), runner.Store(st)).Backfill(t.Context(), hourly, began, time.Now())
		require.NoError(t, err)
		require.Equal(t, "3 fires = 3 succeeded", done.String())
		require.WithinDuration(t, back, time.Now(), 11*time.Second)
		require.True(t, slices.IsSorted(rec.list()))
	})
}

// A backfilled fire whose claim cannot be renewed is cancelled, and run again once it can be claimed.
func TestABackfilledFireThatLostItsClaimIsRunAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		began := time.Now()
		time.Sleep(time.Hour)
		var attempts []int
		r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
			if attempts = append(attempts, eventflow.RunFrom(ctx).Attempt); len(attempts) > 1 {
				return nil
			}
			<-ctx.Done()
			require.ErrorIs(t, context.Cause(ctx), eventflow.ErrLockLost)
			return ctx.Err()
		}), everyHour(), runner.Store(&frozen{Store: store.NewMemory()}))
		done, err := r.Backfill(t.Context(), hourly, began, began.Add(1))
		require.NoError(t, err)
		require.Equal(t, "1 fires = 1 succeeded", done.String())
		require.Len(t, attempts, 2)
		require.EqualValues(t, 1, balanced(t, r).Reasons[why(eventflow.HandedBack, "lock lost")])
	})
}

// halting is a clock that ends a context at its third Next from now on.
type halting struct {
	eventflow.TimeClock
	n    int
	halt context.CancelFunc
}

func (h *halting) Next(after time.Time) time.Time {
	if h.n++; h.n == 3 && h.halt != nil {
		h.halt()
	}
	return h.TimeClock.Next(after)
}

// One whose context ends before it knows its fires must not pass for one that had none.
func TestABackfillWhoseContextEndsBeforeItsFirstFireSaysSo(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]int{"before": 0, "while it lists them": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, rec := setup(t), &recorder{}
				began := time.Now()
				time.Sleep(5 * time.Hour)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				clock := &halting{TimeClock: eventflow.Every(time.Hour)}
				r := b.new(hours(rec), runner.At(clock, runner.Named(hourly)))
				if clock.n, clock.halt = 0, cancel; after == 0 {
					cancel()
				}
				_, err := r.Backfill(ctx, hourly, began, time.Now())
				require.ErrorIs(t, err, context.Canceled)
				var stopped *runner.BackfillError
				require.ErrorAs(t, err, &stopped)
				require.Equal(t, began.UTC(), stopped.From)
				require.Empty(t, rec.list())
				done, err := r.Backfill(t.Context(), hourly, stopped.From, time.Now())
				require.NoError(t, err)
				require.Equal(t, "5 fires = 5 succeeded", done.String())
			})
		})
	}
}

func TestAGoexitInABackfilledFireIsAnAttempt(t *testing.T) {
	t.Parallel()
	for _, overlap := range []runner.OverlapPolicy{runner.OverlapSkip, runner.OverlapAllowAll} {
		t.Run(overlap.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				began := time.Now()
				time.Sleep(4 * time.Hour)
				r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
					if run := eventflow.RunFrom(ctx); run.Attempt == 1 || run.Fire.Nominal.Equal(began) {
						runtimeGoexit()
					}
					return nil
				}), everyHour(runner.Overlap(overlap)), runner.MaxAttempts(3))
				to := time.Now()
				done, err := r.Backfill(t.Context(), hourly, began, to)
				require.NoError(t, err)
				require.Equal(t, "4 fires = 3 succeeded + 1 failed", done.String())
				require.Zero(t, balanced(t, r).InFlight)
				done, err = r.Backfill(t.Context(), hourly, began, to) // the clock is not busy for ever
				require.NoError(t, err)
				require.Equal(t, "4 fires = 4 duplicate", done.String())
			})
		})
	}
}

// publishFunc is a publisher.
type publishFunc func(ctx context.Context, events ...eventflow.Event) error

func (f publishFunc) Publish(ctx context.Context, events ...eventflow.Event) error {
	return f(ctx, events...)
}

func (publishFunc) Close(context.Context) error { return nil }

// A backfill that began before Listen shares nothing with it that Listen makes.
func TestAFireThatFailsWhileListenBegins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		began := time.Now()
		time.Sleep(time.Hour)
		var r *runner.FlowRunner
		stopped := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		dead := publishFunc(func(context.Context, ...eventflow.Event) error {
			go func() { stopped <- r.Listen(ctx) }()
			time.Sleep(time.Millisecond) // no signal: it would hide from the race detector what this is about
			return nil
		})
		r = b.new(eventflow.NewJob("f", func(context.Context) error { return eventflow.Permanent(errBoom) }), everyHour(), runner.DeadLetterTo(dead))
		done, err := r.Backfill(t.Context(), hourly, began, began.Add(1))
		require.NoError(t, err)
		require.Equal(t, "1 fires = 1 failed", done.String())
		cancel()
		require.NoError(t, <-stopped)
	})
}
