package broker_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
)

func TestWaitSettledWaitsForEveryGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		other := b.m.Subscriber("q", eventflow.Group("other"))
		require.NoError(t, b.m.WaitSettled(t.Context(), "q"), "nothing was published")
		b.publish("1", "2")
		done := make(chan error, 1)
		go func() { done <- b.m.WaitSettled(t.Context(), "q") }()
		still := func() {
			t.Helper()
			synctest.Wait()
			require.Empty(t, done)
		}
		still()
		ds := b.next(2)
		ack(ds...)
		still()
		ds = nextOf(t, other, eventflow.Want{Events: 2})
		require.NoError(t, ds[0].DeadLetter(t.Context(), gaveUp))
		ds[1].Nack(time.Minute)
		still()
		ack(nextOf(t, other, eventflow.Want{})...)
		require.NoError(t, <-done)
	})
}

func TestWaitSettledWithoutTopicsFollowsEventsFromTopicToTopic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := broker.NewMemory()
		// z comes after a, so that looking at them in order would miss what goes from z to a.
		a, z := m.Subscriber("a"), m.Subscriber("z")
		nobody := m.Publisher("nobody")
		toA := m.Publisher("a")
		for range 100 {
			require.NoError(t, m.Publisher("z").Publish(t.Context(), eventflow.Event{}))
		}
		ctx, cancel := context.WithCancel(t.Context())
		forward := func(s eventflow.Subscriber, to eventflow.Publisher, done chan int) {
			n := 0
			for {
				ds, err := s.Next(ctx, eventflow.Want{Events: 3})
				if err != nil {
					done <- n
					return
				}
				n += len(ds)
				for range ds {
					if err := to.Publish(ctx, eventflow.Event{}); err != nil {
						t.Errorf("publish: %v", err)
					}
				}
				ack(ds...)
			}
		}
		fromZ, fromA := make(chan int, 1), make(chan int, 1)
		go forward(z, toA, fromZ)
		go forward(a, nobody, fromA)
		require.NoError(t, m.WaitSettled(t.Context()), "what nobody consumes is settled")
		require.Equal(t, int64(100), m.Stats("a", "").Acked)
		cancel()
		require.Equal(t, 100, <-fromZ)
		require.Equal(t, 100, <-fromA)
		require.Equal(t, 100, m.Stats("nobody", "").Queued)
	})
}

func TestWaitSettledThatGivesUpSaysWhereTheEventsAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.publish("1", "2", "3")
		ds := b.next(2)
		ds[0].Nack(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := b.m.WaitSettled(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.EqualError(t, err, "memory broker: not settled: memory/q: 1 waiting, 1 delayed, 1 handed over, 1 consumers: context deadline exceeded")
	})
}

func TestWaitSettledOfAMisspeltTopicSaysSo(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, setup(t).m.WaitSettled(t.Context(), "Q"), eventflow.ErrNoTopic)
}

func TestWaitSettledEndsWithTheBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.publish("1")
		done := make(chan error)
		go func() { done <- b.m.WaitSettled(t.Context()) }()
		synctest.Wait()
		require.NoError(t, b.m.Close(t.Context()))
		require.ErrorIs(t, <-done, eventflow.ErrClosed)
	})
}

func TestFlightsAreInTheOrderOfPublishing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 3 {
		b.publish("1", "2", "3", "4", "5")
		ds := b.next(5)
		var want, got []string
		for _, d := range ds {
			want = append(want, d.Event.ID)
		}
		for _, f := range b.m.Stats("q", "").Flights {
			got = append(got, f.ID)
		}
		require.Equal(t, want, got)
		ack(ds[1], ds[3], ds[0], ds[2], ds[4])
	}
}

func TestStatsBalanceAndTellWhatIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		start := time.Now()
		b.publishKey("k", "1", "2")
		b.publish("3", "4", "5", "6")
		ds := b.next(5)
		time.Sleep(time.Minute)
		ds[2].Ack()
		ds[3].Nack(time.Hour)
		require.NoError(t, ds[4].DeadLetter(t.Context(), gaveUp))
		ds[0].Attempted()
		st := b.m.Stats("q", "")
		require.Equal(t, broker.GroupStats{
			Published: 6, Queued: 1, Delayed: 1, InFlight: 2, Acked: 1, DeadLettered: 1,
			HandedOver: 5, Failed: 2, Bytes: st.Bytes, Consumers: 1,
			Flights: []broker.Flight{
				{ID: ds[0].Event.ID, Source: "memory/q", Lane: "k", Since: start, Attempts: 1, Receives: 1},
				{ID: ds[1].Event.ID, Source: "memory/q", Lane: "k", Since: start, Receives: 1},
			},
		}, st)
		require.Positive(t, st.Bytes)
		require.Zero(t, b.m.Stats("q", "another"))
		require.Zero(t, b.m.Stats("another", ""))
	})
}
