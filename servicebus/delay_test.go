package servicebus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/servicebus"
	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
	"github.com/eventflow-go/eventflow/store"
)

var errBoom = errors.New("boom")

// TestADelayBeyondMaxHoldRunsTheSameEventAgain: with duplicate detection, which must not take the copy for the original,
// with and without a crash between the copy and the completion.
func TestADelayBeyondMaxHoldRunsTheSameEventAgain(t *testing.T) {
	t.Parallel()
	for name, crash := range map[string]bool{"without a crash": false, "with a crash before the completion": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, map[string]servicebustest.Queue{"q": {LockDuration: 20 * time.Second, DuplicateWindow: 24 * time.Hour}}, func(b *bench) {
				known := store.NewMemory()
				defer known.Close() //nolint:errcheck // in memory
				type attempt struct {
					id string
					n  int
					at time.Time
				}
				ran := make(chan attempt, 10)
				listen := func(s *servicebus.Subscriber) (stop func()) {
					r, err := runner.New(eventflow.NewSink("delayed", func(ctx context.Context, ev eventflow.Event) error {
						run := eventflow.RunFrom(ctx)
						ran <- attempt{ev.ID, run.Attempt, time.Now()}
						if run.Attempt == 1 {
							return errBoom
						}
						return nil
					}), runner.On(s, runner.Named("q")), runner.MaxHold(time.Minute), runner.Backoff(func(int) time.Duration { return time.Hour }), runner.Store(known))
					require.NoError(b, err)
					ctx, cancel := context.WithCancel(b.Context())
					ended := make(chan error, 1)
					go func() { ended <- r.Listen(ctx) }()
					return func() {
						cancel()
						if err := <-ended; err != nil {
							require.ErrorIs(b, err, eventflow.ErrClosed) // it crashed
						}
					}
				}
				if crash {
					b.server.Intercept(func(op servicebustest.Operation) servicebustest.Fault {
						if op.Kind == servicebustest.Settlement && op.Name == "complete" {
							return servicebustest.Fault{Action: servicebustest.Silence}
						}
						return servicebustest.Fault{}
					})
				}
				s := b.bus.Queue("q", servicebus.DelayByCopy())
				stop := listen(s)
				ev := numbered(1, 0)[0]
				ev.ID, ev.Source = "", "" // it is named by its place in the queue
				b.publish(ev)
				first := <-ran
				require.Equal(b, 1, first.n)
				time.Sleep(time.Second)
				require.Equal(b, 1, b.server.Stats("q").Scheduled)
				if crash {
					require.Equal(b, 1, b.server.Stats("q").Locked)
					s.Crash()
					stop()
					s = b.bus.Queue("q", servicebus.DelayByCopy())
					stop = listen(s)
				}
				second := <-ran
				require.Equal(b, first.id, second.id)
				require.Equal(b, 2, second.n)
				if !crash {
					require.InDelta(b, time.Hour, second.at.Sub(first.at), float64(2*time.Second))
				}
				time.Sleep(2 * time.Hour)
				require.Empty(b, ran)
				stop()
			})
		})
	}
}

// TestAMessageWithNothingButABodyIsCopied: AMQP lets senders leave everything else out.
func TestAMessageWithNothingButABodyIsCopied(t *testing.T) {
	t.Parallel()
	body := azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("x")}}
	bare := &azservicebus.ReceivedMessage{SequenceNumber: new(int64(7)), RawAMQPMessage: &azservicebus.AMQPAnnotatedMessage{Body: body}}
	m := servicebus.CopyOf(bare, 1, time.UnixMilli(1))
	require.NotEmpty(t, m.Properties.MessageID)
	require.Equal(t, body, m.Body)
	copied := servicebus.Decode(&azservicebus.ReceivedMessage{ApplicationProperties: m.ApplicationProperties, RawAMQPMessage: m}, servicebus.DelayByCopy())
	require.Equal(t, "7", copied.ID)
	require.Equal(t, servicebus.Decode(bare), copied)
}

// TestWhatIsSentAfterAShutdownReachesTheNextConsumer: cancelled in the middle of a long receive, nothing is orphaned.
func TestWhatIsSentAfterAShutdownReachesTheNextConsumer(t *testing.T) {
	t.Parallel()
	bubble(t, map[string]servicebustest.Queue{"q": {LockDuration: 5 * time.Minute}}, func(b *bench) {
		for range 20 {
			s := b.bus.Queue("q")
			r, err := runner.New(eventflow.NewSink("first", func(context.Context, eventflow.Event) error { return nil }), runner.On(s))
			require.NoError(b, err)
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- r.Listen(ctx) }()
			time.Sleep(time.Minute) // it waits for events
			cancel()
			require.NoError(b, <-ended)
			b.publish(numbered(3, 0)...)
			next, began := b.bus.Queue("q"), time.Now()
			for range 3 {
				b.next(next).Ack()
			}
			require.Less(b, time.Since(began), 2*time.Second)
			b.close(next)
		}
	})
}

// TestADeafFlowIsNamed: it outlives the hard stop, and its event comes back when its lock ends.
func TestADeafFlowIsNamed(t *testing.T) {
	t.Parallel()
	bubble(t, map[string]servicebustest.Queue{"q": {LockDuration: 20 * time.Second}}, func(b *bench) {
		free, began := make(chan struct{}), make(chan struct{})
		r, err := runner.New(eventflow.NewSink("deaf", func(context.Context, eventflow.Event) error {
			close(began)
			<-free
			return nil
		}), runner.On(b.bus.Queue("q")), runner.Grace(time.Second), runner.HardStop(time.Second))
		require.NoError(b, err)
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Listen(ctx) }()
		b.publish(numbered(1, 0)...)
		<-began
		cancel()
		require.ErrorIs(b, <-ended, eventflow.ErrAbandoned)
		next := b.bus.Queue("q")
		b.next(next).Ack()
		b.close(next)
		close(free)
	})
}

func TestPublishedForLaterComesLater(t *testing.T) {
	t.Parallel()
	bubble(t, map[string]servicebustest.Queue{"q": {}}, func(b *bench) {
		began := time.Now()
		p := b.bus.Publisher("q", servicebus.Delay(time.Hour))
		evs := numbered(3, 0)
		require.NoError(b, p.Publish(b.Context(), evs[0]))
		late := 2*time.Hour + 1 // AMQP counts milliseconds, and rounding must not make it early
		require.NoError(b, p.PublishAt(b.Context(), began.Add(late), evs[1:]...))
		s := b.bus.Queue("q")
		defer b.close(s)
		ctx, cancel := context.WithTimeout(b.Context(), 3*time.Hour)
		defer cancel()
		for _, want := range []time.Duration{time.Hour, late, late} {
			ds, err := s.Next(ctx, eventflow.Want{Events: 1})
			require.NoError(b, err)
			require.GreaterOrEqual(b, time.Since(began), want)
			require.Less(b, time.Since(began), want+time.Second)
			ds[0].Ack()
		}
	})
}
