package servicebustest_test

import (
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

func settleRules() []rule {
	return []rule{
		{name: "a completed message is gone", js: true, check: func(b *bench) {
			b.send("q", text("x"))
			r := b.receiver("q")
			m := b.one(r)
			require.NoError(b, r.CompleteMessage(b.soon(), m, nil))
			require.Equal(b, servicebustest.Stats{Receivers: 1}, b.server.Stats("q"))
		}},
		{name: "an abandoned message comes again, changed and counted, before those behind it", js: true, check: func(b *bench) {
			b.send("q", &azservicebus.Message{Body: []byte("x"), ApplicationProperties: map[string]any{"kept": int32(1), "changed": "a"}}, text("behind"))
			r := b.receiver("q")
			require.NoError(b, r.AbandonMessage(b.soon(), b.one(r), &azservicebus.AbandonMessageOptions{PropertiesToModify: map[string]any{"changed": "b", "new": int64(2)}}))
			m := b.one(r)
			require.Equal(b, "x", string(m.Body))
			require.Equal(b, uint32(2), m.DeliveryCount)
			require.Equal(b, map[string]any{"kept": int32(1), "changed": "b", "new": int64(2)}, m.ApplicationProperties)
		}},
		{name: "too many deliveries make a dead letter", js: true, check: func(b *bench) {
			b.send("q", text("poison"))
			r := b.receiver("q")
			for i := range 3 {
				m := b.one(r)
				require.Equal(b, uint32(i+1), m.DeliveryCount)
				require.NoError(b, r.AbandonMessage(b.soon(), m, nil))
			}
			d := b.dead("q")
			m := b.one(d)
			require.Equal(b, "poison", string(m.Body))
			require.Equal(b, "MaxDeliveryCountExceeded", *m.DeadLetterReason)
			require.Equal(b, "Message could not be consumed after 3 delivery attempts.", *m.DeadLetterErrorDescription)
			require.Equal(b, int64(1), *m.SequenceNumber)
			require.NoError(b, d.AbandonMessage(b.soon(), m, nil))
			m = b.one(d)
			require.NoError(b, d.CompleteMessage(b.soon(), m, nil))
			require.Zero(b, b.server.Stats("q").Dead)
		}},
		{name: "a dead letter has reason, description and properties", js: true, check: func(b *bench) {
			b.send("q", text("x"))
			r := b.receiver("q")
			o := &azservicebus.DeadLetterOptions{Reason: new("bad"), ErrorDescription: new("why"), PropertiesToModify: map[string]any{"k": "v"}}
			require.NoError(b, r.DeadLetterMessage(b.soon(), b.one(r), o))
			m := b.one(b.dead("q"))
			require.Equal(b, []string{"bad", "why", "v"}, []string{*m.DeadLetterReason, *m.DeadLetterErrorDescription, m.ApplicationProperties["k"].(string)})
		}},
		{name: "the source of a dead letter is not told", doc: "https://learn.microsoft.com/dotnet/api/azure.messaging.servicebus.servicebusreceivedmessage.deadlettersource", check: func(b *bench) {
			b.send("q", text("x"))
			r := b.receiver("q")
			require.NoError(b, r.DeadLetterMessage(b.soon(), b.one(r), nil))
			require.Nil(b, b.one(b.dead("q")).DeadLetterSource)
		}},
		{name: "a dead letter is not dead-lettered again, and nothing is sent there", doc: learn + "service-bus-dead-letter-queues", check: func(b *bench) {
			b.send("q", text("x"))
			r := b.receiver("q")
			require.NoError(b, r.DeadLetterMessage(b.soon(), b.one(r), nil))
			d := b.dead("q")
			m := b.one(d)
			require.Equal(b, "amqp:not-allowed", condition(d.DeadLetterMessage(b.soon(), m, nil)))
			require.Equal(b, 1, b.server.Stats("q").Dead)
			require.Equal(b, "amqp:not-allowed", condition(b.sender("q/$DeadLetterQueue").SendMessage(b.soon(), text("x"), nil)))
		}},
		{name: "a deferred message is received by its number only", js: true, check: func(b *bench) {
			b.send("q", text("later"), text("next"))
			r := b.receiver("q")
			m := b.one(r)
			require.NoError(b, r.DeferMessage(b.soon(), m, &azservicebus.DeferMessageOptions{PropertiesToModify: map[string]any{"k": "v"}}))
			require.Equal(b, "next", string(b.one(r).Body))
			ms, err := r.ReceiveDeferredMessages(b.soon(), []int64{*m.SequenceNumber}, nil)
			require.NoError(b, err)
			require.Equal(b, []string{"later"}, bodies(ms))
			require.Equal(b, azservicebus.MessageStateDeferred, ms[0].State)
			require.Equal(b, "v", ms[0].ApplicationProperties["k"])
			require.NoError(b, r.RenewMessageLock(b.soon(), ms[0], nil))
			require.NoError(b, r.AbandonMessage(b.soon(), ms[0], nil)) // it stays deferred
			require.Equal(b, servicebustest.Stats{Active: 1, Locked: 1, Deferred: 1, Receivers: 1}, b.server.Stats("q"))
			ms, err = r.ReceiveDeferredMessages(b.soon(), []int64{*m.SequenceNumber}, nil)
			require.NoError(b, err)
			require.Equal(b, uint32(2), ms[0].DeliveryCount)
			_, err = r.ReceiveDeferredMessages(b.soon(), []int64{*m.SequenceNumber}, nil)
			require.Equal(b, azservicebus.CodeNotFound, code(err), "it is locked")
			require.NoError(b, r.CompleteMessage(b.soon(), ms[0], nil))
			_, err = r.ReceiveDeferredMessages(b.soon(), []int64{*m.SequenceNumber}, nil)
			require.Equal(b, azservicebus.CodeNotFound, code(err))
		}},
		{name: "a lock that runs out gives the message back and counts", js: true, check: func(b *bench) {
			b.send("q", text("x"))
			r := b.receiver("q")
			m := b.one(r)
			b.clock.Advance(lock - time.Millisecond)
			require.Equal(b, 1, b.server.Stats("q").Locked)
			b.clock.Advance(time.Millisecond)
			require.Zero(b, b.server.Stats("q").Locked)
			again := b.one(r)
			require.Equal(b, uint32(2), again.DeliveryCount)
			require.Equal(b, azservicebus.CodeLockLost, code(r.CompleteMessage(b.soon(), m, nil)))
			require.Equal(b, azservicebus.CodeLockLost, code(r.RenewMessageLock(b.soon(), m, nil)))
			require.NoError(b, r.CompleteMessage(b.soon(), again, nil))
			require.Zero(b, b.server.Stats("q").Active)
		}},
		{name: "a renewed lock lasts from then", js: true, check: func(b *bench) {
			b.send("q", text("x"))
			r := b.receiver("q")
			m := b.one(r)
			for range 10 {
				b.clock.Advance(lock / 2)
				require.NoError(b, r.RenewMessageLock(b.soon(), m, nil))
				require.WithinDuration(b, b.clock.Now().Add(lock), *m.LockedUntil, time.Millisecond)
			}
			require.NoError(b, r.CompleteMessage(b.soon(), m, nil))
		}},
		{name: "a released message comes again, uncounted", doc: released, check: func(b *bench) {
			b.send("q", text("x"))
			r, err := b.raw(0).NewReceiver(b.soon(), "q", &amqp.ReceiverOptions{Credit: 2, SettlementMode: amqp.ReceiverSettleModeSecond.Ptr()})
			require.NoError(b, err)
			for range 5 {
				m, err := r.Receive(b.soon(), nil)
				require.NoError(b, err)
				require.Zero(b, m.Header.DeliveryCount)
				require.NoError(b, r.ReleaseMessage(b.soon(), m))
			}
		}},
		{name: "a message can be settled when its link is gone", doc: learn + "service-bus-amqp-request-response", check: func(b *bench) {
			b.send("q", text("x"))
			r := b.receiver("q")
			m := b.one(r)
			b.server.DetachLinks("q", "amqp:link:detach-forced")
			require.NoError(b, r.CompleteMessage(b.soon(), m, nil)) // by $management
			require.Zero(b, b.server.Stats("q").Active)
		}},
	}
}
