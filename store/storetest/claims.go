package storetest

import (
	"errors"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

var claimRules = []rule{
	{Name: "NewKeyIsGranted", Run: func(t T, h Harness) {
		s := open(t, h)
		before := time.Now()
		c := s.granted(alice, long, event("1"))
		s.wantAttempts(c, 0)
		if c.Fence < 1 || c.Outcome != 0 {
			t.Errorf("fence %d and outcome %v, want a fence above zero and no outcome", c.Fence, c.Outcome)
		}
		// Half the lease is left for clocks that differ.
		if left := c.Until.Sub(before); left < long/2 || left > 2*long {
			t.Errorf("the lease ends in %v, want about %v", left, long)
		}
	}},
	{Name: "HeldIsNotDone", Run: func(t T, h Harness) {
		// Who reads Held as Done acknowledges the event, and the holder's death loses it.
		s := open(t, h)
		first := s.granted(alice, long, event("1"))
		c := s.claim(bob, long, event("1"))
		s.want(c, store.Held)
		if d := c.Until.Sub(first.Until).Abs(); d > time.Minute {
			t.Errorf("held until %v, want the end of the lease, %v", c.Until, first.Until)
		}
	}},
	{Name: "HeldBySameOwnerIsHeld", Run: func(t T, h Harness) {
		s := open(t, h)
		c := s.granted(alice, long, event("1"))
		s.want(s.claim(alice, long, event("1")), store.Held)
		s.end(alice, c, store.Terminal)
	}},
	{Name: "DoneSaysItsOutcome", Run: func(t T, h Harness) {
		s := open(t, h)
		for o := eventflow.Outcome(1); int(o) <= eventflow.Outcomes; o++ {
			if !o.Final() {
				continue
			}
			k := event(o.String())
			f := finishOf(s.granted(alice, long, k), store.Terminal)
			f.Outcome = o
			if s.finish(alice, f) {
				t.Fatalf("finishing as %v was fenced", o)
			}
			for _, owner := range []string{alice, bob} {
				c := s.claim(owner, long, k)
				s.want(c, store.Done)
				if c.Outcome != o {
					t.Errorf("done as %v, want %v", c.Outcome, o)
				}
			}
		}
	}},
	{Name: "DoneOutlivesItsLease", Run: func(t T, h Harness) {
		s := open(t, h)
		s.end(alice, s.granted(alice, h.Lease, event("1")), store.Terminal)
		s.lapse()
		s.want(s.claim(bob, long, event("1")), store.Done)
	}},
	{Name: "FailedIsFreeAtOnceWithOneMoreAttempt", Run: func(t T, h Harness) {
		s := open(t, h)
		for n := range 3 {
			c := s.claim(alice, long, event("1"))
			s.wantAttempts(c, n)
			s.end(alice, c, store.Failed)
		}
		s.wantAttempts(s.claim(bob, long, event("1")), 3)
	}},
	{Name: "ReleasedIsFreeAtOnceWithoutAnAttempt", Run: func(t T, h Harness) {
		s := open(t, h)
		for range 3 {
			c := s.claim(alice, long, event("1"))
			s.wantAttempts(c, 0)
			s.end(alice, c, store.Released)
		}
		s.wantAttempts(s.claim(bob, long, event("1")), 0)
	}},
	{Name: "ReleaseForgetsNoAttempt", Run: func(t T, h Harness) {
		s := open(t, h)
		s.end(alice, s.granted(alice, long, event("1")), store.Failed)
		s.end(alice, s.granted(alice, long, event("1")), store.Released)
		s.wantAttempts(s.claim(bob, long, event("1")), 1)
	}},
	{Name: "FenceGrowsWithEachGrant", Run: func(t T, h Harness) {
		s := open(t, h)
		last := 0
		grant := func(lease time.Duration) *store.Claim {
			t.Helper()
			c := s.granted(alice, lease, event("1"))
			if c.Fence <= last {
				t.Fatalf("fence %d after %d", c.Fence, last)
			}
			last = c.Fence
			return c
		}
		s.end(alice, grant(long), store.Failed)
		s.end(alice, grant(long), store.Released)
		s.end(alice, grant(long), store.Released)
		grant(h.Lease)
		s.lapse()
		grant(long)
	}},
	{Name: "OnlyFinalOutcomesAreRecorded", Run: func(t T, h Harness) {
		// A run that was handed back has not reached its end: recorded as one, its redelivery would be a duplicate.
		s := open(t, h)
		c := s.granted(alice, long, event("1"))
		for _, o := range []eventflow.Outcome{0, eventflow.Duplicate, eventflow.HandedBack} {
			f := finishOf(c, store.Terminal)
			f.Outcome = o
			err := s.s.Finish(t.Context(), alice, []store.Finish{f})
			if _, ok := errors.AsType[*eventflow.ConfigError](err); !ok {
				t.Errorf("finishing as %v: error %v, want a *eventflow.ConfigError", o, err)
			}
			s.want(s.claim(bob, long, event("1")), store.Held)
		}
		s.end(alice, c, store.Terminal)
	}},
	{Name: "SecondFinishChangesNothing", Run: func(t T, h Harness) {
		// Whoever did not learn whether a finish was written asks again.
		s := open(t, h)
		c := s.granted(alice, long, event("failed"))
		s.end(alice, c, store.Failed)
		s.finish(alice, finishOf(c, store.Failed))
		s.wantAttempts(s.claim(bob, long, event("failed")), 1)

		c = s.granted(alice, long, event("done"))
		s.end(alice, c, store.Terminal)
		again := finishOf(c, store.Terminal)
		again.Outcome = eventflow.DeadLettered
		s.finish(alice, again)
		s.finish(alice, finishOf(c, store.Failed))
		s.finish(alice, finishOf(c, store.Released))
		got := s.claim(bob, long, event("done"))
		s.want(got, store.Done)
		if got.Outcome != eventflow.Succeeded {
			t.Errorf("the outcome became %v", got.Outcome)
		}
	}},
}
