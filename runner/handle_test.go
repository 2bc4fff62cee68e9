package runner_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

func failing(topic string) broker.Fault {
	return broker.Fault{Kind: broker.FailPublish, Topics: []string{topic}, Times: -1}
}

// next takes one delivery of a topic.
func next(t *testing.T, s eventflow.Subscriber) *eventflow.Delivery {
	t.Helper()
	ds, err := s.Next(t.Context(), eventflow.Want{Events: 1})
	require.NoError(t, err)
	require.Len(t, ds, 1)
	return ds[0]
}

func TestHandleTakesADeliveryTheWholeWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		in, out := b.mem.Subscriber("q"), b.mem.Subscriber("out")
		r := b.new(eventflow.NewFlow("f", func(_ context.Context, s string) (string, error) {
			switch s {
			case "retry":
				return "", errBoom
			case "busy":
				return "", eventflow.Busy(time.Minute)
			case "dead":
				return "", eventflow.Permanent(errBoom)
			case "skip":
				return "", eventflow.Skip("why not")
			}
			return s + "!", nil
		}), runner.PublishTo(b.mem.Publisher("out")), runner.Backoff(func(int) time.Duration { return time.Second }), runner.MaxAttempts(2))
		b.publish("q", "ok", "ok", "dead", "skip", "busy", "retry")

		require.Equal(t, eventflow.Succeeded, r.Handle(t.Context(), next(t, in)).Outcome)
		require.Equal(t, eventflow.Duplicate, r.Handle(t.Context(), next(t, in)).Outcome)
		res := r.Handle(t.Context(), next(t, in))
		require.Equal(t, eventflow.DeadLettered, res.Outcome)
		require.ErrorIs(t, res.Err, errBoom)
		require.Equal(t, eventflow.Skipped, r.Handle(t.Context(), next(t, in)).Outcome)
		res = r.Handle(t.Context(), next(t, in))
		require.Equal(t, runner.Result{Outcome: eventflow.HandedBack, Reason: "busy", Err: res.Err, After: time.Minute}, res)
		began := time.Now()
		res = r.Handle(t.Context(), next(t, in))
		require.Equal(t, runner.Result{Outcome: eventflow.HandedBack, Reason: "retry", Err: errBoom, After: time.Second}, res)
		d := next(t, in)
		require.Equal(t, time.Second, time.Since(began))
		require.Equal(t, 1, d.Attempts)
		require.Equal(t, "exhausted", r.Handle(t.Context(), d).Reason)
		require.Len(t, drain(t, out), 1)
		c := balanced(t, r)
		require.EqualValues(t, 7, c.Received)
		require.Zero(t, c.InFlight)
		require.NoError(t, in.Close(t.Context()))
	})
}

func TestHandleHandsBackWhenItsCallerStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		in := b.mem.Subscriber("q")
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		}))
		b.publish("q", "1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		res := r.Handle(ctx, next(t, in))
		require.Equal(t, eventflow.HandedBack, res.Outcome)
		require.Equal(t, "shutdown", res.Reason)
		require.Zero(t, next(t, in).Attempts)
		require.NoError(t, in.Close(t.Context()))
	})
}

func TestHandleKeepsItsClaimAndItsPublishing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		in := b.mem.Subscriber("q")
		st := store.NewMemory()
		var starts atomic.Int32
		f := eventflow.NewFlow("f", func(context.Context, string) (string, error) {
			starts.Add(1)
			time.Sleep(10 * time.Minute)
			return "x", nil
		})
		withdraw := b.mem.Inject(failing("out"))
		a := b.new(f, runner.Store(st), runner.PublishTo(b.mem.Publisher("out")))
		other := b.new(f, runner.Store(st))
		b.publish("q", "1", "1")
		first, second := next(t, in), next(t, in)
		done := make(chan runner.Result)
		go func() { done <- a.Handle(t.Context(), first) }()
		time.Sleep(9 * time.Minute)
		require.Equal(t, "held elsewhere", other.Handle(t.Context(), second).Reason)
		time.Sleep(9 * time.Minute)
		withdraw()
		require.Equal(t, eventflow.Succeeded, (<-done).Outcome)
		require.EqualValues(t, 1, starts.Load(), "the result was offered again, the flow did not run again")
		require.NoError(t, in.Close(t.Context()))
	})
}

func TestRunOfTheSameFireIsOneRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var attempts []int
		r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
			if attempts = append(attempts, eventflow.RunFrom(ctx).Attempt); len(attempts) < 3 {
				return errBoom
			}
			return nil
		}))
		fire := eventflow.Fire{Clock: "mine", Nominal: time.Now()}
		require.Equal(t, runner.Result{Outcome: eventflow.Succeeded}, r.Run(t.Context(), fire))
		require.Equal(t, []int{1, 2, 3}, attempts, "a fire has no redelivery: its attempts are made here")
		require.Equal(t, eventflow.Duplicate, r.Run(t.Context(), fire).Outcome)
		fire.Nominal = fire.Nominal.Add(1)
		require.Equal(t, eventflow.Succeeded, r.Run(t.Context(), fire).Outcome)

		var config *eventflow.ConfigError
		require.ErrorAs(t, r.Run(t.Context(), eventflow.Fire{Clock: "mine"}).Err, &config)
		require.ErrorAs(t, r.Run(t.Context(), eventflow.Fire{Clock: "mine", Nominal: time.Now(), Parameters: eventflow.Parameters{"X": 1}}).Err, &config)
		c := balanced(t, r)
		require.EqualValues(t, 3, c.Fires.Received)
	})
}

func TestAGoexitInHandleLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		in := b.mem.Subscriber("q")
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error {
			runtimeGoexit()
			return nil
		}), runner.Backoff(func(int) time.Duration { return 0 }))
		b.publish("q", "1")
		d := next(t, in)
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			r.Handle(t.Context(), d)
		}()
		<-gone
		require.Equal(t, 1, next(t, in).Attempts)
		require.Zero(t, balanced(t, r).InFlight)
		require.NoError(t, in.Close(t.Context()))
	})
}

// The caller's goroutine ends with the first of them; the attempts of its run, and their Goexits, do not end with it.
func TestAGoexitAtEachAttemptOfRunLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var attempts []int
		r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
			attempts = append(attempts, eventflow.RunFrom(ctx).Attempt)
			runtimeGoexit()
			return nil
		}), runner.MaxAttempts(3))
		fire := eventflow.Fire{Clock: "mine", Nominal: time.Now()}
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			r.Run(t.Context(), fire)
			t.Error("it came back from a Goexit")
		}()
		<-gone
		require.Equal(t, []int{1, 2, 3}, attempts)
		require.Zero(t, balanced(t, r).InFlight)
		require.Equal(t, runner.Result{Outcome: eventflow.Duplicate, Reason: "failed"}, r.Run(t.Context(), fire))
	})
}

// rude is a store whose claims do not return.
type rude struct{ store.Store }

func (rude) Claim(context.Context, string, time.Duration, []store.Claim) error {
	runtimeGoexit()
	return nil
}

// What calls a test's FailNow, or panics, at each call must neither hold its delivery for ever nor be called for ever.
func TestAHookOrAStoreThatEndsTheGoroutineHoldsNothing(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]runner.Option{
		"hook":  runner.Hooks(runner.HookFunc(func(runner.Decision) { runtimeGoexit() })),
		"panic": runner.Hooks(runner.HookFunc(func(runner.Decision) { panic("hook") })),
		"store": runner.Store(rude{store.NewMemory()}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				in := b.mem.Subscriber("q")
				r := b.new(eventflow.NewSink("f", func(context.Context, string) error { return errBoom }), opt)
				b.publish("q", "1")
				d := next(t, in)
				gone := make(chan any)
				go func() {
					defer func() { gone <- recover() }()
					r.Handle(t.Context(), d)
				}()
				if p := <-gone; name == "panic" {
					require.Equal(t, "hook", p, "the caller's to recover from")
				} else {
					require.Nil(t, p)
				}
				require.Zero(t, balanced(t, r).InFlight)
				require.Equal(t, "1", next(t, in).Event.ID, "it is handed back")
				require.NoError(t, in.Close(t.Context()))
			})
		})
	}
}
