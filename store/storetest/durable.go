package storetest

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/conform"
	"github.com/eventflow-go/eventflow/store"
)

// durableRules is what a store must do besides that several processes share: the same data behind two handles, the
// history of its runs, the heartbeats of listeners.
var durableRules = slices.Concat(sharedRules, historyRules, listenerRules)

// DurableRules lists the names of the rules of [RunDurable].
func DurableRules() []string { return conform.Names(durableRules) }

// RunDurable asks the rules for stores that several processes share; [Run] asks those for any store. A store that is no
// store.History or store.Listeners must be excused from the rules about them.
func RunDurable(t *testing.T, h Harness) {
	t.Helper()
	if h.Open == nil {
		t.Fatal("storetest.Harness.Open is missing")
	}
	conform.Run(t, h.withDefaults(), durableRules, h.Excused, conform.Virtual(h.Virtual), conform.Parallel(!h.Virtual))
}

// another gives a second process on the same data.
func (s *subject) another() *subject {
	return &subject{T: s.T, h: s.h, s: s.h.Another(s.T, s.s)}
}

func alone(h Harness) string {
	if h.Another == nil {
		return "Harness.Another is not set"
	}
	return ""
}

var sharedRules = []rule{
	{Name: "TwoHandlesAreOneStore", Excuse: alone, Run: func(t T, h Harness) {
		s := open(t, h)
		o := s.another()
		c := s.granted(alice, long, event("1"))
		o.want(o.claim(bob, long, event("1")), store.Held)
		s.end(alice, c, store.Failed)
		o.wantAttempts(o.claim(bob, h.Lease, event("1")), 1)
		s.want(s.claim(alice, long, event("1")), store.Held)
		s.lapse()
		c = s.claim(alice, long, event("1"))
		s.wantAttempts(c, 2)
		s.end(alice, c, store.Terminal)
		o.want(o.claim(bob, long, event("1")), store.Done)
	}},
	{Name: "TwoHandlesShareSlotsAndCursors", Excuse: alone, Run: func(t T, h Harness) {
		s := open(t, h)
		o := s.another()
		c := s.grantedFire(alice, long, exclusive(flow, nightly, 1, "slot"))
		o.want(o.claimFire(bob, long, exclusive(flow, nightly, 2, "slot")), store.Overlapping)
		o.wantCursor(flow, nightly, "v1", nominal(1))
		s.end(alice, c, store.Released)
		o.wantOrphans(flow, c.Key)
		o.grantedFire(bob, long, exclusive(flow, nightly, 2, "slot"))
		s.want(s.claimFire(alice, long, exclusive(flow, nightly, 1, "slot")), store.Overlapping)
		s.wantCursor(flow, nightly, "v1", nominal(2))
	}},
	{Name: "ManyHandlesGrantOne", Excuse: alone, Run: func(t T, h Harness) {
		s := open(t, h)
		const handles, keys = 4, 50
		granted := make(chan eventflow.Key, 2*handles*keys)
		ended := make(chan error, handles)
		for i := range handles {
			o := s
			if i > 0 {
				o = s.another()
			}
			go func() {
				var err error
				for _, k := range events(keys) {
					cs := []store.Claim{{Key: k}, fire(flow, k.ID, 1)}
					if err = o.s.Claim(t.Context(), "owner-"+strconv.Itoa(i), long, cs); err != nil {
						break
					}
					for _, c := range cs {
						if c.Status == store.Granted {
							granted <- c.Key
						}
					}
				}
				ended <- err
			}()
		}
		for range handles {
			if err := <-ended; err != nil {
				t.Errorf("Claim: %v", err)
			}
		}
		close(granted)
		seen := make(map[eventflow.Key]int)
		for k := range granted {
			seen[k]++
		}
		if len(seen) != 2*keys {
			t.Errorf("%d keys were granted, want %d", len(seen), 2*keys)
		}
		for k, n := range seen {
			if n != 1 {
				t.Errorf("%v was granted %d times", k, n)
			}
		}
	}},
}

func (s *subject) history() store.History {
	s.Helper()
	h, ok := s.s.(store.History)
	if !ok {
		s.Fatalf("the store is no store.History")
	}
	return h
}

func (s *subject) runs(q store.RunQuery) (rs []store.RunRecord, next string) {
	s.Helper()
	rs, next, err := s.history().Runs(s.Context(), q)
	if err != nil {
		s.Fatalf("Runs: %v", err)
	}
	return rs, next
}

// wantRuns compares the IDs, in order.
func (s *subject) wantRuns(q store.RunQuery, want ...string) {
	s.Helper()
	rs, _ := s.runs(q)
	var got []string
	for i := range rs {
		got = append(got, rs[i].Key.ID)
	}
	if !slices.Equal(got, want) {
		s.Errorf("the runs of %+v are %q, want %q", q, got, want)
	}
}

// endAs ends a run some time after the one before, and gives its record's time.
func (s *subject) endAs(k eventflow.Key, o eventflow.Outcome) {
	s.Helper()
	f := finishOf(s.granted(alice, long, k), store.Terminal)
	f.Outcome = o
	s.finish(alice, f)
	time.Sleep(2 * time.Millisecond) // two ends of one instant have no order
}

var historyRules = []rule{
	{Name: "HistoryTellsWhatFinishSaid", Run: func(t T, h Harness) {
		s := open(t, h)
		k := event("a\x00\xff")
		s.end(alice, s.granted(alice, long, k), store.Failed)
		rs, _ := s.runs(store.RunQuery{Phase: store.Waiting})
		if len(rs) != 1 || rs[0].Key != k || rs[0].Phase != store.Waiting || rs[0].Attempts != 1 || rs[0].Err != "it failed" {
			t.Fatalf("a failed run is told as %+v", rs)
		}
		c := s.granted(bob, long, k)
		rs, _ = s.runs(store.RunQuery{Phase: store.Running})
		if len(rs) != 1 || rs[0].Key != k || rs[0].Phase != store.Running || rs[0].Owner != bob {
			t.Fatalf("a live run is told as %+v", rs)
		}
		f := finishOf(c, store.Terminal)
		f.Outcome, f.Reason, f.Err = eventflow.DeadLettered, "attempts", "boom \x00\xff"
		s.finish(bob, f)
		rs, next := s.runs(store.RunQuery{})
		if len(rs) != 1 || next != "" {
			t.Fatalf("%d runs and next %q, want one and none", len(rs), next)
		}
		r := rs[0]
		if r.Key != k || r.Phase != store.Ended || r.Outcome != f.Outcome || r.Reason != f.Reason || r.Err != f.Err || r.Owner != bob || r.Attempts != 1 {
			t.Errorf("the run is told as %+v", r)
		}
		if !r.Started.Equal(f.StartedAt) || r.At.Sub(f.StartedAt).Abs() > time.Minute || r.Claimed.Sub(f.StartedAt).Abs() > time.Minute {
			t.Errorf("the run began at %v, was claimed at %v and ended at %v, want about %v", r.Started, r.Claimed, r.At, f.StartedAt)
		}
		s.wantRuns(store.RunQuery{Phase: store.Running})
		s.wantRuns(store.RunQuery{Phase: store.Waiting})
	}},
	{Name: "HistoryIsAskedByFlowOutcomeAndTime", Run: func(t T, h Harness) {
		s := open(t, h)
		s.endAs(event("1"), eventflow.Succeeded)
		s.endAs(event("2"), eventflow.Failed)
		other := event("3")
		other.Flow = another
		s.endAs(other, eventflow.Succeeded)
		s.endAs(event("4"), eventflow.Succeeded)
		s.wantRuns(store.RunQuery{}, "4", "3", "2", "1")
		s.wantRuns(store.RunQuery{Flow: another}, "3")
		s.wantRuns(store.RunQuery{Flow: "no such flow"})
		s.wantRuns(store.RunQuery{Outcome: eventflow.Failed}, "2")
		s.wantRuns(store.RunQuery{Flow: event("").Flow, Outcome: eventflow.Succeeded}, "4", "1")
		rs, _ := s.runs(store.RunQuery{})
		s.wantRuns(store.RunQuery{From: rs[1].At}, "4", "3")
		s.wantRuns(store.RunQuery{To: rs[1].At}, "2", "1")
		s.wantRuns(store.RunQuery{From: rs[2].At, To: rs[0].At}, "3", "2")
	}},
	{Name: "HistoryIsPaged", Run: func(t T, h Harness) {
		s := open(t, h)
		cs := make([]store.Claim, 7)
		for i, k := range events(len(cs)) {
			cs[i].Key = k
		}
		s.claimAll(alice, long, cs)
		fs := make([]store.Finish, len(cs))
		for i := range cs {
			fs[i] = finishOf(&cs[i], store.Terminal)
		}
		s.finishAll(alice, fs) // of one instant
		seen := make(map[string]bool)
		q := store.RunQuery{Limit: 3}
		for pages := 1; ; pages++ {
			rs, next := s.runs(q)
			for i := range rs {
				if seen[rs[i].Key.ID] {
					t.Errorf("%s is on two pages", rs[i].Key.ID)
				}
				seen[rs[i].Key.ID] = true
			}
			if q.After = next; next == "" {
				if pages != 3 || len(seen) != 7 {
					t.Errorf("%d pages with %d runs, want 3 with 7", pages, len(seen))
				}
				break
			}
		}
		for _, bad := range []store.RunQuery{{Limit: -1}, {Limit: 1001}, {After: "!"}} {
			if _, _, err := s.history().Runs(t.Context(), bad); err == nil {
				t.Errorf("%+v is no error", bad)
			}
		}
	}},
	{Name: "HistoryOutlivesTheWindow", Run: func(t T, h Harness) {
		s := &subject{T: t, h: h, s: h.Brief(t)}
		s.endAs(event("1"), eventflow.Succeeded)
		time.Sleep(h.Window)
		s.granted(bob, h.Lease, event("1")) // forgotten as a key
		s.wantRuns(store.RunQuery{Outcome: eventflow.Succeeded}, "1")
	}, Excuse: func(h Harness) string {
		if h.Window == 0 {
			return "Harness.Window is not set"
		}
		return ""
	}},
}

func (s *subject) listeners() store.Listeners {
	s.Helper()
	l, ok := s.s.(store.Listeners)
	if !ok {
		s.Fatalf("the store is no store.Listeners")
	}
	return l
}

func (s *subject) beat(l *store.Listener) {
	s.Helper()
	if err := s.listeners().Beat(s.Context(), long, l); err != nil {
		s.Fatalf("Beat: %v", err)
	}
}

func (s *subject) list(flow, after string, limit int) []store.Listener {
	s.Helper()
	ls, err := s.listeners().Listeners(s.Context(), flow, after, limit)
	if err != nil {
		s.Fatalf("Listeners: %v", err)
	}
	return ls
}

var listenerRules = []rule{
	{Name: "HeartbeatIsReadAsItWasWritten", Run: func(t T, h Harness) {
		s := open(t, h)
		l := store.Listener{
			ID: "l1", Account: "a", Flow: flow, Version: "v7", State: "Listening", Owner: alice, Generation: 2, Revivals: 1, Spec: []byte("\x00spec\xff"),
		}
		s.beat(&l)
		if l.Fenced || time.Until(l.Heartbeat).Abs() > time.Minute || !l.Until.Equal(l.Heartbeat.Add(long)) {
			t.Errorf("the answer is %+v", l)
		}
		ls := s.list(flow, "", 10)
		if len(ls) != 1 {
			t.Fatalf("%d listeners, want one", len(ls))
		}
		got := ls[0]
		same := got.Heartbeat.Equal(l.Heartbeat) && got.Until.Equal(l.Until) && bytes.Equal(got.Spec, l.Spec)
		if !same || got.ID != l.ID || got.Account != l.Account || got.Flow != l.Flow || got.Version != l.Version || got.State != l.State ||
			got.Owner != l.Owner || got.Generation != l.Generation || got.Revivals != l.Revivals {
			t.Errorf("read %+v, written %+v", got, l)
		}
	}},
	{Name: "OlderGenerationIsFenced", Run: func(t T, h Harness) {
		s := open(t, h)
		old := store.Listener{ID: "l1", Flow: flow, Owner: alice, Generation: 1}
		s.beat(&old)
		newer := store.Listener{ID: "l1", Flow: flow, Owner: bob, Generation: 2}
		s.beat(&newer)
		s.beat(&old)
		if !old.Fenced || newer.Fenced {
			t.Errorf("fenced: the old %v, the new %v; want true, false", old.Fenced, newer.Fenced)
		}
		rival := store.Listener{ID: "l1", Flow: flow, Owner: alice, Generation: 2}
		if s.beat(&rival); !rival.Fenced {
			t.Error("two processes have one generation of a listener")
		}
		if err := s.listeners().Leave(t.Context(), "l1", 1); err != nil {
			t.Fatalf("Leave: %v", err)
		}
		if ls := s.list("", "", 10); len(ls) != 1 || ls[0].Owner != bob {
			t.Errorf("the listeners are %+v", ls)
		}
		if err := s.listeners().Leave(t.Context(), "l1", 2); err != nil {
			t.Fatalf("Leave: %v", err)
		}
		if ls := s.list("", "", 10); len(ls) != 0 {
			t.Errorf("a listener that left is there: %+v", ls)
		}
	}},
	{Name: "ListenersArePaged", Run: func(t T, h Harness) {
		s := open(t, h)
		for _, id := range []string{"d", "b", "a", "c"} {
			f := flow
			if id == "b" {
				f = another
			}
			s.beat(&store.Listener{ID: id, Flow: f, Owner: alice})
		}
		var got strings.Builder
		for _, l := range append(s.list("", "", 3), s.list("", "c", 3)...) {
			got.WriteString(l.ID)
		}
		for _, l := range s.list(flow, "a", 10) {
			got.WriteString(l.ID)
		}
		if got.String() != "abcdcd" {
			t.Errorf("listed %q, want abcd and cd", got.String())
		}
	}},
}
