package broker_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
)

var gaveUp = eventflow.Failure{Reason: "exhausted", Flow: "thumbnail", Version: "v2", Binding: "memory/q", Attempts: 5}

func TestDeadLetterTellsWhatWhyAndWhose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := broker.NewMemory()
		s := m.Subscriber("q", eventflow.Group("g"))
		ev := eventflow.Event{ID: "1", Source: "s", Key: "k", Time: time.Now(), Data: []byte("x"), Attributes: eventflow.Attributes{{Name: "a", Value: "b"}}}
		require.NoError(t, m.Publisher("q").Publish(t.Context(), ev))
		nextOf(t, s, eventflow.Want{})[0].Nack(time.Minute)
		d := nextOf(t, s, eventflow.Want{})[0]
		require.NoError(t, d.DeadLetter(t.Context(), gaveUp))
		require.False(t, d.Open(), "it is acknowledged then")
		require.NoError(t, d.DeadLetter(t.Context(), gaveUp))
		none(t, s, eventflow.Want{})

		dead := m.DeadLetters("q")
		require.Len(t, dead, 1)
		require.Equal(t, ev, dead[0].Event)
		require.Equal(t, time.Now(), dead[0].Time)
		require.Equal(t, "g exhausted thumbnail v2 memory/q 5 2 0", fmt.Sprint(dead[0].Group, " ", dead[0].Reason, " ", dead[0].Flow, " ",
			dead[0].Version, " ", dead[0].Binding, " ", dead[0].Attempts, " ", dead[0].Receives, " ", dead[0].Redrive))
		require.Empty(t, m.DeadLetters("another"))
	})
}

func TestDeadLetterWithoutAttemptsHasTheBrokers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("1")
	b.next(1)[0].Nack(0)
	require.NoError(t, b.next(1)[0].DeadLetter(t.Context(), eventflow.Failure{Reason: "decode"}))
	require.Equal(t, 1, b.m.DeadLetters("q")[0].Attempts)
}

func TestDeadLetterThatHasNoRoomLeavesItsEventOpen(t *testing.T) {
	t.Parallel()
	b := setup(t, broker.DeadLetterCapacity(1), broker.CapacityBytes(200))
	b.publish("1", "2")
	ds := b.next(2)
	require.NoError(t, ds[0].DeadLetter(t.Context(), gaveUp))
	require.ErrorIs(t, ds[1].DeadLetter(t.Context(), gaveUp), broker.ErrDeadLettersFull)
	require.True(t, ds[1].Open())
	n, err := b.m.Redrive("q")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoError(t, ds[1].DeadLetter(t.Context(), gaveUp), "there is room again")
}

func TestDeadLettersAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	b := setup(t, broker.CapacityBytes(1000))
	for i, n := range []int{600, 600} {
		require.NoError(t, b.p.Publish(t.Context(), eventflow.Event{Data: make([]byte, n)}))
		d := b.next(1)[0]
		err := d.DeadLetter(t.Context(), gaveUp)
		if i == 0 {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, broker.ErrDeadLettersFull)
		d.Ack()
	}
	n, err := b.m.Redrive("q")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoError(t, b.next(1)[0].DeadLetter(t.Context(), gaveUp), "there is room again")
}

func TestDeadLetterRespectsItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("1")
	d := b.next(1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, context.Canceled, d.DeadLetter(ctx, gaveUp))
	require.True(t, d.Open())
	require.Empty(t, b.m.DeadLetters("q"))
}

// The dead letter is written and the acknowledgement is not: the event must not come back beside its dead letter.
func TestDeadLetteredEventDoesNotComeBackThoughItsConsumerGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.publishKey("k", "1", "2")
		d := b.next(1)[0]
		written := b.s.(eventflow.Settler)
		require.NoError(t, written.DeadLetter(t.Context(), d, gaveUp))
		require.NoError(t, written.DeadLetter(t.Context(), d, gaveUp), "a second one is the first")
		require.NoError(t, b.s.Close(t.Context()))
		require.Equal(t, []string{"2"}, texts(nextOf(t, b.m.Subscriber("q"), eventflow.Want{Events: 9})))
		require.Len(t, b.m.DeadLetters("q"), 1)
		require.Equal(t, int64(1), b.m.Stats("q", "").DeadLettered)
		require.Zero(t, b.m.Stats("q", "").Acked)
	})
}

func TestRoomOfADeadLetteredEventIsFreeWhenItsConsumerGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.Capacity(1))
		b.publish("1")
		require.NoError(t, b.s.(eventflow.Settler).DeadLetter(t.Context(), b.next(1)[0], gaveUp))
		published, settled := make(chan error, 1), make(chan error, 1)
		go func() { settled <- b.m.WaitSettled(t.Context()) }()
		synctest.Wait()
		go func() { published <- b.p.Publish(t.Context(), eventflow.Event{}) }()
		synctest.Wait()
		require.Empty(t, published)
		require.NoError(t, b.s.Close(t.Context()))
		require.NoError(t, <-published)
		ack(nextOf(t, b.m.Subscriber("q"), eventflow.Want{})...)
		require.NoError(t, <-settled)
	})
}

func TestRedriveWakesWhoWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.publish("1")
		require.NoError(t, b.next(1)[0].DeadLetter(t.Context(), gaveUp))
		got := later(t, b.s, 1)
		synctest.Wait()
		_, err := b.m.Redrive("q")
		require.NoError(t, err)
		require.Equal(t, []string{"1"}, texts(<-got))
	})
}

func TestBrokersOwnDeadLetterSettlesItsEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.MaxReceives(1))
		b.publish("1")
		settled := make(chan error)
		go func() { settled <- b.m.WaitSettled(t.Context()) }()
		synctest.Wait()
		b.next(1)[0].Nack(0)
		none(t, b.s, eventflow.Want{})
		require.NoError(t, <-settled)
	})
}

func TestRedriveGivesBackToTheGroupItCameFrom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		other := b.m.Subscriber("q", eventflow.Group("other"))
		b.publishKey("k", "1", "2")
		for _, d := range b.next(2) {
			d.Attempted()
			require.NoError(t, d.DeadLetter(t.Context(), gaveUp))
		}
		ack(nextOf(t, other, eventflow.Want{Events: 9})...)
		for redrive := 1; redrive < 3; redrive++ {
			n, err := b.m.Redrive("q")
			require.NoError(t, err)
			require.Equal(t, 2, n)
			require.Empty(t, b.m.DeadLetters("q"))
			ds := b.next(9)
			require.Equal(t, []string{"1", "2"}, texts(ds))
			for _, d := range ds {
				require.Equal(t, [3]int{redrive, 0, 1}, [3]int{d.Redrive, d.Attempts, d.Receives})
				require.NoError(t, d.DeadLetter(t.Context(), gaveUp))
			}
			none(t, other, eventflow.Want{})
		}
		require.Equal(t, 2, b.m.DeadLetters("q")[0].Redrive)
		_, err := b.m.Redrive("misspelt")
		require.ErrorIs(t, err, eventflow.ErrNoTopic)
	})
}

func TestRedriveStopsWhereItsGroupIsFull(t *testing.T) {
	t.Parallel()
	b := setup(t, broker.Capacity(2))
	b.publish("1", "2")
	for _, d := range b.next(2) {
		require.NoError(t, d.DeadLetter(t.Context(), gaveUp))
	}
	b.publish("3")
	n, err := b.m.Redrive("q")
	require.ErrorIs(t, err, broker.ErrFull)
	require.Equal(t, 1, n)
	require.Equal(t, "2", string(b.m.DeadLetters("q")[0].Event.Data))
	require.Equal(t, []string{"3", "1"}, texts(b.next(9)))
}

func TestReceiveLimitDeadLettersWhatComesBackTooOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.MaxReceives(3))
		b.publishKey("k", "1", "2")
		for i := range 3 {
			ds := b.next(1)
			require.Equal(t, []string{"1"}, texts(ds))
			require.Equal(t, i+1, ds[0].Receives)
			ds[0].Release(time.Second)
		}
		ds := b.next(9)
		require.Equal(t, []string{"2"}, texts(ds), "its lane goes on without it")
		dead := b.m.DeadLetters("q")
		require.Len(t, dead, 1)
		require.Equal(t, broker.ReasonReceives, dead[0].Reason)
		require.Equal(t, 3, dead[0].Receives)
		ack(ds...)
		require.NoError(t, b.m.WaitSettled(t.Context(), "q"))
	})
}

func TestReceiveLimitDoesNothingWithoutRoomForTheDeadLetter(t *testing.T) {
	t.Parallel()
	b := setup(t, broker.MaxReceives(1), broker.DeadLetterCapacity(1))
	b.publish("1", "2")
	for _, d := range b.next(2) {
		d.Release(0)
	}
	ds := b.next(2)
	require.Equal(t, []string{"2"}, texts(ds), "rather handed over too often than lost")
	require.Equal(t, 2, ds[0].Receives)
}

func TestReceiveLimitBelowTheRunnersAttemptsIsRefusedAtStart(t *testing.T) {
	t.Parallel()
	for limit, ok := range map[int]bool{9: false, 10: true} {
		b := setup(t, broker.MaxReceives(limit))
		err := b.s.Start(t.Context(), eventflow.Listening{MaxAttempts: 5, Slack: 5})
		if ok {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, `broker.MaxReceives: "9" is not allowed: at least 10, the runner's attempts and slack`)
		require.NoError(t, b.m.Subscriber("q").Start(t.Context(), eventflow.Listening{}), "no runner, nothing to check")
	}
}
