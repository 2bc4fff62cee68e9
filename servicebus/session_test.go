package servicebus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/servicebus"
	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

// TestARunHasTheStateOfItsSession: each event adds to it, and the next one finds it.
func TestARunHasTheStateOfItsSession(t *testing.T) {
	t.Parallel()
	bubble(t, map[string]servicebustest.Queue{"q": {RequiresSession: true}}, func(b *bench) {
		s := b.bus.Queue("q", servicebus.Sessions(2))
		states := make(chan string, 10)
		r, err := runner.New(eventflow.NewSink("sum", func(ctx context.Context, ev eventflow.Event) error {
			sess, err := s.Session(ctx)
			if err != nil {
				return err
			}
			state, err := sess.State(ctx)
			if err != nil {
				return err
			}
			state = fmt.Append(state, ev.ID, " ")
			states <- sess.ID() + ": " + string(state)
			return sess.SetState(ctx, state)
		}), runner.On(s))
		require.NoError(b, err)
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Listen(ctx) }()
		b.publish(numbered(3, 1)...)
		require.Equal(b, "key-0: 0 ", <-states)
		require.Equal(b, "key-0: 0 1 ", <-states)
		require.Equal(b, "key-0: 0 1 2 ", <-states)
		cancel()
		require.NoError(b, <-ended)
		_, err = s.Session(b.Context())
		require.Error(b, err)
	})
}

// TestIdleSessionsMakeRoomForOthers: there are more sessions than may be held.
func TestIdleSessionsMakeRoomForOthers(t *testing.T) {
	t.Parallel()
	bubble(t, map[string]servicebustest.Queue{"q": {RequiresSession: true}}, func(b *bench) {
		s := b.bus.Queue("q", servicebus.Sessions(3), servicebus.SessionIdle(100*time.Millisecond))
		b.publish(numbered(60, 20)...)
		seen := map[string]int{}
		for range 60 {
			d := b.next(s)
			require.Equal(b, d.Event.Key, d.Lane)
			seen[d.Lane]++
			require.LessOrEqual(b, b.server.Stats("q").Receivers, 3)
			d.Ack()
		}
		require.Len(b, seen, 20)
		b.close(s)
		require.Zero(b, b.server.Stats("q").Active)
	})
}

// TestASubscriptionsDeadLettersTellTheirOrigin: of the two subscriptions of a topic each has its own.
func TestASubscriptionsDeadLettersTellTheirOrigin(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(b *bench) {
		require.NoError(b, b.server.CreateTopic("t", servicebustest.Topic{Subscriptions: map[string]servicebustest.Subscription{"a": {}, "b": {}}}))
		p := b.bus.Publisher("t")
		require.NoError(b, p.Publish(b.Context(), numbered(1, 0)...))
		sa, sb := b.bus.Subscription("t", "a"), b.bus.Subscription("t", "b")
		require.NoError(b, b.next(sa).DeadLetter(b.Context(), eventflow.Failure{Reason: "permanent", Flow: "f", Version: "v", Binding: "t", Attempts: 2, Err: errBoom}))
		b.next(sb).Ack()
		dead := b.bus.Subscription("t", "a", servicebus.DeadLetters())
		d := b.next(dead)
		for name, want := range map[string]string{
			"DeadLetterReason": "permanent", "DeadLetterSource": "in-memory.servicebustest/t/Subscriptions/a", "eventflow-flow": "f", "eventflow-trigger": "t",
			"DeadLetterErrorDescription": "flow f, version v, trigger t, error of type *errors.errorString, attempt 2",
		} {
			require.Equal(b, want, d.Event.Attributes.String(name))
		}
		require.ErrorIs(b, d.DeadLetter(b.Context(), eventflow.Failure{}), eventflow.ErrNoDeadLetters)
		d.Ack()
		for _, s := range []*servicebus.Subscriber{sa, sb, dead} {
			b.close(s)
		}
		var c *eventflow.ConfigError
		require.ErrorAs(b, b.bus.Queue("q", servicebus.DeadLetters()).Start(b.Context(), eventflow.Listening{MaxAttempts: 5}), &c)
	})
}

// TestWhatNobodyAsksForIsTakenBack: a consumer that asked for many and stops leaves them to others.
func TestWhatNobodyAsksForIsTakenBack(t *testing.T) {
	t.Parallel()
	bubble(t, map[string]servicebustest.Queue{"q": {LockDuration: 5 * time.Minute, MaxDeliveryCount: 1}}, func(b *bench) {
		s, other := b.bus.Queue("q"), b.bus.Queue("q")
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		_, err := s.Next(ctx, eventflow.Want{Events: 100})
		require.ErrorIs(b, err, context.DeadlineExceeded)
		cancel()
		time.Sleep(time.Second)
		b.publish(numbered(100, 0)...)
		for range 100 {
			b.next(other).Ack()
		}
		b.close(s)
		b.close(other)
		require.Equal(b, servicebustest.Stats{}, b.server.Stats("q"))
	})
}

// TestASettlementWhoseAnswerIsLostHoldsNoSessionForEver: it took effect, and is refused when it is repeated.
func TestASettlementWhoseAnswerIsLostHoldsNoSessionForEver(t *testing.T) {
	t.Parallel()
	for name, settle := range map[string]func(ctx context.Context, d *eventflow.Delivery) error{
		"acknowledged": func(_ context.Context, d *eventflow.Delivery) error {
			d.Ack()
			return nil
		},
		"dead-lettered": func(ctx context.Context, d *eventflow.Delivery) error {
			for ctx.Err() == nil && d.Open() { // as a runner does
				if err := d.DeadLetter(ctx, eventflow.Failure{Reason: "permanent"}); err == nil {
					d.Ack()
					return nil
				}
			}
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, map[string]servicebustest.Queue{"q": {LockDuration: time.Minute, RequiresSession: true}}, func(b *bench) {
				s := b.bus.Queue("q", servicebus.Sessions(1))
				require.NoError(b, s.Start(b.Context(), eventflow.Listening{}))
				b.publish(numbered(2, 1)...)
				b.server.FailNext(servicebustest.Settlement, "q", servicebustest.Fault{Action: servicebustest.Silence, Applied: true})
				began := time.Now()
				d := b.next(s)
				require.Equal(b, "0", d.Event.ID)
				require.NoError(b, settle(b.Context(), d))
				d = b.next(s)
				require.Equal(b, "1", d.Event.ID)
				d.Ack()
				require.Less(b, time.Since(began), time.Minute)
				b.close(s)
				require.Less(b, time.Since(began), time.Minute)
				require.Zero(b, b.server.Stats("q").Active)
			})
		})
	}
}
