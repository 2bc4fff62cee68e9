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

func TestPublishingNoEventsIsNoError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.p.Publish(t.Context()))
	require.Zero(t, b.m.Stats("q", "").Published)
}

func TestEventWithoutIDSourceOrTimeGetsThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		require.NoError(t, b.p.Publish(t.Context(), make([]eventflow.Event, 1000)...))
		seen := map[string]bool{}
		last := ""
		for len(seen) < 1000 {
			for _, d := range b.next(1000) {
				require.Equal(t, "memory/q", d.Event.Source)
				require.Equal(t, time.Now(), d.Event.Time)
				require.Greater(t, d.Event.ID, last, "they grow")
				require.NotContains(t, seen, d.Event.ID)
				last = d.Event.ID
				seen[last] = true
			}
		}
	})
}

func TestIDThatWasGivenStaysOverRedeliveryAndIsTheSameInAllGroups(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.m.Subscriber("q", eventflow.Group("other"))
	b.publish("1")
	d := b.next(1)[0]
	id := d.Event.ID
	d.Nack(0)
	require.Equal(t, id, b.next(1)[0].Event.ID)
	require.Equal(t, id, nextOf(t, other, eventflow.Want{})[0].Event.ID)
}

func TestGivenIDsNeverCollideWithThoseOfAnotherBrokerOrTopic(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 3 {
		m := broker.NewMemory()
		for _, topic := range []string{"a", "b"} {
			p, s := m.Publisher(topic), m.Subscriber(topic)
			for range 2 {
				require.NoError(t, p.Publish(t.Context(), eventflow.Event{}))
				id := nextOf(t, s, eventflow.Want{})[0].Event.ID
				require.NotContains(t, seen, id)
				seen[id] = true
			}
		}
	}
}

func TestEventIsHandedOverAsItWasPublished(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ev := eventflow.Event{
		ID: "i", Source: "/s", Type: "t", Subject: "u", DataContentType: "c", DataSchema: "d", Key: "k\x00\xff",
		Time:       time.Date(2020, 1, 2, 3, 4, 5, 6, time.FixedZone("z", 3600)),
		Attributes: eventflow.Attributes{{Name: "b", Value: int32(1)}, {Name: "a", Value: []byte{0}}, {Name: "b", Value: "2"}},
		Data:       []byte{0, 1, 255},
	}
	evs := []eventflow.Event{ev, {ID: "nil"}, {ID: "empty", Data: []byte{}}}
	require.NoError(t, b.p.Publish(t.Context(), evs...))
	clear(evs) // the slice is the caller's again
	ds := b.next(3)
	require.Equal(t, ev, ds[0].Event)
	require.Equal(t, "k\x00\xff", ds[0].Lane)
	require.Nil(t, ds[1].Event.Data)
	require.NotNil(t, ds[2].Event.Data)
	require.Empty(t, ds[2].Event.Data)
}

func TestWhoAppendsToADeliveryChangesNoOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.m.Subscriber("q", eventflow.Group("other"))
	roomy := append(make([]byte, 0, 8), 'a')
	attrs := append(make(eventflow.Attributes, 0, 8), eventflow.Attribute{Name: "a"})
	require.NoError(t, b.p.Publish(t.Context(), eventflow.Event{Data: roomy, Attributes: attrs}))
	x, y := b.next(1)[0], nextOf(t, other, eventflow.Want{})[0]
	xe, ye := x.Event, y.Event
	xe.Data = append(xe.Data, 'x')
	ye.Data = append(ye.Data, 'y')
	require.Equal(t, "ax ay", string(xe.Data)+" "+string(ye.Data))
	xe.Attributes = append(xe.Attributes, eventflow.Attribute{Name: "x"})
	ye.Attributes = append(ye.Attributes, eventflow.Attribute{Name: "y"})
	require.Equal(t, "x y", xe.Attributes[1].Name+" "+ye.Attributes[1].Name)
}

func TestTooLargeEventIsRefusedAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, broker.MaxEvent(3))
	err := b.p.Publish(t.Context(),
		eventflow.Event{Data: []byte("abc")}, eventflow.Event{Data: []byte("abcd")},
		eventflow.Event{Data: []byte("x")}, eventflow.Event{Data: []byte("abcde")})
	require.ErrorIs(t, err, eventflow.ErrTooLarge)
	require.True(t, eventflow.IsPermanent(err))
	var pe *eventflow.PublishError
	require.ErrorAs(t, err, &pe)
	require.Len(t, pe.Failed, 2)
	require.Equal(t, []int{1, 3}, []int{pe.Failed[0].Index, pe.Failed[1].Index})
	require.Equal(t, []string{"abc", "x"}, texts(b.next(9)))
}

func TestFullTopicMakesPublishWaitForRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.Capacity(3))
		done := make(chan error)
		go func() { done <- b.p.Publish(t.Context(), make([]eventflow.Event, 10)...) }()
		for left := 10; left > 0; left -= 3 {
			synctest.Wait()
			require.LessOrEqual(t, b.m.Stats("q", "").Queued, 3)
			ds := b.next(10)
			require.Len(t, ds, min(3, left))
			synctest.Wait()
			require.Zero(t, b.m.Stats("q", "").Queued, "what is handed over still counts")
			ack(ds...)
		}
		require.NoError(t, <-done)
	})
}

func TestOneStuckEventDoesNotMakeTheTopicFull(t *testing.T) {
	t.Parallel()
	b := setup(t, broker.Capacity(10))
	b.publish("stuck")
	stuck := b.next(1)[0]
	for i := range 1000 {
		b.publish(fmt.Sprint(i))
		ack(b.next(1)...)
	}
	stuck.Nack(time.Hour)
	for i := range 1000 {
		b.publish(fmt.Sprint(i))
		ack(b.next(1)...)
	}
	require.Equal(t, 1, b.m.Stats("q", "").Delayed)
}

func TestFullTopicRefusesWhereItWasToldTo(t *testing.T) {
	t.Parallel()
	b := setup(t, broker.Capacity(2), broker.FailWhenFull())
	err := b.p.Publish(t.Context(), make([]eventflow.Event, 4)...)
	require.ErrorIs(t, err, broker.ErrFull)
	require.NotErrorIs(t, err, eventflow.ErrFatal, "waiting mends it")
	var pe *eventflow.PublishError
	require.ErrorAs(t, err, &pe)
	require.Equal(t, []int{2, 3}, []int{pe.Failed[0].Index, pe.Failed[1].Index})
	ack(b.next(1)...)
	b.publish("there is room again")
}

func TestCancelledPublishSaysWhatWasNotTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.Capacity(2), broker.MaxEvent(3))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		evs := make([]eventflow.Event, 4)
		evs[0].Data = []byte("too large")
		err := b.p.Publish(ctx, evs...)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var pe *eventflow.PublishError
		require.ErrorAs(t, err, &pe)
		require.Len(t, pe.Failed, 2)
		require.Equal(t, []int{0, 3}, []int{pe.Failed[0].Index, pe.Failed[1].Index})
		require.ErrorIs(t, pe.Failed[0].Err, eventflow.ErrTooLarge)
		require.Equal(t, 2, b.m.Stats("q", "").Queued)

		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.Equal(t, context.DeadlineExceeded, b.p.Publish(ctx, eventflow.Event{}), "none was taken")
		require.Equal(t, context.DeadlineExceeded, b.p.Publish(ctx, eventflow.Event{}), "nor with a context that ended before")
		require.Equal(t, 2, b.m.Stats("q", "").Queued)
	})
}

func TestBytesAreBoundedToo(t *testing.T) {
	t.Parallel()
	b := setup(t, broker.CapacityBytes(200), broker.FailWhenFull())
	ev := eventflow.Event{ID: "1", Source: "s", Data: make([]byte, 90), Attributes: eventflow.Attributes{
		{Name: "n", Value: "12345"}, {Name: "b", Value: []byte("123")}, {Name: "i", Value: int32(1)},
	}}
	require.NoError(t, b.p.Publish(t.Context(), ev))
	bytes := b.m.Stats("q", "").Bytes
	require.Greater(t, bytes, 100, "attributes count")
	require.ErrorIs(t, b.p.Publish(t.Context(), ev), broker.ErrFull)
	ack(b.next(1)...)
	require.Zero(t, b.m.Stats("q", "").Bytes)
	require.NoError(t, b.p.Publish(t.Context(), eventflow.Event{Data: make([]byte, 1000)}), "a single larger one fits when it is alone")
	require.ErrorIs(t, b.p.Publish(t.Context(), eventflow.Event{}), broker.ErrFull)
}

func TestSlowestGroupHoldsUpThePublisher(t *testing.T) {
	t.Parallel()
	b := setup(t, broker.Capacity(2), broker.FailWhenFull())
	slow := b.m.Subscriber("q", eventflow.Group("slow"))
	b.publish("1", "2")
	ack(b.next(2)...)
	require.ErrorIs(t, b.p.Publish(t.Context(), eventflow.Event{}), broker.ErrFull)
	require.Zero(t, b.m.Stats("q", "").Queued, "no group has it when one has not")
	ack(nextOf(t, slow, eventflow.Want{Events: 1})...)
	b.publish("3")
}

func TestPublishersWaitInLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.Capacity(1))
		b.publish("0")
		done := make(chan error)
		for i := range 3 {
			go func() {
				done <- b.p.Publish(t.Context(), eventflow.Event{Data: fmt.Append(nil, 2*i+1)}, eventflow.Event{Data: fmt.Append(nil, 2*i+2)})
			}()
			synctest.Wait()
		}
		for i := range 7 {
			ds := b.next(9)
			require.Equal(t, []string{fmt.Sprint(i)}, texts(ds))
			ack(ds...)
		}
		for range 3 {
			require.NoError(t, <-done)
		}
	})
}

func TestRoomForTwoPublishersWakesBoth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.Capacity(2))
		b.publish("1", "2")
		done := make(chan error, 2)
		for range 2 {
			go func() { done <- b.p.Publish(t.Context(), eventflow.Event{}) }()
		}
		synctest.Wait()
		ack(b.next(2)...)
		require.NoError(t, <-done)
		require.NoError(t, <-done)
	})
}

func TestPublisherThatGivesUpLeavesTheLineToTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.Capacity(1))
		b.publish("0")
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- b.p.Publish(ctx, eventflow.Event{}) }()
		synctest.Wait()
		go func() { second <- b.p.Publish(t.Context(), eventflow.Event{}) }()
		synctest.Wait()
		cancel()
		require.Equal(t, context.Canceled, <-first)
		synctest.Wait()
		ack(b.next(1)...)
		require.NoError(t, <-second)
	})
}

func TestClosedPublisherTakesNoMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.p.Close(t.Context()))
	require.NoError(t, b.p.Close(t.Context()))
	require.ErrorIs(t, b.p.Publish(t.Context(), eventflow.Event{}), eventflow.ErrClosed)
	require.NoError(t, b.m.Publisher("q").Publish(t.Context(), eventflow.Event{}), "another one is open")
}

func TestCloseOfAPublisherWaitsForWhatItPublishes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.Capacity(1))
		b.publish("1")
		published, closed := make(chan error, 1), make(chan error, 2)
		go func() { published <- b.p.Publish(t.Context(), eventflow.Event{}) }()
		synctest.Wait()
		go func() { closed <- b.p.Close(t.Context()) }()
		go func() { closed <- b.p.Close(t.Context()) }()
		synctest.Wait()
		require.Empty(t, closed)
		ack(b.next(1)...)
		require.NoError(t, <-published)
		require.NoError(t, <-closed)
		require.NoError(t, <-closed)
	})
}

func TestCloseOfAPublisherEndsWhatItPublishesWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.Capacity(1))
		published := make(chan error, 1)
		go func() { published <- b.p.Publish(t.Context(), make([]eventflow.Event, 2)...) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, context.DeadlineExceeded, b.p.Close(ctx))
		err := <-published
		require.ErrorIs(t, err, eventflow.ErrClosed)
		var pe *eventflow.PublishError
		require.ErrorAs(t, err, &pe)
		require.Len(t, pe.Failed, 1)
		require.Equal(t, 1, pe.Failed[0].Index)
	})
}
