package runner_test

import (
	"context"
	"fmt"
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

// slowJob notes the minute of each fire it runs, and takes a little more than two and a half.
func slowJob(rec *recorder) *eventflow.Flow {
	return eventflow.NewJob("f", func(ctx context.Context) error {
		rec.note(eventflow.RunFrom(ctx).Fire.Nominal.Format("04"))
		select {
		case <-time.After(155 * time.Second):
			return nil
		case <-ctx.Done():
			rec.note("cancelled")
			return context.Cause(ctx)
		}
	})
}

func TestOverlapPolicies(t *testing.T) {
	t.Parallel()
	for policy, want := range map[runner.OverlapPolicy]string{
		runner.OverlapSkip:        "01 04 07",
		runner.OverlapBufferOne:   "01 02 04 07",
		runner.OverlapBufferAll:   "01 02 03 04",
		runner.OverlapCancelOther: "01 cancelled 02 cancelled 03 cancelled 04 cancelled 05 cancelled 06 cancelled 07 cancelled 08 cancelled 09",
		runner.OverlapAllowAll:    "01 02 03 04 05 06 07 08 09",
	} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, rec := setup(t), &recorder{}
				r := b.new(slowJob(rec), runner.At(eventflow.Every(time.Minute), runner.Overlap(policy)), runner.FireSlots(10), runner.Grace(0))
				stop := b.listen(r)
				time.Sleep(9*time.Minute + time.Second)
				synctest.Wait()
				require.Equal(t, want, strings.Join(rec.list(), " "))
				require.NoError(t, stop())
				c := balanced(t, r)
				require.EqualValues(t, 9, c.Fires.Received)
				require.Zero(t, c.InFlight)
			})
		})
	}
}

func TestMissedModes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		opts    []runner.AtOption
		want    string
		skipped int64
	}{
		{"Latest", nil, "01+0 05+3", 3},
		{"All", []runner.AtOption{runner.Missed(runner.MissedAll, 0, 0)}, "01+0 02+0 03+0 04+0 05+0", 0},
		{"All, the last two", []runner.AtOption{runner.Missed(runner.MissedAll, 0, 2)}, "01+0 04+0 05+0", 2},
		{"All, within two hours", []runner.AtOption{runner.Missed(runner.MissedAll, 2*time.Hour, 0)}, "01+0 04+0 05+0", 2},
		{"Latest, within a minute", []runner.AtOption{runner.Missed(runner.MissedLatest, time.Minute, 0)}, "01+0", 4},
		{"None", []runner.AtOption{runner.Missed(runner.MissedNone, 0, 0)}, "01+0", 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, rec := setup(t), &recorder{}
				st := store.NewMemory()
				f := eventflow.NewJob("f", func(ctx context.Context) error {
					fire := eventflow.RunFrom(ctx).Fire
					rec.note(fmt.Sprintf("%s+%d", fire.Nominal.Format("15"), len(fire.Missed)))
					return nil
				})
				at := runner.At(eventflow.Every(time.Hour), tc.opts...)
				stop := b.listen(b.new(f, at, runner.Store(st)))
				time.Sleep(90 * time.Minute)
				require.NoError(t, stop())
				time.Sleep(4 * time.Hour) // down from 01:30 to 05:30
				r := b.new(f, at, runner.Store(st))
				stop = b.listen(r)
				synctest.Wait()
				require.NoError(t, stop())
				require.Equal(t, tc.want, strings.Join(rec.list(), " "))
				require.Equal(t, tc.skipped, balanced(t, r).Reasons[runner.Reason{Outcome: eventflow.Skipped, Why: "missed"}])

				r = b.new(f, at, runner.Store(st)) // again: what was skipped stays skipped
				stop = b.listen(r)
				synctest.Wait()
				require.NoError(t, stop())
				require.Zero(t, balanced(t, r).Received)
			})
		})
	}
}

func TestJitterMovesTheStartAndNeverTheIdentity(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var delays [2][]time.Duration
		for i := range delays {
			began := time.Now()
			r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
				f := eventflow.RunFrom(ctx).Fire
				require.Zero(t, f.Nominal.Minute()+f.Nominal.Second())
				require.Equal(t, f.Due, time.Now().UTC())
				delays[i] = append(delays[i], f.Due.Sub(f.Nominal))
				return nil
			}), runner.At(eventflow.Every(time.Hour), runner.Jitter(2*time.Hour)))
			stop := b.listen(r)
			time.Sleep(100*time.Hour - time.Since(began))
			require.NoError(t, stop())
			for _, d := range delays[i] {
				require.Less(t, d, time.Hour, "never at or past the next fire")
			}
		}
		require.Greater(t, len(delays[0]), 95)
		require.Greater(t, len(delays[1]), 95)
		require.NotEqual(t, delays[0][0], delays[0][1])
	})
}

func TestAnImpureOrUnknownPolicyIsRefusedByName(t *testing.T) {
	t.Parallel()
	_, err := runner.New(eventflow.NewJob("f", func(context.Context) error { return nil }),
		runner.At(eventflow.Every(time.Hour), runner.Overlap(99), runner.Missed(-1, 0, 0), runner.Jitter(-1)))
	for _, s := range []string{"runner.Overlap", "OverlapPolicy(99)", "runner.Missed", "MissedMode(-1)", "runner.Jitter"} {
		require.ErrorContains(t, err, s)
	}
}

func TestManyUndecodableEventsPauseTheTriggerInsteadOfDrainingIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		var bad atomic.Bool
		bad.Store(true)
		r := b.new(eventflow.NewSink("f", func(_ context.Context, in struct{ N int }) error {
			rec.note(fmt.Sprint(in.N))
			return nil
		}), runner.On(b.mem.Subscriber("q"), runner.WithCodec(codec{decode: func(ev *eventflow.Event, v any) error {
			if bad.Load() {
				return errBoom
			}
			return eventflow.JSON.Decode(ev, v)
		}})), runner.PauseAfterDecodeFailures(5))
		var evs []eventflow.Event
		for i := range 100 {
			evs = append(evs, eventflow.Event{ID: fmt.Sprint(i), Source: "s", Data: fmt.Appendf(nil, `{"N":%d}`, i)})
		}
		require.NoError(t, b.mem.Publisher("q").Publish(t.Context(), evs...))
		stop := b.listen(r)
		time.Sleep(time.Hour)
		require.Len(t, b.mem.DeadLetters("q"), 4, "the fifth in a row pauses")
		c := balanced(t, r)
		require.LessOrEqual(t, c.InFlight, int64(1))
		require.Less(t, c.Received, int64(100+70), "one event at a time is tried, with backoff: %+v", c)
		synctest.Wait()
		bad.Store(false) // the deploy is mended
		time.Sleep(10 * time.Minute)
		require.Len(t, rec.list(), 96)
		require.Len(t, b.mem.DeadLetters("q"), 4)
		require.NoError(t, stop())
		require.EqualValues(t, 96, balanced(t, r).Outcomes[eventflow.Succeeded])
	})
}

// codec is JSON but for its decoding.
type codec struct {
	decode func(ev *eventflow.Event, v any) error
}

func (codec) ContentType() string                       { return "application/json" }
func (codec) Encode(v any) ([]byte, error)              { return eventflow.JSON.Encode(v) }
func (c codec) Decode(ev *eventflow.Event, v any) error { return c.decode(ev, v) }

// counting is a clock that counts how often it is asked.
type counting struct {
	eventflow.TimeClock
	asked atomic.Int64
}

func (c *counting) Next(after time.Time) time.Time {
	c.asked.Add(1)
	return c.TimeClock.Next(after)
}

func (c *counting) String() string { return "counting" }

// A clock of a second and a month of downtime are 2.6 million fires, which a runner must not walk through one by one.
func TestTheScanForMissedFiresIsBounded(t *testing.T) {
	t.Parallel()
	for mode, ran := range map[runner.MissedMode]int{runner.MissedLatest: 1, runner.MissedAll: 3, runner.MissedNone: 1} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, st := setup(t), store.NewMemory()
				var mu sync.Mutex
				var fires []eventflow.Fire
				f := eventflow.NewJob("f", func(ctx context.Context) error {
					mu.Lock()
					defer mu.Unlock()
					fires = append(fires, *eventflow.RunFrom(ctx).Fire)
					return nil
				})
				clock := &counting{TimeClock: eventflow.Every(time.Second)}
				at := runner.At(clock, runner.Missed(mode, 0, 3))
				stop := b.listen(b.new(f, at, runner.Store(st)))
				time.Sleep(1500 * time.Millisecond)
				require.NoError(t, stop())
				time.Sleep(30 * 24 * time.Hour)
				fires = nil
				clock.asked.Store(0)
				r := b.new(f, at, runner.Store(st))
				stop = b.listen(r)
				synctest.Wait()
				require.NoError(t, stop())
				require.Less(t, clock.asked.Load(), int64(50_000))
				require.GreaterOrEqual(t, balanced(t, r).Received, int64(10_000), "counted: at least those that were looked at")

				latest := time.Now().Truncate(time.Second).UTC()
				if mode == runner.MissedAll { // the fire of this second is due while those are made up for: skipped
					latest = latest.Add(-time.Second)
				}
				require.Len(t, fires, ran)
				require.Equal(t, latest, fires[ran-1].Nominal)
				if mode == runner.MissedLatest {
					require.True(t, fires[0].MissedMore)
					require.LessOrEqual(t, len(fires[0].Missed), 10_000)
					require.Equal(t, latest.Add(-time.Second), fires[0].Missed[len(fires[0].Missed)-1])
				}
			})
		})
	}
}
