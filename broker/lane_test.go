package broker_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
)

func TestEventsOfOneKeyKeepTheirOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 9 {
		b.publishKey(fmt.Sprint("k", i%3), fmt.Sprint(i))
	}
	ds := b.next(9)
	require.Equal(t, "0 1 2 3 4 5 6 7 8", strings.Join(texts(ds), " "), "keys interleave as they were published")
	require.Equal(t, "k1", ds[1].Lane)
}

func TestPerLaneBoundsWhatIsUnsettledOverCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.publishKey("a", "a1", "a2", "a3", "a4")
		b.publishKey("b", "b1")
		b.publish("x", "y", "z")
		want := eventflow.Want{Events: 9, PerLane: 2}
		ds := nextOf(t, b.s, want)
		require.Equal(t, []string{"a1", "a2", "b1", "x", "y", "z"}, texts(ds), "events without a key are not bounded")
		none(t, b.s, want)
		ds[1].Ack()
		require.Equal(t, []string{"a3"}, texts(nextOf(t, b.s, want)))
		none(t, b.s, want)
		ds[0].Ack()
		require.Equal(t, []string{"a4"}, texts(nextOf(t, b.s, want)))
	})
}

func TestPerLaneMayChangeBetweenCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.publishKey("a", "1", "2", "3", "4", "5")
		require.Equal(t, []string{"1"}, texts(nextOf(t, b.s, eventflow.Want{Events: 9, PerLane: 1})))
		ds := nextOf(t, b.s, eventflow.Want{Events: 9, PerLane: 3})
		require.Equal(t, []string{"2", "3"}, texts(ds), "raised")
		none(t, b.s, eventflow.Want{Events: 9, PerLane: 2})
		ds[0].Ack()
		none(t, b.s, eventflow.Want{Events: 9, PerLane: 2})
		require.Equal(t, []string{"4", "5"}, texts(nextOf(t, b.s, eventflow.Want{Events: 9})), "no bound")
	})
}

func TestStuckLaneKeepsNobodyElseWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t, broker.Capacity(200_000))
	b.publishKey("stuck", make([]string, 100_000)...)
	want := eventflow.Want{Events: 64, PerLane: 16}
	require.Len(t, nextOf(t, b.s, want), 16)
	for i := range 10_000 {
		b.publishKey(fmt.Sprint(i%7), "x")
		ds := nextOf(t, b.s, want)
		require.Len(t, ds, 1)
		ack(ds...)
	}
}

func TestLaneIsWithOneConsumerWhileItHoldsAnyOfIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		second := b.m.Subscriber("q")
		want := eventflow.Want{Events: 9}
		b.publishKey("a", "a1", "a2", "a3")
		ds := b.next(2)
		b.publishKey("b", "b1")
		require.Equal(t, []string{"b1"}, texts(nextOf(t, second, want)), "the lane is the first one's")
		ds[0].Ack()
		none(t, second, want)
		ds[1].Ack()
		require.Equal(t, []string{"a3"}, texts(nextOf(t, second, want)), "it holds none of it any more")
		b.publishKey("a", "a4")
		none(t, b.s, want)
		require.Equal(t, []string{"a4"}, texts(nextOf(t, second, want)))
	})
}

// What one consumer passes over in the queue is for the lane's owner, who may be waiting for it.
func TestOwnerOfALaneIsWokenForWhatAnotherConsumerPassesOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		second := b.m.Subscriber("q")
		b.publishKey("a", "a1")
		b.next(1)
		other := later(t, second, 1) // the first to be woken
		synctest.Wait()
		owner := later(t, b.s, 1)
		synctest.Wait()
		b.publishKey("a", "a2")
		require.Equal(t, []string{"a2"}, texts(<-owner))
		b.publish("x")
		require.Equal(t, []string{"x"}, texts(<-other))
	})
}

func TestNackedEventComesBackBeforeItsLane(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publishKey("a", "1", "2", "3")
	b.next(1)[0].Nack(0)
	require.Equal(t, []string{"1", "2", "3"}, texts(b.next(3)))
}

func TestLaneComesBackInOrderHoweverItIsGivenBack(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		b := setup(t)
		r := rand.New(rand.NewPCG(seed, 0))
		all := make([]string, 50)
		for i := range all {
			all[i] = fmt.Sprint(i)
		}
		b.publishKey("a", all...)
		ds := b.next(40)
		r.Shuffle(len(ds), func(i, j int) { ds[i], ds[j] = ds[j], ds[i] })
		var kept []string
		for i, d := range ds {
			if i%3 == 0 {
				d.Ack()
				continue
			}
			kept = append(kept, string(d.Event.Data))
			d.Release(0)
		}
		slices.SortFunc(kept, func(x, y string) int { return slices.Index(all, x) - slices.Index(all, y) })
		require.Equal(t, append(kept, all[40:]...), texts(b.next(50)), "seed %d", seed)
	}
}

func TestLanesThatWaitedTakeTurns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publishKey("a", "a1", "a2", "a3")
	b.publishKey("b", "b1", "b2", "b3")
	for _, d := range b.next(6) {
		d.Release(0)
	}
	var order []string
	for range 6 {
		ds := b.next(1)
		order = append(order, texts(ds)...)
		ack(ds...)
	}
	require.Equal(t, []string{"a1", "b1", "a2", "b2", "a3", "b3"}, order)
}

func TestDelayedHeadKeepsItsLaneWaitingAndNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		start := time.Now()
		b.publishKey("a", "a1", "a2", "a3")
		b.publishKey("b", "b1", "b2")
		ds := nextOf(t, b.s, eventflow.Want{Events: 9, PerLane: 1})
		require.Equal(t, []string{"a1", "b1"}, texts(ds))
		ds[0].Nack(time.Minute)
		ds[1].Ack()
		require.Equal(t, []string{"b2"}, texts(b.next(9)))
		require.Zero(t, time.Since(start))
		require.Equal(t, []string{"a1", "a2", "a3"}, texts(b.next(9)))
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestHeadThatIsDueFirstDoesNotOvertakeOneThatIsEarlier(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		start := time.Now()
		b.publishKey("a", "1", "2", "3", "4")
		ds := b.next(3)
		ds[1].Nack(time.Second)
		ds[0].Nack(time.Minute)
		ds[2].Release(0)
		require.Equal(t, []string{"1", "2", "3", "4"}, texts(b.next(9)))
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestEarlierEventThatComesBackGoesBeforeADelayedOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.publishKey("a", "1", "2", "3")
		ds := b.next(2)
		ds[1].Nack(time.Minute)
		ds[0].Release(0)
		require.Equal(t, []string{"1"}, texts(b.next(9)))
		none(t, b.s, eventflow.Want{})
		time.Sleep(time.Minute)
		require.Equal(t, []string{"2", "3"}, texts(b.next(9)))
	})
}

// The run of an abandoned delivery goes on, as it does not hear its context: nothing of its lane runs beside it, though it
// be ahead of it.
func TestNothingOfALaneIsHandedOverBeforeAnAbandonedLockEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.Lease(10*time.Second))
		b.publishKey("k", "1", "2", "3")
		b.publishKey("l", "other")
		ds := b.next(2)
		require.Equal(t, []string{"1", "2"}, texts(ds))
		ds[0].Release(0)
		start := time.Now()
		ds[1].Settle(eventflow.Settlement{Verb: eventflow.Abandon})
		require.NoError(t, b.s.Close(t.Context()))
		second := b.m.Subscriber("q")
		require.Equal(t, []string{"other"}, texts(nextOf(t, second, eventflow.Want{Events: 9})))
		require.Equal(t, []string{"1", "2", "3"}, texts(nextOf(t, second, eventflow.Want{Events: 9})))
		require.Equal(t, 10*time.Second, time.Since(start))
	})
}
