package runner_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/wall"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// machine is what a runner and its store take for wall time, which can be stepped, as a suspended machine's is when it
// wakes up.
type machine struct {
	store.Store
	ahead atomic.Int64
}

func (m *machine) step(d time.Duration) { m.ahead.Add(int64(d)) }

func (m *machine) offset() time.Duration { return time.Duration(m.ahead.Load()) }

func (m *machine) now() time.Time { return time.Now().Add(m.offset()) }

// Claim asks the store as one whose clock is the machine's.
func (m *machine) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	own := make([]store.Claim, len(cs))
	copy(own, cs)
	for i := range own {
		if own[i].Fire != nil {
			f := *own[i].Fire
			f.NotBefore = f.NotBefore.Add(-m.offset())
			own[i].Fire = &f
		}
	}
	err := m.Store.Claim(ctx, owner, lease, own)
	for i := range own {
		own[i].Fire = cs[i].Fire
		if own[i].Status == store.Early {
			own[i].Until = own[i].Until.Add(m.offset())
		}
	}
	copy(cs, own)
	return err
}

// listenAt is listen with a wall clock of the test's.
func (b *bundle) listenAt(r *runner.FlowRunner, now func() time.Time) (stop func() error) {
	ctx, cancel := context.WithCancel(wall.With(b.t.Context(), now))
	done := make(chan error, 1)
	go func() { done <- r.Listen(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

// fires notes the nominal time of each fire and how many were missed before it, by a layout.
func fires(rec *recorder, layout string) *eventflow.Flow {
	return eventflow.NewJob("f", func(ctx context.Context) error {
		f := eventflow.RunFrom(ctx).Fire
		s := f.Nominal.Format(layout)
		if len(f.Missed) > 0 {
			s += fmt.Sprintf("+%d", len(f.Missed))
		}
		rec.note(s)
		return nil
	})
}

func why(outcome eventflow.Outcome, reason string) runner.Reason {
	return runner.Reason{Outcome: outcome, Why: reason}
}

func TestAWallClockSteppedForwardMissesFiresAndRepeatsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec, m := setup(t), &recorder{}, &machine{Store: store.NewMemory()}
		r := b.new(fires(rec, "15:04"), runner.At(eventflow.Every(10*time.Minute)), runner.Store(m))
		stop := b.listenAt(r, m.now)
		time.Sleep(25 * time.Minute)
		m.step(time.Hour) // it is 01:25
		time.Sleep(61 * time.Second)
		require.Equal(t, []string{"00:10", "00:20", "01:20+5"}, rec.list(), "noticed within a minute")
		time.Sleep(10 * time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []string{"00:10", "00:20", "01:20+5", "01:30"}, rec.list())
		require.EqualValues(t, 5, balanced(t, r).Reasons[why(eventflow.Skipped, "missed")])
	})
}

func TestAWallClockSteppedBackRepeatsNoFire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec, m := setup(t), &recorder{}, &machine{Store: store.NewMemory()}
		time.Sleep(2 * time.Hour)
		r := b.new(fires(rec, "15:04"), runner.At(eventflow.Every(10*time.Minute)), runner.Store(m))
		stop := b.listenAt(r, m.now)
		time.Sleep(25 * time.Minute)
		m.step(-time.Hour) // it is 01:25 again
		time.Sleep(65*time.Minute + time.Second)
		want := []string{"02:10", "02:20", "01:30", "01:40", "01:50", "02:00", "02:30"}
		require.Equal(t, want, rec.list(), "each once: those of the repeated hour that had not run, and the next when its time has come")

		m.step(-time.Hour) // and a restart meanwhile
		require.NoError(t, stop())
		require.EqualValues(t, 2, balanced(t, r).Outcomes[eventflow.Duplicate], "what ran is a duplicate")
		r = b.new(fires(rec, "15:04"), runner.At(eventflow.Every(10*time.Minute)), runner.Store(m))
		stop = b.listenAt(r, m.now)
		time.Sleep(70*time.Minute + time.Second)
		require.NoError(t, stop())
		require.Equal(t, append(want, "02:40"), rec.list())
		require.EqualValues(t, 6, balanced(t, r).Outcomes[eventflow.Duplicate])
	})
}

// A machine that sleeps takes its timers' clock with it: when it wakes up only the wall clock shows that.
func TestAMachineThatSleptForNineHours(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		opts    []runner.AtOption
		want    string
		skipped int64
	}{
		{"Latest", nil, "01 10+8 11", 8},
		{"Latest within an hour", []runner.AtOption{runner.Missed(runner.MissedLatest, time.Hour, 0)}, "01 10+8 11", 8},
		{"Latest within half an hour", []runner.AtOption{runner.Missed(runner.MissedLatest, 29*time.Minute, 0)}, "01 11", 9},
		{"All", []runner.AtOption{runner.Missed(runner.MissedAll, 0, 0)}, "01 02 03 04 05 06 07 08 09 10 11", 0},
		{"All within three hours", []runner.AtOption{runner.Missed(runner.MissedAll, 3*time.Hour, 0)}, "01 08 09 10 11", 6},
		{"All, at most two", []runner.AtOption{runner.Missed(runner.MissedAll, 0, 2)}, "01 09 10 11", 7},
		{"All within three hours, at most two", []runner.AtOption{runner.Missed(runner.MissedAll, 3*time.Hour, 2)}, "01 09 10 11", 7},
		{"None", []runner.AtOption{runner.Missed(runner.MissedNone, 0, 0)}, "01 11", 9},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, rec, m := setup(t), &recorder{}, &machine{Store: store.NewMemory()}
				r := b.new(fires(rec, "15"), runner.At(eventflow.Every(time.Hour), tc.opts...), runner.Store(m))
				stop := b.listenAt(r, m.now)
				time.Sleep(90 * time.Minute)
				m.step(9 * time.Hour) // asleep from 01:30 to 10:30
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Equal(t, strings.TrimSuffix(tc.want, " 11"), strings.Join(rec.list(), " "), "within a minute of waking up")
				time.Sleep(time.Hour)
				require.NoError(t, stop())
				require.Equal(t, tc.want, strings.Join(rec.list(), " "))
				c := balanced(t, r)
				require.Equal(t, tc.skipped, c.Reasons[why(eventflow.Skipped, "missed")])
				require.EqualValues(t, 11, c.Fires.Received, "each is counted")
			})
		})
	}
}

// The clock of this replica is five seconds ahead of the store's: its fires wait, and the store is not stormed meanwhile.
func TestAFireIsNeverEarlyByTheStoresClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		asked := &counted{Store: store.NewMemory()}
		m := &machine{} // the runner's alone
		m.step(5 * time.Second)
		var starts []time.Duration
		r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
			starts = append(starts, time.Since(eventflow.RunFrom(ctx).Fire.Due))
			return nil
		}), runner.At(eventflow.Every(time.Minute)), runner.Store(asked))
		stop := b.listenAt(r, m.now)
		time.Sleep(10*time.Minute + time.Second)
		require.NoError(t, stop())
		require.Len(t, starts, 10)
		for _, late := range starts {
			require.GreaterOrEqual(t, late, time.Duration(0))
			require.LessOrEqual(t, late, 250*time.Millisecond)
		}
		require.Less(t, asked.claims.Load(), int64(10*40))
		balanced(t, r)
	})
}

type counted struct {
	store.Store
	claims atomic.Int64
}

func (s *counted) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	s.claims.Add(1)
	return s.Store.Claim(ctx, owner, lease, cs)
}

func TestAPauseOverAFireSkipsItHereAndNowhereElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, st := setup(t), store.NewMemory()
		var recs [2]*recorder
		var rs [2]*runner.FlowRunner
		var stops [2]func() error
		listen := func(i int) {
			if recs[i] == nil {
				recs[i] = &recorder{}
			}
			rs[i] = b.new(fires(recs[i], "15"), runner.At(eventflow.Every(time.Hour), runner.Named("c")), runner.Store(st))
			stops[i] = b.listen(rs[i])
			<-rs[i].Ready()
		}
		listen(0)
		require.NoError(t, rs[0].Pause("c"))
		listen(1)
		time.Sleep(2*time.Hour + time.Minute)
		require.Empty(t, recs[0].list())
		require.Equal(t, []string{"01", "02"}, recs[1].list(), "the other runs them")
		require.EqualValues(t, 2, balanced(t, rs[0]).Reasons[why(eventflow.Skipped, "paused")])

		require.NoError(t, stops[1]())
		time.Sleep(time.Hour) // 03:00 is paused, and there is nobody else
		require.NoError(t, rs[0].Resume("c"))
		time.Sleep(time.Hour)
		require.Equal(t, []string{"04"}, recs[0].list(), "it goes on with the next")
		done, err := rs[0].Backfill(t.Context(), "c", time.Now().Add(-2*time.Hour), time.Now())
		require.NoError(t, err)
		require.Equal(t, "2 fires = 1 succeeded + 1 duplicate", done.String(), "03:00 can be made up for")

		require.NoError(t, rs[0].Pause("c"))
		time.Sleep(time.Hour)
		require.NoError(t, stops[0]())
		balanced(t, rs[0])
		listen(0) // a restart is not paused: 05:00 is a missed fire
		synctest.Wait()
		require.Equal(t, []string{"04", "03", "05"}, recs[0].list())
		require.NoError(t, stops[0]())
	})
}

// deliberate is a clock of the user's own that takes its time to answer.
type deliberate struct {
	eventflow.TimeClock
	slow atomic.Bool
}

func (c *deliberate) Next(after time.Time) time.Time {
	if c.slow.Load() {
		time.Sleep(time.Hour)
	}
	return c.TimeClock.Next(after)
}

func (c *deliberate) String() string { return "slow" }

func TestASlowClockHoldsUpNeitherEventsNorRetriesNorLeases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		clock := &deliberate{TimeClock: eventflow.Every(time.Minute)}
		began := time.Now()
		r := b.new(eventflow.NewSink("f", func(ctx context.Context, s string) error {
			run := eventflow.RunFrom(ctx)
			if run.Fire != nil {
				return nil
			}
			if rec.note(fmt.Sprintf("%s#%d", s, run.Attempt)); s == "poor" && run.Attempt == 1 {
				return errBoom
			}
			if s == "long" {
				select {
				case <-time.After(5 * time.Minute): // several leases
				case <-ctx.Done():
					rec.note("cancelled")
				}
			}
			return nil
		}), runner.On(b.mem.Subscriber("q")), runner.At(clock), runner.Backoff(func(int) time.Duration { return time.Second }))
		stop := b.listen(r)
		<-r.Ready()
		clock.slow.Store(true)
		time.Sleep(61 * time.Second) // it is being asked now, until 01:01
		b.publish("q", "long", "poor")
		time.Sleep(6 * time.Minute)
		require.ElementsMatch(t, []string{"long#1", "poor#1", "poor#2"}, rec.list())
		require.EqualValues(t, 2, r.Counts().Outcomes[eventflow.Succeeded])
		clock.slow.Store(false)
		require.NoError(t, stop())
		require.Less(t, time.Since(began), 2*time.Hour)
		balanced(t, r)
	})
}

func TestAClockThatIsBusySkipsNothingOfAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rec := setup(t), &recorder{}
		r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
			f := eventflow.RunFrom(ctx).Fire
			if rec.note(f.Clock + f.Nominal.Format("04")); f.Clock == "a" {
				select {
				case <-time.After(150 * time.Second):
				case <-ctx.Done():
				}
			}
			return nil
		}), runner.At(eventflow.Every(time.Minute), runner.Named("a"), runner.Overlap(runner.OverlapBufferOne)),
			runner.At(eventflow.Every(time.Minute), runner.Named("b")), runner.Grace(0))
		stop := b.listen(r)
		time.Sleep(4*time.Minute + time.Second)
		require.NoError(t, stop())
		require.ElementsMatch(t, []string{"a01", "a02", "b01", "b02", "b03", "b04"}, rec.list())
		balanced(t, r)
	})
}

func TestBufferAllKeepsAThousandFiresAndCountsTheOthersAsSkipped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		release := make(chan struct{})
		ran := 0
		r := b.new(eventflow.NewJob("f", func(context.Context) error {
			ran++
			<-release
			return nil
		}), runner.At(eventflow.Every(time.Second), runner.Overlap(runner.OverlapBufferAll)))
		stop := b.listen(r)
		time.Sleep(1501*time.Second + time.Millisecond)
		c := balanced(t, r)
		require.EqualValues(t, 500, c.Reasons[why(eventflow.Skipped, "overlap")])
		require.EqualValues(t, 1001, c.InFlight)
		close(release)
		synctest.Wait()
		require.Equal(t, 1001, ran)
		require.NoError(t, stop())
		require.EqualValues(t, 1501, balanced(t, r).Fires.Received)
	})
}

func TestEverySkippedFireIsCountedByKind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, m := setup(t), &machine{Store: store.NewMemory()}
		var long atomic.Bool
		r := b.new(eventflow.NewJob("f", func(ctx context.Context) error {
			if long.Load() {
				select {
				case <-time.After(210 * time.Second):
				case <-ctx.Done():
				}
			}
			if eventflow.RunFrom(ctx).Fire.Nominal.Minute() == 59 {
				return eventflow.Skip("not at the end of an hour")
			}
			return nil
		}), runner.At(eventflow.Every(time.Minute), runner.Named("c")), runner.Store(m))
		stop := b.listenAt(r, m.now)
		<-r.Ready()
		time.Sleep(2*time.Minute + time.Second) // 2 run
		require.NoError(t, r.Pause("c"))
		time.Sleep(3 * time.Minute) // 3 are paused
		require.NoError(t, r.Resume("c"))
		long.Store(true)
		time.Sleep(5 * time.Minute) // 00:06 and 00:10 run, 3 overlap
		long.Store(false)
		m.step(10 * time.Minute)
		time.Sleep(4 * time.Minute) // 00:20 is skipped as the run is live, 9 were missed; 00:21 … run
		m.step(30 * time.Minute)
		time.Sleep(6 * time.Minute) // 00:59 skips itself
		require.NoError(t, stop())
		c := balanced(t, r)
		sum := int64(0)
		for reason, n := range c.Reasons {
			require.Equal(t, eventflow.Skipped, reason.Outcome, reason)
			sum += n
		}
		require.Equal(t, c.Outcomes[eventflow.Skipped], sum)
		require.EqualValues(t, 3, c.Reasons[why(eventflow.Skipped, "paused")])
		require.GreaterOrEqual(t, c.Reasons[why(eventflow.Skipped, "overlap")], int64(3))
		require.GreaterOrEqual(t, c.Reasons[why(eventflow.Skipped, "missed")], int64(9+29))
		require.EqualValues(t, 1, c.Reasons[why(eventflow.Skipped, "not at the end of an hour")])
		require.EqualValues(t, 60, c.Fires.Received, "one a minute")
	})
}

// refusing is a subscriber whose broker knows something against the configuration.
type refusing struct {
	eventflow.Subscriber
	asked  atomic.Int64
	closed atomic.Int64
	err    error
}

func (s *refusing) Start(ctx context.Context, l eventflow.Listening) error {
	if s.err != nil {
		return s.err
	}
	return s.Subscriber.Start(ctx, l)
}

func (s *refusing) Next(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	s.asked.Add(1)
	return s.Subscriber.Next(ctx, want)
}

func (s *refusing) Close(ctx context.Context) error {
	s.closed.Add(1)
	return s.Subscriber.Close(ctx)
}

func TestWhatOnlyTheBrokerKnowsFailsAtTheStartBeforeAnythingIsReceived(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var mu sync.Mutex
		ran := 0
		good := &refusing{Subscriber: b.mem.Subscriber("good")}
		bad := &refusing{Subscriber: b.mem.Subscriber("bad"), err: &eventflow.ConfigError{Field: "queue bad maxReceiveCount", Value: "3", Allowed: "at least 10: 5 attempts and 5 of slack"}}
		b.publish("good", "1")
		r := b.new(eventflow.NewSink("f", func(context.Context, string) error { mu.Lock(); ran++; mu.Unlock(); return nil }),
			runner.On(good, runner.Named("good")), runner.On(bad, runner.Named("bad")), runner.At(eventflow.Every(time.Second)))
		err := r.Listen(t.Context())
		var config *eventflow.ConfigError
		require.ErrorAs(t, err, &config)
		require.ErrorContains(t, err, `trigger "bad" of flow "f"`)
		require.ErrorContains(t, err, "maxReceiveCount")
		require.Equal(t, runner.Failed, r.State())
		require.Zero(t, ran)
		require.Zero(t, good.asked.Load()+bad.asked.Load(), "nothing was received")
		require.EqualValues(t, 2, good.closed.Load()+bad.closed.Load())
		require.Zero(t, balanced(t, r).Received)
		select {
		case <-r.Ready():
			t.Error("it was never ready")
		default:
		}
	})
}

// countedClock counts how often it is asked.
type countedClock struct {
	eventflow.TimeClock
	n atomic.Int64
}

func (c *countedClock) Next(after time.Time) time.Time {
	c.n.Add(1)
	return c.TimeClock.Next(after)
}

// listed is a clock of instants.
type listed []time.Time

func (c listed) Next(after time.Time) time.Time {
	i, _ := slices.BinarySearchFunc(c, after.Add(1), time.Time.Compare)
	if i == len(c) {
		return time.Time{}
	}
	return c[i]
}

// missedBy listens with a clock for ten seconds, and again after a downtime. It gives the runs of the second time.
func missedBy(t *testing.T, clock eventflow.TimeClock, down time.Duration, opts ...runner.AtOption) (ran []eventflow.Fire, r *runner.FlowRunner, asked int64) {
	t.Helper()
	b, st, c := setup(t), store.NewMemory(), &countedClock{TimeClock: clock}
	f := eventflow.NewJob("f", func(ctx context.Context) error {
		ran = append(ran, *eventflow.RunFrom(ctx).Fire)
		return nil
	})
	at := runner.At(c, append(opts, runner.Named("c"))...)
	stop := b.listen(b.new(f, at, runner.Store(st)))
	time.Sleep(10*time.Second + 1)
	require.NoError(t, stop())
	time.Sleep(down)
	ran = nil
	c.n.Store(0)
	r = b.new(f, at, runner.Store(st))
	stop = b.listen(r)
	<-r.Ready()
	time.Sleep(time.Millisecond)
	synctest.Wait()
	require.NoError(t, stop())
	balanced(t, r)
	return ran, r, c.n.Load()
}

// A clock that was dense and then paused, or has ended, has nothing near now that tells where its last fires were.
func TestTheScanOfAClockThatHasEndedIsBounded(t *testing.T) {
	t.Parallel()
	last := time.Date(2000, 1, 20, 23, 59, 59, 0, time.UTC)
	for name, clock := range map[string]eventflow.TimeClock{
		"ended":  eventflow.Entry(eventflow.Every(time.Second)).Until(last),
		"pauses": eventflow.Cron("* * * 1-20 1 *", time.UTC),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ran, r, asked := missedBy(t, clock, 25*24*time.Hour, runner.Missed(runner.MissedLatest, 366*24*time.Hour, 0))
				require.Less(t, asked, int64(50_000))
				require.Len(t, ran, 1)
				require.Equal(t, last, ran[0].Nominal)
				require.True(t, ran[0].MissedMore)
				require.GreaterOrEqual(t, len(ran[0].Missed), 4_900)
				require.Equal(t, last.Add(-time.Second), ran[0].Missed[len(ran[0].Missed)-1])
				require.GreaterOrEqual(t, r.Counts().Received, int64(14_900), "at least those that were looked at")
			})
		})
	}
}

// A little more than a scan's 10,000 is seen twice in part, and counted once.
func TestTheScanCountsNoFireTwice(t *testing.T) {
	t.Parallel()
	for _, n := range []int{9_999, 10_001, 10_002, 12_000, 14_999} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ran, r, _ := missedBy(t, eventflow.Every(time.Second), time.Duration(n)*time.Second, runner.Missed(runner.MissedAll, 0, 0))
				require.EqualValues(t, n, r.Counts().Received)
				require.GreaterOrEqual(t, len(ran), 1_000, "as many of the latest as are made up for by default")
			})
		})
	}
}

func TestTheScanOfAClockWhoseFiresComeEverCloserIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var clock listed
		end := time.Now().Add(1000 * time.Hour).UTC()
		for left := 1000*time.Hour - time.Second; left > 0; left -= left/5000 + 1 {
			clock = append(clock, end.Add(-left))
		}
		ran, r, asked := missedBy(t, clock, 1001*time.Hour, runner.Missed(runner.MissedLatest, 366*24*time.Hour, 0))
		require.Less(t, asked, int64(50_000))
		require.Len(t, ran, 1)
		require.Equal(t, end.Add(-1), ran[0].Nominal)
		require.LessOrEqual(t, len(ran[0].Missed), 10_000)
		require.GreaterOrEqual(t, r.Counts().Received, int64(10_001))
	})
}
