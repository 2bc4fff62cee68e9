package unittest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
)

// Inject plants what real brokers do to their consumers. What it returns says how often it struck: a fault that never
// strikes tests nothing.

func TestRunWhoseLockIsLostEndsAndTheUploadRunsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := broker.NewMemory()
		var cause error
		var attempts []int
		im := &images{render: func(ctx context.Context, n int) error {
			attempts = append(attempts, eventflow.RunFrom(ctx).Attempt)
			if n > 1 {
				return nil
			}
			<-ctx.Done() // a long rendering
			cause = context.Cause(ctx)
			return ctx.Err()
		}}
		r, stop := start(t, mem, im)
		struck := mem.Inject(broker.Fault{Kind: broker.LoseLock, After: time.Minute})
		upload(t, mem, "cat")
		settled(t, mem)
		stop()

		if n := struck(); n != 1 {
			t.Fatalf("the lock was lost %d times, want once", n)
		}
		if !errors.Is(cause, eventflow.ErrLockLost) {
			t.Errorf("the run ended because of %v, want %v", cause, eventflow.ErrLockLost)
		}
		if len(attempts) != 2 || attempts[1] != 1 {
			t.Errorf("attempts %v, want 1 and 1: a lost lock is no failure", attempts)
		}
		if c := r.Counts(); c.Reasons[runner.Reason{Outcome: eventflow.HandedBack, Why: "lock lost"}] == 0 || c.Outcomes[eventflow.Succeeded] != 1 {
			t.Errorf("got %+v, want 1 succeeded after a hand-back", c)
		}
	})
}

func TestRefusedResultIsPublishedLaterWithoutAnotherRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem, im := broker.NewMemory(), &images{}
		struck := mem.Inject(broker.Fault{Kind: broker.FailPublish, Topics: []string{"thumbs"}, Times: 3})
		_, stop := start(t, mem, im)
		upload(t, mem, "cat")
		settled(t, mem) // acknowledged only when the result was taken
		stop()
		if n := struck(); n != 3 {
			t.Fatalf("%d calls of Publish were refused, want 3", n)
		}
		if got := thumbs(t, mem); len(got) != 1 || im.calls() != 1 {
			t.Errorf("%d thumbs of %d runs, want 1 of 1", len(got), im.calls())
		}
	})
}

func TestLostAcknowledgementIsADuplicateNotARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem, im := broker.NewMemory(), &images{}
		struck := mem.Inject(broker.Fault{Kind: broker.LoseSettlement, Topics: []string{"uploads"}, Err: errors.New("connection reset")})
		r, stop := start(t, mem, im)
		upload(t, mem, "cat")
		settled(t, mem)
		stop()
		if n := struck(); n != 1 {
			t.Fatalf("%d settlements were lost, want 1", n)
		}
		if c := r.Counts(); im.calls() != 1 || c.Outcomes[eventflow.Duplicate] != 1 || c.Unconfirmed != 1 {
			t.Errorf("%d calls, counts %+v, want 1 call and 1 duplicate", im.calls(), c)
		}
	})
}
