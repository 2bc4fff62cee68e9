package servicebus_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/servicebus"
	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

// TestAnEventIsHeldForADay: its lock is renewed all along, and no more often than once in half a lock.
func TestAnEventIsHeldForADay(t *testing.T) {
	t.Parallel()
	for name, sess := range map[string]bool{"message": false, "session": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const lock = time.Minute
			bubble(t, map[string]servicebustest.Queue{"q": {LockDuration: lock, RequiresSession: sess, MaxDeliveryCount: 1}}, func(b *bench) {
				renewals := 0
				b.server.Intercept(func(op servicebustest.Operation) servicebustest.Fault {
					if op.Name == "com.microsoft:renew-lock" || op.Name == "com.microsoft:renew-session-lock" {
						renewals++
					}
					return servicebustest.Fault{}
				})
				s := b.bus.Queue("q")
				if sess {
					s = b.bus.Queue("q", servicebus.Sessions(1))
				}
				ran := make(chan error, 1)
				r, err := runner.New(eventflow.NewSink("day", func(ctx context.Context, _ eventflow.Event) error {
					select {
					case <-time.After(24 * time.Hour):
					case <-ctx.Done():
					}
					ran <- context.Cause(ctx)
					return nil
				}), runner.On(s))
				require.NoError(b, err)
				ctx, cancel := context.WithCancel(b.Context())
				ended := make(chan error, 1)
				go func() { ended <- r.Listen(ctx) }()
				b.publish(numbered(1, 1)...)
				require.NoError(b, <-ran)
				time.Sleep(time.Second)
				require.Equal(b, servicebustest.Stats{}, b.stats())
				cancel()
				require.NoError(b, <-ended)
				most := int(24 * time.Hour / (lock / 2))
				require.LessOrEqual(b, renewals, most)
				require.Greater(b, renewals, most-most/100) // it was not held by anything else
			})
		})
	}
}

// TestManyLocksAreRenewedNoMoreThanOnceInHalfALockEach: and none is lost, of messages that came at different times.
func TestManyLocksAreRenewedNoMoreThanOnceInHalfALockEach(t *testing.T) {
	t.Parallel()
	const held, lock, hold = 200, 30 * time.Second, 15 * time.Minute
	bubble(t, map[string]servicebustest.Queue{"q": {LockDuration: lock, MaxDeliveryCount: 1}}, func(b *bench) {
		renewals := 0
		b.server.Intercept(func(op servicebustest.Operation) servicebustest.Fault {
			if op.Name == "com.microsoft:renew-lock" {
				renewals++
			}
			return servicebustest.Fault{}
		})
		s := b.bus.Queue("q")
		var lost atomic.Int32
		require.NoError(b, s.Start(b.Context(), eventflow.Listening{Lost: func([]*eventflow.Delivery, error) { lost.Add(1) }}))
		evs := numbered(held, 0)
		var ds []*eventflow.Delivery
		var each int // the renewals that are allowed, of all
		for len(ds) < held {
			b.publish(evs[len(ds) : len(ds)+held/10]...)
			for range held / 10 {
				ds = append(ds, b.next(s))
			}
			time.Sleep(time.Second)
			each += held / 10 * int((hold+time.Duration(held-len(ds))/(held/10)*time.Second+time.Second)/(lock/2))
		}
		time.Sleep(hold)
		for _, d := range ds {
			require.True(b, d.Open())
			d.Ack()
		}
		require.Zero(b, lost.Load())
		require.LessOrEqual(b, renewals, each)
		require.Greater(b, renewals, each*9/10)
		b.close(s)
		require.Equal(b, servicebustest.Stats{}, b.stats())
	})
}

// TestARenewalThatASettlementOvertakesIsNoLoss: it finds no lock any more, because its run is over.
func TestARenewalThatASettlementOvertakesIsNoLoss(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]eventflow.SubscriberOption{"message": nil, "session": {servicebus.Sessions(1), servicebus.SessionIdle(time.Second)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, map[string]servicebustest.Queue{"q": {LockDuration: 20 * time.Second, RequiresSession: opts != nil}}, func(b *bench) {
				var renewals atomic.Int32
				b.server.Intercept(func(op servicebustest.Operation) servicebustest.Fault {
					if op.Name == "com.microsoft:renew-lock" || op.Name == "com.microsoft:renew-session-lock" {
						renewals.Add(1)
						return servicebustest.Fault{Delay: 2500 * time.Millisecond}
					}
					return servicebustest.Fault{}
				})
				var lost atomic.Int32
				settled := make(chan error, 10)
				s := b.bus.Queue("q", opts...)
				require.NoError(b, s.Start(b.Context(), eventflow.Listening{
					Lost:    func([]*eventflow.Delivery, error) { lost.Add(1) },
					Settled: func(_ []*eventflow.Delivery, err error) { settled <- err },
				}))
				b.publish(numbered(1, 1)...)
				d := b.next(s)
				time.Sleep(11 * time.Second) // half of the lock is over
				require.Equal(b, int32(1), renewals.Load())
				d.Ack()
				require.NoError(b, <-settled)
				time.Sleep(time.Minute)
				require.Zero(b, lost.Load())
				require.Empty(b, settled)
				require.Equal(b, int32(1), renewals.Load())
				b.close(s)
				require.Equal(b, servicebustest.Stats{}, b.stats())
			})
		})
	}
}

// stats are those of the messages of the queue "q".
func (b *bench) stats() servicebustest.Stats {
	st := b.server.Stats("q")
	st.Sessions, st.Receivers = 0, 0
	return st
}

// TestALostLockEndsTheRunAndSettlesNothing: however it is lost, the flow is cancelled before somebody else can have the
// event, and nothing is settled for the one who has it then.
func TestALostLockEndsTheRunAndSettlesNothing(t *testing.T) {
	t.Parallel()
	const lock = 20 * time.Second
	renewals := func(f servicebustest.Fault) func(*servicebustest.Server) {
		return func(server *servicebustest.Server) {
			server.Intercept(func(op servicebustest.Operation) servicebustest.Fault {
				if op.Name == "com.microsoft:renew-lock" || op.Name == "com.microsoft:renew-session-lock" {
					return f
				}
				return servicebustest.Fault{}
			})
		}
	}
	for name, x := range map[string]struct {
		sess bool
		lose func(*servicebustest.Server)
	}{
		"message, expired":                 {false, func(s *servicebustest.Server) { s.ExpireLocks("q") }},
		"message, renewals are not heard":  {false, renewals(servicebustest.Fault{Action: servicebustest.Silence})},
		"message, renewals are throttled":  {false, renewals(servicebustest.Fault{Action: servicebustest.Refuse})},
		"message, renewals come too late":  {false, renewals(servicebustest.Fault{Delay: 2 * lock})},
		"message, renewals are detached":   {false, renewals(servicebustest.Fault{Action: servicebustest.Detach})},
		"message, renewals are cut":        {false, renewals(servicebustest.Fault{Action: servicebustest.Cut})},
		"message, queue deleted":           {false, func(s *servicebustest.Server) { _ = s.Delete("q") }},
		"session, expired":                 {true, func(s *servicebustest.Server) { s.ExpireLocks("q") }},
		"session, link detached":           {true, func(s *servicebustest.Server) { s.DetachLinks("q", "amqp:link:detach-forced") }},
		"session, connection cut":          {true, (*servicebustest.Server).CutConnections},
		"session, renewals are not heard":  {true, renewals(servicebustest.Fault{Action: servicebustest.Silence})},
		"session, renewals are throttled":  {true, renewals(servicebustest.Fault{Action: servicebustest.Refuse})},
		"session, renewals come too late":  {true, renewals(servicebustest.Fault{Delay: 2 * lock})},
		"session, renewals are detached":   {true, renewals(servicebustest.Fault{Action: servicebustest.Detach})},
		"session, renewals are cut":        {true, renewals(servicebustest.Fault{Action: servicebustest.Cut})},
		"session, queue deleted":           {true, func(s *servicebustest.Server) { _ = s.Delete("q") }},
		"session, receiver's link is told": {true, func(s *servicebustest.Server) { s.ExpireSession("q", "key-0") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, map[string]servicebustest.Queue{"q": {LockDuration: lock, RequiresSession: x.sess}}, func(b *bench) {
				s := b.bus.Queue("q")
				if x.sess {
					s = b.bus.Queue("q", servicebus.Sessions(2))
				}
				began, cause := make(chan struct{}, 10), make(chan error, 10)
				r, err := runner.New(eventflow.NewSink("lost", func(ctx context.Context, _ eventflow.Event) error {
					began <- struct{}{}
					<-ctx.Done()
					cause <- context.Cause(ctx)
					return nil // it finished all the same
				}), runner.On(s))
				require.NoError(b, err)
				ctx, cancel := context.WithCancel(b.Context())
				ended := make(chan error, 1)
				go func() { ended <- r.Listen(ctx) }()
				b.publish(numbered(1, 1)...)
				<-began
				settled := 0
				b.server.Intercept(func(op servicebustest.Operation) servicebustest.Fault {
					if op.Kind == servicebustest.Settlement && op.Name != "release" || op.Name == "com.microsoft:update-disposition" {
						settled++ // what the client gives back by itself was never handed over
					}
					return servicebustest.Fault{}
				})
				lost := time.Now()
				x.lose(b.server)
				require.ErrorIs(b, <-cause, eventflow.ErrLockLost)
				require.Less(b, time.Since(lost), lock)
				require.Zero(b, settled)
				cancel()
				require.NoError(b, <-ended)
			})
		})
	}
}

// TestALateSettlementSettlesNothingOfAnothers: it arrives when its lock has lapsed, and somebody else has the event.
func TestALateSettlementSettlesNothingOfAnothers(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]servicebustest.Fault{"delayed": {Delay: 30 * time.Second}, "unheard": {Action: servicebustest.Silence}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, map[string]servicebustest.Queue{"q": {LockDuration: 20 * time.Second}}, func(b *bench) {
				var broken atomic.Bool
				broken.Store(true)
				b.server.Intercept(func(op servicebustest.Operation) servicebustest.Fault {
					switch {
					case !broken.Load():
					case op.Name == "com.microsoft:renew-lock":
						return servicebustest.Fault{Action: servicebustest.Silence}
					case op.Name == "complete" || op.Name == "com.microsoft:update-disposition":
						return late
					}
					return servicebustest.Fault{}
				})
				s, other := b.bus.Queue("q"), b.bus.Queue("q")
				settled := make(chan error, 10)
				require.NoError(b, s.Start(b.Context(), eventflow.Listening{Settled: func(_ []*eventflow.Delivery, err error) { settled <- err }}))
				b.publish(numbered(1, 0)...)
				b.next(s).Ack()
				d := b.next(other)
				broken.Store(false)
				require.ErrorIs(b, <-settled, eventflow.ErrLockLost)
				time.Sleep(time.Minute) // what was on its way has come
				require.True(b, d.Open())
				require.Equal(b, 1, b.server.Stats("q").Locked)
				d.Ack()
				b.close(other)
				b.close(s)
				require.Equal(b, servicebustest.Stats{}, b.stats())
			})
		})
	}
}

// TestACutConnectionLosesNoMessageLock: the locks of messages outlive their link, and are renewed by another one.
func TestACutConnectionLosesNoMessageLock(t *testing.T) {
	t.Parallel()
	bubble(t, map[string]servicebustest.Queue{"q": {LockDuration: 20 * time.Second, MaxDeliveryCount: 1}}, func(b *bench) {
		s := b.bus.Queue("q")
		var lost atomic.Int32
		settled := make(chan error, 10)
		require.NoError(b, s.Start(b.Context(), eventflow.Listening{
			Lost:    func([]*eventflow.Delivery, error) { lost.Add(1) },
			Settled: func(_ []*eventflow.Delivery, err error) { settled <- err },
		}))
		b.publish(numbered(1, 0)...)
		d := b.next(s)
		for range 5 {
			b.server.CutConnections()
			time.Sleep(7 * time.Second)
			b.server.DetachLinks("q", "amqp:link:detach-forced")
			time.Sleep(7 * time.Second)
		}
		require.True(b, d.Open())
		require.Zero(b, lost.Load())
		d.Ack()
		require.NoError(b, <-settled)
		require.Zero(b, b.server.Stats("q").Active)
		b.close(s)
	})
}

// TestASettlementIsWrittenInTheEnd: refused, late or unanswered, for as long as its lock is held.
func TestASettlementIsWrittenInTheEnd(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]servicebustest.Fault{
		"refused": {Action: servicebustest.Refuse}, "late": {Delay: 2 * time.Second}, "unheard": {Action: servicebustest.Silence},
		"detached": {Action: servicebustest.Detach}, "cut": {Action: servicebustest.Cut},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, map[string]servicebustest.Queue{"q": {LockDuration: 20 * time.Second, MaxDeliveryCount: 1}}, func(b *bench) {
				s := b.bus.Queue("q")
				settled := make(chan error, 10)
				require.NoError(b, s.Start(b.Context(), eventflow.Listening{Settled: func(_ []*eventflow.Delivery, err error) { settled <- err }}))
				b.publish(numbered(1, 0)...)
				d := b.next(s)
				b.server.FailNext(servicebustest.Settlement, "q", f)
				d.Ack()
				require.NoError(b, <-settled)
				require.Zero(b, b.server.Stats("q").Active)
				require.Zero(b, b.server.Stats("q").Dead)
				b.close(s)
			})
		})
	}
}
