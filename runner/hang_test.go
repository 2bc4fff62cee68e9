package runner_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// blackHole is a store behind a dead connection: the calls named wait until their context ends.
type blackHole struct {
	store.Store
	claim, cursor bool
}

func (h *blackHole) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	if h.claim {
		<-ctx.Done()
		return ctx.Err()
	}
	return h.Store.Claim(ctx, owner, lease, cs)
}

func (h *blackHole) Cursor(ctx context.Context, flow, clock, definition string) (time.Time, error) {
	if h.cursor {
		<-ctx.Done()
		return time.Time{}, ctx.Err()
	}
	return h.Store.Cursor(ctx, flow, clock, definition)
}

func stopsWithin(t *testing.T, within time.Duration, call func(ctx context.Context)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); call(ctx) }()
	time.Sleep(time.Second)
	cancel()
	began := time.Now()
	select {
	case <-done:
		require.LessOrEqual(t, time.Since(began), within)
	case <-time.After(24 * time.Hour):
		t.Fatal("a day after its context ended it has not returned")
	}
}

func TestListenStopsWhileItWaitsForCursors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t).new(eventflow.NewJob("f", func(context.Context) error { return nil }), runner.At(eventflow.Every(time.Hour)),
			runner.Store(&blackHole{Store: store.NewMemory(), cursor: true}))
		stopsWithin(t, time.Second, func(ctx context.Context) { require.NoError(t, r.Listen(ctx)) })
	})
}

func TestWhatWaitsForItsClaimIsHandedBackAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error { return nil }), runner.On(b.mem.Subscriber("q")),
			runner.Store(&blackHole{Store: store.NewMemory(), claim: true}))
		b.publish("q", "1")
		stopsWithin(t, time.Second, func(ctx context.Context) { require.NoError(t, r.Listen(ctx)) })
	})
}

func TestHandleEndsWithItsContextWhileTheStoreHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := setup(t).new(eventflow.NewSink("f", func(context.Context, string) error { return nil }), runner.Store(&blackHole{Store: store.NewMemory(), claim: true}))
		stopsWithin(t, time.Second, func(ctx context.Context) { r.Handle(ctx, &eventflow.Delivery{Event: eventflow.Event{ID: "1"}}) })
	})
}

// The same as TestARunWhoseClaimCannotBeRenewedIsCancelledAndFenced, for Handle.
func TestHandleFencesARunWhoseClaimCannotBeRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		out := b.mem.Subscriber("out")
		var cause error
		f := eventflow.NewFlow("f", func(ctx context.Context, _ string) (string, error) {
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Minute): // twenty leases: others have run it long since
			}
			cause = context.Cause(ctx)
			return "late", nil
		})
		r := b.new(f, runner.PublishTo(b.mem.Publisher("out")), runner.Store(&frozen{Store: store.NewMemory()}))
		began := time.Now()
		res := r.Handle(t.Context(), &eventflow.Delivery{Event: eventflow.Event{ID: "1", Source: "s"}})
		require.Less(t, time.Since(began), 30*time.Second, "before the lease's end")
		require.ErrorIs(t, cause, eventflow.ErrLockLost)
		require.Equal(t, eventflow.HandedBack, res.Outcome)
		require.Empty(t, drain(t, out), "a fenced run publishes nothing")
	})
}

// slowRenew is a store whose first renewal takes as long as the test says.
type slowRenew struct {
	store.Store
	gate chan struct{}
}

func (s *slowRenew) Renew(ctx context.Context, owner string, lease time.Duration, cs []*store.Claim) error {
	<-s.gate
	return s.Store.Renew(ctx, owner, lease, cs)
}

// A renewal of a Handle that is over must not touch who has its pooled task now.
func TestALateRenewalOfHandleSparesOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &slowRenew{Store: store.NewMemory(), gate: make(chan struct{})}
		r := setup(t).new(eventflow.NewSink("f", func(ctx context.Context, _ string) error {
			select {
			case <-time.After(15 * time.Second):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}), runner.Store(st))
		first, second := make(chan runner.Result, 1), make(chan runner.Result, 1)
		handle := func(id string, to chan runner.Result) {
			to <- r.Handle(t.Context(), &eventflow.Delivery{Event: eventflow.Event{ID: id, Source: "s"}})
		}
		go handle("1", first)
		time.Sleep(17 * time.Second) // its renewal began at 10 s; its run ended at 15 s
		go handle("2", second)
		synctest.Wait()
		close(st.gate) // now the store answers: 1 has reached its end
		res := <-second
		require.NoError(t, res.Err)
		require.Equal(t, eventflow.Succeeded, res.Outcome, "2 was cancelled as lost for the sake of 1: %s", res.Reason)
		require.Equal(t, eventflow.Succeeded, (<-first).Outcome)
	})
}
