package broker_test

import (
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
)

func TestFirstSettlementWins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.publish("1")
		d := b.next(1)[0]
		d.Ack()
		d.Nack(0)
		d.Release(0)
		none(t, b.s, eventflow.Want{})
		require.Equal(t, int64(1), b.m.Stats("q", "").Acked)
		require.Zero(t, b.m.Stats("q", "").Failed)
	})
}

func TestOnlyFailuresAreAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.publish("1")
		counts := func() [2]int {
			d := b.next(1)[0]
			defer d.Release(0)
			return [2]int{d.Attempts, d.Receives}
		}
		require.Equal(t, [2]int{0, 1}, counts())
		require.Equal(t, [2]int{0, 2}, counts(), "a release is none")
		b.next(1)[0].Nack(0)
		require.Equal(t, [2]int{1, 4}, counts(), "a nack is one")
		d := b.next(1)[0]
		d.Attempted()
		d.Attempted()
		require.True(t, d.Open(), "it stays held")
		none(t, b.s, eventflow.Want{})
		d.Release(0)
		require.Equal(t, [2]int{3, 6}, counts(), "a failed run that kept its lock is one")
		d = b.next(1)[0]
		d.Settle(eventflow.Settlement{Verb: eventflow.Abandon})
		require.Equal(t, [2]int{3, 8}, counts(), "a lapsed lock is none")
		require.Equal(t, int64(3), b.m.Stats("q", "").Failed)
	})
}

func TestDelayIsKeptAndNotExceeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.publish("1")
		for _, after := range []time.Duration{-time.Second, 0, time.Nanosecond, time.Hour, 40 * 365 * 24 * time.Hour} {
			d := b.next(1)[0]
			start := time.Now()
			d.Nack(after)
			d = b.next(1)[0]
			require.Equal(t, max(after, 0), time.Since(start))
			d.Release(after)
			d = b.next(1)[0]
			require.Equal(t, 2*max(after, 0), time.Since(start))
			d.Release(0)
		}
		b.next(1)[0].Nack(math.MaxInt64)
		none(t, b.s, eventflow.Want{})
		require.Equal(t, 1, b.m.Stats("q", "").Delayed, "the longest delay is far away, not in the past")
	})
}

func TestAbandonedEventComesBackWhenItsLeaseEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.Lease(10*time.Second))
		b.publishKey("a", "1", "2")
		d := b.next(1)[0]
		require.Equal(t, time.Now().Add(10*time.Second), d.LockedUntil)
		time.Sleep(5 * time.Minute)
		require.True(t, d.Open(), "a held one is renewed")
		d.Settle(eventflow.Settlement{Verb: eventflow.Abandon})
		require.False(t, d.Open())
		start := time.Now()
		require.Equal(t, []string{"1", "2"}, texts(b.next(9)), "its lane waits for it")
		require.Equal(t, 10*time.Second, time.Since(start))
		d.Ack()
		require.Equal(t, 2, b.m.Stats("q", "").InFlight, "the old delivery settles nothing")
	})
}

func TestSettledIsToldOnceOfEachSettlement(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var mu sync.Mutex
	notes := map[string][]uint16{}
	require.NoError(t, b.s.Start(t.Context(), eventflow.Listening{Settled: func(ds []*eventflow.Delivery, err error) {
		b.m.Stats("q", "") // called outside the lock
		mu.Lock()
		defer mu.Unlock()
		require.NoError(t, err)
		for _, d := range ds {
			notes[string(d.Event.Data)] = append(notes[string(d.Event.Data)], d.Note())
		}
	}}))
	b.publish("1", "2", "3", "4", "5")
	ds := b.next(5)
	eventflow.SettleAll(ds[:2], eventflow.Settlement{Verb: eventflow.Ack, Note: 7})
	ds[2].Settle(eventflow.Settlement{Verb: eventflow.Nack, After: time.Hour, Note: 8})
	ds[3].Settle(eventflow.Settlement{Verb: eventflow.Abandon, Note: 9})
	require.NoError(t, ds[4].DeadLetter(t.Context(), eventflow.Failure{Note: 10}))
	eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
	require.Equal(t, map[string][]uint16{"1": {7}, "2": {7}, "3": {8}, "4": {9}, "5": {10}}, notes)
}

func TestCloseGivesBackWhatIsUnsettledAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		start := time.Now()
		b.publishKey("a", "a1", "a2", "a3")
		b.publish("x", "y")
		ds := b.next(9)
		ds[1].Ack()
		second := b.m.Subscriber("q")
		got := later(t, second, 9)
		synctest.Wait()
		require.NoError(t, b.s.Close(t.Context()))
		back := <-got
		for len(back) < 4 {
			back = append(back, nextOf(t, second, eventflow.Want{Events: 9})...)
		}
		require.ElementsMatch(t, []string{"a1", "a3", "x", "y"}, texts(back))
		require.Zero(t, time.Since(start))
		for i, d := range ds {
			require.False(t, d.Open())
			require.Equal(t, i != 1, d.Lost(), "what was not settled is fenced")
			d.Ack()
			d.Attempted()
			if err := d.DeadLetter(t.Context(), eventflow.Failure{}); i != 1 {
				require.ErrorIs(t, err, eventflow.ErrLockLost)
			}
		}
		for _, d := range back {
			require.True(t, d.Open(), "a late settlement does not settle somebody else's")
			require.Zero(t, d.Attempts)
			require.Equal(t, 2, d.Receives)
		}
		require.Equal(t, 4, b.m.Stats("q", "").InFlight)
	})
}
