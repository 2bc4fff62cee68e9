package servicebus_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/servicebus"
	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

// TestListenAloneConsumesAndSendAlonePublishes: all that either does, with keys of one entity and one right.
func TestListenAloneConsumesAndSendAlonePublishes(t *testing.T) {
	t.Parallel()
	type open func(bus *servicebus.Broker, opts ...eventflow.SubscriberOption) *servicebus.Subscriber
	queue := func(name string) open {
		return func(bus *servicebus.Broker, opts ...eventflow.SubscriberOption) *servicebus.Subscriber {
			return bus.Queue(name, opts...)
		}
	}
	for name, x := range map[string]struct {
		entity string
		open   open
		opts   []eventflow.SubscriberOption
	}{
		"queue":    {"q", queue("q"), nil},
		"sessions": {"sess", queue("sess"), []eventflow.SubscriberOption{servicebus.Sessions(2)}},
		"subscription": {"t", func(bus *servicebus.Broker, opts ...eventflow.SubscriberOption) *servicebus.Subscriber {
			return bus.Subscription("t", "sub", opts...)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, map[string]servicebustest.Queue{"q": {}, "sess": {RequiresSession: true}}, func(b *bench) {
				require.NoError(b, b.server.CreateTopic("t", servicebustest.Topic{Subscriptions: map[string]servicebustest.Subscription{"sub": {}}}))
				sends := b.connect(b.server.Grant(servicebustest.Send, x.entity))
				defer b.close(sends)
				p, evs := sends.Publisher(x.entity), numbered(2, 1)
				require.NoError(b, p.Publish(b.Context(), evs[0]))
				require.NoError(b, p.PublishAt(b.Context(), time.Now().Add(time.Hour), evs[1]))

				listens := b.connect(b.server.Grant(servicebustest.Listen, x.entity))
				defer b.close(listens)
				s := x.open(listens, x.opts...)
				require.NoError(b, s.Start(b.Context(), eventflow.Listening{}))
				d := b.next(s)
				time.Sleep(5 * time.Minute) // it is renewed
				require.True(b, d.Open())
				d.Nack(0)
				d = b.next(s)
				require.NoError(b, d.DeadLetter(b.Context(), eventflow.Failure{Reason: "test"}))
				d.Ack()
				time.Sleep(time.Hour)
				d = b.next(s)
				require.Equal(b, evs[1].ID, d.Event.ID)
				d.Ack()
				b.close(s)

				dead := x.open(listens, servicebus.DeadLetters())
				d = b.next(dead)
				require.Equal(b, evs[0].ID, d.Event.ID)
				d.Ack()
				b.close(dead)
			})
		})
	}
}
