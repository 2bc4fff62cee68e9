package servicebustest_test

import (
	"fmt"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

func sendRules() []rule {
	return []rule{
		{name: "a message arrives as it was sent", js: true, check: func(b *bench) {
			b.send("q", &azservicebus.Message{
				Body: []byte("hello"), MessageID: new("m1"), Subject: new("s"), ContentType: new("text/plain"), CorrelationID: new("c"), To: new("to"),
				ReplyTo: new("r"), ReplyToSessionID: new("rs"), PartitionKey: new("pk"), TimeToLive: new(time.Minute), ApplicationProperties: map[string]any{
					"cloudEvents:id": "1", "bool": true, "i8": int8(-1), "i16": int16(-2), "i32": int32(-3), "i64": int64(-4), "u8": uint8(1), "u16": uint16(2),
					"u32": uint32(3), "u64": uint64(4), "f32": float32(1.5), "f64": 2.5, "time": time.UnixMilli(1700000000123), "uuid": amqp.UUID{1, 2}, "nil": nil,
				},
			})
			m := b.one(b.receiver("q"))
			require.Equal(b, "hello", string(m.Body))
			require.Equal(b, "m1", m.MessageID)
			require.Equal(b, []string{"s", "text/plain", "c", "to", "r", "rs", "pk"}, []string{*m.Subject, *m.ContentType, *m.CorrelationID, *m.To, *m.ReplyTo, *m.ReplyToSessionID, *m.PartitionKey})
			require.Equal(b, time.Minute, *m.TimeToLive)
			require.Equal(b, map[string]any{
				"cloudEvents:id": "1", "bool": true, "i8": int8(-1), "i16": int16(-2), "i32": int32(-3), "i64": int64(-4), "u8": uint8(1), "u16": uint16(2),
				"u32": uint32(3), "u64": uint64(4), "f32": float32(1.5), "f64": 2.5, "time": time.UnixMilli(1700000000123), "uuid": amqp.UUID{1, 2}, "nil": nil,
			}, m.ApplicationProperties)
			require.Equal(b, uint32(1), m.DeliveryCount)
			require.Equal(b, int64(1), *m.SequenceNumber)
			require.Equal(b, int64(1), *m.EnqueuedSequenceNumber)
			require.Equal(b, azservicebus.MessageStateActive, m.State)
			require.WithinDuration(b, b.clock.Now(), *m.EnqueuedTime, time.Millisecond)
			require.WithinDuration(b, b.clock.Now().Add(lock), *m.LockedUntil, time.Millisecond)
			require.NotZero(b, m.LockToken)
		}},
		{name: "a batch is taken whole", js: true, check: func(b *bench) {
			s := b.sender("q")
			batch, err := s.NewMessageBatch(b.soon(), nil)
			require.NoError(b, err)
			for i := range 50 {
				require.NoError(b, batch.AddMessage(&azservicebus.Message{Body: fmt.Append(nil, i), MessageID: new(strconv.Itoa(i))}, nil))
			}
			require.ErrorIs(b, batch.AddMessage(&azservicebus.Message{Body: make([]byte, 300_000)}, nil), azservicebus.ErrMessageTooLarge)
			require.NoError(b, s.SendMessageBatch(b.soon(), batch, nil))
			for i, m := range b.take(b.receiver("q"), 50) {
				require.Equal(b, strconv.Itoa(i), m.MessageID)
				require.Equal(b, int64(i+1), *m.SequenceNumber)
			}
		}},
		{name: "a large message travels in several frames", js: true, check: func(b *bench) {
			body := make([]byte, 200_000)
			for i := range body {
				body[i] = byte(i)
			}
			b.send("q", &azservicebus.Message{Body: body}, text("next"))
			ms := b.take(b.receiver("q"), 2)
			require.Equal(b, body, ms[0].Body)
			require.Equal(b, "next", string(ms[1].Body))
		}},
		{name: "a message beyond the limit is refused", js: true, check: func(b *bench) {
			err := b.sender("q").SendMessage(b.soon(), &azservicebus.Message{Body: make([]byte, 300_000)}, nil)
			require.ErrorIs(b, err, azservicebus.ErrMessageTooLarge)
			require.Zero(b, b.server.Stats("q"))
		}},
		{name: "a duplicate is taken and thrown away, within the window", js: true, check: func(b *bench) {
			same := func(body string) *azservicebus.Message {
				return &azservicebus.Message{MessageID: new("same"), Body: []byte(body)}
			}
			b.send("dup", same("1"), same("2"))
			require.Equal(b, servicebustest.Stats{Active: 1}, b.server.Stats("dup"))
			b.clock.Advance(time.Minute)
			b.send("dup", same("3"), text("no ID that was seen"))
			require.Equal(b, []string{"1", "3", "no ID that was seen"}, bodies(b.take(b.receiver("dup"), 3)))
		}},
		{name: "a full entity refuses", doc: learn + "service-bus-quotas", check: func(b *bench) {
			s := b.sender("small")
			require.NoError(b, s.SendMessage(b.soon(), &azservicebus.Message{Body: make([]byte, 2000)}, nil))
			require.Equal(b, "amqp:resource-limit-exceeded", condition(s.SendMessage(b.soon(), &azservicebus.Message{Body: make([]byte, 2000)}, nil)))
			r := b.receiver("small")
			require.NoError(b, r.CompleteMessage(b.soon(), b.one(r), nil))
			require.NoError(b, s.SendMessage(b.soon(), &azservicebus.Message{Body: make([]byte, 2000)}, nil))
		}},
		{name: "a message outlives its time to live as a dead letter, where the entity says so", js: true, check: func(b *bench) {
			b.send("ttl", text("an hour"), &azservicebus.Message{Body: []byte("a minute"), TimeToLive: new(time.Minute)}, &azservicebus.Message{Body: []byte("two hours"), TimeToLive: new(2 * time.Hour)})
			b.clock.Advance(time.Minute)
			require.Equal(b, servicebustest.Stats{Active: 2, Dead: 1}, b.server.Stats("ttl"))
			b.clock.Advance(time.Hour - time.Minute)
			ms := b.take(b.dead("ttl"), 3) // by number: those of the subqueue are the entity's
			require.Equal(b, []string{"an hour", "a minute", "two hours"}, bodies(ms))
			require.Equal(b, "TTLExpiredException", *ms[0].DeadLetterReason)
		}},
		{name: "a message that outlived its time to live is gone, where the entity does not keep it", doc: learn + "message-expiration", check: func(b *bench) {
			b.send("q", &azservicebus.Message{Body: []byte("a minute"), TimeToLive: new(time.Minute)}, text("for ever"))
			b.clock.Advance(time.Hour)
			require.Equal(b, servicebustest.Stats{Active: 1}, b.server.Stats("q"))
			require.Equal(b, "for ever", string(b.one(b.receiver("q")).Body))
		}},
		{name: "neither a dead letter nor a deferred message expires", doc: learn + "service-bus-dead-letter-queues", check: func(b *bench) {
			b.send("ttl", text("buried"), text("deferred"))
			r := b.receiver("ttl")
			ms := b.take(r, 2)
			require.NoError(b, r.DeadLetterMessage(b.soon(), ms[0], nil))
			require.NoError(b, r.DeferMessage(b.soon(), ms[1], nil))
			b.clock.Advance(24 * time.Hour)
			require.Equal(b, servicebustest.Stats{Deferred: 1, Dead: 1, Receivers: 1}, b.server.Stats("ttl"))
			ms, err := r.ReceiveDeferredMessages(b.soon(), []int64{*ms[1].SequenceNumber}, nil)
			require.NoError(b, err)
			require.Equal(b, []string{"deferred"}, bodies(ms))
		}},
		{name: "a topic's time to live is its subscriptions'", doc: learn + "message-expiration", check: func(b *bench) {
			require.NoError(b, b.server.CreateTopic("short", servicebustest.Topic{
				DefaultTTL: time.Minute, Subscriptions: map[string]servicebustest.Subscription{"a": {DefaultTTL: time.Hour}},
			}))
			b.send("short", text("x"))
			b.clock.Advance(time.Minute)
			require.Zero(b, b.server.Stats("short/Subscriptions/a"))
		}},
		{name: "what only the service may say is not taken from a sender", doc: learn + "service-bus-amqp-protocol-guide", check: func(b *bench) {
			s, err := b.raw(0).NewSender(b.soon(), "q", nil)
			require.NoError(b, err)
			require.NoError(b, s.Send(b.soon(), &amqp.Message{
				Header:      &amqp.MessageHeader{DeliveryCount: 7},
				Annotations: amqp.Annotations{"x-opt-deadletter-source": "nowhere", "x-opt-sequence-number": int64(99), "x-opt-locked-until": time.Now(), "x-opt-mine": "kept"},
				Properties:  &amqp.MessageProperties{}, Value: "x",
			}, nil))
			ms, err := b.receiver("q").PeekMessages(b.soon(), 1, nil)
			require.NoError(b, err)
			require.Nil(b, ms[0].DeadLetterSource)
			require.Nil(b, ms[0].LockedUntil)
			require.Equal(b, int64(1), *ms[0].SequenceNumber)
			require.Equal(b, uint32(1), ms[0].DeliveryCount)
			require.Equal(b, "kept", ms[0].RawAMQPMessage.MessageAnnotations["x-opt-mine"])
		}},
		{name: "a time to live ends under a lock only with the lock", doc: learn + "message-expiration", check: func(b *bench) {
			b.send("ttl", &azservicebus.Message{Body: []byte("x"), TimeToLive: new(time.Second)})
			r := b.receiver("ttl")
			m := b.one(r)
			b.clock.Advance(2 * time.Second)
			require.Equal(b, servicebustest.Stats{Active: 1, Locked: 1, Receivers: 1}, b.server.Stats("ttl"))
			require.NoError(b, r.AbandonMessage(b.soon(), m, nil))
			require.Equal(b, servicebustest.Stats{Dead: 1, Receivers: 1}, b.server.Stats("ttl"))
		}},
		{name: "a scheduled message is enqueued when it is due, with a number of its own", js: true, doc: learn + "message-sequencing", check: func(b *bench) {
			s := b.sender("q")
			seqs, err := s.ScheduleMessages(b.soon(), []*azservicebus.Message{text("soon"), text("never")}, b.clock.Now().Add(time.Minute), nil)
			require.NoError(b, err)
			require.Equal(b, []int64{1, 2}, seqs)
			require.NoError(b, s.SendMessage(b.soon(), &azservicebus.Message{Body: []byte("by its property"), ScheduledEnqueueTime: new(b.clock.Now().Add(2 * time.Minute))}, nil))
			require.NoError(b, s.CancelScheduledMessages(b.soon(), seqs[1:], nil))
			require.Equal(b, azservicebus.CodeNotFound, code(s.CancelScheduledMessages(b.soon(), seqs[1:], nil)))

			r := b.receiver("q")
			peeked, err := r.PeekMessages(b.soon(), 10, nil)
			require.NoError(b, err)
			require.Equal(b, []string{"soon", "by its property"}, bodies(peeked))
			require.Equal(b, azservicebus.MessageStateScheduled, peeked[0].State)
			require.Equal(b, servicebustest.Stats{Scheduled: 2, Receivers: 1}, b.server.Stats("q"))

			b.clock.Advance(time.Minute)
			m := b.one(r)
			require.Equal(b, "soon", string(m.Body))
			require.Equal(b, int64(4), *m.SequenceNumber)
			require.WithinDuration(b, b.clock.Now(), *m.EnqueuedTime, time.Millisecond)
			require.WithinDuration(b, b.clock.Now(), *m.ScheduledEnqueueTime, time.Millisecond)
			require.NoError(b, r.CompleteMessage(b.soon(), m, nil))
			b.clock.Advance(time.Minute)
			require.Equal(b, "by its property", string(b.one(r).Body))
			require.Equal(b, azservicebus.CodeNotFound, code(s.CancelScheduledMessages(b.soon(), seqs[:1], nil)))
		}},
	}
}
