package runner_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

// recorder notes what ran, in order.
type recorder struct {
	mu  sync.Mutex
	ran []string
}

func (r *recorder) note(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ran = append(r.ran, s)
}

func (r *recorder) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.ran...)
}

func TestTheSameEventCompletesOneRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error { rec.note(s); return nil }), runner.On(b.mem.Subscriber("q")))
		stop := b.listen(r)
		b.publish("q", "1", "1", "2", "1")
		b.publish("q", "1")
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.ElementsMatch(t, []string{"1", "2"}, rec.list())
		c := balanced(t, r)
		require.EqualValues(t, 2, c.Outcomes[eventflow.Succeeded])
		require.EqualValues(t, 3, c.Outcomes[eventflow.Duplicate])
		require.Zero(t, c.InFlight)
	})
}

func TestPoisonIsDeadLetteredAndHoldsOnlyItsLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
			rec.note(s)
			if s == "a:1" {
				return errBoom
			}
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.MaxAttempts(3), runner.MaxRuns(1), runner.Backoff(func(int) time.Duration { return time.Minute }))
		b.publish("q", "a:1", "a:2", "b:1")
		stop := b.listen(r)
		time.Sleep(time.Hour)
		require.NoError(t, stop())
		require.Equal(t, []string{"a:1", "b:1", "a:1", "a:1", "a:2"}, rec.list())
		dead := b.mem.DeadLetters("q")
		require.Len(t, dead, 1)
		require.Equal(t, "a:1", dead[0].Event.ID)
		require.Equal(t, "exhausted", dead[0].Reason)
		require.Equal(t, 3, dead[0].Attempts)
		c := balanced(t, r)
		require.EqualValues(t, 1, c.Outcomes[eventflow.DeadLettered])
		require.EqualValues(t, 2, c.Retries)
	})
}

func TestBusyIsNoAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var attempts []int
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, _ string) error {
			attempts = append(attempts, eventflow.RunFrom(ctx).Attempt)
			if len(attempts) < 20 {
				return eventflow.Busy(time.Second)
			}
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.MaxAttempts(2))
		b.publish("q", "1")
		stop := b.listen(r)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Len(t, attempts, 20)
		for _, n := range attempts {
			require.Equal(t, 1, n)
		}
		require.EqualValues(t, 1, balanced(t, r).Outcomes[eventflow.Succeeded])
	})
}

func TestResultsAreAcknowledgedAfterTheyArePublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		out := b.mem.Subscriber("out")
		r := b.new(eventflow.NewFlow("f", func(_ context.Context, s string) (string, error) { return s + "!", nil }),
			runner.On(b.mem.Subscriber("q")), runner.PublishTo(b.mem.Publisher("out")))
		b.publish("q", "1", "2")
		stop := b.listen(r)
		synctest.Wait()
		require.NoError(t, stop())
		ds, err := out.Next(t.Context(), eventflow.Want{Events: 10})
		require.NoError(t, err)
		require.Len(t, ds, 2)
		require.ElementsMatch(t, []string{"1!", "2!"}, []string{string(ds[0].Event.Data), string(ds[1].Event.Data)})
		require.Equal(t, "eventflow/f", ds[0].Event.Source)
		require.NoError(t, out.Close(t.Context()))
	})
}

func TestCronAndEventsShareOneFlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		events, fires := 0, 0
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, s string) error {
			if f := eventflow.RunFrom(ctx).Fire; f != nil {
				fires++
				require.Empty(t, s)
				require.Equal(t, 3, f.Nominal.Hour())
			} else {
				events++
			}
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.At(eventflow.Cron("0 3 * * *", time.UTC)))
		b.publish("q", "1")
		stop := b.listen(r)
		time.Sleep(90*24*time.Hour + 12*time.Hour)
		synctest.Wait()
		require.NoError(t, stop())
		require.Equal(t, 1, events)
		require.Equal(t, 91, fires)
		c := balanced(t, r)
		require.EqualValues(t, 92, c.Received)
		require.EqualValues(t, 91, c.Fires.Outcomes[eventflow.Succeeded])
	})
}

func TestOneSlowLaneNeverTakesEverySlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, s string) error {
			if s == "b:fast" {
				rec.note(s)
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}), runner.On(b.mem.Subscriber("q")), runner.MaxInFlight(64), runner.MaxPerLane(16), runner.Grace(time.Second))
		for range 100 {
			b.publish("q", "a:slow")
		}
		b.publish("q", "b:fast")
		stop := b.listen(r)
		time.Sleep(time.Second)
		require.Equal(t, []string{"b:fast"}, rec.list())
		require.NoError(t, stop())
		balanced(t, r)
	})
}

func TestPanicAndGoexitAreAttempts(t *testing.T) {
	t.Parallel()
	for name, die := range map[string]func(){"panic": func() { panic("x") }, "goexit": func() { runtimeGoexit() }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, rec := setup(t), &recorder{}
				r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
					rec.note(s)
					if s == "bad" {
						die()
					}
					return nil
				}), runner.On(b.mem.Subscriber("q")), runner.MaxAttempts(2), runner.MaxRuns(2))
				b.publish("q", "1", "2", "bad", "3", "4")
				stop := b.listen(r)
				time.Sleep(time.Minute)
				require.NoError(t, stop())
				require.ElementsMatch(t, []string{"1", "2", "bad", "bad", "3", "4"}, rec.list())
				require.Len(t, b.mem.DeadLetters("q"), 1)
				require.EqualValues(t, 4, balanced(t, r).Outcomes[eventflow.Succeeded])
			})
		})
	}
}

func TestABlockedRunDelaysNeitherItsNeighboursNorWhatIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		release := make(chan struct{})
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
			if s == "block" {
				<-release
			}
			rec.note(s)
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.MaxRuns(2))
		stop := b.listen(r)
		for range 200 { // quick runs: chunks grow
			b.publish("q", "warm")
		}
		synctest.Wait()
		n := len(rec.list())
		var many []string
		for i := range 40 {
			many = append(many, string(rune('A'+i)))
		}
		many[5] = "block"
		b.publish("q", many...)
		time.Sleep(20 * time.Millisecond)
		require.Len(t, rec.list(), n+39, "all but the blocked one ran")
		require.EqualValues(t, 1, balanced(t, r).InFlight, "and were settled")
		close(release)
		require.NoError(t, stop())
		require.EqualValues(t, 0, balanced(t, r).InFlight)
	})
}

func TestRetriesKeepOrderInTheirLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		failed := map[string]int{}
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
			rec.mu.Lock()
			defer rec.mu.Unlock()
			if failed[s]++; failed[s] < 3 && s[2]%2 == 0 {
				return errBoom
			}
			rec.ran = append(rec.ran, s)
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.MaxInFlight(32), runner.MaxPerLane(8))
		var want []string
		for i := range 26 {
			want = append(want, "k:"+string(rune('a'+i)))
		}
		b.publish("q", want...)
		stop := b.listen(r)
		time.Sleep(time.Hour)
		require.NoError(t, stop())
		require.Equal(t, want, rec.list())
	})
}

func TestLostLockCancelsTheRunWithItsCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		src := &losing{d: &eventflow.Delivery{Event: eventflow.Event{ID: "1"}}}
		src.d.Bind(&src.settler, 0)
		var cause error
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, _ string) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return errors.New("anything")
		}), runner.On(src, runner.Named("src")))
		require.NoError(t, r.Listen(t.Context()))
		require.ErrorIs(t, cause, eventflow.ErrLockLost)
		require.EqualValues(t, 1, balanced(t, r).Outcomes[eventflow.HandedBack])
		require.Zero(t, src.settler.n)
	})
}

// losing is a third party's subscriber: one event, whose lock goes after a minute.
type losing struct {
	d       *eventflow.Delivery
	settler count
	l       eventflow.Listening
	gave    bool
}

func (s *losing) Start(_ context.Context, l eventflow.Listening) error { s.l = l; return nil }
func (s *losing) Close(context.Context) error                          { return nil }
func (s *losing) Next(context.Context, eventflow.Want) ([]*eventflow.Delivery, error) {
	if s.gave {
		return nil, eventflow.ErrEnd
	}
	s.gave = true
	time.AfterFunc(time.Minute, func() {
		if s.d.Lose() {
			s.l.Lost([]*eventflow.Delivery{s.d}, eventflow.ErrLockLost)
		}
	})
	return []*eventflow.Delivery{s.d}, nil
}

type count struct{ n int }

func (c *count) Settle([]*eventflow.Delivery, eventflow.Settlement) { c.n++ }
func (c *count) Attempted([]*eventflow.Delivery)                    {}
func (c *count) DeadLetter(context.Context, *eventflow.Delivery, eventflow.Failure) error {
	c.n++
	return nil
}

// Quick runs taught the runner that more workers than cores only take turns; then as many runs as cores block. What
// comes after them must not wait for them: 64 runs are allowed.
func TestBlockedRunsDoNotStarveOthersAfterQuickOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var quick atomic.Int64
		block := make(chan struct{})
		r := b.new(eventflow.NewSink("f", func(_ context.Context, s string) error {
			if s[0] == 's' {
				<-block
			} else {
				quick.Add(1)
			}
			return nil
		}), runner.On(b.mem.Subscriber("q")))
		stop := b.listen(r)
		for i := range 2000 { // virtual time: they take no time at all
			b.publish("q", fmt.Sprintf("warm%d", i))
		}
		synctest.Wait()
		require.EqualValues(t, 2000, quick.Load())
		for i := range 8 {
			b.publish("q", fmt.Sprintf("slow%d", i))
			synctest.Wait()
		}
		b.publish("q", "after")
		time.Sleep(10 * time.Minute)
		ran := quick.Load()
		close(block)
		require.NoError(t, stop())
		require.EqualValues(t, 2001, ran, "ten minutes later it has not run: 8 of 64 run slots are taken, all others idle")
	})
}
