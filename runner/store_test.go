package runner_test

import (
	"context"
	"sync"
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

// The obvious design reads "no row came back" as "done": the first holder's death then loses the event.
func TestAHeldKeyIsNeverAcknowledgedAsDuplicate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.Lease(10*time.Second))
		st := store.NewMemory()
		var first atomic.Bool
		first.Store(true)
		stuck := make(chan struct{})
		ranB := make(chan time.Time, 1)
		f := eventflow.NewSink("f", func(_ context.Context, _ string) error {
			if first.Swap(false) {
				<-stuck // deaf: it neither ends nor sees its context
				return nil
			}
			ranB <- time.Now()
			return nil
		})
		subA := b.mem.Subscriber("q")
		a := b.new(f, runner.On(subA), runner.Store(&frozen{Store: st}), runner.Grace(time.Second), runner.HardStop(time.Second))
		b.publish("q", "1")
		stopA := b.listen(a)
		synctest.Wait()
		began := time.Now()
		require.NoError(t, b.mem.Crash(subA)) // A is gone, as far as the broker and the store can tell

		other := b.new(f, runner.On(b.mem.Subscriber("q")), runner.Store(st))
		stopB := b.listen(other)
		at := <-ranB
		require.GreaterOrEqual(t, at.Sub(began), 30*time.Second-time.Second, "after A's lease, not before")
		synctest.Wait()
		c := balanced(t, other)
		require.Zero(t, c.Outcomes[eventflow.Duplicate])
		require.EqualValues(t, 1, c.Outcomes[eventflow.Succeeded])
		require.NoError(t, stopB())
		require.ErrorIs(t, stopA(), eventflow.ErrAbandoned)
		close(stuck)
		synctest.Wait()
		require.EqualValues(t, 1, b.mem.Stats("q", "").Acked)
	})
}

// frozen is the store as a process sees it that is cut off after its first claim: no renewal arrives.
type frozen struct{ store.Store }

func (f *frozen) Renew(ctx context.Context, _ string, _ time.Duration, _ []*store.Claim) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestEveryFlowEventAndRedriveRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		var mu sync.Mutex
		ran := map[string]int{}
		fail := true
		flow := func(name string) *eventflow.Flow {
			return eventflow.NewSink(name, func(ctx context.Context, _ string) error {
				mu.Lock()
				defer mu.Unlock()
				ran[eventflow.RunFrom(ctx).ID()]++
				if name == "b" && fail {
					return eventflow.Permanent(errBoom)
				}
				return nil
			})
		}
		for range 2 { // the second time the topic has been made again: its events are others
			b := setup(t)
			r1 := b.new(flow("a"), runner.On(b.mem.Subscriber("q", eventflow.Group("a")), runner.Named("q")), runner.Store(st))
			r2 := b.new(flow("b"), runner.On(b.mem.Subscriber("q", eventflow.Group("b")), runner.Named("q")), runner.Store(st))
			stop1, stop2 := b.listen(r1), b.listen(r2)
			require.NoError(t, b.mem.Publisher("q").Publish(t.Context(), eventflow.Event{Data: []byte("x")}))
			synctest.Wait()
			if fail {
				mu.Lock()
				fail = false
				mu.Unlock()
				n, err := b.mem.Redrive("q")
				require.NoError(t, err)
				require.Equal(t, 1, n)
				synctest.Wait()
			}
			require.NoError(t, stop1())
			require.NoError(t, stop2())
			require.Zero(t, balanced(t, r1).Outcomes[eventflow.Duplicate])
			require.Zero(t, balanced(t, r2).Outcomes[eventflow.Duplicate])
		}
		require.Len(t, ran, 5, "two flows, two topics, and one redrive: %v", ran)
		for id, n := range ran {
			require.Equal(t, 1, n, id)
		}
	})
}

// outage is a store that does not answer for a while.
type outage struct {
	store.Store
	down atomic.Bool
}

func (o *outage) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	if o.down.Load() {
		return errBoom
	}
	return o.Store.Claim(ctx, owner, lease, cs)
}

func (o *outage) Finish(ctx context.Context, owner string, fs []store.Finish) error {
	if o.down.Load() {
		return errBoom
	}
	return o.Store.Finish(ctx, owner, fs)
}

func TestNothingRunsUnclaimedWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		st := &outage{Store: store.NewMemory()}
		st.down.Store(true)
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error { rec.note(s); return nil }),
			runner.On(b.mem.Subscriber("q")), runner.Store(st))
		b.publish("q", "1", "2", "k:3")
		stop := b.listen(r)
		time.Sleep(time.Hour)
		require.Empty(t, rec.list())
		st.down.Store(false)
		time.Sleep(time.Minute)
		require.Len(t, rec.list(), 3, "it comes back unaided")

		st.down.Store(true)
		b.publish("q", "4")
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		c := balanced(t, r)
		require.EqualValues(t, 3, c.Outcomes[eventflow.Succeeded])
		require.EqualValues(t, 1, c.Outcomes[eventflow.HandedBack])
	})
}

func TestAnEndThatTheStoreDoesNotTakeIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		st := &outage{Store: store.NewMemory()}
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
			rec.note(s)
			st.down.Store(true)
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.Store(st))
		b.publish("q", "1")
		stop := b.listen(r)
		time.Sleep(10 * time.Second)
		require.Zero(t, b.mem.Stats("q", "").Acked)
		st.down.Store(false)
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, b.mem.Stats("q", "").Acked)
		require.Equal(t, []string{"1"}, rec.list(), "the flow did not run again")
		require.NoError(t, stop())
	})
}

func TestAClosedStoreEndsListenAndHandsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		st := store.NewMemory()
		require.NoError(t, st.Close())
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error { return nil }), runner.On(b.mem.Subscriber("q")), runner.Store(st))
		b.publish("q", "1")
		require.ErrorIs(t, r.Listen(t.Context()), eventflow.ErrClosed)
		require.Equal(t, 1, b.mem.Stats("q", "").Queued)
		balanced(t, r)
	})
}

func TestALongRunKeepsItsClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		st := store.NewMemory()
		var starts atomic.Int32
		f := eventflow.NewSink("f", func(ctx context.Context, _ string) error {
			starts.Add(1)
			time.Sleep(time.Hour)
			return ctx.Err()
		})
		a := b.new(f, runner.On(b.mem.Subscriber("q")), runner.Store(st), runner.Lease(10*time.Second))
		b.publish("q", "1")
		stop := b.listen(a)
		synctest.Wait()
		// The same event again, for a replica: it never starts while the first one runs.
		b.mem.Inject(broker.Fault{Kind: broker.DuplicateDelivery})
		replica := b.new(f, runner.On(b.mem.Subscriber("q")), runner.Store(st), runner.Lease(10*time.Second))
		stopReplica := b.listen(replica)
		b.publish("q", "1")
		time.Sleep(2 * time.Hour)
		require.EqualValues(t, 1, starts.Load())
		require.NoError(t, stop())
		require.NoError(t, stopReplica())
		require.EqualValues(t, 1, balanced(t, a).Outcomes[eventflow.Succeeded])
	})
}

func TestARunWhoseClaimCannotBeRenewedIsCancelledAndFenced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		out := b.mem.Subscriber("out")
		var cause error
		var after time.Duration
		f := eventflow.NewFlow("f", func(ctx context.Context, _ string) (string, error) {
			began := time.Now()
			<-ctx.Done()
			cause, after = context.Cause(ctx), time.Since(began)
			return "late", nil
		})
		r := b.new(f, runner.On(b.mem.Subscriber("q")), runner.PublishTo(b.mem.Publisher("out")), runner.Store(&frozen{Store: store.NewMemory()}))
		b.publish("q", "1")
		ctx, cancel := context.WithTimeout(t.Context(), 35*time.Second)
		defer cancel()
		require.NoError(t, r.Listen(ctx))
		require.ErrorIs(t, cause, eventflow.ErrLockLost)
		require.Less(t, after, 30*time.Second, "before the lease's end")
		require.Empty(t, drain(t, out), "a fenced run publishes nothing")
		require.Zero(t, b.mem.Stats("q", "").Acked)
	})
}

func TestACopyOfARunningEventIsParkedBehindIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var starts atomic.Int32
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error {
			starts.Add(1)
			time.Sleep(10 * time.Minute)
			return nil
		}), runner.On(b.mem.Subscriber("q")))
		b.publish("q", "1", "1", "1")
		stop := b.listen(r)
		time.Sleep(10*time.Minute + time.Second)
		c := balanced(t, r)
		require.EqualValues(t, 1, c.Outcomes[eventflow.Succeeded])
		require.EqualValues(t, 2, c.Outcomes[eventflow.Duplicate], "at once when the run has ended, without a redelivery")
		require.EqualValues(t, 1, starts.Load())
		require.EqualValues(t, 3, b.mem.Stats("q", "").HandedOver)
		require.NoError(t, stop())
	})
}

// An event that has killed its process MaxAttempts times must not be run again: it would kill this one too, for ever.
func TestAnEventThatKilledItsProcessesIsDeadLetteredUnrun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), store.NewMemory()
		key := eventflow.Key{Flow: "f", Binding: "q", Source: "test", ID: "1"}
		for range 6 { // each claims, dies, and its lease lapses
			c := []store.Claim{{Key: key}}
			require.NoError(t, st.Claim(t.Context(), "dead process", time.Second, c))
			require.Equal(t, store.Granted, c[0].Status)
			time.Sleep(2 * time.Second)
		}
		var ran atomic.Int64
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error {
			ran.Add(1) // here the process would die again
			return nil
		}), runner.On(b.mem.Subscriber("q"), runner.Named("q")), runner.Store(st), runner.MaxAttempts(5))
		b.publish("q", "1")
		stop := b.listen(r)
		synctest.Wait()
		require.NoError(t, stop())
		require.Zero(t, ran.Load(), "6 processes died of it, MaxAttempts is 5: it is run all the same")
		require.Len(t, b.mem.DeadLetters("q"), 1)
	})
}
