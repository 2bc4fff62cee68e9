package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

var callRules = []rule{
	{Name: "BatchIsAnsweredEachForItself", Run: func(t T, h Harness) {
		s := open(t, h)
		s.end(alice, s.granted(alice, long, event("done")), store.Terminal)
		s.end(alice, s.granted(alice, long, event("failed")), store.Failed)
		s.granted(alice, long, event("held"))
		cs := s.claimAll(bob, long, []store.Claim{
			{Key: event("new")}, {Key: event("done")}, {Key: event("held")}, {Key: event("failed")}, {Key: event("newer")},
		})
		for i, want := range []store.Status{store.Granted, store.Done, store.Held, store.Granted, store.Granted} {
			s.want(&cs[i], want)
		}
		s.wantAttempts(&cs[3], 1)

		fs := []store.Finish{finishOf(&cs[0], store.Failed), finishOf(&cs[2], store.Terminal), finishOf(&cs[3], store.Terminal), finishOf(&cs[4], store.Released)}
		s.finishAll(bob, fs)
		for i, want := range []bool{false, true, false, false} {
			if fs[i].Fenced != want {
				t.Errorf("finish %d of the batch: fenced %v, want %v", i, fs[i].Fenced, want)
			}
		}
		s.wantAttempts(s.claim(alice, long, event("new")), 1)
		s.want(s.claim(bob, long, event("held")), store.Held)
		s.want(s.claim(alice, long, event("failed")), store.Done)
		s.wantAttempts(s.claim(alice, long, event("newer")), 0)
	}},
	{Name: "ThousandKeysInOneCall", Run: func(t T, h Harness) {
		s := open(t, h)
		keys := events(1000)
		cs := make([]store.Claim, len(keys))
		for i := range cs {
			cs[i].Key = keys[i]
		}
		s.claimAll(alice, long, cs)
		fs := make([]store.Finish, len(cs))
		renew := make([]*store.Claim, len(cs))
		for i := range cs {
			s.want(&cs[i], store.Granted)
			fs[i], renew[i] = finishOf(&cs[i], store.Terminal), &cs[i]
		}
		if err := s.s.Renew(t.Context(), alice, long, renew); err != nil {
			t.Fatalf("Renew: %v", err)
		}
		s.finishAll(alice, fs)
		for i := range fs {
			if fs[i].Fenced {
				t.Fatalf("the finish of %v was fenced", cs[i].Key)
			}
			cs[i] = store.Claim{Key: keys[i]}
		}
		s.claimAll(bob, long, cs)
		for i := range cs {
			s.want(&cs[i], store.Done)
		}
	}},
	{Name: "EmptyCallsAreNoError", Run: func(t T, h Harness) {
		s := open(t, h)
		s.claimAll(alice, long, nil)
		s.finishAll(alice, nil)
		if err := s.s.Renew(t.Context(), alice, long, nil); err != nil {
			t.Errorf("Renew: %v", err)
		}
	}},
	{Name: "KeyTwiceInOneCallIsNotGrantedTwice", Run: func(t T, h Harness) {
		s := open(t, h)
		cs := []store.Claim{{Key: event("1")}, {Key: event("2")}, {Key: event("1")}}
		if err := s.s.Claim(t.Context(), alice, long, cs); err != nil {
			return // refused, which is an answer
		}
		if cs[0].Status == store.Granted && cs[2].Status == store.Granted {
			t.Error("one key was granted twice")
		}
		s.want(&cs[1], store.Granted)
	}},
	{Name: "ClaimAnswersAfresh", Run: func(t T, h Harness) {
		// A runner claims again with the same Claim: what it was answered before must not show through.
		s := open(t, h)
		cs := []store.Claim{{Key: event("1")}}
		s.claimAll(alice, long, cs)
		mine := cs[0]
		s.claimAll(bob, long, cs)
		s.want(&cs[0], store.Held)
		s.end(alice, &mine, store.Failed)
		s.claimAll(bob, long, cs)
		s.wantAttempts(&cs[0], 1)
		s.end(bob, &cs[0], store.Terminal)
		s.claimAll(alice, long, cs)
		s.want(&cs[0], store.Done)
		cs[0].Key = event("2")
		s.claimAll(alice, long, cs)
		s.wantAttempts(&cs[0], 0)
		if cs[0].Outcome != 0 {
			t.Errorf("a granted claim has the outcome %v", cs[0].Outcome)
		}
	}},
	{Name: "ManyAtOnceGrantOne", Run: func(t T, h Harness) {
		s := open(t, h)
		cs := make([]store.Claim, 50)
		for i, k := range events(len(cs)) {
			cs[i].Key = k
		}
		answers := s.race(8, long, cs)
		for i := range cs {
			s.wantOneWinner(answers, i, store.Held)
		}
	}},
	{Name: "ManyAtOnceTakeOverOnce", Run: func(t T, h Harness) {
		s := open(t, h)
		cs := make([]store.Claim, 50)
		for i, k := range events(len(cs)) {
			cs[i].Key = k
		}
		s.claimAll("a holder that dies", h.Lease, append([]store.Claim(nil), cs...))
		s.lapse()
		answers := s.race(8, long, cs)
		for i := range cs {
			s.wantOneWinner(answers, i, store.Held)
			for _, a := range answers {
				if a[i].Status == store.Granted {
					s.wantAttempts(&a[i], 1)
				}
			}
		}
	}},
	{Name: "EndedContextClaimsNothing", Run: func(t T, h Harness) {
		s := open(t, h)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.s.Claim(ctx, alice, long, []store.Claim{{Key: event("1")}}); !errors.Is(err, context.Canceled) {
			t.Errorf("Claim with an ended context: error %v, want context.Canceled", err)
		}
		s.wantAttempts(s.claim(bob, long, event("1")), 0)
	}},
	{Name: "ClosedStoreSaysSo", Run: func(t T, h Harness) {
		s := open(t, h)
		c := s.granted(alice, long, event("1"))
		for range 2 { // a second Close is a no-op
			if err := s.s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		ctx := t.Context()
		_, cursorErr := s.s.Cursor(ctx, "thumbnail", "nightly", "v1")
		_, orphansErr := s.s.Orphans(ctx, "thumbnail", 1)
		for name, err := range map[string]error{
			"Claim":   s.s.Claim(ctx, alice, long, []store.Claim{{Key: event("2")}}),
			"Renew":   s.s.Renew(ctx, alice, long, []*store.Claim{c}),
			"Finish":  s.s.Finish(ctx, alice, []store.Finish{finishOf(c, store.Terminal)}),
			"Cursor":  cursorErr,
			"Orphans": orphansErr,
		} {
			if !errors.Is(err, eventflow.ErrClosed) {
				t.Errorf("%s after Close: error %v, want eventflow.ErrClosed", name, err)
			}
		}
	}},
	{Name: "ReopenedStoreRemembers", Run: func(t T, h Harness) {
		s := open(t, h)
		ended := s.granted(alice, long, event("done"))
		s.end(alice, ended, store.Terminal)
		s.end(alice, s.granted(alice, long, event("failed")), store.Failed)
		held := s.granted(alice, long, event("held"))
		s.granted(alice, h.Lease, event("lapses"))
		nightly := exclusive("thumbnail", "nightly", 1, "slot")
		s.grantedFire(alice, h.Lease, fire("thumbnail", "hourly", 1))
		s.grantedFire(alice, long, nightly)

		s.s = h.Reopen(t, s.s)
		s.wantCursor("thumbnail", "nightly", "v1", nominal(1))
		s.want(s.claim(bob, long, event("done")), store.Done)
		s.want(s.claim(bob, long, event("held")), store.Held)
		c := s.claim(bob, long, event("failed"))
		s.wantAttempts(c, 1)
		if c.Fence < 2 {
			t.Errorf("the fence is %d after a grant before", c.Fence)
		}
		overlapping := exclusive("thumbnail", "nightly", 2, "slot")
		s.want(s.claimFire(bob, long, overlapping), store.Overlapping)
		s.lapse()
		s.wantOrphans("thumbnail", eventflow.FireKey("thumbnail", "hourly", nominal(1)))
		s.wantAttempts(s.claim(bob, long, event("lapses")), 1)
		s.end(alice, held, store.Terminal)
	}, Excuse: func(h Harness) string {
		if h.Reopen == nil {
			return "Harness.Reopen is not set"
		}
		return ""
	}},
}

var boundRules = []rule{
	{Name: "FullStoreForgetsNoUnfinishedKey", Excuse: unbounded, Run: func(t T, h Harness) {
		s := &subject{T: t, h: h, s: h.Bounded(t, 8)}
		keys := events(20)
		running := s.granted(alice, long, keys[0])
		s.end(alice, s.granted(alice, long, keys[1]), store.Failed)
		for _, k := range keys[2:] {
			s.end(alice, s.granted(alice, long, k), store.Terminal)
		}
		s.want(s.claim(bob, long, keys[0]), store.Held)
		s.wantAttempts(s.claim(bob, long, keys[1]), 1)
		s.end(alice, running, store.Terminal)
	}},
	{Name: "FullStoreForgetsTheOldestEndFirst", Excuse: unbounded, Run: func(t T, h Harness) {
		s := &subject{T: t, h: h, s: h.Bounded(t, 3)}
		keys := events(4)
		var cs []*store.Claim
		for _, k := range keys[:3] {
			cs = append(cs, s.granted(alice, long, k))
		}
		for _, i := range []int{1, 2, 0} {
			s.end(alice, cs[i], store.Terminal)
			time.Sleep(time.Millisecond) // two ends of one instant have no order
		}
		s.granted(alice, long, keys[3])
		s.want(s.claim(bob, long, keys[2]), store.Done)
		s.want(s.claim(bob, long, keys[0]), store.Done)
		s.wantAttempts(s.claim(bob, long, keys[1]), 0)
	}},
	{Name: "FullStoreRefuses", Excuse: unbounded, Run: func(t T, h Harness) {
		s := &subject{T: t, h: h, s: h.Bounded(t, 3)}
		keys := events(5)
		var cs []*store.Claim
		for _, k := range keys[:3] {
			cs = append(cs, s.granted(alice, long, k))
		}
		s.end(alice, cs[0], store.Terminal)
		// There is room for one: a call is claimed whole or not at all, or a run would be held that nobody runs.
		two := []store.Claim{{Key: keys[3]}, {Key: keys[4]}}
		if err := s.s.Claim(t.Context(), alice, long, two); !errors.Is(err, store.ErrFull) {
			t.Fatalf("claiming beyond the capacity: error %v, want store.ErrFull", err)
		}
		for i := range keys[1:3] {
			s.want(s.claim(bob, long, keys[1+i]), store.Held)
		}
		s.end(alice, cs[1], store.Terminal)
		s.claimAll(alice, long, two)
		s.wantAttempts(&two[0], 0)
		s.wantAttempts(&two[1], 0)
		s.end(alice, cs[2], store.Terminal)
	}},
}

func unbounded(h Harness) string {
	if h.Bounded == nil {
		return "Harness.Bounded is not set"
	}
	return ""
}
