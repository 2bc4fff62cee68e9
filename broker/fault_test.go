package broker_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
)

// told records what a consumer is told.
type told struct {
	settled []string
	refused []string
	lost    []string
	at      time.Time // of the last loss
}

func (x *told) listening(t *testing.T) eventflow.Listening {
	t.Helper()
	return eventflow.Listening{
		Settled: func(ds []*eventflow.Delivery, err error) {
			if err != nil {
				x.refused = append(x.refused, texts(ds)...)
				return
			}
			x.settled = append(x.settled, texts(ds)...)
		},
		Lost: func(ds []*eventflow.Delivery, err error) {
			require.ErrorIs(t, err, eventflow.ErrLockLost)
			for _, d := range ds {
				require.True(t, d.Lost())
			}
			x.lost, x.at = append(x.lost, texts(ds)...), time.Now()
		},
	}
}

func is(text string) func(*eventflow.Event) bool {
	return func(ev *eventflow.Event) bool { return string(ev.Data) == text }
}

func TestLostSettlementBringsItsEventBackWhenTheLeaseEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var x told
		require.NoError(t, b.s.Start(t.Context(), x.listening(t)))
		silent := b.m.Inject(broker.Fault{Kind: broker.LoseSettlement, Match: is("2")})
		said := b.m.Inject(broker.Fault{Kind: broker.LoseSettlement, Match: is("4"), Err: errors.New("reset")})
		b.publish("1", "2", "3", "4")
		start := time.Now()
		ack(b.next(4)...)
		require.Equal(t, []string{"1", "3"}, x.settled)
		require.Equal(t, []string{"4"}, x.refused)
		ds := b.next(4)
		require.Equal(t, []string{"2", "4"}, texts(ds))
		require.Equal(t, 30*time.Second, time.Since(start))
		require.Equal(t, 2, ds[0].Receives)
		ack(ds...)
		require.Equal(t, []string{"1", "3", "2", "4"}, x.settled, "it strikes once")
		require.Equal(t, 1, silent())
		require.Equal(t, 1, said())
	})
}

func TestDuplicateDeliveryIsASecondOneOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		struck := b.m.Inject(broker.Fault{Kind: broker.DuplicateDelivery, Times: -1})
		b.publish("1")
		b.publishKey("k", "k1", "k2")
		var ds []*eventflow.Delivery
		for len(ds) < 6 {
			ds = append(ds, b.next(9)...)
		}
		none(t, b.s, eventflow.Want{})
		require.ElementsMatch(t, []string{"1", "1", "k1", "k1", "k2", "k2"}, texts(ds))
		require.Equal(t, 3, struck())
		st := b.m.Stats("q", "")
		require.Equal(t, int64(3), st.Duplicated)
		ack(ds[:5]...)
		require.Equal(t, 1, b.m.Stats("q", "").InFlight, "each is settled by itself")
		ds[5].Nack(0)
		ack(b.next(1)...)
		require.NoError(t, b.m.WaitSettled(t.Context()))
	})
}

func TestDelayedDeliveryIsLateOnceAndItsLaneWithIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.m.Inject(broker.Fault{Kind: broker.DelayDelivery, Match: is("a1"), Times: -1, After: time.Minute})
		b.publishKey("a", "a1", "a2")
		b.publish("x")
		start := time.Now()
		require.Equal(t, []string{"x"}, texts(b.next(9)))
		ds := b.next(9)
		require.Equal(t, []string{"a1", "a2"}, texts(ds))
		require.Equal(t, time.Minute, time.Since(start))
		require.Equal(t, 1, ds[0].Receives)
		ds[0].Nack(0)
		require.Equal(t, []string{"a1"}, texts(b.next(9)))
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestLostLockIsToldBeforeTheEventComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var x told
		require.NoError(t, b.s.Start(t.Context(), x.listening(t)))
		b.publishKey("k", "1", "2")
		d := b.next(1)[0]
		b.m.Inject(broker.Fault{Kind: broker.LoseLock, Times: 2, After: time.Second}) // d, and the next one
		start := time.Now()
		again := nextOf(t, b.m.Subscriber("q"), eventflow.Want{})[0]
		require.Equal(t, time.Second, time.Since(start))
		require.Equal(t, []string{"1"}, x.lost)
		require.False(t, d.Open())
		d.Ack()
		require.Equal(t, "1", string(again.Event.Data), "a late settlement does not settle somebody else's")
		require.True(t, again.Open())
		time.Sleep(time.Second)
		synctest.Wait()
		require.False(t, again.Open(), "its consumer did not start, and lost it all the same")
		require.Equal(t, []string{"1", "2"}, texts(b.next(9)))
		time.Sleep(time.Hour)
		require.Equal(t, []string{"1"}, x.lost)
	})
}

func TestStalledConsumerIsToldBeforeItsLeaseEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.Lease(10*time.Second))
		var x told
		require.NoError(t, b.s.Start(t.Context(), x.listening(t)))
		b.m.Inject(broker.Fault{Kind: broker.StopRenewing})
		b.publish("1")
		start := time.Now()
		d := b.next(1)[0]
		again := nextOf(t, b.m.Subscriber("q"), eventflow.Want{})[0]
		require.Equal(t, 10*time.Second, time.Since(start), "nobody has it before the lease ends")
		require.Equal(t, []string{"1"}, x.lost)
		require.True(t, x.at.Before(d.LockedUntil))
		require.Equal(t, 2, again.Receives)
		require.Zero(t, again.Attempts)
	})
}

func TestLockThatIsTakenFromASettledEventIsNoLoss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var x told
		require.NoError(t, b.s.Start(t.Context(), x.listening(t)))
		b.m.Inject(broker.Fault{Kind: broker.LoseLock, Times: -1, After: time.Second})
		b.publish("1")
		ack(b.next(1)...)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, x.lost)
		require.Equal(t, int64(1), b.m.Stats("q", "").Acked)
	})
}

func TestCloseWaitsUntilALossIsToldAndGivesBackAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		telling, goOn := make(chan struct{}), make(chan struct{})
		require.NoError(t, b.s.Start(t.Context(), eventflow.Listening{Lost: func([]*eventflow.Delivery, error) {
			close(telling)
			<-goOn
		}}))
		b.m.Inject(broker.Fault{Kind: broker.StopRenewing})
		b.publish("1")
		b.next(1)
		<-telling
		start := time.Now()
		closed := make(chan error)
		go func() { closed <- b.s.Close(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-closed:
			t.Errorf("closed while a loss was being told: %v", err)
		default:
		}
		close(goOn)
		require.NoError(t, <-closed)
		require.Equal(t, []string{"1"}, texts(nextOf(t, b.m.Subscriber("q"), eventflow.Want{})))
		require.Zero(t, time.Since(start))
	})
}

func TestFailingPublishRefusesWhatMatches(t *testing.T) {
	t.Parallel()
	b := setup(t, broker.MaxEvent(3))
	full := errors.New("quota")
	struck := b.m.Inject(broker.Fault{Kind: broker.FailPublish, Match: is("2"), Err: full, Times: 2})
	call := []eventflow.Event{{Data: []byte("1")}, {Data: []byte("2")}, {Data: []byte("3")}, {Data: []byte("large")}, {Data: []byte("2")}}
	err := b.p.Publish(t.Context(), call...)
	var pe *eventflow.PublishError
	require.ErrorAs(t, err, &pe)
	require.Len(t, pe.Failed, 3)
	for i, want := range []struct {
		index int
		err   error
	}{{1, full}, {3, eventflow.ErrTooLarge}, {4, full}} {
		require.Equal(t, want.index, pe.Failed[i].Index)
		require.ErrorIs(t, pe.Failed[i].Err, want.err)
	}
	b.publish("no")
	require.ErrorIs(t, b.p.Publish(t.Context(), call[1]), full)
	require.NoError(t, b.p.Publish(t.Context(), call[1]), "twice, and a call is counted once")
	require.Equal(t, []string{"1", "3", "no", "2"}, texts(b.next(9)))
	require.Equal(t, 2, struck())
}

func TestUnconfirmedPublishTakesWhatItRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.m.Inject(broker.Fault{Kind: broker.UnconfirmedPublish, Match: is("2")})
	err := b.p.Publish(t.Context(), eventflow.Event{Data: []byte("1")}, eventflow.Event{Data: []byte("2")})
	require.ErrorIs(t, err, broker.ErrInjected)
	require.Equal(t, []string{"1", "2"}, texts(b.next(9)))
}

func TestFailingNextWakesOneThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		errs := make(chan error)
		go func() { _, err := b.s.Next(t.Context(), eventflow.Want{}); errs <- err }()
		synctest.Wait()
		gone := errors.New("gone")
		b.m.Inject(broker.Fault{Kind: broker.FailNext, Times: 2, Err: gone})
		require.Equal(t, gone, <-errs)
		b.publish("1")
		ds, err := b.s.Next(t.Context(), eventflow.Want{})
		require.Equal(t, gone, err)
		require.Empty(t, ds)
		require.Equal(t, []string{"1"}, texts(b.next(1)))
	})
}

func TestFailingDeadLetterLeavesItsEventOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.m.Inject(broker.Fault{Kind: broker.FailDeadLetter})
	b.publish("1")
	d := b.next(1)[0]
	require.ErrorIs(t, d.DeadLetter(t.Context(), gaveUp), broker.ErrInjected)
	require.True(t, d.Open())
	require.Empty(t, b.m.DeadLetters("q"))
	require.NoError(t, d.DeadLetter(t.Context(), gaveUp))
	require.Len(t, b.m.DeadLetters("q"), 1)
}

func TestFaultStrikesOnlyWhereItIsFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.m.Subscriber("q", eventflow.Group("other"))
	third := b.m.Subscriber("third")
	b.m.Inject(broker.Fault{Kind: broker.FailNext, Topics: []string{"q"}, Groups: []string{""}, Times: -1})
	b.publish("1")
	require.NoError(t, b.m.Publisher("third").Publish(t.Context(), eventflow.Event{}))
	_, err := b.s.Next(t.Context(), eventflow.Want{})
	require.ErrorIs(t, err, broker.ErrInjected)
	nextOf(t, other, eventflow.Want{})
	nextOf(t, third, eventflow.Want{})
}

func TestWithdrawnFaultStrikesNoMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	withdraw := b.m.Inject(broker.Fault{Kind: broker.FailPublish, Times: -1})
	require.ErrorIs(t, b.p.Publish(t.Context(), eventflow.Event{}), broker.ErrInjected)
	require.Equal(t, 1, withdraw())
	require.Equal(t, 1, withdraw())
	b.publish("1")
}

func TestFaultWithoutAKindIsRefused(t *testing.T) {
	t.Parallel()
	m := broker.NewMemory()
	require.PanicsWithError(t, `broker.Fault.Kind: "none" is not allowed: one of the kinds of this package`, func() { m.Inject(broker.Fault{}) })
	require.Panics(t, func() { m.Inject(broker.Fault{Kind: 200}) })
	require.True(t, strings.HasPrefix(broker.FaultKind(200).String(), "fault "))
}

func TestCrashedConsumerSettlesNothingAndItsEventsComeBackAfterTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, broker.Lease(10*time.Second))
		var x told
		require.NoError(t, b.s.Start(t.Context(), x.listening(t)))
		b.publishKey("k", "1", "2")
		b.publish("3")
		ds := b.next(3)
		ds[0].Ack()
		time.Sleep(time.Hour)
		start := time.Now()
		require.NoError(t, b.m.Crash(b.s))
		require.NoError(t, b.m.Crash(b.s))
		ds[1].Ack()
		require.ErrorIs(t, ds[2].DeadLetter(t.Context(), gaveUp), eventflow.ErrLockLost)
		_, err := b.s.Next(t.Context(), eventflow.Want{})
		require.ErrorIs(t, err, eventflow.ErrClosed)
		require.NoError(t, b.s.Close(t.Context()), "which gives nothing back")

		second := b.m.Subscriber("q")
		back := nextOf(t, second, eventflow.Want{Events: 9})
		require.ElementsMatch(t, []string{"2", "3"}, texts(back))
		require.Equal(t, 10*time.Second, time.Since(start))
		require.Equal(t, []int{0, 2}, []int{back[0].Attempts, back[0].Receives})
		require.Empty(t, x.lost)
		require.Equal(t, []string{"1"}, x.settled)
		require.Equal(t, []string{"2"}, x.refused)
	})
}

func TestDeadConsumersSettlementIsNotTakenForThatOfALaterEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.publish("1")
		old := b.next(1)[0]
		require.NoError(t, b.m.Crash(b.s))
		second := b.m.Subscriber("q")
		ack(nextOf(t, second, eventflow.Want{})...)
		b.publish("2")
		require.Equal(t, 1, nextOf(t, second, eventflow.Want{})[0].Receives)
		old.Ack()
		require.Equal(t, 1, b.m.Stats("q", "").InFlight)
	})
}

func TestCrashIsForSubscribersOfTheBrokerOnly(t *testing.T) {
	t.Parallel()
	m := broker.NewMemory()
	require.ErrorIs(t, m.Crash(broker.NewMemory().Subscriber("q")), eventflow.ErrFatal)
	require.ErrorIs(t, m.Crash(nil), eventflow.ErrFatal)
	require.ErrorIs(t, m.Crash(m.Subscriber("")), eventflow.ErrFatal)
}
