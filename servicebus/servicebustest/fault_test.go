package servicebustest_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

func TestAThrottledSendIsTriedAgainByTheClient(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	busy := servicebustest.Fault{Action: servicebustest.Refuse}
	b.server.FailNext(servicebustest.Sending, "q", busy, busy)
	b.send("q", text("x"))
	require.Equal(t, servicebustest.Stats{Active: 1}, b.server.Stats("q"))
}

func TestAThrottledRequestIsTriedAgainByTheClient(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.server.FailNext(servicebustest.Management, "q", servicebustest.Fault{Action: servicebustest.Refuse})
	b.send("q", text("x"))
	ms, err := b.receiver("q").PeekMessages(b.soon(), 1, nil)
	require.NoError(t, err)
	require.Len(t, ms, 1)
}

func TestARefusedSendCarriesTheCondition(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.server.FailNext(servicebustest.Sending, "q", servicebustest.Fault{Action: servicebustest.Refuse, Condition: "com.microsoft:entity-disabled"})
	require.Equal(t, "com.microsoft:entity-disabled", condition(b.sender("q").SendMessage(b.soon(), text("x"), nil)))
	require.Zero(t, b.server.Stats("q"))
}

func TestASendWhoseAnswerIsLostIsSentTwice(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]servicebustest.Fault{
		"cut":    {Action: servicebustest.Cut, Applied: true},
		"detach": {Action: servicebustest.Detach, Applied: true},
	} {
		b := newBench(t)
		s := b.sender("q")
		require.NoError(t, s.SendMessage(b.soon(), text("first"), nil))
		b.server.FailNext(servicebustest.Sending, "q", f)
		require.NoError(t, s.SendMessage(b.soon(), text("second"), nil))
		require.Equal(t, 3, b.server.Stats("q").Active, name)
	}
}

func TestASendThatIsLostIsSentOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.server.FailNext(servicebustest.Sending, "q", servicebustest.Fault{}, servicebustest.Fault{Action: servicebustest.Cut}, servicebustest.Fault{Action: servicebustest.Detach})
	s := b.sender("q")
	for range 2 {
		require.NoError(t, s.SendMessage(b.soon(), text("x"), nil))
	}
	require.Equal(t, 2, b.server.Stats("q").Active)
}

// settling receives a message and completes it under a fault, which the server has when this returns. giveUp ends the
// client's waiting and gives what it came to.
func settling(b *bench, f servicebustest.Fault) (giveUp func() error) {
	b.Helper()
	b.send("q", text("x"))
	r := b.receiver("q")
	m := b.one(r)
	heard, done := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	b.server.Intercept(func(op servicebustest.Operation) servicebustest.Fault {
		if op.Kind != servicebustest.Settlement {
			return servicebustest.Fault{}
		}
		once.Do(func() { close(heard) })
		return f
	})
	ctx, cancel := context.WithCancel(b.soon())
	go func() { done <- r.CompleteMessage(ctx, m, nil) }()
	<-heard
	return func() error {
		cancel()
		return <-done
	}
}

func TestALostDispositionChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	giveUp := settling(b, servicebustest.Fault{Action: servicebustest.Silence})
	require.Equal(t, servicebustest.Stats{Active: 1, Locked: 1, Receivers: 1}, b.server.Stats("q"))
	require.ErrorIs(t, giveUp(), context.Canceled)
}

func TestADispositionWhoseAnswerIsLostHasHappened(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	giveUp := settling(b, servicebustest.Fault{Action: servicebustest.Silence, Applied: true})
	require.Equal(t, servicebustest.Stats{Receivers: 1}, b.server.Stats("q"))
	require.ErrorIs(t, giveUp(), context.Canceled)
}

func TestADispositionThatIsLateComesAfterItsLock(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	done := make(chan error)
	b.send("q", text("x"))
	r := b.receiver("q")
	m := b.one(r)
	held := make(chan struct{})
	b.server.Intercept(func(op servicebustest.Operation) servicebustest.Fault {
		if op.Kind != servicebustest.Settlement {
			return servicebustest.Fault{}
		}
		close(held)
		return servicebustest.Fault{Delay: lock + time.Second}
	})
	go func() { done <- r.CompleteMessage(b.soon(), m, nil) }()
	<-held
	b.server.Stats("q") // which has to wait until the server has it held up
	b.clock.Advance(lock + time.Second)
	require.Equal(t, azservicebus.CodeLockLost, code(<-done))
	require.Equal(t, servicebustest.Stats{Active: 1, Receivers: 1}, b.server.Stats("q"))
}

func TestADispositionThatIsLateButInTimeHolds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	held := make(chan struct{})
	b.server.Intercept(func(op servicebustest.Operation) servicebustest.Fault {
		if op.Kind != servicebustest.Settlement {
			return servicebustest.Fault{}
		}
		require.Equal(t, servicebustest.Operation{Kind: servicebustest.Settlement, Entity: "q", Name: "complete", MessageID: "m"}, op)
		close(held)
		return servicebustest.Fault{Delay: lock / 2}
	})
	id := "m"
	b.send("q", &azservicebus.Message{MessageID: &id})
	r := b.receiver("q")
	m := b.one(r)
	done := make(chan error)
	go func() { done <- r.CompleteMessage(b.soon(), m, nil) }()
	<-held
	b.server.Stats("q") // which has to wait until the server has it held up
	require.Equal(t, 1, b.server.Stats("q").Active)
	b.clock.Advance(lock / 2)
	require.NoError(t, <-done)
	require.Zero(t, b.server.Stats("q").Active)
}

func TestACutDuringASettlementLeavesTheLock(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	giveUp := settling(b, servicebustest.Fault{Action: servicebustest.Cut})
	b.stats("q", servicebustest.Stats{Active: 1, Locked: 1})
	require.Error(t, giveUp()) // the client backs off for seconds before it asks $management
}

func TestADetachDuringASettlementIsMadeGoodByManagement(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send("q", text("x"))
	r := b.receiver("q")
	m := b.one(r)
	b.server.FailNext(servicebustest.Settlement, "q", servicebustest.Fault{Action: servicebustest.Detach})
	require.NoError(t, r.CompleteMessage(b.soon(), m, nil))
	require.Zero(t, b.server.Stats("q").Active)
}

func TestADeliveryThatIsLostIsLockedAllTheSame(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.server.FailNext(servicebustest.Delivery, "q", servicebustest.Fault{Action: servicebustest.Silence})
	b.send("q", text("lost"), text("next"))
	r := b.receiver("q")
	require.Equal(t, "next", string(b.one(r).Body))
	require.Equal(t, 2, b.server.Stats("q").Locked)
	b.clock.Advance(lock)
	m := b.one(r)
	require.Equal(t, "lost", string(m.Body))
	require.Equal(t, uint32(2), m.DeliveryCount)
}

func TestALinkOrConnectionThatIsCutUnderADeliveryIsMadeAgain(t *testing.T) {
	t.Parallel()
	for _, a := range []servicebustest.Action{servicebustest.Detach, servicebustest.Cut} {
		b := newBench(t)
		b.server.FailNext(servicebustest.Delivery, "q", servicebustest.Fault{Action: a})
		b.send("q", text("x"))
		r := b.receiver("q")
		for {
			ms, err := r.ReceiveMessages(b.soon(), 1, nil)
			if err != nil {
				require.Equal(t, azservicebus.CodeConnectionLost, code(err))
			}
			if len(ms) == 1 { // none, without an error, is the client's answer to a link that ended under it
				require.Equal(t, uint32(1), ms[0].DeliveryCount)
				break
			}
		}
	}
}

func TestAnAttachIsRefusedOnDemand(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.server.FailNext(servicebustest.Attach, "q", servicebustest.Fault{Action: servicebustest.Refuse, Condition: "com.microsoft:entity-disabled"})
	require.Equal(t, "com.microsoft:entity-disabled", condition(b.sender("q").SendMessage(b.soon(), text("x"), nil)))
}

func TestConnectionsAreCutAndMadeAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.sender("q")
	for range 5 {
		require.NoError(t, s.SendMessage(b.soon(), text("x"), nil))
		b.server.CutConnections()
	}
	require.Equal(t, 5, b.server.Stats("q").Active)
}

func TestLocksExpireOnDemand(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send("q", text("1"), text("2"))
	r := b.receiver("q")
	ms := b.take(r, 2)
	require.Equal(t, 2, b.server.ExpireLocks("q"))
	require.Equal(t, azservicebus.CodeLockLost, code(r.CompleteMessage(b.soon(), ms[0], nil)))
	require.Equal(t, uint32(2), b.one(r).DeliveryCount)

	b.send("sess", inSession("A", "a"))
	b.session("A")
	require.Equal(t, 1, b.server.ExpireLocks("sess"))
	b.stats("sess", servicebustest.Stats{Active: 1, Sessions: 1})
	require.Zero(t, b.server.ExpireLocks("missing"))
}

func TestAnInterceptorThatWasStoppedIsNotAsked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var asked atomic.Int32
	stop := b.server.Intercept(func(servicebustest.Operation) servicebustest.Fault {
		asked.Add(1)
		return servicebustest.Fault{}
	})
	b.send("q", text("x"))
	n := asked.Load()
	require.Positive(t, n)
	stop()
	b.send("q", text("x"))
	require.Equal(t, n, asked.Load())
}

// TestOneSessionsLockIsEnded: others keep theirs.
func TestOneSessionsLockIsEnded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send("sess", inSession("a", "x"), inSession("b", "y"))
	b.session("a")
	second := b.session("b")
	require.True(t, b.server.ExpireSession("sess", "a"))
	require.False(t, b.server.ExpireSession("sess", "a"))
	require.False(t, b.server.ExpireSession("sess", "c"))
	require.False(t, b.server.ExpireSession("none", "a"))
	require.Equal(t, 1, b.server.Stats("sess").Receivers)
	require.NoError(t, second.RenewSessionLock(b.soon(), nil))
	require.Equal(t, "x", string(b.one(b.session("a")).Body))
}
