package renew_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/renew"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record is a lock as its holder sees it, and as the broker does.
type record struct {
	id   int
	lock renew.Lock[*record]
	ends time.Time // at the broker
}

// broker answers renewals and remembers what happened.
type broker struct {
	mu     sync.Mutex // guards what follows
	calls  [][]int
	when   []time.Duration
	start  time.Time
	lost   map[int]time.Time
	errs   map[int]error
	answer func(ctx context.Context, rs []renew.Renewal[*record]) error
}

func newBroker() *broker {
	return &broker{start: time.Now(), lost: map[int]time.Time{}, errs: map[int]error{}}
}

func (b *broker) Renew(ctx context.Context, rs []renew.Renewal[*record]) error {
	b.mu.Lock()
	ids := make([]int, len(rs))
	for i, r := range rs {
		ids[i] = r.Lock.id
	}
	b.calls = append(b.calls, ids)
	b.when = append(b.when, time.Since(b.start))
	answer := b.answer
	b.mu.Unlock()
	if answer != nil {
		return answer(ctx, rs)
	}
	for _, r := range rs {
		r.Lock.ends = time.Now().Add(r.Ask)
	}
	return nil
}

func (b *broker) Lost(ls []*record, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range ls {
		b.lost[l.id], b.errs[l.id] = time.Now(), err
	}
}

// look gives a copy of what happened so far.
func (b *broker) look() *broker {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &broker{calls: slices.Clone(b.calls), when: slices.Clone(b.when), lost: maps.Clone(b.lost), errs: maps.Clone(b.errs)}
}

func (b *broker) config() renew.Config[*record] {
	return renew.Config[*record]{Renew: b.Renew, Lost: b.Lost}
}

func hold(t *testing.T, tr *renew.Tracker[*record], n int, d time.Duration) []*record {
	t.Helper()
	rs := make([]*record, n)
	for i := range rs {
		rs[i] = &record{id: i, ends: time.Now().Add(d)}
		require.True(t, tr.Add(&rs[i].lock, rs[i], time.Now(), d))
	}
	return rs
}

func TestLockIsRenewedAtHalfItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		tr := renew.New(b.config())
		defer tr.Close()
		hold(t, tr, 1, 30*time.Second)
		time.Sleep(46 * time.Second)
		synctest.Wait()
		require.Equal(t, []time.Duration{15 * time.Second, 30 * time.Second, 45 * time.Second}, b.look().when)
		require.Empty(t, b.look().lost)
	})
}

func TestRenewalsAreBatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		c := b.config()
		c.Batch = 10
		tr := renew.New(c)
		defer tr.Close()
		hold(t, tr, 100, 30*time.Second)
		time.Sleep(16 * time.Second)
		synctest.Wait()
		require.Len(t, b.look().calls, 10)
		seen := map[int]bool{}
		for _, ids := range b.look().calls {
			require.Len(t, ids, 10)
			for _, id := range ids {
				seen[id] = true
			}
		}
		require.Len(t, seen, 100)
	})
}

func TestLocksThatCameOneByOneFillTheirCallsLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		c := b.config()
		c.Batch = 10
		tr := renew.New(c)
		defer tr.Close()
		const n, lasts = 40, 30 * time.Second
		for i := range n {
			r := &record{id: i}
			require.True(t, tr.Add(&r.lock, r, time.Now(), lasts))
			time.Sleep(400 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		before := len(b.look().calls)
		const rounds = 40
		time.Sleep(rounds * lasts / 2)
		synctest.Wait()
		require.LessOrEqual(t, len(b.look().calls)-before, rounds*n/10)
		require.Empty(t, b.look().lost)
	})
}

func TestSettledLockIsNotRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		tr := renew.New(b.config())
		defer tr.Close()
		rs := hold(t, tr, 3, 30*time.Second)
		require.True(t, tr.Remove(&rs[1].lock))
		require.False(t, tr.Remove(&rs[1].lock), "the second time")
		require.Equal(t, 2, tr.Len())
		time.Sleep(16 * time.Second)
		synctest.Wait()
		require.Equal(t, [][]int{{0}, {2}}, b.look().calls)
	})
}

func TestLockSettledWhileItIsRenewedIsNoError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		b.answer = func(_ context.Context, rs []renew.Renewal[*record]) error {
			time.Sleep(time.Second)
			for i := range rs {
				rs[i].Err = eventflow.ErrLockLost // as a broker says of what was deleted meanwhile
			}
			return nil
		}
		tr := renew.New(b.config())
		defer tr.Close()
		rs := hold(t, tr, 1, 30*time.Second)
		time.Sleep(15500 * time.Millisecond)
		require.True(t, tr.Remove(&rs[0].lock))
		// Its record may hold another lock by the time of the answer.
		require.True(t, tr.Add(&rs[0].lock, rs[0], time.Now(), 30*time.Second))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Empty(t, b.look().lost)
		require.True(t, tr.Held(&rs[0].lock))
	})
}

func TestFailedRenewalIsTriedAgainUntilTheFence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		throttled := errors.New("throttled")
		b.answer = func(context.Context, []renew.Renewal[*record]) error { return throttled }
		tr := renew.New(b.config())
		defer tr.Close()
		rs := hold(t, tr, 1, 30*time.Second)
		time.Sleep(29*time.Second - time.Millisecond)
		synctest.Wait()
		require.Empty(t, b.look().lost)
		require.True(t, tr.Held(&rs[0].lock))
		require.Greater(t, len(b.look().calls), 6)
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		require.True(t, b.look().lost[0].Before(rs[0].ends))
		require.ErrorIs(t, b.look().errs[0], eventflow.ErrLockLost)
		require.ErrorIs(t, b.look().errs[0], throttled)
		require.False(t, tr.Held(&rs[0].lock))
		require.False(t, tr.Remove(&rs[0].lock))
	})
}

func TestRenewalThatSucceedsAtLastKeepsTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		n := 0
		b.answer = func(context.Context, []renew.Renewal[*record]) error {
			if n++; n%5 != 0 {
				return errors.New("cut")
			}
			return nil
		}
		tr := renew.New(b.config())
		defer tr.Close()
		hold(t, tr, 1, 10*time.Second)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.Empty(t, b.look().lost)
	})
}

func TestBlackHoleIsNotWaitedForBeyondTheFence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		b.answer = func(ctx context.Context, _ []renew.Renewal[*record]) error {
			<-ctx.Done()
			return ctx.Err()
		}
		c := b.config()
		c.Batch = 10
		tr := renew.New(c)
		defer tr.Close()
		rs := hold(t, tr, 25, 30*time.Second)
		time.Sleep(29*time.Second + time.Millisecond)
		synctest.Wait()
		require.Len(t, b.look().lost, 25)
		for i, at := range b.look().lost {
			require.True(t, at.Before(rs[i].ends))
		}
		require.Greater(t, len(b.look().calls), 1)
	})
}

func TestCallThatIgnoresItsContextDoesNotHideTheFence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		b.answer = func(context.Context, []renew.Renewal[*record]) error {
			time.Sleep(time.Minute)
			return nil
		}
		tr := renew.New(b.config())
		defer tr.Close()
		rs := hold(t, tr, 2, 30*time.Second)
		time.Sleep(29*time.Second + time.Millisecond)
		synctest.Wait()
		require.Len(t, b.look().lost, 2)
		require.True(t, b.look().lost[0].Before(rs[0].ends) && b.look().lost[1].Before(rs[1].ends))
	})
}

func TestGoneLockIsLostAtOnceAndAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		gone := fmt.Errorf("receipt handle expired: %w", eventflow.ErrLockLost)
		b.answer = func(_ context.Context, rs []renew.Renewal[*record]) error {
			for i := range rs {
				if rs[i].Lock.id == 1 {
					rs[i].Err = gone
				}
			}
			return nil
		}
		c := b.config()
		c.Batch = 10
		tr := renew.New(c)
		defer tr.Close()
		hold(t, tr, 3, 30*time.Second)
		time.Sleep(15*time.Second + time.Millisecond)
		synctest.Wait()
		require.Len(t, b.look().lost, 1)
		require.ErrorIs(t, b.look().errs[1], gone)
		require.Equal(t, 2, tr.Len())
	})
}

func TestTimeIsCountedFromTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		b.answer = func(context.Context, []renew.Renewal[*record]) error {
			time.Sleep(4 * time.Second) // the answer is slow
			return nil
		}
		tr := renew.New(b.config())
		defer tr.Close()
		r := &record{}
		require.True(t, tr.Add(&r.lock, r, time.Now().Add(-10*time.Second), 30*time.Second))
		require.Equal(t, 19*time.Second, tr.Left(&r.lock))
		time.Sleep(9*time.Second + time.Millisecond) // asked at 5 s
		synctest.Wait()
		require.Equal(t, 25*time.Second-time.Millisecond, tr.Left(&r.lock))

		var late record
		require.False(t, tr.Add(&late.lock, &late, time.Now().Add(-29*time.Second), 30*time.Second), "past its fence")
		require.False(t, tr.Held(&late.lock))
	})
}

func TestLockIsLostWhenItWasHeldInTotalAsLongAsItCanBe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		var asked []time.Duration
		b.answer = func(_ context.Context, rs []renew.Renewal[*record]) error {
			asked = append(asked, rs[0].Ask)
			rs[0].For = rs[0].Ask.Truncate(time.Second)
			return nil
		}
		c := b.config()
		c.Total = 12 * time.Hour
		tr := renew.New(c)
		defer tr.Close()
		hold(t, tr, 1, 70*time.Second)
		start := time.Now()
		time.Sleep(12*time.Hour - 2*time.Second)
		synctest.Wait()
		require.Empty(t, b.look().lost)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		seen := b.look()
		require.Contains(t, seen.lost, 0)
		require.True(t, seen.lost[0].Before(start.Add(12*time.Hour)))
		last := time.Duration(0)
		for i, a := range asked {
			require.LessOrEqual(t, seen.when[i]+a, 12*time.Hour)
			last = a
		}
		require.Less(t, last, 70*time.Second)
		require.ErrorIs(t, b.look().errs[0], eventflow.ErrLockLost)
	})
}

func TestSlowCallsDoNotHoldUpEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		b.answer = func(context.Context, []renew.Renewal[*record]) error {
			time.Sleep(3 * time.Second)
			return nil
		}
		c := b.config()
		c.Calls = 4
		tr := renew.New(c)
		defer tr.Close()
		hold(t, tr, 8, 30*time.Second)
		time.Sleep(22 * time.Second)
		synctest.Wait()
		require.Len(t, b.look().calls, 8)
		require.Equal(t, b.look().when[0], b.look().when[3])
		require.Equal(t, 3*time.Second, b.look().when[4]-b.look().when[0])
	})
}

func TestCloseEndsCallsAndTellsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		b.answer = func(ctx context.Context, _ []renew.Renewal[*record]) error {
			<-ctx.Done()
			return ctx.Err()
		}
		tr := renew.New(b.config())
		rs := hold(t, tr, 2, 30*time.Second)
		time.Sleep(16 * time.Second)
		start := time.Now()
		tr.Close()
		tr.Close()
		require.Equal(t, start, time.Now())
		require.False(t, tr.Held(&rs[0].lock))
		require.False(t, tr.Remove(&rs[0].lock))
		require.False(t, tr.Add(&rs[0].lock, rs[0], time.Now(), time.Minute))
		time.Sleep(time.Hour)
		require.Empty(t, b.look().lost)

		renew.New(b.config()).Close() // nothing was ever held
	})
}

func TestTrackerWorksInABubbleItWasNotMadeIn(t *testing.T) {
	t.Parallel()
	b := newBroker()
	tr := renew.New(b.config())
	synctest.Test(t, func(t *testing.T) {
		hold(t, tr, 1, 30*time.Second)
		time.Sleep(time.Minute)
		synctest.Wait()
		tr.Close()
	})
	require.GreaterOrEqual(t, len(b.look().calls), 3)
	require.Empty(t, b.look().lost)
}

// Whatever happens, a lock that the tracker holds has not ended at the broker.
func TestHeldLockHasNeverEndedAtTheBroker(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			b := newBroker()
			var mu sync.Mutex // guards rnd
			chance := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return rnd.IntN(n)
			}
			b.answer = func(ctx context.Context, rs []renew.Renewal[*record]) error {
				time.Sleep(time.Duration(chance(800)) * time.Millisecond)
				if chance(3) == 0 {
					return errors.New("lost question")
				}
				now := time.Now()
				b.mu.Lock()
				for i := range rs {
					switch {
					case chance(20) == 0:
						rs[i].Err = eventflow.ErrLockLost
					case chance(5) == 0:
						rs[i].Err = errors.New("failed alone")
					default:
						rs[i].Lock.ends = now.Add(rs[i].Ask)
					}
				}
				b.mu.Unlock()
				time.Sleep(time.Duration(chance(800)) * time.Millisecond)
				if chance(5) == 0 {
					return errors.New("lost answer")
				}
				return ctx.Err()
			}
			c := b.config()
			c.Batch, c.Calls = 1+chance(10), 1+chance(3)
			tr := renew.New(c)
			var held []*record
			for id := range 300 {
				if chance(2) == 0 {
					d := time.Duration(3+chance(20)) * time.Second
					r := &record{id: id, ends: time.Now().Add(d)}
					require.True(t, tr.Add(&r.lock, r, time.Now(), d))
					held = append(held, r)
				}
				time.Sleep(time.Duration(chance(500)) * time.Millisecond)
				if len(held) > 0 && chance(3) == 0 {
					tr.Remove(&held[chance(len(held))].lock)
				}
				synctest.Wait() // or the loop might not have seen yet that it is this late
				live := held[:0]
				for _, r := range held {
					b.mu.Lock()
					ended, told := !time.Now().Before(r.ends), !b.lost[r.id].IsZero()
					b.mu.Unlock()
					if tr.Held(&r.lock) {
						require.False(t, ended, "held past its end")
						live = append(live, r)
					} else if told {
						require.False(t, tr.Remove(&r.lock))
					}
				}
				held = live
				require.Equal(t, len(held), tr.Len())
			}
			tr.Close()
		})
	}
}
