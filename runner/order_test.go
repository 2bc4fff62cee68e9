package runner_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sort"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// hand is a subscriber that hands over what the test gives it, when it does.
type hand struct {
	l     eventflow.Listening
	give  chan []*eventflow.Delivery
	mu    sync.Mutex
	log   []string
	back  bool // hand over again what is released
	again []string
}

func (h *hand) Start(_ context.Context, l eventflow.Listening) error { h.l = l; return nil }
func (h *hand) Close(context.Context) error                          { return nil }
func (h *hand) Next(ctx context.Context, _ eventflow.Want) ([]*eventflow.Delivery, error) {
	select {
	case ds := <-h.give:
		return ds, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
func (h *hand) Attempted([]*eventflow.Delivery) {}
func (h *hand) DeadLetter(context.Context, *eventflow.Delivery, eventflow.Failure) error {
	return eventflow.ErrNoDeadLetters
}
func (h *hand) Settle(ds []*eventflow.Delivery, s eventflow.Settlement) {
	h.mu.Lock()
	for _, d := range ds {
		h.log = append(h.log, fmt.Sprint(s.Verb, " ", d.Event.ID))
	}
	h.mu.Unlock()
	h.l.Settled(ds, nil)
	if !h.back || s.Verb != eventflow.Release {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range ds {
		h.again = append(h.again, d.Event.ID)
	}
	if lane := ds[0].Lane; len(h.again) == len(ds) { // the first: all that comes within a second, in order
		time.AfterFunc(time.Second, func() {
			h.mu.Lock()
			sort.Strings(h.again)
			again := h.deliveries(lane, h.again...)
			h.again = nil
			h.mu.Unlock()
			h.give <- again
		})
	}
}

// warm hands over 200 quick runs, so that the chunks behind them have several.
func (h *hand) warm() {
	for i := range 200 {
		h.give <- h.deliveries("", fmt.Sprintf("w%d", i))
		synctest.Wait()
	}
}

func (h *hand) deliveries(lane string, ids ...string) (ds []*eventflow.Delivery) {
	for _, id := range ids {
		d := &eventflow.Delivery{Event: eventflow.Event{ID: id, Source: "s", Data: []byte(id)}, Lane: lane}
		d.Bind(h, 0)
		ds = append(ds, d)
	}
	return ds
}

// 1 loses its lock while it runs and is handed over again at once, behind 2, which is in its chunk and has not begun.
func TestALostHeadThatIsBackIsNotOvertaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, rec := &hand{give: make(chan []*eventflow.Delivery), back: true}, &recorder{}
		var r *runner.FlowRunner
		var lane []*eventflow.Delivery
		f := eventflow.NewSink("f", func(ctx context.Context, s string) error {
			if s == "1" && lane[0].Lose() {
				h.l.Lost(lane[:1], eventflow.ErrLockLost)
				n := r.Counts().Received
				h.give <- h.deliveries("k", "1")
				for r.Counts().Received == n {
					runtime.Gosched()
				}
				return ctx.Err()
			}
			if s[0] != 'w' {
				rec.note(s)
			}
			return nil
		})
		r = setup(t).new(f, runner.On(h, runner.Named("h")))
		stop := (&bundle{t: t}).listen(r)
		h.warm()
		lane = h.deliveries("k", "1", "2", "3")
		h.give <- lane
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, "1", rec.list()[0], "of %v; %v", rec.list(), h.log[200:])
	})
}

// Copies of two events in two lanes, in opposite order (published twice, to other partitions): lane L has a, b; M has b, a.
// Each lane holds the claim of its second event while its first waits for the other's: for ever.
func TestCopiesInTwoLanesDoNotBlockEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hand{give: make(chan []*eventflow.Delivery)}
		gate := make(chan struct{})
		first := true
		f := eventflow.NewSink("f", func(_ context.Context, s string) error {
			time.Sleep(30 * time.Microsecond) // not so quick that finding 1 hides this one, and quick enough for chunks
			if s == "a" && first {            // in lane N
				first = false
				<-gate
				return eventflow.Busy(time.Hour) // handed back
			}
			return nil
		})
		r := setup(t).new(f, runner.On(h, runner.Named("h")), runner.Hooks(runner.HookFunc(func(d runner.Decision) {
			if d.Reason == "busy" { // a's claim is free, its copies still wait: now M comes
				h.give <- h.deliveries("M", "b", "a")
				time.Sleep(time.Millisecond)
			}
		})))
		stop := (&bundle{t: t}).listen(r)
		for i := range 200 {
			h.give <- h.deliveries("", fmt.Sprintf("w%d", i))
			time.Sleep(time.Millisecond)
		}
		h.give <- h.deliveries("N", "a")
		synctest.Wait()
		h.give <- h.deliveries("L", "a", "b")
		synctest.Wait()
		close(gate)
		time.Sleep(24 * time.Hour)
		c := r.Counts()
		require.NoError(t, stop())
		require.Zero(t, c.InFlight, "a day later both lanes stand still: %v", c)
	})
}

// laneBehind runs k:1, k:2, k:3 as one chunk when the claim of k:1 is in the state that prepare left.
func laneBehind(t *testing.T, prepare func(st store.Store, first []store.Claim)) {
	t.Helper()
	b, rec, st := setup(t), &recorder{}, store.NewMemory()
	r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
		if s[0] != 'w' {
			rec.note(s)
		}
		return nil
	}), runner.On(b.mem.Subscriber("q"), runner.Named("q")), runner.Store(st))
	stop := b.listen(r)
	b.warm()
	prepare(st, []store.Claim{{Key: eventflow.Key{Flow: "f", Binding: "q", Source: "test", ID: "k:1"}}})
	b.publish("q", "k:1", "k:2", "k:3")
	time.Sleep(5 * time.Minute)
	require.NoError(t, stop())
	require.Equal(t, []string{"k:1", "k:2", "k:3"}, rec.list())
}

func TestALaneWaitsForAClaimThatIsHeldElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		laneBehind(t, func(st store.Store, first []store.Claim) {
			require.NoError(t, st.Claim(t.Context(), "another process", 30*time.Second, first))
		})
	})
}

func TestALaneWaitsForAnEventThatDiedBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		laneBehind(t, func(st store.Store, first []store.Claim) {
			require.NoError(t, st.Claim(t.Context(), "dead process", time.Second, first))
			time.Sleep(time.Minute)
		})
	})
}

// slowNext is a subscriber whose Next has k:2 in hand for a second before it returns: a goroutine that was not scheduled.
type slowNext struct{ eventflow.Subscriber }

func (s *slowNext) Next(ctx context.Context, w eventflow.Want) ([]*eventflow.Delivery, error) {
	ds, err := s.Subscriber.Next(ctx, w)
	if len(ds) > 0 && ds[0].Event.ID == "k:2" {
		time.Sleep(time.Second)
	}
	return ds, err
}

// k:1 is handed back with a delay while k:2 is on its way from Next into its lane: k:2 must not overtake it.
func TestWhatIsInHandDoesNotOvertakeAHandBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		busy := true
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
			if busy {
				busy = false
				time.Sleep(500 * time.Millisecond)
				return eventflow.Busy(10 * time.Minute) // beyond MaxHold: handed back
			}
			rec.note(s)
			return nil
		}), runner.On(&slowNext{b.mem.Subscriber("q")}, runner.Named("q")))
		stop := b.listen(r)
		b.publish("q", "k:1")
		synctest.Wait()
		b.publish("q", "k:2")
		time.Sleep(time.Hour)
		require.NoError(t, stop())
		require.Equal(t, []string{"k:1", "k:2"}, rec.list())
	})
}

// k:1 is handed back for ten minutes; k:2, of the same chunk, waits for a claim that another process holds: it must be
// handed back too, or it runs first.
func TestWhatIsParkedDoesNotOvertakeAHandBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec, st := setup(t), &recorder{}, store.NewMemory()
		busy := true
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
			if s == "k:1" && busy {
				busy = false
				return eventflow.Busy(10 * time.Minute) // beyond MaxHold
			}
			if s[0] != 'w' {
				rec.note(s)
			}
			return nil
		}), runner.On(b.mem.Subscriber("q"), runner.Named("q")), runner.Store(st))
		stop := b.listen(r)
		b.warm()
		require.NoError(t, st.Claim(t.Context(), "another process", 30*time.Second, []store.Claim{{Key: eventflow.Key{Flow: "f", Binding: "q", Source: "test", ID: "k:2"}}}))
		b.publish("q", "k:1", "k:2")
		time.Sleep(time.Hour)
		require.NoError(t, stop())
		require.Equal(t, []string{"k:1", "k:2"}, rec.list())
	})
}

// lateFinish takes 50 ms for the end of k:1.
type lateFinish struct{ store.Store }

func (l *lateFinish) Finish(ctx context.Context, owner string, fs []store.Finish) error {
	if fs[0].Claim.Key.ID == "k:1" {
		time.Sleep(50 * time.Millisecond)
	}
	return l.Store.Finish(ctx, owner, fs)
}

// blockedThenRelieved: k:2 blocks for some ms and then ends with an error, while what the keeper took from its chunk, k:1 and k:3, is
// still on its way to the store. k:3 comes back to the lane after k:2 then, and must not be put in front of it.
func blockedThenRelieved(t *testing.T, err error) {
	t.Helper()
	b, rec := setup(t), &recorder{}
	failed := false
	r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
		if s == "k:2" && !failed {
			failed = true
			time.Sleep(5 * time.Millisecond)
			return err
		}
		if s[0] != 'w' {
			rec.note(s)
		}
		return nil
	}), runner.On(b.mem.Subscriber("q")), runner.Store(&lateFinish{store.NewMemory()}), runner.Backoff(func(int) time.Duration { return time.Millisecond }))
	stop := b.listen(r)
	b.warm()
	b.publish("q", "k:1", "k:2", "k:3")
	time.Sleep(time.Hour)
	require.NoError(t, stop())
	require.Equal(t, []string{"k:1", "k:2", "k:3"}, rec.list())
}

func TestWhatTheKeeperTookStaysBehindARetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { blockedThenRelieved(t, errors.New("boom")) })
}

func TestWhatTheKeeperTookStaysBehindAHandBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { blockedThenRelieved(t, eventflow.Busy(10*time.Minute)) })
}

// As before, but 4 arrives behind the 1 that is back, before 2 and 3 are handed back.
func TestNothingBehindALostHeadThatIsBackOvertakesItsNeighbours(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, rec := &hand{give: make(chan []*eventflow.Delivery), back: true}, &recorder{}
		var r *runner.FlowRunner
		var lane []*eventflow.Delivery
		f := eventflow.NewSink("f", func(ctx context.Context, s string) error {
			if s == "1" && lane[0].Lose() {
				h.l.Lost(lane[:1], eventflow.ErrLockLost)
				n := r.Counts().Received
				h.give <- h.deliveries("k", "1", "4")
				for r.Counts().Received == n {
					runtime.Gosched()
				}
				return ctx.Err()
			}
			if s[0] != 'w' {
				rec.note(s)
			}
			return nil
		})
		r = setup(t).new(f, runner.On(h, runner.Named("h")))
		stop := (&bundle{t: t}).listen(r)
		h.warm()
		lane = h.deliveries("k", "1", "2", "3")
		h.give <- lane
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		got := rec.list()
		require.NotEqual(t, "[1 4]", fmt.Sprint(got[:2]), "of %v; %v", got, h.log[200:])
	})
}

// lateHand is one whose Next gives what it had taken, though its context has ended meanwhile.
type lateHand struct{ *hand }

func (h lateHand) Next(ctx context.Context, _ eventflow.Want) ([]*eventflow.Delivery, error) {
	select {
	case ds := <-h.give:
		return ds, nil
	case <-time.After(time.Second):
		return nil, ctx.Err()
	}
}

// lateNumber is a payload; what begins with 9 does not fit, which is found out when the gate opens.
type lateNumber string

var lateGate = make(chan struct{})

func (n *lateNumber) UnmarshalJSON(b []byte) error {
	if *n = lateNumber(b); b[0] == '9' {
		<-lateGate
		return errors.New("nine")
	}
	return nil
}

// What a pause hands back of a lane comes before what the broker had handed over behind it.
func TestALaneThatAPauseHandedBackIsNotOvertaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lateGate = make(chan struct{})
		h, rec := &hand{give: make(chan []*eventflow.Delivery)}, &recorder{}
		f := eventflow.NewSink("f", func(_ context.Context, n lateNumber) error {
			rec.note(string(n))
			return nil
		})
		r := setup(t).new(f, runner.On(lateHand{h}, runner.Named("h")), runner.PauseAfterDecodeFailures(1), runner.MaxRuns(2), runner.FireSlots(1))
		stop := (&bundle{t: t}).listen(r)
		h.give <- slices.Concat(h.deliveries("x", "91"), h.deliveries("y", "92"), h.deliveries("k", "1", "2"))
		synctest.Wait()
		close(lateGate)
		synctest.Wait()
		h.give <- h.deliveries("k", "3")
		synctest.Wait()
		h.give <- h.deliveries("k", "1", "2", "3")
		synctest.Wait()
		require.NoError(t, stop())
		require.Equal(t, []string{"1", "2", "3"}, rec.list(), h.log)
	})
}
