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
)

func TestADelayBeyondMaxHoldIsLeftToTheBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		first := true
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
			rec.note(s)
			if first {
				first = false
				return errBoom
			}
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.MaxHold(time.Minute), runner.MaxRuns(1), runner.Backoff(func(int) time.Duration { return time.Hour }),
			runner.MaxLaneDelay(2*time.Hour))
		b.publish("q", "k:1", "k:2", "l:1")
		stop := b.listen(r)
		time.Sleep(59 * time.Minute)
		require.Equal(t, []string{"k:1", "l:1"}, rec.list(), "what is behind it in its lane went back with it")
		st := b.mem.Stats("q", "")
		require.Equal(t, 1, st.Delayed)
		require.Zero(t, balanced(t, r).InFlight)
		time.Sleep(2 * time.Minute)
		require.Equal(t, []string{"k:1", "l:1", "k:1", "k:2"}, rec.list())
		require.NoError(t, stop())
		c := balanced(t, r)
		require.EqualValues(t, 3, c.Outcomes[eventflow.Succeeded])
		require.Positive(t, c.Reasons[runner.Reason{Outcome: eventflow.HandedBack, Why: "retry"}])
	})
}

func TestWithoutABrokerBehindItAnEventWaitsHere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		n := 0
		r := b.new(eventflow.NewSink("f", func(context.Context, []byte) error {
			if n++; n < 3 {
				return eventflow.Busy(time.Hour)
			}
			return nil
		}), runner.On(&generator{n: 1}, runner.Named("own")))
		require.NoError(t, r.Listen(t.Context()))
		require.EqualValues(t, 1, balanced(t, r).Outcomes[eventflow.Succeeded], "nobody would deliver it again")
	})
}

func TestABadEventOfAnOwnClockEndsAsFailed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.new(eventflow.NewSink("f", func(context.Context, []byte) error { return eventflow.Permanent(errBoom) }),
		runner.On(&generator{n: 3}, runner.Named("own")))
	require.NoError(t, r.Listen(t.Context()))
	require.EqualValues(t, 3, balanced(t, r).Outcomes[eventflow.Failed])
}

func TestALaneWaitsNoLongerThanMaxLaneDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var at []time.Duration
		began := time.Now()
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error {
			if at = append(at, time.Since(began)); len(at) < 3 {
				return errBoom
			}
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.MaxLaneDelay(time.Second), runner.Backoff(func(int) time.Duration { return time.Hour }))
		b.publish("q", "k:1")
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []time.Duration{0, time.Second, 2 * time.Second}, at)
	})
}

func TestMaxDelayedBoundsWhatWaitsHere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error { return eventflow.Busy(time.Minute) }),
			runner.On(b.mem.Subscriber("q")), runner.MaxDelayed(10))
		for i := range 30 {
			b.publish("q", fmt.Sprint(i))
		}
		stop := b.listen(r)
		time.Sleep(time.Second)
		require.EqualValues(t, 10, balanced(t, r).InFlight)
		require.Equal(t, 20, b.mem.Stats("q", "").Delayed)
		require.NoError(t, stop())
	})
}

func TestMaxRunsMaxInFlightAndMaxHeldBytesBound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		opts []runner.Option
		runs int32
		held int64
	}{
		"MaxRuns":      {[]runner.Option{runner.MaxRuns(3)}, 3, 100},
		"MaxInFlight":  {[]runner.Option{runner.MaxInFlight(7), runner.MaxRuns(50)}, 7, 7},
		"MaxHeldBytes": {[]runner.Option{runner.MaxHeldBytes(5000), runner.MaxRuns(50)}, 5, 5},
		"one too big":  {[]runner.Option{runner.MaxHeldBytes(10), runner.MaxRuns(50)}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				var runs, most atomic.Int32
				r := b.new(eventflow.NewSink("f", func(context.Context, []byte) error {
					most.Store(max(most.Load(), runs.Add(1)))
					time.Sleep(time.Second)
					runs.Add(-1)
					return nil
				}), append([]runner.Option{runner.On(b.mem.Subscriber("q"))}, tc.opts...)...)
				for range 100 {
					require.NoError(t, b.mem.Publisher("q").Publish(t.Context(), eventflow.Event{Data: make([]byte, 1000)}))
				}
				stop := b.listen(r)
				time.Sleep(500 * time.Millisecond)
				require.Equal(t, tc.held, balanced(t, r).InFlight)
				time.Sleep(200 * time.Second)
				require.NoError(t, stop())
				require.Equal(t, tc.runs, most.Load())
				require.EqualValues(t, 100, balanced(t, r).Outcomes[eventflow.Succeeded])
			})
		})
	}
}

func TestATimeoutEndsTheRunAndIsAnAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var causes []error
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, _ string) error {
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.Equal(t, deadline, eventflow.RunFrom(ctx).Deadline)
			<-ctx.Done()
			causes = append(causes, context.Cause(ctx))
			return ctx.Err()
		}), runner.On(b.mem.Subscriber("q")), runner.Timeout(time.Second), runner.MaxAttempts(2))
		b.publish("q", "1")
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []error{context.DeadlineExceeded, context.DeadlineExceeded}, causes)
		require.Len(t, b.mem.DeadLetters("q"), 1)
		require.ErrorIs(t, b.mem.DeadLetters("q")[0].Err, context.DeadlineExceeded)
	})
}

func TestSourcesShareTheRunsByWeight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		for i := range 400 {
			b.publish("a", fmt.Sprint("a", i))
			b.publish("b", fmt.Sprint("b", i))
		}
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
			time.Sleep(time.Second)
			rec.note(s)
			return nil
		}), runner.On(b.mem.Subscriber("a"), runner.Weight(3)), runner.On(b.mem.Subscriber("b")), runner.MaxRuns(1), runner.Grace(0))
		stop := b.listen(r)
		time.Sleep(200*time.Second + time.Millisecond)
		n := map[byte]int{}
		for _, s := range rec.list() {
			n[s[0]]++
		}
		require.NoError(t, stop())
		require.InDelta(t, 150, n['a'], 10)
		require.InDelta(t, 50, n['b'], 10)
	})
}

func TestHooksAreToldEveryDecisionWithItsReason(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var mu sync.Mutex
		var told []string
		n := 0
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error {
			time.Sleep(time.Second) // its copy comes meanwhile
			if n++; n == 1 {
				return errBoom
			}
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.Backoff(func(int) time.Duration { return time.Second }), runner.Hooks(runner.HookFunc(func(d runner.Decision) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, strings.TrimSpace(fmt.Sprintf("%s %s %s #%d %v %s %v", d.Flow, d.Trigger, d.Key.ID, d.Attempt, d.Outcome, d.Reason, d.Err)))
		})))
		b.publish("q", "1")
		stop := b.listen(r)
		synctest.Wait()
		b.publish("q", "1")
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.ElementsMatch(t, []string{
			"f memory/q 1 #0 none running <nil>",
			"f memory/q 1 #1 none retry boom",
			"f memory/q 1 #2 succeeded  <nil>",
			"f memory/q 1 #0 duplicate succeeded <nil>",
		}, told)
	})
}

// transactional is a subscriber whose results and settlements are one transaction.
type transactional struct {
	eventflow.Subscriber
	pub     eventflow.Publisher
	mu      sync.Mutex // guards what follows: one transaction at a time
	abort   int
	commits int
}

func (s *transactional) Owned(p eventflow.Publisher) bool { return p == s.pub }

func (s *transactional) Transact(ctx context.Context, tx eventflow.Transaction) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.abort > 0 {
		s.abort--
		return errBoom
	}
	s.commits++
	for _, res := range tx.Results {
		if err := res.Publisher.Publish(ctx, res.Events...); err != nil {
			return err
		}
	}
	for _, dead := range tx.Dead {
		if err := dead.Delivery.DeadLetter(ctx, dead.Failure); err != nil {
			return err
		}
	}
	for _, d := range tx.Acked {
		d.Settle(eventflow.Settlement{Verb: eventflow.Ack, Note: tx.Note(d)})
	}
	return nil
}

func TestATransactionalSubscriberGetsResultsAndAcknowledgementsAsOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		out := b.mem.Subscriber("out")
		pub := b.mem.Publisher("out")
		src := &transactional{Subscriber: b.mem.Subscriber("q"), pub: pub, abort: 1}
		f := eventflow.NewFlow("f", func(_ context.Context, s string) (string, error) {
			if s == "bad" {
				return "", eventflow.Permanent(errBoom)
			}
			return s + "!", nil
		})
		r := b.new(f, runner.On(src, runner.Named("tx")), runner.PublishTo(pub))
		b.publish("q", "1", "2", "bad")
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Len(t, drain(t, out), 2)
		require.Len(t, b.mem.DeadLetters("q"), 1)
		require.Positive(t, src.commits)
		c := balanced(t, r)
		require.EqualValues(t, 2, c.Outcomes[eventflow.Succeeded])
		require.EqualValues(t, 1, c.Outcomes[eventflow.DeadLettered])
		require.Positive(t, c.Reasons[runner.Reason{Outcome: eventflow.HandedBack, Why: "transaction"}], "an aborted one is delivered again")

		_, err := runner.New(f, runner.On(src, runner.Named("tx")), runner.Store(newStore(10)), runner.PublishTo(b.mem.Publisher("elsewhere")),
			runner.On(b.mem.Subscriber("other")))
		require.ErrorContains(t, err, "runner.Store")
		require.ErrorContains(t, err, "runner.PublishTo")
		require.ErrorContains(t, err, "a transactional subscriber alone")
	})
}

func TestAClockOfTheUsersOwnNeedsNoBroker(t *testing.T) {
	t.Parallel()
	b, seen := setup(t), map[string]bool{}
	var mu sync.Mutex
	r := b.new(eventflow.NewSink("f", func(ctx context.Context, _ []byte) error {
		mu.Lock()
		defer mu.Unlock()
		seen[eventflow.RunFrom(ctx).Event().ID] = true
		return nil
	}), runner.On(&generator{n: 5000}, runner.Named("generator")))
	require.NoError(t, r.Listen(t.Context()))
	require.Len(t, seen, 5000)
	require.EqualValues(t, 5000, balanced(t, r).Outcomes[eventflow.Succeeded])
	require.Equal(t, "5000 received = 5000 succeeded", r.Counts().String())
}

// A retry that is handed back because MaxDelayed are waiting must take what is behind it in its lane along.
func TestOrderHoldsWhenTooManyWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		var failed atomic.Bool
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
			if s == "loose" {
				return eventflow.Busy(time.Minute)
			}
			if s == "k:1" && !failed.Swap(true) {
				return errBoom
			}
			rec.note(s)
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.MaxDelayed(1), runner.Backoff(func(int) time.Duration { return time.Second }))
		b.publish("q", "loose")
		stop := b.listen(r)
		synctest.Wait()
		b.publish("q", "k:1", "k:2", "k:3")
		time.Sleep(10 * time.Second)
		require.NoError(t, stop())
		require.Equal(t, []string{"k:1", "k:2", "k:3"}, rec.list())
	})
}
