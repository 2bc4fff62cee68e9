package servicebustest_test

import (
	"context"
	"strconv"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

func receiveRules() []rule {
	return []rule{
		{name: "receive and delete leaves nothing", js: true, check: func(b *bench) {
			b.send("q", text("1"), text("2"))
			r := b.deleting("q")
			ms := b.take(r, 2)
			require.Equal(b, []string{"1", "2"}, bodies(ms))
			require.Error(b, r.CompleteMessage(b.soon(), ms[0], nil))
			require.Equal(b, servicebustest.Stats{Receivers: 1}, b.server.Stats("q"))
		}},
		{name: "a receiver waits for the next message", js: true, check: func(b *bench) {
			r := b.receiver("q")
			got := make(chan string)
			go func() {
				ms, err := r.ReceiveMessages(b.soon(), 1, nil)
				if err != nil {
					got <- err.Error()
					return
				}
				got <- string(ms[0].Body)
			}()
			b.stats("q", servicebustest.Stats{Receivers: 1})
			b.send("q", text("late"))
			require.Equal(b, "late", <-got)
		}},
		{name: "no more is delivered than was asked for", doc: learn + "service-bus-amqp-protocol-guide", check: func(b *bench) {
			b.send("q", text("1"), text("2"), text("3"))
			r := b.receiver("q")
			b.one(r)
			b.take(r, 1)
			require.Equal(b, servicebustest.Stats{Active: 3, Locked: 2, Receivers: 1}, b.server.Stats("q"))
		}},
		{name: "two receivers share a queue", doc: learn + "service-bus-queues-topics-subscriptions", check: func(b *bench) {
			b.send("q", text("1"), text("2"))
			x, y := b.receiver("q"), b.receiver("q")
			require.Equal(b, []string{"1", "2"}, bodies([]*azservicebus.ReceivedMessage{b.one(x), b.one(y)}))
		}},
		{name: "what a receiver has locked stays locked when it leaves", doc: learn + "message-transfers-locks-settlement", check: func(b *bench) {
			b.send("q", text("x"))
			r := b.receiver("q")
			b.one(r)
			require.NoError(b, r.Close(b.soon()))
			b.stats("q", servicebustest.Stats{Active: 1, Locked: 1})
			b.clock.Advance(lock)
			require.Equal(b, uint32(2), b.one(b.receiver("q")).DeliveryCount)
		}},
		{name: "credit that is drained brings nothing more", js: true, check: func(b *bench) {
			r, err := b.raw(0).NewReceiver(b.soon(), "q", &amqp.ReceiverOptions{Credit: -1})
			require.NoError(b, err)
			require.NoError(b, r.IssueCredit(5))
			b.send("q", text("before"))
			m, err := r.Receive(b.soon(), nil)
			require.NoError(b, err)
			require.Equal(b, "before", string(m.GetData()))
			require.NoError(b, r.DrainCredit(b.soon(), nil))
			b.send("q", text("after"))
			require.Equal(b, servicebustest.Stats{Active: 2, Locked: 1, Receivers: 1}, b.server.Stats("q"))
			require.NoError(b, r.IssueCredit(1))
			m, err = r.Receive(b.soon(), nil)
			require.NoError(b, err)
			require.Equal(b, "after", string(m.GetData()))
		}},
		{name: "a session's window is kept", doc: learn + "service-bus-amqp-protocol-guide", check: func(b *bench) {
			for i := range 40 {
				b.send("q", &azservicebus.Message{Body: make([]byte, 100_000), MessageID: new(strconv.Itoa(i))})
			}
			r, err := b.raw(512).NewReceiver(b.soon(), "q", &amqp.ReceiverOptions{Credit: 40})
			require.NoError(b, err)
			for i := range 40 { // some 10,000 frames, twice the client's window
				m, err := r.Receive(b.soon(), nil)
				require.NoError(b, err)
				require.Equal(b, strconv.Itoa(i), m.Properties.MessageID)
				require.Len(b, m.GetData(), 100_000)
				require.NoError(b, r.AcceptMessage(b.soon(), m))
			}
		}},
		{name: "names do not tell cases apart, and may hold slashes", doc: dotnet + "Administration/QueueProperties.cs", check: func(b *bench) {
			b.send("A/b", text("x"))
			r := b.receiver("a/B")
			m := b.one(r)
			require.NoError(b, r.RenewMessageLock(b.soon(), m, nil))
			require.NoError(b, r.CompleteMessage(b.soon(), m, nil))
			require.Zero(b, b.server.Stats("a/b").Active)
		}},
		{name: "an address may be a URL", doc: python + "_servicebus_sender.py", check: func(b *bench) {
			r, err := b.raw(0).NewReceiver(b.soon(), "amqps://somewhere/q", nil)
			require.NoError(b, err)
			b.send("q", text("x"))
			_, err = r.Receive(b.soon(), nil)
			require.NoError(b, err)
		}},
		{name: "a receive that is given up loses nothing", doc: released, check: func(b *bench) {
			r := b.receiver("q")
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error)
			go func() {
				_, err := r.ReceiveMessages(ctx, 5, nil)
				done <- err
			}()
			b.stats("q", servicebustest.Stats{Receivers: 1})
			cancel()
			require.ErrorIs(b, <-done, context.Canceled)
			b.send("q", text("1")) // comes on the credit that is still there, and is released
			m := b.one(r)
			require.Equal(b, uint32(1), m.DeliveryCount)
		}},
	}
}
