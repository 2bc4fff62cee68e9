package storetest

import (
	"strconv"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// In the rules about fires: two flows and two clocks, whatever they do.
const (
	flow    = "report"
	another = "cleanup"
	nightly = "nightly"
	hourly  = "hourly"
)

var fireRules = []rule{
	{Name: "FireRunsOnce", Run: func(t T, h Harness) {
		s := open(t, h)
		c := s.grantedFire(alice, long, fire(flow, nightly, 1))
		s.want(s.claimFire(bob, long, fire(flow, nightly, 1)), store.Held)
		s.end(alice, c, store.Terminal)
		s.want(s.claimFire(bob, long, fire(flow, nightly, 1)), store.Done)
		s.grantedFire(bob, long, fire(flow, nightly, 2))
		s.grantedFire(bob, long, fire(flow, hourly, 1))
		s.grantedFire(bob, long, fire(another, nightly, 1))
	}},
	{Name: "CursorStartsAtNothing", Run: func(t T, h Harness) {
		s := open(t, h)
		s.granted(alice, long, event("1"))
		if got := s.cursor(flow, nightly, "v1"); !got.IsZero() {
			t.Errorf("the cursor of a clock that never fired is %v", got)
		}
	}},
	{Name: "CursorMovesWithTheClaim", Run: func(t T, h Harness) {
		s := open(t, h)
		for n := 1; n < 4; n++ {
			s.grantedFire(alice, long, fire(flow, nightly, n))
			s.wantCursor(flow, nightly, "v1", nominal(n))
		}
	}},
	{Name: "CursorNeverMovesBack", Run: func(t T, h Harness) {
		s := open(t, h)
		s.grantedFire(alice, long, fire(flow, nightly, 5))
		s.grantedFire(alice, long, fire(flow, nightly, 2))
		s.wantCursor(flow, nightly, "v1", nominal(5))
		s.claimAll(alice, long, []store.Claim{fire(flow, nightly, 7), fire(flow, nightly, 6)})
		s.wantCursor(flow, nightly, "v1", nominal(7))
	}},
	{Name: "FireWithoutDefinitionMovesNoCursor", Run: func(t T, h Harness) {
		// One that a scheduler of the user's own started under the name of a clock: where the clock was is not its business.
		s := open(t, h)
		s.grantedFire(alice, long, fire(flow, nightly, 5))
		other := fire(flow, nightly, 7)
		other.Fire.Definition = ""
		s.grantedFire(alice, long, other)
		s.wantCursor(flow, nightly, "v1", nominal(5))
		s.wantCursor(flow, nightly, "", time.Time{})
	}},
	{Name: "CursorBelongsToFlowAndClock", Run: func(t T, h Harness) {
		s := open(t, h)
		s.grantedFire(alice, long, fire(flow, nightly, 3))
		s.grantedFire(alice, long, fire(flow, hourly, 2))
		s.grantedFire(alice, long, fire(another, nightly, 1))
		s.wantCursor(flow, nightly, "v1", nominal(3))
		s.wantCursor(flow, hourly, "v1", nominal(2))
		s.wantCursor(another, nightly, "v1", nominal(1))
		s.wantCursor(another, hourly, "v1", time.Time{})
	}},
	{Name: "RedefinedClockStartsOver", Run: func(t T, h Harness) {
		// The misses of the old definition are not those of the new one.
		s := open(t, h)
		s.grantedFire(alice, long, fire(flow, nightly, 5))
		s.wantCursor(flow, nightly, "v2", time.Time{})
		redefined := fire(flow, nightly, 3)
		redefined.Fire.Definition = "v2"
		s.grantedFire(alice, long, redefined)
		s.wantCursor(flow, nightly, "v2", nominal(3))
		s.wantCursor(flow, nightly, "v1", time.Time{})
	}},
	{Name: "CursorOutlivesTheRun", Run: func(t T, h Harness) {
		s := open(t, h)
		s.end(alice, s.grantedFire(alice, h.Lease, fire(flow, nightly, 1)), store.Terminal)
		s.end(alice, s.grantedFire(alice, h.Lease, fire(flow, nightly, 2)), store.Released)
		s.lapse()
		s.wantCursor(flow, nightly, "v1", nominal(2))
	}},
	{Name: "EarlyFireWaitsForItsTime", Run: func(t T, h Harness) {
		// A process whose clock is fast must not start what is not due.
		s := open(t, h)
		early := exclusive(flow, nightly, 1, "slot")
		early.Fire.NotBefore = time.Now().Add(long).Truncate(time.Second)
		c := s.claimFire(alice, long, early)
		s.want(c, store.Early)
		if !c.Until.Equal(early.Fire.NotBefore) {
			t.Errorf("ask again at %v, want %v", c.Until, early.Fire.NotBefore)
		}
		s.wantCursor(flow, nightly, "v1", time.Time{})
		s.wantOrphans(flow)
		s.grantedFire(bob, long, exclusive(flow, nightly, 2, "slot"))

		soon := fire(flow, hourly, 1)
		soon.Fire.NotBefore = time.Now().Add(h.Lease)
		if !s.eventually(func() bool { return s.claimFire(bob, long, soon).Status != store.Early }) {
			t.Fatalf("still early %v after its time", time.Since(soon.Fire.NotBefore))
		}
		s.want(s.claimFire(alice, long, soon), store.Held)
		if h.Virtual && time.Now().Before(soon.Fire.NotBefore) {
			t.Error("the fire was granted before its time")
		}
	}},
}

// eventually asks until ok or ten leases are over.
func (s *subject) eventually(ok func() bool) bool {
	const tries = 200
	for range tries {
		if ok() {
			return true
		}
		time.Sleep(10 * s.h.Lease / tries)
	}
	return false
}

var slotRules = []rule{
	{Name: "SlotHoldsOneRun", Run: func(t T, h Harness) {
		s := open(t, h)
		first := s.grantedFire(alice, long, exclusive(flow, nightly, 1, "slot"))
		for _, owner := range []string{alice, bob} {
			c := s.claimFire(owner, long, exclusive(flow, nightly, 2, "slot"))
			s.want(c, store.Overlapping)
			if d := c.Until.Sub(first.Until).Abs(); d > time.Minute {
				t.Errorf("the slot is held until %v, want the end of the lease, %v", c.Until, first.Until)
			}
		}
		// The fire that holds it is held, not overlapping itself.
		s.want(s.claimFire(bob, long, exclusive(flow, nightly, 1, "slot")), store.Held)
	}},
	{Name: "OverlappingRecordsNothing", Run: func(t T, h Harness) {
		s := open(t, h)
		first := s.grantedFire(alice, long, exclusive(flow, nightly, 1, "slot"))
		s.want(s.claimFire(bob, h.Lease, exclusive(flow, nightly, 2, "slot")), store.Overlapping)
		s.wantCursor(flow, nightly, "v1", nominal(1))
		s.end(alice, first, store.Terminal)
		s.lapse()
		s.wantOrphans(flow)
		s.wantAttempts(s.claimFire(bob, long, exclusive(flow, nightly, 2, "slot")), 0)
	}},
	{Name: "OtherSlotsAreFree", Run: func(t T, h Harness) {
		s := open(t, h)
		s.grantedFire(alice, long, exclusive(flow, nightly, 1, "slot"))
		s.grantedFire(alice, long, exclusive(flow, hourly, 1, "another slot"))
		s.grantedFire(alice, long, exclusive(another, nightly, 1, "slot")) // a slot is its flow's
		s.grantedFire(alice, long, fire(flow, nightly, 2))
		s.grantedFire(alice, long, fire(flow, nightly, 3))
		s.granted(alice, long, event("1"))
	}},
	{Name: "SlotHoldsOneRunOfOneCall", Run: func(t T, h Harness) {
		s := open(t, h)
		cs := s.claimAll(alice, long, []store.Claim{exclusive(flow, nightly, 1, "slot"), exclusive(flow, nightly, 2, "slot")})
		a, b := cs[0].Status, cs[1].Status
		if (a != store.Granted || b != store.Overlapping) && (a != store.Overlapping || b != store.Granted) {
			t.Errorf("two fires of one slot in one call are %v and %v, want one granted, one overlapping", a, b)
		}
	}},
	{Name: "SlotIsFreedByEveryEnd", Run: func(t T, h Harness) {
		s := open(t, h)
		for _, state := range []store.State{store.Terminal, store.Failed, store.Released} {
			slot := "slot" + strconv.Itoa(int(state))
			first := s.grantedFire(alice, long, exclusive(flow, slot, 1, slot))
			s.want(s.claimFire(bob, long, exclusive(flow, slot, 2, slot)), store.Overlapping)
			s.end(alice, first, state)
			s.grantedFire(bob, long, exclusive(flow, slot, 2, slot))
			if state != store.Terminal {
				s.want(s.claimFire(alice, long, exclusive(flow, slot, 1, slot)), store.Overlapping)
			}
		}
	}},
	{Name: "SlotLapsesWithItsHolder", Run: func(t T, h Harness) {
		s := open(t, h)
		dead := s.grantedFire(alice, h.Lease, exclusive(flow, nightly, 1, "slot"))
		s.lapse()
		live := s.grantedFire(bob, long, exclusive(flow, nightly, 2, "slot"))
		if r := s.renew(alice, dead); r.Status == store.Granted {
			t.Error("a run whose slot was taken over renewed its lease: two live runs of one slot")
		}
		s.finish(alice, finishOf(dead, store.Terminal))
		s.want(s.claimFire(alice, long, exclusive(flow, nightly, 3, "slot")), store.Overlapping)
		s.end(bob, live, store.Terminal)
		s.grantedFire(alice, long, exclusive(flow, nightly, 3, "slot"))
	}},
	{Name: "SlotIsRenewedWithItsHolder", Run: func(t T, h Harness) {
		s := open(t, h)
		c := s.grantedFire(alice, h.Lease, exclusive(flow, nightly, 1, "slot"))
		s.want(s.renew(alice, c), store.Granted)
		s.lapse()
		s.want(s.claimFire(bob, long, exclusive(flow, nightly, 2, "slot")), store.Overlapping)
	}},
	{Name: "SlotIsTakenOverWithItsFire", Run: func(t T, h Harness) {
		s := open(t, h)
		dead := s.grantedFire(alice, h.Lease, exclusive(flow, nightly, 1, "slot"))
		s.lapse()
		live := s.grantedFire(bob, long, exclusive(flow, nightly, 1, "slot"))
		s.wantAttempts(live, 1)
		s.finish(alice, finishOf(dead, store.Terminal))
		s.want(s.claimFire(alice, long, exclusive(flow, nightly, 2, "slot")), store.Overlapping)
		s.end(bob, live, store.Terminal)
		s.grantedFire(alice, long, exclusive(flow, nightly, 2, "slot"))
	}},
	{Name: "ManyAtOnceShareNoSlot", Run: func(t T, h Harness) {
		s := open(t, h)
		var cs []store.Claim
		for n := range 8 {
			cs = append(cs, exclusive(flow, nightly, n, "slot"))
		}
		granted := 0
		for _, answers := range s.race(8, long, cs) {
			for i := range answers {
				switch answers[i].Status {
				case store.Granted:
					granted++
				case store.Held, store.Overlapping:
				default:
					t.Errorf("%v is %v", answers[i].Key, answers[i].Status)
				}
			}
		}
		if granted != 1 {
			t.Errorf("%d live runs hold one slot", granted)
		}
	}},
}

var orphanRules = []rule{
	{Name: "OrphansAreFiresWhoseHolderDied", Run: func(t T, h Harness) {
		s := open(t, h)
		s.grantedFire(alice, h.Lease, fire(flow, nightly, 1))
		s.grantedFire(alice, h.Lease, fire(flow, hourly, 1))
		s.grantedFire(alice, h.Lease, fire(another, nightly, 1))
		s.grantedFire(alice, long, fire(flow, nightly, 2))
		s.end(alice, s.grantedFire(alice, h.Lease, fire(flow, nightly, 3)), store.Terminal)
		k := event("1")
		k.Flow = flow
		s.granted(alice, h.Lease, k) // its broker delivers it again
		s.lapse()
		s.wantOrphans(flow, fire(flow, nightly, 1).Key, fire(flow, hourly, 1).Key)
		s.wantOrphans(another, fire(another, nightly, 1).Key)
		s.wantOrphans("no such flow")
	}},
	{Name: "OrphanIsTakenOver", Run: func(t T, h Harness) {
		s := open(t, h)
		k := s.grantedFire(alice, h.Lease, fire(flow, nightly, 1)).Key
		s.lapse()
		s.wantOrphans(flow, k)
		s.wantAttempts(s.claimFire(bob, h.Lease, fire(flow, nightly, 1)), 1)
		s.lapse()
		s.wantOrphans(flow, k) // its second holder may die too
		c := s.claimFire(alice, long, fire(flow, nightly, 1))
		s.wantAttempts(c, 2)
		s.wantOrphans(flow)
		s.end(alice, c, store.Terminal)
		s.wantOrphans(flow)
	}},
	{Name: "OrphansKeepToTheirLimit", Run: func(t T, h Harness) {
		s := open(t, h)
		for n := range 5 {
			s.grantedFire(alice, h.Lease, fire(flow, nightly, n))
		}
		s.lapse()
		seen := make(map[eventflow.Key]bool)
		for {
			ks := s.orphans(flow, 2)
			if len(ks) > 2 {
				t.Fatalf("%d orphans, want at most 2", len(ks))
			}
			if len(ks) == 0 {
				break
			}
			for _, k := range ks {
				at, ok := k.Nominal()
				if !ok || seen[k] {
					t.Fatalf("%v is no fire's key, or came twice", k)
				}
				seen[k] = true
				s.grantedFire(bob, long, store.Claim{Key: k, Fire: &store.Fire{Definition: "v1", Nominal: at}})
			}
		}
		if len(seen) != 5 {
			t.Errorf("%d orphans in all, want 5", len(seen))
		}
	}},
	{Name: "ReleasedFireIsAnOrphan", Run: func(t T, h Harness) {
		// A process that shuts down hands its fires back, and nobody delivers those again.
		s := open(t, h)
		s.end(alice, s.grantedFire(alice, long, fire(flow, nightly, 1)), store.Released)
		s.wantOrphans(flow, fire(flow, nightly, 1).Key)
		s.wantAttempts(s.claimFire(bob, long, fire(flow, nightly, 1)), 0)
		s.wantOrphans(flow)
	}},
	{Name: "FailedFireIsAnOrphanWhenItsLeaseIsOver", Run: func(t T, h Harness) {
		// Its own process tries it again; if that dies before, somebody else must.
		s := open(t, h)
		s.end(alice, s.grantedFire(alice, h.Lease, fire(flow, nightly, 1)), store.Failed)
		s.lapse()
		s.wantOrphans(flow, fire(flow, nightly, 1).Key)
		s.wantAttempts(s.claimFire(bob, long, fire(flow, nightly, 1)), 1)
		s.wantOrphans(flow)
	}},
}
