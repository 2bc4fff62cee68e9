package storetest

import (
	"strconv"
	"time"

	"github.com/eventflow-go/eventflow/store"
)

var leaseRules = []rule{
	{Name: "LeaseHoldsUntilItsEnd", Run: func(t T, h Harness) {
		s := open(t, h)
		s.granted(alice, 20*h.Lease, event("1"))
		s.lapse()
		s.want(s.claim(bob, long, event("1")), store.Held)
	}},
	{Name: "LapsedIsTakenOverWithOneMoreAttempt", Run: func(t T, h Harness) {
		// A run that died with its process is an attempt, or what kills its process runs for ever.
		s := open(t, h)
		s.granted(alice, h.Lease, event("1"))
		s.granted(alice, h.Lease, event("2"))
		s.lapse()
		s.wantAttempts(s.claim(bob, h.Lease, event("1")), 1)
		s.wantAttempts(s.claim(alice, h.Lease, event("2")), 1)
		s.lapse()
		s.wantAttempts(s.claim(alice, long, event("1")), 2)
	}},
	{Name: "LapsedAndNotTakenOverIsStillItsHolders", Run: func(t T, h Harness) {
		s := open(t, h)
		c1 := s.granted(alice, h.Lease, event("1"))
		c2 := s.granted(alice, h.Lease, event("2"))
		s.lapse()
		s.end(alice, c1, store.Terminal)
		s.want(s.renew(alice, c2), store.Granted)
		s.want(s.claim(bob, long, event("1")), store.Done)
		s.want(s.claim(bob, long, event("2")), store.Held)
	}},
	{Name: "FinishAfterTakeOverIsFenced", Run: func(t T, h Harness) {
		s := open(t, h)
		for _, state := range []store.State{store.Terminal, store.Failed, store.Released} {
			for _, next := range []string{bob, alice} { // the fence tells two claims of one owner apart
				k := event(next + string('0'+rune(state)))
				was := s.granted(alice, h.Lease, k)
				s.lapse()
				c := s.granted(next, long, k)
				if !s.finish(alice, finishOf(was, state)) {
					t.Errorf("a finish after the take-over by %s was not fenced", next)
				}
				s.want(s.claim("carol", long, k), store.Held)
				s.end(next, c, store.Failed)
				s.wantAttempts(s.claim("carol", long, k), 2)
			}
		}
	}},
	{Name: "FinishByAnotherOwnerIsFenced", Run: func(t T, h Harness) {
		s := open(t, h)
		c := s.granted(alice, long, event("1"))
		for _, state := range []store.State{store.Terminal, store.Failed, store.Released} {
			if !s.finish(bob, finishOf(c, state)) {
				t.Errorf("another owner's finish (state %d) was not fenced", state)
			}
			s.want(s.claim(bob, long, event("1")), store.Held)
		}
		s.end(alice, c, store.Terminal)
	}},
	{Name: "FencedIsAnsweredBothWays", Run: func(t T, h Harness) {
		// A Finish that is used again must not keep the answer of its last use.
		s := open(t, h)
		fs := []store.Finish{finishOf(s.granted(alice, long, event("1")), store.Terminal)}
		fs[0].Fenced = true
		s.finishAll(alice, fs)
		if fs[0].Fenced {
			t.Error("Fenced was left as it was before the call")
		}
	}},
	{Name: "RenewExtendsTheLease", Run: func(t T, h Harness) {
		s := open(t, h)
		c := s.granted(alice, h.Lease, event("1"))
		r := s.renew(alice, c)
		s.want(r, store.Granted)
		if !r.Until.After(c.Until.Add(long / 2)) {
			t.Errorf("renewed until %v, was %v", r.Until, c.Until)
		}
		s.lapse()
		s.want(s.claim(bob, long, event("1")), store.Held)
		s.end(alice, c, store.Terminal)
	}},
	{Name: "RenewAnswersEachForItself", Run: func(t T, h Harness) {
		s := open(t, h)
		lost := s.granted(alice, h.Lease, event("lost"))
		s.lapse()
		s.granted(bob, long, event("lost"))
		kept := s.granted(alice, long, event("kept"))
		ended := s.granted(alice, long, event("ended"))
		s.end(alice, ended, store.Terminal)
		cs := []*store.Claim{lost, kept, ended}
		if err := s.s.Renew(t.Context(), alice, long, cs); err != nil {
			t.Fatalf("Renew: %v", err)
		}
		for i, want := range []bool{false, true, false} {
			if got := cs[i].Status == store.Granted; got != want {
				t.Errorf("%v was answered %v", cs[i].Key, cs[i].Status)
			}
		}
	}},
	{Name: "RenewAfterTakeOverIsRefused", Run: func(t T, h Harness) {
		s := open(t, h)
		for _, next := range []string{bob, alice} {
			k := event(next)
			was := s.granted(alice, h.Lease, k)
			s.lapse()
			s.granted(next, h.Lease, k)
			if r := s.renew(alice, was); r.Status == store.Granted {
				t.Errorf("a lease that %s took over was renewed", next)
			}
			s.lapse()
			s.wantAttempts(s.claim("carol", long, k), 2)
		}
	}},
	{Name: "RenewByAnotherOwnerIsRefused", Run: func(t T, h Harness) {
		s := open(t, h)
		c := s.granted(alice, h.Lease, event("1"))
		if r := s.renew(bob, c); r.Status == store.Granted {
			t.Error("another owner renewed the lease")
		}
		s.lapse()
		s.granted(bob, long, event("1"))
	}},
	{Name: "RenewAfterTheEndIsRefused", Run: func(t T, h Harness) {
		s := open(t, h)
		for _, state := range []store.State{store.Terminal, store.Failed, store.Released} {
			k := event(string('0' + rune(state)))
			c := s.granted(alice, long, k)
			s.end(alice, c, state)
			if r := s.renew(alice, c); r.Status == store.Granted {
				t.Errorf("a claim that had ended (state %d) was renewed", state)
			}
			if state != store.Terminal {
				s.granted(bob, long, k)
			}
		}
	}},
	{Name: "DoneIsRememberedForTheWindow", Run: func(t T, h Harness) {
		s := &subject{T: t, h: h, s: h.Brief(t)}
		for try := range 5 {
			k := event(strconv.Itoa(try))
			before := time.Now()
			s.end(alice, s.granted(alice, h.Lease, k), store.Terminal)
			time.Sleep(h.Window / 2)
			s.granted(bob, long, event("another "+k.ID)) // forgetting may be done in passing
			c := s.claim(bob, long, k)
			if time.Since(before) < h.Window || c.Status == store.Done {
				s.want(c, store.Done)
				return
			}
		}
		t.Fatalf("five times a few calls took longer than half of the window of %v", h.Window)
	}, Excuse: func(h Harness) string {
		if h.Window == 0 {
			return "Harness.Window is not set"
		}
		return ""
	}},
}
