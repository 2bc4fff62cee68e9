package runner_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
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

// sluggish is a store whose first answer to a claim is on its way for a while.
type sluggish struct {
	store.Store
	by    time.Duration
	asked atomic.Int64
}

func (s *sluggish) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	err := s.Store.Claim(ctx, owner, lease, cs)
	if s.asked.Add(1) == 1 {
		time.Sleep(s.by)
	}
	return err
}

func TestNoRunBeginsUnderAClaimThatMayHaveLapsedOnItsWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t, broker.Lease(time.Hour)), store.NewMemory()
		late := &sluggish{Store: st, by: 31 * time.Second}
		var ran []time.Duration
		began := time.Now()
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error {
			ran = append(ran, time.Since(began))
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.Store(late))
		b.publish("q", "1")
		stop := b.listen(r)
		time.Sleep(2 * time.Minute)
		require.NoError(t, stop())
		require.Len(t, ran, 1, "it ran under the first claim, which another process might have had by then, and again")
		require.EqualValues(t, 2, late.asked.Load(), "it was not claimed again")
		require.EqualValues(t, 1, balanced(t, r).Outcomes[eventflow.Succeeded])
	})
}

// mumbling is a store that gives claims up when it is told to and fails to say so, once.
type mumbling struct {
	store.Store
	once atomic.Bool
}

func (m *mumbling) Finish(ctx context.Context, owner string, fs []store.Finish) error {
	err := m.Store.Finish(ctx, owner, fs)
	if fs[0].State != store.Terminal && m.once.CompareAndSwap(false, true) {
		return errors.Join(err, errors.New("connection lost"))
	}
	return err
}

// The release was written, and its answer lost. Meanwhile another copy of the event ran: the first must not run again.
func TestAClaimThatMayHaveBeenGivenUpIsAskedForBeforeItsNextRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), store.NewMemory()
		m := &mumbling{Store: st}
		var runs atomic.Int64
		f := eventflow.NewSink("f", func(context.Context, string) error {
			if runs.Add(1) == 1 {
				return errBoom
			}
			return nil
		})
		r := b.new(f, runner.On(b.mem.Subscriber("q"), runner.Named("on")), runner.Store(m), runner.Backoff(func(int) time.Duration { return 5 * time.Second }))
		b.publish("q", "1")
		stop := b.listen(r)
		time.Sleep(time.Second)
		require.EqualValues(t, 1, runs.Load())
		other := b.new(f, runner.On(b.mem.Subscriber("r"), runner.Named("on")), runner.Store(st))
		b.publish("r", "1") // the same event
		stopOther := b.listen(other)
		time.Sleep(time.Second)
		require.EqualValues(t, 2, runs.Load())
		time.Sleep(2 * time.Minute)
		require.NoError(t, stop())
		require.NoError(t, stopOther())
		require.EqualValues(t, 2, runs.Load(), "it ran under a claim that was given up, although the event was done")
		require.EqualValues(t, 1, balanced(t, r).Outcomes[eventflow.Duplicate])
	})
}

// Of what is claimed together some may be done already, or held elsewhere. They do not wait for the run of the others.
func TestDuplicatesDoNotWaitForTheRunThatWasClaimedWithThem(t *testing.T) {
	t.Parallel()
	for _, batch := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := setup(t)
			release := make(chan struct{})
			slow := func(id string) {
				if id == "slow" {
					<-release
				}
			}
			f := eventflow.NewSink("f", func(_ context.Context, id string) error { slow(id); return nil })
			opts := []runner.Option{runner.On(b.mem.Subscriber("q")), runner.MaxRuns(1)}
			if batch {
				f = eventflow.NewSink("f", func(_ context.Context, ids eventflow.Batch[string]) error {
					slow(ids[0].Value)
					return nil
				})
				opts = append(opts, runner.BatchOf(3, 10*time.Millisecond))
			}
			r := b.new(f, opts...)
			stop := b.listen(r)
			b.warm()
			time.Sleep(time.Second)
			b.publish("q", "w0", "slow", "w1")
			time.Sleep(time.Second)
			require.EqualValues(t, 2, balanced(t, r).Outcomes[eventflow.Duplicate], "batch %v: they wait for the slow one", batch)
			close(release)
			require.NoError(t, stop())
		})
	}
}

// The copy waits for the run, and the run's next try for their lane: the copy must not hold that.
func TestACopyInTheSameBatchDoesNotHoldUpTheRunsNextTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var runs atomic.Int64
		f := eventflow.NewSink("f", func(context.Context, eventflow.Batch[string]) error {
			time.Sleep(time.Second)
			if runs.Add(1) == 1 {
				return eventflow.Busy(time.Second)
			}
			return nil
		})
		r := b.new(f, runner.On(b.mem.Subscriber("q")), runner.BatchOf(2, time.Minute))
		b.publish("q", "k:1", "k:1")
		stop := b.listen(r)
		time.Sleep(10 * time.Minute)
		require.EqualValues(t, 2, runs.Load())
		c := balanced(t, r)
		require.EqualValues(t, 1, c.Outcomes[eventflow.Succeeded])
		require.EqualValues(t, 1, c.Outcomes[eventflow.Duplicate])
		require.NoError(t, stop())
	})
}

func TestAStoreThatIsSlowerThanTheLeaseIsSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var log bytes.Buffer
		b.publish("q", "1")
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error { return nil }), runner.On(b.mem.Subscriber("q")),
			runner.Store(&far{store.NewMemory(), 950 * time.Millisecond}), runner.Lease(time.Second), runner.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		stop := b.listen(r)
		time.Sleep(10 * time.Minute)
		require.NoError(t, stop())
		require.Zero(t, balanced(t, r).Outcomes[eventflow.Succeeded])
		require.Contains(t, log.String(), "as long to grant claims as the Lease lasts")
		require.Less(t, strings.Count(log.String(), "\n"), 20)
	})
}

// far is a store that answers claims after a while.
type far struct {
	store.Store
	after time.Duration
}

func (s *far) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	err := s.Store.Claim(ctx, owner, lease, cs)
	time.Sleep(s.after)
	return err
}

// While the store was asked there was nothing to look after; what the second run of the chunk then blocks must not wait.
func TestWhatIsDoneIsAcknowledgedThoughTheStoreWasSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		release := make(chan struct{})
		st := &far{Store: store.NewMemory()}
		r := b.new(eventflow.NewSink("f", func(_ context.Context, id string) error {
			if id == "slow" {
				<-release
			}
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.Store(st), runner.MaxRuns(1))
		stop := b.listen(r)
		b.warm()
		time.Sleep(time.Second)
		st.after = 100 * time.Millisecond
		b.publish("q", "1", "slow", "2")
		time.Sleep(time.Second)
		require.EqualValues(t, 201, balanced(t, r).Outcomes[eventflow.Succeeded], "the first of three waits for the second")
		close(release)
		require.NoError(t, stop())
	})
}
