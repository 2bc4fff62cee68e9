package storetest

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// Two processes, and a lease that no rule outlives.
const (
	alice = "alice"
	bob   = "bob"
	long  = time.Hour
)

// subject is the store that a rule asks. Its methods end the rule on an error of the store.
type subject struct {
	T
	h Harness
	s store.Store
}

func open(t T, h Harness) *subject {
	t.Helper()
	return &subject{T: t, h: h, s: h.Open(t)}
}

func event(id string) eventflow.Key {
	return eventflow.Key{Flow: "thumbnail", Binding: "uploads", Source: "topic://uploads", ID: id}
}

// events gives n keys.
func events(n int) []eventflow.Key {
	ks := make([]eventflow.Key, n)
	for i := range ks {
		ks[i] = event(strconv.Itoa(i))
	}
	return ks
}

func (s *subject) claim(owner string, lease time.Duration, k eventflow.Key) *store.Claim {
	s.Helper()
	return &s.claimAll(owner, lease, []store.Claim{{Key: k}})[0]
}

func (s *subject) claimAll(owner string, lease time.Duration, cs []store.Claim) []store.Claim {
	s.Helper()
	if err := s.s.Claim(s.Context(), owner, lease, cs); err != nil {
		s.Fatalf("Claim: %v", err)
	}
	return cs
}

// granted claims a key that must be free.
func (s *subject) granted(owner string, lease time.Duration, k eventflow.Key) *store.Claim {
	s.Helper()
	c := s.claim(owner, lease, k)
	s.want(c, store.Granted)
	return c
}

func (s *subject) want(c *store.Claim, want store.Status) {
	s.Helper()
	if c.Status != want {
		s.Fatalf("%v is %v, want %v", c.Key, c.Status, want)
	}
}

func (s *subject) wantAttempts(c *store.Claim, want int) {
	s.Helper()
	s.want(c, store.Granted)
	if c.Attempts != want {
		s.Fatalf("%v has %d attempts, want %d", c.Key, c.Attempts, want)
	}
}

// finish gives Fenced.
func (s *subject) finish(owner string, f store.Finish) bool {
	s.Helper()
	fs := []store.Finish{f}
	s.finishAll(owner, fs)
	return fs[0].Fenced
}

func (s *subject) finishAll(owner string, fs []store.Finish) {
	s.Helper()
	if err := s.s.Finish(s.Context(), owner, fs); err != nil {
		s.Fatalf("Finish: %v", err)
	}
}

// end finishes a claim that must still be the owner's.
func (s *subject) end(owner string, c *store.Claim, state store.State) {
	s.Helper()
	if s.finish(owner, finishOf(c, state)) {
		s.Fatalf("finishing %v was fenced, though nobody had taken it over", c.Key)
	}
}

func finishOf(c *store.Claim, state store.State) store.Finish {
	f := store.Finish{Claim: c, State: state, Reason: "a rule", StartedAt: time.Now()}
	switch state {
	case store.Terminal:
		f.Outcome = eventflow.Succeeded
	case store.Failed:
		f.Err = "it failed"
	}
	return f
}

// renew asks for a long lease and gives the answer in a copy, so that the claim stays as it was granted.
func (s *subject) renew(owner string, c *store.Claim) *store.Claim {
	s.Helper()
	renewed := *c
	if err := s.s.Renew(s.Context(), owner, long, []*store.Claim{&renewed}); err != nil {
		s.Fatalf("Renew: %v", err)
	}
	return &renewed
}

// lapse waits until every claim that was made with the harness's lease has lapsed.
func (s *subject) lapse() {
	time.Sleep(s.h.Lease + s.h.Lease/4)
}

// nominal is the fire time of the n-th minute; no store may round it.
func nominal(n int) time.Time {
	return time.Date(1999, time.March, 28, 3, n, 0, 123456789, time.UTC)
}

// fire asks for the n-th fire of a clock. Its definition is "v1" and it may overlap.
func fire(flow, clock string, n int) store.Claim {
	return store.Claim{Key: eventflow.FireKey(flow, clock, nominal(n)), Fire: &store.Fire{Definition: "v1", Nominal: nominal(n)}}
}

// exclusive asks for the n-th fire of a clock that holds a slot.
func exclusive(flow, clock string, n int, slot string) store.Claim {
	c := fire(flow, clock, n)
	c.Fire.Overlap = slot
	return c
}

func (s *subject) claimFire(owner string, lease time.Duration, c store.Claim) *store.Claim {
	s.Helper()
	return &s.claimAll(owner, lease, []store.Claim{c})[0]
}

func (s *subject) grantedFire(owner string, lease time.Duration, c store.Claim) *store.Claim {
	s.Helper()
	got := s.claimFire(owner, lease, c)
	s.want(got, store.Granted)
	return got
}

func (s *subject) cursor(flow, clock, definition string) time.Time {
	s.Helper()
	t, err := s.s.Cursor(s.Context(), flow, clock, definition)
	if err != nil {
		s.Fatalf("Cursor: %v", err)
	}
	return t
}

func (s *subject) wantCursor(flow, clock, definition string, want time.Time) {
	s.Helper()
	if got := s.cursor(flow, clock, definition); !got.Equal(want) {
		s.Fatalf("the cursor of %s/%s (%s) is %v, want %v", flow, clock, definition, got, want)
	}
}

func (s *subject) orphans(flow string, limit int) []eventflow.Key {
	s.Helper()
	ks, err := s.s.Orphans(s.Context(), flow, limit)
	if err != nil {
		s.Fatalf("Orphans: %v", err)
	}
	return ks
}

// wantOrphans compares without order.
func (s *subject) wantOrphans(flow string, want ...eventflow.Key) {
	s.Helper()
	got := s.orphans(flow, 100)
	seen := make(map[eventflow.Key]int)
	for _, k := range got {
		seen[k]++
	}
	for _, k := range want {
		seen[k]--
	}
	for _, n := range seen {
		if n != 0 {
			s.Fatalf("the orphans of %s are %v, want %v", flow, got, want)
		}
	}
}

// race lets n owners ask at once, each for its own copy of cs, and gives their answers.
func (s *subject) race(n int, lease time.Duration, cs []store.Claim) [][]store.Claim {
	s.Helper()
	answers := make([][]store.Claim, n)
	errs := make([]error, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		answers[i] = append([]store.Claim(nil), cs...)
		all.Go(func() {
			<-start
			errs[i] = s.s.Claim(context.WithoutCancel(s.Context()), "owner-"+strconv.Itoa(i), lease, answers[i])
		})
	}
	close(start)
	all.Wait()
	for _, err := range errs {
		if err != nil {
			s.Fatalf("Claim by many at once: %v", err)
		}
	}
	return answers
}

// wantOneWinner checks that of the answers to one key, exactly one is Granted and the others are as said.
func (s *subject) wantOneWinner(answers [][]store.Claim, i int, others store.Status) {
	s.Helper()
	n := 0
	for _, cs := range answers {
		if cs[i].Status == store.Granted {
			n++
			continue
		}
		s.want(&cs[i], others)
	}
	if n != 1 {
		s.Fatalf("%v was granted to %d of %d owners, want one", answers[0][i].Key, n, len(answers))
	}
}
