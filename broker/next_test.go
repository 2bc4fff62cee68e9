package broker_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

func TestNextKeepsWithinEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("1", "2", "3")
	require.Equal(t, []string{"1"}, texts(nextOf(t, b.s, eventflow.Want{})), "below 1 is 1")
	require.Equal(t, []string{"2", "3"}, texts(nextOf(t, b.s, eventflow.Want{Events: 1 << 40})))
}

func TestNextKeepsWithinBytesButHandsOverALargerOneAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("12", "345", "6", "7890123", "4")
	for _, want := range [][]string{{"12", "345"}, {"6"}, {"7890123"}, {"4"}} {
		require.Equal(t, want, texts(nextOf(t, b.s, eventflow.Want{Events: 9, Bytes: 5})))
	}
}

func TestNextWaitsForAnEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		got := later(t, b.s, 5)
		synctest.Wait()
		b.publish("1", "2")
		require.Equal(t, []string{"1", "2"}, texts(<-got))
	})
}

func TestNextEndsWithItsContextAndLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		none(t, b.s, eventflow.Want{})
		b.publish("1")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		ds, err := b.s.Next(ended, eventflow.Want{})
		require.Equal(t, context.Canceled, err)
		require.Empty(t, ds)
		require.Equal(t, []string{"1"}, texts(b.next(1)))
	})
}

// A consumer that was woken and whose context has ended must not take the others' alarm with it.
func TestConsumerThatGivesUpPassesItsWakingOn(t *testing.T) {
	t.Parallel()
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			b := setup(t)
			ctx, cancel := context.WithCancel(t.Context())
			first, second := make(chan int, 1), make(chan int, 1)
			next := func(ctx context.Context, s eventflow.Subscriber, got chan int) {
				ds, _ := s.Next(ctx, eventflow.Want{})
				got <- len(ds)
			}
			go next(ctx, b.s, first)
			synctest.Wait()
			go next(t.Context(), b.m.Subscriber("q"), second)
			synctest.Wait()
			b.publish("1") // wakes the first
			cancel()
			if <-first == 0 {
				require.Equal(t, 1, <-second)
				return
			}
			require.NoError(t, b.m.Close(t.Context()))
			require.Zero(t, <-second)
		})
	}
}

func TestConsumerThatIsClosedPassesItsWakingOn(t *testing.T) {
	t.Parallel()
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			b := setup(t)
			second := b.m.Subscriber("q")
			first := make(chan []*eventflow.Delivery, 1)
			go func() {
				ds, _ := b.s.Next(t.Context(), eventflow.Want{})
				first <- ds
			}()
			synctest.Wait()
			got := later(t, second, 1)
			synctest.Wait()
			b.publish("1") // wakes the first
			require.NoError(t, b.s.Close(t.Context()))
			require.Equal(t, []string{"1"}, texts(<-got), "also when the first had it and gave it back")
			<-first
		})
	}
}

func TestNextOfTwoGoroutinesIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		go func() { _, _ = b.s.Next(t.Context(), eventflow.Want{}) }()
		synctest.Wait()
		_, err := b.s.Next(t.Context(), eventflow.Want{})
		require.ErrorIs(t, err, eventflow.ErrFatal)
		require.ErrorContains(t, err, "two goroutines")
		b.publish("1")
		synctest.Wait()
		b.publish("2")
		require.Equal(t, []string{"2"}, texts(b.next(1)), "the first one was not disturbed")
	})
}

func TestStartIsOnceAndBeforeNext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.s.Start(t.Context(), eventflow.Listening{}))
	require.ErrorIs(t, b.s.Start(t.Context(), eventflow.Listening{}), eventflow.ErrFatal)

	implied := b.m.Subscriber("q")
	b.publish("1")
	nextOf(t, implied, eventflow.Want{})
	require.ErrorIs(t, implied.Start(t.Context(), eventflow.Listening{}), eventflow.ErrFatal)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, context.Canceled, b.m.Subscriber("q").Start(ended, eventflow.Listening{}))
}

func TestWaitingNextWakesWhenADelayIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		start := time.Now()
		b.publish("1", "2")
		ds := b.next(2)
		ds[0].Nack(time.Hour)
		got := later(t, b.s, 2) // waits for an hour
		synctest.Wait()
		ds[1].Nack(time.Minute) // and now for a minute
		require.Equal(t, []string{"2"}, texts(<-got))
		require.Equal(t, time.Minute, time.Since(start))
		require.Equal(t, []string{"1"}, texts(b.next(2)))
		require.Equal(t, time.Hour, time.Since(start))
	})
}

// Only one consumer need have an alarm for a delay; when it goes, another must set its own.
func TestDelayIsWatchedWhoeverLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		start := time.Now()
		b.publish("1")
		d := b.next(1)[0]
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = b.s.Next(ctx, eventflow.Want{}) }()
		synctest.Wait()
		second := b.m.Subscriber("q")
		got := later(t, second, 1)
		synctest.Wait()
		d.Nack(time.Minute) // wakes the first
		synctest.Wait()
		cancel()
		require.Equal(t, []string{"1"}, texts(<-got))
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestWhatComesBackAndWhatIsNewTakeTurns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("poison", "1", "2", "3", "4", "5")
	var order []string
	for len(order) < 5 {
		d := b.next(1)[0]
		if s := string(d.Event.Data); s != "poison" {
			order = append(order, s)
			d.Ack()
			continue
		}
		d.Nack(0)
	}
	require.Equal(t, []string{"1", "2", "3", "4", "5"}, order, "a poison event does not keep the others waiting for ever")
	require.Less(t, b.next(1)[0].Receives, 20)
}

func TestNextAfterCloseIsErrClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		errs := make(chan error)
		go func() { _, err := b.s.Next(t.Context(), eventflow.Want{}); errs <- err }()
		synctest.Wait()
		require.NoError(t, b.s.Close(t.Context()))
		require.ErrorIs(t, <-errs, eventflow.ErrClosed, "one that waited")
		_, err := b.s.Next(t.Context(), eventflow.Want{})
		require.ErrorIs(t, err, eventflow.ErrClosed)
		require.NoError(t, b.s.Close(t.Context()), "a second Close does nothing")
	})
}
