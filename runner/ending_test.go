package runner_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// dawdling is a clock whose Next takes ten seconds once it is told so.
type dawdling struct {
	eventflow.TimeClock
	slow atomic.Bool
}

func (d *dawdling) Next(after time.Time) time.Time {
	if d.slow.Load() {
		time.Sleep(10 * time.Second)
	}
	return d.TimeClock.Next(after)
}

// What a clock comes to while the runner stops is nobody's: it is seen as missed by the next listener.
func TestAFireThatIsDueWhileTheRunnerStopsIsNotInFlightForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		began := time.Now()
		clock := &dawdling{TimeClock: eventflow.Every(time.Hour)}
		r := b.new(hours(rec), runner.At(clock, runner.Named(hourly)))
		stop := b.listen(r)
		<-r.Ready()
		clock.slow.Store(true)
		time.Sleep(time.Hour + 5*time.Second) // Next is being asked
		require.NoError(t, stop())
		clock.slow.Store(false)
		require.Zero(t, balanced(t, r).InFlight, "Listen has returned")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Hour)
		defer cancel()
		_, err := r.Backfill(ctx, hourly, began, began.Add(1))
		require.NoError(t, err, "a Backfill after Listen waits for a fire that nobody runs")
	})
}

func TestAFireThatIsDueWhileTheRunnerStopsHoldsNothingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		clock := &dawdling{TimeClock: eventflow.Every(time.Minute)}
		r := b.new(eventflow.NewJob("f", func(context.Context) error { time.Sleep(80 * time.Second); return nil }),
			runner.At(clock, runner.Named("minutely"), runner.Overlap(runner.OverlapBufferAll)))
		stop := b.listen(r)
		time.Sleep(61 * time.Second)
		clock.slow.Store(true)
		time.Sleep(64 * time.Second) // 02:05: the first runs until 02:20, Next is being asked until 02:10
		began := time.Now()
		require.NoError(t, stop(), "a fire that never began is named as abandoned")
		require.Less(t, time.Since(began), 20*time.Second, "its run ends at 02:20")
		require.Zero(t, balanced(t, r).InFlight)
	})
}

// lateOrphans is a store whose second Orphans takes a while, and finds a fire.
type lateOrphans struct {
	store.Store
	n   atomic.Int64
	key eventflow.Key
}

func (s *lateOrphans) Orphans(context.Context, string, int) ([]eventflow.Key, error) {
	if s.n.Add(1) < 2 {
		return nil, nil
	}
	time.Sleep(20 * time.Second)
	return []eventflow.Key{s.key}, nil
}

func TestAFireThatIsFoundWhileTheLastRunEndsIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		first, second := time.Now().Add(time.Minute), time.Now().Add(2*time.Minute)
		r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
			if eventflow.RunFrom(ctx).Fire.Nominal.Equal(second) {
				time.Sleep(100 * time.Second)
			}
			return nil
		}), runner.At(eventflow.Dates(first, second), runner.Named("d"), runner.Overlap(runner.OverlapAllowAll)), runner.FireSlots(2),
			runner.Lease(3*time.Minute+30*time.Second),
			runner.Store(&lateOrphans{Store: store.NewMemory(), key: eventflow.FireKey("f", "d", first)}))
		require.NoError(t, r.Listen(t.Context()))
		c := balanced(t, r)
		require.Zero(t, c.InFlight)
		require.EqualValues(t, 1, c.Outcomes[eventflow.Duplicate], "the sweep that was under way found it")
	})
}

// unheard is a store that confirms no renewal.
type unheard struct{ store.Store }

func (unheard) Renew(context.Context, string, time.Duration, []*store.Claim) error { return errBoom }

// graveyard is a place for dead letters that takes its time, or none.
type graveyard struct {
	eventflow.Publisher
	takes   time.Duration
	fails   error
	written *atomic.Int64
}

func (g *graveyard) Publish(ctx context.Context, evs ...eventflow.Event) error {
	time.Sleep(g.takes)
	if g.fails != nil {
		return g.fails
	}
	g.written.Add(1)
	return g.Publisher.Publish(ctx, evs...)
}

// Its last run had failed when the claim was lost on the way of the dead letter, or when the runner had to stop without
// having written it: whoever has it next writes the dead letter, and runs nothing.
func TestTheLastFailureIsRememberedThoughItsDeadLetterIsNot(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]graveyard{
		"the claim is fenced while it is written":    {takes: 29 * time.Second},
		"it is not written when the runner is ended": {fails: errBoom},
	} {
		for _, fire := range []bool{false, true} {
			t.Run(name+", fire: "+strconv.FormatBool(fire), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b, st := setup(t, broker.Lease(time.Hour)), store.NewMemory()
					g := graveyard{Publisher: b.mem.Publisher("dead"), takes: of.takes, fails: of.fails, written: new(atomic.Int64)}
					var runs atomic.Int64
					f := eventflow.NewSink("f", func(context.Context, []byte) error { runs.Add(1); return errBoom })
					on := func() runner.Option { return runner.On(b.mem.Subscriber("q"), runner.Named("q")) }
					if fire {
						clock := eventflow.Dates(time.Now().Add(time.Second), time.Now().Add(time.Hour))
						on = func() runner.Option { return runner.At(clock, runner.Named("d")) }
					} else {
						b.publish("q", "1")
					}
					r := b.new(f, on(), runner.MaxAttempts(2), runner.Backoff(func(int) time.Duration { return 0 }), runner.DeadLetterTo(&g), runner.Store(unheard{st}))
					stop := b.listen(r)
					time.Sleep(10 * time.Second)
					require.EqualValues(t, 2, runs.Load())
					if g.fails == nil {
						time.Sleep(2 * time.Minute)
					}
					require.NoError(t, stop())
					next := b.new(f, on(), runner.MaxAttempts(2), runner.DeadLetterTo(&graveyard{Publisher: g.Publisher, written: g.written}), runner.Store(st))
					stop = b.listen(next)
					time.Sleep(2 * time.Minute)
					require.NoError(t, stop())
					require.EqualValues(t, 2, runs.Load(), "it was run after its last attempt")
					require.Positive(t, g.written.Load(), "its dead letter was never written")
				})
			})
		}
	}
}
