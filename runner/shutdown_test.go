package runner_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
)

func TestShutdownLetsRunsFinishAndHandsTheRestBackAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, s string) error {
			select {
			case <-time.After(5 * time.Second):
				rec.note(s)
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}), runner.On(b.mem.Subscriber("q")), runner.MaxRuns(2), runner.Grace(10*time.Second))
		b.publish("q", "1", "2", "3", "k:4", "k:5")
		stop := b.listen(r)
		time.Sleep(time.Second)
		require.Equal(t, runner.Listening, r.State())
		began := time.Now()
		require.NoError(t, stop())
		require.Equal(t, 4*time.Second, time.Since(began), "as long as the runs take, no longer")
		require.Len(t, rec.list(), 2)
		require.Equal(t, runner.Stopped, r.State())
		c := balanced(t, r)
		require.Zero(t, c.InFlight)
		require.EqualValues(t, 2, c.Outcomes[eventflow.Succeeded])
		require.EqualValues(t, 3, c.Reasons[runner.Reason{Outcome: eventflow.HandedBack, Why: "shutdown"}])

		next := b.mem.Subscriber("q")
		began = time.Now()
		got := 0
		for got < 3 {
			ds, err := next.Next(t.Context(), eventflow.Want{Events: 10})
			require.NoError(t, err)
			for _, d := range ds {
				require.Zero(t, d.Attempts, "a hand-back is no attempt")
				d.Ack()
				got++
			}
		}
		require.Less(t, time.Since(began), 2*time.Second)
		require.NoError(t, next.Close(t.Context()))
	})
}

func TestAfterGraceRunsAreCancelledWithTheirCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var cause error
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, _ string) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return ctx.Err()
		}), runner.On(b.mem.Subscriber("q")), runner.Grace(3*time.Second), runner.MaxAttempts(1))
		b.publish("q", "1")
		stop := b.listen(r)
		time.Sleep(time.Second)
		began := time.Now()
		require.NoError(t, stop())
		require.Equal(t, 3*time.Second, time.Since(began))
		require.ErrorIs(t, cause, eventflow.ErrShutdown)
		require.EqualValues(t, 1, balanced(t, r).Outcomes[eventflow.HandedBack], "cancelled by the runner: no attempt, no dead letter")
		require.Empty(t, b.mem.DeadLetters("q"))
	})
}

func TestADeafFlowIsNamedAndFenced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.Lease(time.Minute))
		out := b.mem.Subscriber("out")
		wake := make(chan struct{})
		returned := make(chan struct{})
		r := b.new(eventflow.NewFlow("deaf", func(context.Context, string) (string, error) {
			defer close(returned)
			<-wake
			return "too late", nil
		}), runner.On(b.mem.Subscriber("q")), runner.PublishTo(b.mem.Publisher("out")), runner.Grace(time.Second), runner.HardStop(time.Second))
		b.publish("q", "1")
		stop := b.listen(r)
		time.Sleep(time.Second)
		began := time.Now()
		err := stop()
		require.Equal(t, 2*time.Second, time.Since(began))
		require.ErrorIs(t, err, eventflow.ErrAbandoned)
		var abandoned *eventflow.AbandonedError
		require.ErrorAs(t, err, &abandoned)
		require.Equal(t, []string{"deaf/memory%2Fq/test/1"}, abandoned.Runs)
		require.Equal(t, runner.Failed, r.State())
		require.EqualValues(t, 1, balanced(t, r).InFlight)

		next := b.mem.Subscriber("q")
		ds, err := next.Next(t.Context(), eventflow.Want{Events: 1})
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(began), time.Minute, "its lock lapses; it is not given back under a flow that may be at work")
		close(wake)
		<-returned
		synctest.Wait()
		require.True(t, ds[0].Open())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = out.Next(ctx, eventflow.Want{Events: 1})
		require.ErrorIs(t, err, context.DeadlineExceeded, "nothing of the fenced run is published")
		require.NoError(t, next.Close(t.Context()))
		require.NoError(t, out.Close(t.Context()))
	})
}

func TestListenReturnsWhenEveryClockHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		now := time.Now()
		r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
			time.Sleep(time.Hour) // longer than any grace period: nobody asked it to stop
			rec.note(eventflow.RunFrom(ctx).Fire.Nominal.String())
			return ctx.Err()
		}), runner.At(eventflow.Dates(now.Add(time.Minute), now.Add(2*time.Hour))))
		require.NoError(t, r.Listen(t.Context()))
		require.Len(t, rec.list(), 2)
		require.EqualValues(t, 2, balanced(t, r).Outcomes[eventflow.Succeeded])
	})
}

func TestListenListensOnceAndNeedsATrigger(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := eventflow.NewJob("f", func(context.Context) error { return nil })
	require.ErrorIs(t, b.new(job).Listen(t.Context()), eventflow.ErrFatal)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := b.new(job, runner.On(b.mem.Subscriber("q")))
	require.NoError(t, r.Listen(ctx), "told to stop before it began: no failure")
	var config *eventflow.ConfigError
	require.ErrorAs(t, r.Listen(t.Context()), &config)
	require.Contains(t, config.Error(), "once")
}

// ending is an event clock that fails for good.
type ending struct{ err error }

func (e ending) Next(context.Context, eventflow.Want) ([]*eventflow.Delivery, error) {
	return nil, e.err
}

func TestAFatalClockStopsEveryRunner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		fatal := errors.Join(eventflow.ErrFatal, errBoom)
		bad := b.new(eventflow.NewJob("bad", func(context.Context) error { return nil }), runner.On(ending{fatal}, runner.Named("src")))
		good := b.new(eventflow.NewSink("good", func(_ context.Context, s string) error { rec.note(s); return nil }), runner.On(b.mem.Subscriber("q")))
		err := runner.Listen(t.Context(), good, bad)
		require.ErrorIs(t, err, errBoom)
		require.ErrorContains(t, err, `trigger "src" of flow "bad"`)
		require.Equal(t, runner.Failed, bad.State())
		require.Equal(t, runner.Stopped, good.State())
	})
}

func TestATemporaryFaultOfAClockIsWaitedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		b.mem.Inject(broker.Fault{Kind: broker.FailNext, Times: 5, Err: errBoom})
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error { rec.note(s); return nil }), runner.On(b.mem.Subscriber("q")))
		b.publish("q", "1")
		stop := b.listen(r)
		time.Sleep(5 * time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{"1"}, rec.list())
	})
}

func TestPauseAndResumeATrigger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, s string) error {
			if eventflow.RunFrom(ctx).Fire != nil {
				s = "fire"
			}
			rec.note(s)
			return nil
		}), runner.On(b.mem.Subscriber("q"), runner.Named("events")), runner.At(eventflow.Every(time.Minute), runner.Named("clock")))
		stop := b.listen(r)
		<-r.Ready()
		synctest.Wait()
		require.NoError(t, r.Pause("events"))
		require.NoError(t, r.Pause("clock"))
		b.publish("q", "1")
		time.Sleep(10*time.Minute + time.Second)
		require.Empty(t, rec.list())
		c := balanced(t, r)
		require.EqualValues(t, 10, c.Reasons[runner.Reason{Outcome: eventflow.Skipped, Why: "paused"}])

		require.NoError(t, r.Resume("events"))
		synctest.Wait()
		require.Equal(t, []string{"1"}, rec.list())
		require.NoError(t, r.Resume("clock"))
		time.Sleep(time.Minute)
		require.Equal(t, []string{"1", "fire"}, rec.list())

		var config *eventflow.ConfigError
		require.ErrorAs(t, r.Pause("clok"), &config)
		require.Contains(t, config.Allowed, "events, clock")
		require.NoError(t, stop())
		balanced(t, r)
	})
}
