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

func TestAFireIsSkippedWhileItsClocksRunIsLive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
			rec.note(eventflow.RunFrom(ctx).Fire.Nominal.Format("15:04"))
			select {
			case <-time.After(150 * time.Second):
			case <-ctx.Done():
			}
			return nil
		}), runner.At(eventflow.Every(time.Minute)))
		stop := b.listen(r)
		time.Sleep(7*time.Minute + time.Second)
		require.Equal(t, []string{"00:01", "00:04", "00:07"}, rec.list())
		c := balanced(t, r)
		require.EqualValues(t, 4, c.Reasons[runner.Reason{Outcome: eventflow.Skipped, Why: "overlap"}])
		require.EqualValues(t, 7, c.Fires.Received)
		require.NoError(t, stop())
	})
}

func TestReplicasRunAFireOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		st := store.NewMemory()
		f := eventflow.NewJob("f", func(ctx context.Context) error {
			rec.note(eventflow.RunFrom(ctx).ID())
			return nil
		})
		var stops []func() error
		var rs []*runner.FlowRunner
		for range 3 {
			r := b.new(f, runner.At(eventflow.Every(time.Second)), runner.Store(st))
			rs = append(rs, r)
			stops = append(stops, b.listen(r))
		}
		time.Sleep(100*time.Second + 500*time.Millisecond)
		for i, stop := range stops {
			require.NoError(t, stop())
			balanced(t, rs[i])
		}
		seen := map[string]bool{}
		for _, id := range rec.list() {
			require.False(t, seen[id], "%s ran twice", id)
			seen[id] = true
		}
		require.Len(t, seen, 100)
	})
}

func TestMissedFiresOfADowntimeAreMadeUpForByTheLatest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		st := store.NewMemory()
		var fires []eventflow.Fire
		f := eventflow.NewJob("f", func(ctx context.Context) error {
			fires = append(fires, *eventflow.RunFrom(ctx).Fire)
			return nil
		})
		clock := eventflow.Every(time.Hour)
		stop := b.listen(b.new(f, runner.At(clock), runner.Store(st)))
		time.Sleep(90 * time.Minute)
		require.NoError(t, stop())
		require.Len(t, fires, 1)

		time.Sleep(5 * time.Hour) // down
		r := b.new(f, runner.At(clock), runner.Store(st))
		stop = b.listen(r)
		synctest.Wait()
		require.Len(t, fires, 2)
		require.Len(t, fires[1].Missed, 4)
		require.Equal(t, fires[0].Nominal.Add(5*time.Hour), fires[1].Nominal)
		require.Equal(t, fires[0].Nominal.Add(time.Hour), fires[1].Missed[0])
		c := balanced(t, r)
		require.EqualValues(t, 4, c.Reasons[runner.Reason{Outcome: eventflow.Skipped, Why: "missed"}])
		require.NoError(t, stop())

		time.Sleep(50 * time.Hour) // the latest is young: it runs
		r = b.new(f, runner.At(eventflow.Dates(fires[1].Nominal.Add(time.Hour), fires[1].Nominal.Add(1000*time.Hour)), runner.Named(clock.String())), runner.Store(st))
		stop = b.listen(r)
		synctest.Wait()
		require.Len(t, fires, 2, "the clock's definition has changed: it starts now")
		require.NoError(t, stop())
	})
}

func TestAFiresAttemptsEndAsFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		dead := b.mem.Subscriber("dead")
		var attempts []int
		r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
			attempts = append(attempts, eventflow.RunFrom(ctx).Attempt)
			return errBoom
		}), runner.At(eventflow.Dates(time.Now().Add(time.Hour)), runner.Named("once")), runner.MaxAttempts(3), runner.DeadLetterTo(b.mem.Publisher("dead")))
		require.NoError(t, r.Listen(t.Context()))
		require.Equal(t, []int{1, 2, 3}, attempts)
		c := balanced(t, r)
		require.EqualValues(t, 1, c.Fires.Outcomes[eventflow.Failed])
		got := drain(t, dead)
		require.Len(t, got, 1)
		require.Equal(t, "eventflow.fire.failed", got[0].Type)
		require.Equal(t, "exhausted", got[0].Attributes.String("eventflow-reason"))
	})
}

func TestADueFireStartsWhateverTheBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var worst time.Duration
		n := 0
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, _ string) error {
			if f := eventflow.RunFrom(ctx).Fire; f != nil {
				worst = max(worst, time.Since(f.Due))
				n++
				return nil
			}
			select {
			case <-time.After(time.Hour):
			case <-ctx.Done():
			}
			return ctx.Err()
		}), runner.On(b.mem.Subscriber("q")), runner.MaxRuns(4), runner.At(eventflow.Every(time.Second)), runner.Grace(0))
		for range 100 {
			b.publish("q", "slow")
			require.NoError(t, b.mem.Publisher("q").Publish(t.Context(), eventflow.Event{Data: []byte("x")}))
		}
		stop := b.listen(r)
		time.Sleep(60*time.Second + time.Millisecond)
		require.NoError(t, stop())
		require.Equal(t, 60, n)
		require.LessOrEqual(t, worst, time.Second)
		balanced(t, r)
	})
}

func TestParametersAndLabelsOfAClockReachTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		type params struct {
			Upload eventflow.EventParameter[string]
			Size   int
		}
		var got []params
		var labels []string
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, p params) error {
			got = append(got, p)
			if f := eventflow.RunFrom(ctx).Fire; f != nil {
				labels = f.Labels
			}
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.At(eventflow.Dates(time.Now().Add(time.Minute)), runner.Named("c"), runner.With(eventflow.Parameters{"Size": 128}), runner.Labels("nightly")))
		b.publish("q", "cat")
		stop := b.listen(r)
		time.Sleep(2 * time.Minute)
		require.NoError(t, stop())
		require.Len(t, got, 2)
		up, ok := got[0].Upload.Get()
		require.True(t, ok)
		require.Equal(t, "cat", up)
		require.Zero(t, got[0].Size)
		_, ok = got[1].Upload.Get()
		require.False(t, ok)
		require.Equal(t, 128, got[1].Size)
		require.Equal(t, []string{"nightly"}, labels)
	})
}

// Two replicas, one clock of 10 s, runs of 1 s: no run ever overlaps another, so every fire must run, once.
func TestReplicasSkipNothingWhenNothingOverlaps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), store.NewMemory()
		var ran atomic.Int64
		f := eventflow.NewJob("f", func(context.Context) error {
			ran.Add(1)
			time.Sleep(time.Second)
			return nil
		})
		var stops []func() error
		var rs []*runner.FlowRunner
		for range 2 {
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

// lingering is a store that takes one fire's claim and does not answer.
type lingering struct {
	store.Store
	nominal time.Time
}

func (l *lingering) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	if cs[0].Fire != nil && cs[0].Fire.Nominal.Equal(l.nominal) {
		<-ctx.Done()
		return ctx.Err()
	}
	return l.Store.Claim(ctx, owner, lease, cs)
}

// With OverlapAllowAll the claims of neighbours are under way side by side, and the later may be granted first.
func TestAFireWhoseClaimIsOvertakenIsNotForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), store.NewMemory()
		start := time.Now()
		second := start.Add(2 * time.Second)
		clock := eventflow.Dates(start.Add(time.Second), second, start.Add(3*time.Second), start.Add(time.Hour))
		var ran []time.Time
		f := eventflow.NewJob("f", func(ctx context.Context) error {
			ran = append(ran, eventflow.RunFrom(ctx).Fire.Nominal)
			return nil
		})
		at := func() runner.Option {
			return runner.At(clock, runner.Named("d"), runner.Overlap(runner.OverlapAllowAll), runner.Missed(runner.MissedAll, time.Hour, 10))
		}
		stop := b.listen(b.new(f, at(), runner.FireSlots(2), runner.Store(&lingering{Store: st, nominal: second})))
		time.Sleep(10 * time.Second)
		require.NoError(t, stop())
		require.Len(t, ran, 2, "the third runs meanwhile")
		stop = b.listen(b.new(f, at(), runner.Store(st)))
		time.Sleep(10 * time.Second)
		require.NoError(t, stop())
		require.Len(t, ran, 3, "the clock had moved past the second, which nobody had claimed")
		require.True(t, ran[2].Equal(second))
	})
}
