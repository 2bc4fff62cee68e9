package runner_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// told is a hook that keeps what it is told.
type told struct {
	mu sync.Mutex
	ds []runner.Decision
}

func (h *told) Decided(d runner.Decision) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ds = append(h.ds, d)
}

// lines gives "ID: outcome: reason" of each decision in order.
func (h *told) lines() (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.ds {
		out = append(out, line(d))
	}
	return out
}

func line(d runner.Decision) string {
	_, s, _ := strings.Cut(d.String(), " ") // without its time
	_, s, _ = strings.Cut(s, " ")           // nor its trigger
	return s
}

// In a storm of everything that can happen to events and fires, the ends that a hook is told are those that are counted.
func TestEveryEndIsToldOnceAndAsItCounts(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			dice := func(n int) int { mu.Lock(); defer mu.Unlock(); return rnd.IntN(n) }
			b, m := setup(t), &machine{Store: store.NewMemory()}
			b.mem.Inject(broker.Fault{Kind: broker.DuplicateDelivery, Topics: []string{"q"}, Times: -1, Match: func(*eventflow.Event) bool { return dice(20) == 0 }})
			b.mem.Inject(broker.Fault{Kind: broker.FailPublish, Topics: []string{"out"}, Times: -1, Match: func(*eventflow.Event) bool { return dice(5) == 0 }})
			b.mem.Inject(broker.Fault{Kind: broker.FailDeadLetter, Topics: []string{"q"}, Times: 5})
			f := eventflow.NewFlow("f", func(ctx context.Context, _ struct{ N int }) (string, error) {
				switch dice(20) {
				case 0, 1, 2:
					return "", errBoom
				case 3:
					return "", eventflow.Permanent(errBoom)
				case 4:
					return "", eventflow.Busy(time.Second)
				case 5:
					return "", eventflow.Skip("not today")
				case 6:
					panic("storm")
				case 7, 8:
					select {
					case <-time.After(time.Duration(dice(100)) * time.Second):
					case <-ctx.Done():
						return "", ctx.Err()
					}
				}
				return "done", nil
			})
			publish := func(n int) {
				var evs []eventflow.Event
				for range n {
					ev := eventflow.Event{ID: fmt.Sprint(dice(10_000)), Source: "s", Data: []byte(`{"N":1}`)}
					switch dice(10) {
					case 0:
						ev.Data = []byte("{")
					case 1:
						ev.Type = "unwanted"
					case 2:
						ev.Time = time.Now().Add(-2 * time.Hour)
					case 3, 4, 5:
						ev.Key = fmt.Sprint(dice(5))
					}
					evs = append(evs, ev)
				}
				require.NoError(t, b.mem.Publisher("q").Publish(t.Context(), evs...))
			}
			for range 3 { // one runner after another
				hook := &told{}
				r := b.new(f, runner.On(b.mem.Subscriber("q"), runner.Filter(func(ev *eventflow.Event) bool { return ev.Type == "" })),
					runner.At(eventflow.Every(10*time.Second), runner.Named("c")), runner.At(eventflow.Every(time.Minute), runner.Named("d"), runner.Overlap(runner.OverlapCancelOther)),
					runner.PublishTo(b.mem.Publisher("out")), runner.Store(m), runner.MaxAttempts(3), runner.MaxAge(time.Hour), runner.MaxDelayed(3),
					runner.MaxRuns(4), runner.Grace(time.Second), runner.Hooks(hook))
				stop := b.listenAt(r, m.now)
				<-r.Ready()
				for i := range 5 {
					publish(50)
					time.Sleep(time.Duration(dice(60)) * time.Second)
					switch i {
					case 1:
						require.NoError(t, r.Pause("c"))
					case 2:
						require.NoError(t, r.Resume("c"))
						m.step(10 * time.Minute)
					}
				}
				require.NoError(t, stop())
				c := balanced(t, r)
				require.Zero(t, c.InFlight)
				outcomes, reasons := map[eventflow.Outcome]int64{}, map[runner.Reason]int64{}
				for _, d := range hook.ds {
					if d.Outcome == 0 {
						require.NotEmpty(t, d.Reason)
						continue
					}
					n := int64(max(d.Fires, 1))
					if outcomes[d.Outcome] += n; d.Reason != "" {
						reasons[why(d.Outcome, d.Reason)] += n
					}
				}
				require.Equal(t, c.Outcomes, outcomes, "seed %d", seed)
				require.Equal(t, c.Reasons, reasons, "seed %d", seed)
			}
		})
	}
}

func TestTheLogAnswersWhyAnEventDidNotRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		f := eventflow.NewSink("f", func(_ context.Context, s string) error {
			switch s {
			case "bad":
				return eventflow.Permanent(fmt.Errorf("the payload says %s: %w", s, errBoom))
			case "poor":
				return errBoom
			case "dull":
				return eventflow.Skip("dull")
			case "panic":
				panic(s)
			}
			return nil
		})
		r := b.new(f, runner.On(b.mem.Subscriber("q"), runner.Filter(func(ev *eventflow.Event) bool { return ev.ID != "filtered" })),
			runner.MaxAge(time.Hour), runner.MaxAttempts(2), runner.Backoff(func(int) time.Duration { return time.Second }))
		stop := b.listen(r)
		for _, id := range []string{"good", "bad", "poor", "dull", "panic", "filtered", "good"} {
			b.publish("q", id)
		}
		require.NoError(t, b.mem.Publisher("q").Publish(t.Context(), eventflow.Event{ID: "old", Source: "test", Time: time.Now().Add(-2 * time.Hour)}))
		time.Sleep(time.Minute)
		for id, want := range map[string][]string{
			"good":     {"good: duplicate: succeeded"},
			"bad":      {"bad: attempt 1, dead-lettered: permanent (*errors.errorString)"},
			"poor":     {"poor: attempt 1, held: retry for 1s (*errors.errorString)", "poor: attempt 2, dead-lettered: exhausted (*errors.errorString)"},
			"dull":     {"dull: attempt 1, skipped: dull"},
			"panic":    {"panic: attempt 1, held: retry for 1s (*runner.PanicError)", "panic: attempt 2, dead-lettered: exhausted (*runner.PanicError)"},
			"filtered": {"filtered: skipped: filter"},
			"old":      {"old: expired: max age"},
			"unheard":  nil,
		} {
			var got []string
			for _, d := range r.Why(id) {
				got = append(got, line(d))
				require.NoError(t, d.Err, "no error is kept")
				require.Equal(t, "f", d.Flow)
				require.Equal(t, "memory/q", d.Trigger)
				require.Equal(t, eventflow.Key{Flow: "f", Binding: "memory/q", Source: "test", ID: id}, d.Key)
			}
			require.Equal(t, want, got)
			require.Equal(t, r.Why(id), r.Why("f/memory%2Fq/test/"+id), "the run's ID does too")
		}
		require.Len(t, r.Decisions(), 9)
		require.NoError(t, stop())
	})
}

func TestWhyTellsWhereAnEventInFlightIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, s string) error {
			if s == "k:poor" {
				return errBoom
			}
			<-ctx.Done()
			return ctx.Err()
		}), runner.On(b.mem.Subscriber("q")), runner.Backoff(func(int) time.Duration { return time.Minute }), runner.Grace(0))
		b.publish("q", "long", "long", "k:poor", "k:behind")
		stop := b.listen(r)
		synctest.Wait()
		time.Sleep(10 * time.Second)
		tell := func(id string) (out []string) {
			for _, d := range r.Why(id) {
				out = append(out, line(d))
			}
			return out
		}
		require.ElementsMatch(t, []string{"long: held: running", "long: held: running", "long: held: waiting"}, tell("long"), "its copy waits behind it")
		require.Equal(t, []string{"k:poor: attempt 1, held: retry for 1m0s (*errors.errorString)", "k:poor: held: waiting for 50s"}, tell("k:poor"))
		require.Equal(t, []string{"k:behind: held: waiting"}, tell("k:behind"))
		require.NoError(t, stop())
		require.Equal(t, []string{"k:behind: handed back: shutdown"}, tell("k:behind"))
	})
}

func TestTheLogKeepsTheNewestAndNoPlainSuccess(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "", 3: "7 8 9", 10_000: "0 1 2 3 4 5 6 7 8 9"} {
		synctest.Test(t, func(t *testing.T) {
			b := setup(t)
			r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
				if s < "a" {
					return eventflow.Skip("a digit")
				}
				return nil
			}), runner.On(b.mem.Subscriber("q")), runner.DecisionLog(n), runner.MaxRuns(1))
			stop := b.listen(r)
			for i := range 10 {
				b.publish("q", fmt.Sprint(i), string(rune('a'+i)))
			}
			synctest.Wait()
			var ids []string
			for _, d := range r.Decisions() {
				ids = append(ids, d.Key.ID)
			}
			require.Equal(t, want, strings.Join(ids, " "))
			require.NoError(t, stop())
			require.Contains(t, r.String(), fmt.Sprintf("DecisionLog              %d\n", n))
		})
	}
	_, err := runner.New(eventflow.NewJob("f", func(context.Context) error { return nil }), runner.At(eventflow.Every(time.Hour)), runner.DecisionLog(-1))
	require.ErrorContains(t, err, "runner.DecisionLog")
}

func TestMissedFiresAreToldTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, m, hook := setup(t), &machine{Store: store.NewMemory()}, &told{}
		r := b.new(eventflow.NewJob("f", func(context.Context) error { return nil }), runner.At(eventflow.Every(time.Minute), runner.Named("c")), runner.Store(m), runner.Hooks(hook))
		stop := b.listenAt(r, m.now)
		time.Sleep(90 * time.Second)
		m.step(time.Hour)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{
			"2000-01-01T00:01:00Z: attempt 1, succeeded",
			"60 fires from 2000-01-01T00:02:00Z to 2000-01-01T01:01:00Z: skipped: missed",
			"2000-01-01T01:02:00Z: attempt 1, succeeded",
		}, hook.lines())
		require.Len(t, r.Why("2000-01-01T00:30:00Z"), 1)
		require.Equal(t, 60, r.Why("2000-01-01T00:30:00Z")[0].Fires)
		require.Empty(t, r.Why("2000-01-01T00:30:30Z00"))
		require.Empty(t, r.Why("2000-01-01T01:02:00Z"))
	})
}

// What holds an event is told too.
func TestHooksAreToldWhatHoldsAnEvent(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	for name, tc := range map[string]struct {
		opts   []runner.Option
		fault  *broker.Fault
		events []string
		slow   bool
		want   string
	}{
		"a copy of a running event": {events: []string{"1", "1"}, slow: true, want: "1: held: running"},
		"a refused result": {
			fault: &broker.Fault{Kind: broker.FailPublish, Topics: []string{"out"}, Times: 1}, events: []string{"1"},
			want: "1: attempt 1, held: publish",
		},
		"a refused result of a lane": {
			fault: &broker.Fault{Kind: broker.FailPublish, Topics: []string{"out"}, Times: 1}, events: []string{"k:1"},
			want: "k:1: attempt 1, held: publish",
		},
		"a dead letter that cannot be written": {
			fault: &broker.Fault{Kind: broker.FailDeadLetter, Times: 1}, events: []string{"bad"}, want: "bad: attempt 1, held: dead letter",
		},
		"a lost lock":                   {fault: &broker.Fault{Kind: broker.LoseLock, After: time.Second}, events: []string{"1"}, slow: true, want: "1: attempt 1, handed back: lock lost"},
		"an unconfirmed settlement":     {fault: &broker.Fault{Kind: broker.LoseSettlement, Err: away}, events: []string{"1"}, want: "1: held: unconfirmed (*errors.errorString)"},
		"a lane that is held elsewhere": {opts: []runner.Option{runner.Store(&heldOnce{Store: store.NewMemory()})}, events: []string{"k:1"}, want: "k:1: held: held elsewhere"},
		"an event that is held elsewhere": {
			opts: []runner.Option{runner.Store(&heldOnce{Store: store.NewMemory()})}, events: []string{"1"}, want: "1: handed back: held elsewhere",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, hook := setup(t), &told{}
				if tc.fault != nil {
					b.mem.Inject(*tc.fault)
				}
				r := b.new(eventflow.NewFlow("f", func(ctx context.Context, s string) (string, error) {
					if tc.slow {
						select {
						case <-time.After(time.Minute):
						case <-ctx.Done():
							return "", ctx.Err()
						}
					}
					if s == "bad" {
						return "", eventflow.Permanent(errBoom)
					}
					return s, nil
				}), append(tc.opts, runner.On(b.mem.Subscriber("q")), runner.PublishTo(b.mem.Publisher("out")), runner.Hooks(hook))...)
				b.publish("q", tc.events...)
				stop := b.listen(r)
				time.Sleep(10 * time.Minute)
				require.NoError(t, stop())
				require.Condition(t, func() bool {
					for _, l := range hook.lines() {
						if strings.HasPrefix(l, tc.want) {
							return true
						}
					}
					return false
				}, "%q is not among %q", tc.want, hook.lines())
				balanced(t, r)
			})
		})
	}
}

func TestHooksAreToldOfABatchsRefusedResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, hook := setup(t), &told{}
		b.mem.Inject(broker.Fault{Kind: broker.FailPublish, Topics: []string{"out"}, Times: 2})
		r := b.new(eventflow.NewFlow("f", func(context.Context, eventflow.Batch[string]) (string, error) { return "done", nil }),
			runner.On(b.mem.Subscriber("q")), runner.PublishTo(b.mem.Publisher("out")), runner.Hooks(hook))
		b.publish("q", "k:1")
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{
			"k:1: attempt 1, held: publish (*errors.errorString)", "k:1: attempt 1, held: publish (*errors.errorString)", "k:1: attempt 1, succeeded",
		}, hook.lines())
	})
}

// heldOnce is a store in which another process has just ended with each key that is asked for: it is Held for a minute.
type heldOnce struct {
	store.Store
	mu    sync.Mutex
	since map[eventflow.Key]time.Time
}

func (s *heldOnce) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since == nil {
		s.since = map[eventflow.Key]time.Time{}
	}
	for i := range cs {
		if _, ok := s.since[cs[i].Key]; !ok {
			s.since[cs[i].Key] = time.Now()
		}
		if until := s.since[cs[i].Key].Add(time.Minute); time.Now().Before(until) {
			cs[i].Status, cs[i].Until = store.Held, until
			continue
		}
		if err := s.Store.Claim(ctx, owner, lease, cs[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func TestWhatHandleHandsBackIsToldToo(t *testing.T) {
	t.Parallel()
	b, hook := setup(t), &told{}
	r := b.new(eventflow.NewSink("f", func(context.Context, string) error { return errBoom }), runner.Backoff(func(int) time.Duration { return time.Second }), runner.Hooks(hook))
	res := r.Handle(t.Context(), &eventflow.Delivery{Event: eventflow.Event{ID: "1", Source: "test"}})
	require.Equal(t, eventflow.HandedBack, res.Outcome)
	require.Equal(t, []string{"1: attempt 1, held: retry for 1s (*errors.errorString)", "1: attempt 1, handed back: retry for 1s (*errors.errorString)"}, hook.lines())
	require.EqualValues(t, 1, r.Counts().Reasons[why(eventflow.HandedBack, "retry")])
}

func TestASkippedFireHasNoAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
			select {
			case <-time.After(90 * time.Second):
			case <-ctx.Done():
			}
			return nil
		}), runner.At(eventflow.Every(time.Minute)))
		stop := b.listen(r)
		time.Sleep(2*time.Minute + time.Second)
		require.NoError(t, stop())
		ds := r.Why("2000-01-01T00:02:00Z")
		require.Len(t, ds, 1)
		require.Equal(t, "2000-01-01T00:02:00Z: skipped: overlap", line(ds[0]))
	})
}

func TestAnAbandonedRunIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, hook := setup(t), &told{}
		wake := make(chan struct{})
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error { <-wake; return nil }), runner.On(b.mem.Subscriber("q")),
			runner.Grace(0), runner.HardStop(time.Second), runner.Hooks(hook))
		b.publish("q", "1")
		stop := b.listen(r)
		synctest.Wait()
		require.ErrorIs(t, stop(), eventflow.ErrAbandoned)
		require.Equal(t, []string{"1: held: abandoned"}, hook.lines())
		close(wake)
		synctest.Wait()
	})
}

// A hook may ask the runner anything, also of what was decided under its lock.
func TestAHookMayAskItsRunner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var r *runner.FlowRunner
		asked := 0
		hook := runner.HookFunc(func(d runner.Decision) {
			asked++
			_, _ = r.Counts(), r.State()
			_ = r.Why(d.Key.ID)
		})
		r = b.new(eventflow.NewJob("f", func(context.Context) error { return nil }), runner.At(eventflow.Every(time.Second), runner.Named("c")), runner.Hooks(hook))
		stop := b.listen(r)
		<-r.Ready()
		require.NoError(t, r.Pause("c"))
		time.Sleep(3*time.Second + time.Millisecond)
		require.NoError(t, stop())
		require.Equal(t, 3, asked)
	})
}

// A reason is counted, logged and stored, and may be a piece of a payload.
func TestAReasonKeepsNoPayload(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.new(eventflow.NewSink("f", func(_ context.Context, doc string) error { return eventflow.Skip(doc) }))
	doc := strings.Repeat("\u00e9", 1<<20)
	res := r.Handle(t.Context(), &eventflow.Delivery{Event: eventflow.Event{ID: "1", Source: "s", Data: []byte(doc)}})
	require.Equal(t, doc[:256], res.Reason)
	require.Equal(t, doc[:256], r.Decisions()[0].Reason)

	short := "not for us" + doc
	r = b.new(eventflow.NewSink("f", func(context.Context, string) error { return eventflow.Skip(short[:10]) }))
	res = r.Handle(t.Context(), &eventflow.Delivery{Event: eventflow.Event{ID: "1", Source: "s"}})
	require.Equal(t, "not for us", res.Reason)
	require.NotSame(t, unsafe.StringData(short), unsafe.StringData(res.Reason), "a piece of something large keeps all of it")
}
