package servicebustest_test

import (
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

func sessionRules() []rule {
	return []rule{
		{name: "a session's messages come in order, and none of another's", js: true, check: func(b *bench) {
			b.send("sess", inSession("A", "a1"), inSession("B", "b1"), inSession("A", "a2"), inSession("", "nameless"))
			r := b.session("A")
			require.Equal(b, "A", r.SessionID())
			require.WithinDuration(b, b.clock.Now().Add(lock), r.LockedUntil(), time.Millisecond)
			ms := b.take(r, 2)
			require.Equal(b, []string{"a1", "a2"}, bodies(ms))
			require.WithinDuration(b, r.LockedUntil(), *ms[0].LockedUntil, time.Millisecond)
			b.send("sess", inSession("A", "a3"))
			require.Equal(b, "a3", string(b.one(r).Body))
			require.Equal(b, "nameless", string(b.one(b.session("")).Body))
		}},
		{name: "a session has one receiver at a time", js: true, check: func(b *bench) {
			b.send("sess", inSession("A", "a"))
			r := b.session("A")
			_, err := b.client.AcceptSessionForQueue(b.soon(), "sess", "A", nil)
			require.Equal(b, "com.microsoft:session-cannot-be-locked", condition(err))
			require.NoError(b, r.Close(b.soon()))
			b.stats("sess", servicebustest.Stats{Active: 1, Sessions: 1})
			b.session("A")
		}},
		{name: "the next session is a free one with messages", js: true, check: func(b *bench) {
			b.send("sess", inSession("A", "a"), inSession("B", "b"))
			b.session("A")
			r, err := b.client.AcceptNextSessionForQueue(b.soon(), "sess", nil)
			require.NoError(b, err)
			require.Equal(b, "B", r.SessionID())
			require.Equal(b, "b", string(b.one(r).Body))
		}},
		{name: "who waits for a session gets the first that comes", js: true, check: func(b *bench) {
			got := make(chan any)
			go func() {
				r, err := b.client.AcceptNextSessionForQueue(b.soon(), "sess", nil)
				if err != nil {
					got <- err
					return
				}
				got <- r.SessionID()
			}()
			b.send("sess", inSession("C", "c"))
			require.Equal(b, "C", <-got)
		}},
		{name: "without a free session there is a timeout", js: true, check: func(b *bench) {
			done := make(chan error)
			go func() {
				_, err := b.client.AcceptNextSessionForQueue(b.within(time.Minute), "sess", nil)
				done <- err
			}()
			for {
				select {
				case err := <-done:
					require.Equal(b, azservicebus.CodeTimeout, code(err))
					return
				case <-time.After(time.Millisecond):
					b.clock.Advance(time.Second)
				}
			}
		}},
		{name: "a session's state stays", js: true, check: func(b *bench) {
			r := b.session("A")
			st, err := r.GetSessionState(b.soon(), nil)
			require.NoError(b, err)
			require.Nil(b, st)
			require.NoError(b, r.SetSessionState(b.soon(), []byte("half way"), nil))
			require.NoError(b, r.Close(b.soon()))
			b.stats("sess", servicebustest.Stats{Sessions: 1})
			r = b.session("A")
			st, err = r.GetSessionState(b.soon(), nil)
			require.NoError(b, err)
			require.Equal(b, "half way", string(st))
			require.NoError(b, r.SetSessionState(b.soon(), nil, nil))
			st, err = r.GetSessionState(b.soon(), nil)
			require.NoError(b, err)
			require.Nil(b, st)
		}},
		{name: "a session's state is part of what an entity holds", doc: learn + "message-sessions", check: func(b *bench) {
			require.NoError(b, b.server.CreateQueue("tiny", servicebustest.Queue{RequiresSession: true, MaxBytes: 100}))
			r, err := b.client.AcceptSessionForQueue(b.soon(), "tiny", "A", nil)
			require.NoError(b, err)
			for range 3 { // each in the other's place
				require.NoError(b, r.SetSessionState(b.soon(), make([]byte, 90), nil))
			}
			require.Error(b, r.SetSessionState(b.soon(), make([]byte, 110), nil))
			st, err := r.GetSessionState(b.soon(), nil)
			require.NoError(b, err)
			require.Len(b, st, 90)
		}},
		{name: "a session's lock is renewed, and its messages' with it", js: true, check: func(b *bench) {
			b.send("sess", inSession("A", "a"))
			r := b.session("A")
			m := b.one(r)
			for range 5 {
				b.clock.Advance(lock / 2)
				require.NoError(b, r.RenewSessionLock(b.soon(), nil))
				require.WithinDuration(b, b.clock.Now().Add(lock), r.LockedUntil(), time.Millisecond)
			}
			require.NoError(b, r.CompleteMessage(b.soon(), m, nil))
		}},
		{name: "a session's lock that runs out detaches its receiver and counts its messages", js: true, doc: learn + "message-sessions", check: func(b *bench) {
			b.send("sess", inSession("A", "received"), inSession("A", "waiting"))
			r := b.session("A")
			m := b.one(r)
			b.clock.Advance(lock)
			b.stats("sess", servicebustest.Stats{Active: 2, Sessions: 1})
			require.Error(b, r.CompleteMessage(b.within(100*time.Millisecond), m, nil)) // tried again and again, and then given up
			ms := b.take(r, 2)
			require.Equal(b, []string{"received", "waiting"}, bodies(ms))
			require.Equal(b, []uint32{2, 1}, []uint32{ms[0].DeliveryCount, ms[1].DeliveryCount})
		}},
		{name: "a session that is closed counts nothing", doc: learn + "message-sessions", check: func(b *bench) {
			b.send("sess", inSession("A", "a"))
			for range 5 {
				r := b.session("A")
				require.Equal(b, uint32(1), b.one(r).DeliveryCount)
				require.NoError(b, r.Close(b.soon()))
				b.stats("sess", servicebustest.Stats{Active: 1, Sessions: 1})
			}
		}},
		{name: "a session goes on after another's", doc: learn + "message-sessions", check: func(b *bench) {
			b.send("sess", inSession("A", "a1"), inSession("A", "a2"))
			r := b.session("A")
			require.NoError(b, r.CompleteMessage(b.soon(), b.one(r), nil))
			require.NoError(b, r.Close(b.soon()))
			next, err := b.client.AcceptNextSessionForQueue(b.soon(), "sess", nil)
			require.NoError(b, err)
			require.Equal(b, "a2", string(b.one(next).Body))
		}},
		{name: "too many deliveries in a session make a dead letter, which needs no session", js: true, check: func(b *bench) {
			b.send("sess", inSession("A", "poison"), inSession("A", "good"))
			r := b.session("A")
			for range 3 {
				require.NoError(b, r.AbandonMessage(b.soon(), b.one(r), nil))
			}
			require.Equal(b, "good", string(b.one(r).Body))
			m := b.one(b.dead("sess"))
			require.Equal(b, "poison", string(m.Body))
			require.Equal(b, "A", *m.SessionID)
		}},
		{name: "a message of a session is deferred in it", js: true, check: func(b *bench) {
			b.send("sess", inSession("A", "a"))
			r := b.session("A")
			m := b.one(r)
			require.NoError(b, r.DeferMessage(b.soon(), m, nil))
			ms, err := r.ReceiveDeferredMessages(b.soon(), []int64{*m.SequenceNumber}, nil)
			require.NoError(b, err)
			require.NoError(b, r.CompleteMessage(b.soon(), ms[0], nil))
			require.Equal(b, servicebustest.Stats{Sessions: 1, Receivers: 1}, b.server.Stats("sess"))
		}},
		{name: "a session is asked about by its receiver's connection only", doc: learn + "message-sessions", check: func(b *bench) {
			b.session("A")
			s := b.dial(0)
			resource := "sb://host/sess"
			b.call(s, "$cbs", &amqp.Message{
				Value:                 sign(b.server.ConnectionString(), resource, time.Now().Add(time.Hour)),
				ApplicationProperties: map[string]any{"operation": "put-token", "name": resource},
			})
			for _, op := range []string{"renew-session-lock", "get-session-state", "set-session-state"} {
				reply := b.call(s, "sess/$management", &amqp.Message{ApplicationProperties: map[string]any{"operation": "com.microsoft:" + op}, Value: map[string]any{"session-id": "A"}})
				require.Equal(b, int32(410), reply.ApplicationProperties["statusCode"], op)
				require.Equal(b, "com.microsoft:session-lock-lost", reply.ApplicationProperties["errorCondition"], op)
			}
		}},
		{name: "an entity of sessions takes no message without one", js: true, check: func(b *bench) {
			err := b.sender("sess").SendMessage(b.soon(), text("x"), nil)
			require.Equal(b, "amqp:not-allowed", condition(err))
		}},
		{name: "receivers and entities agree about sessions", js: true, check: func(b *bench) {
			_, err := b.receiver("sess").ReceiveMessages(b.soon(), 1, nil)
			require.Equal(b, "amqp:not-allowed", condition(err))
			_, err = b.client.AcceptSessionForQueue(b.soon(), "q", "A", nil)
			require.Equal(b, "amqp:not-allowed", condition(err))
		}},
		{name: "sessions are listed", doc: learn + "service-bus-amqp-request-response", check: func(b *bench) {
			b.send("sess", inSession("A", "a"), inSession("B", "b"))
			r := b.session("C")
			require.NoError(b, r.SetSessionState(b.soon(), []byte("st"), nil))
			require.NoError(b, r.Close(b.soon()))
			b.session("no message, no state")
			pager := b.client.NewListSessionsForQueuePager("sess", nil)
			var ids []string
			for pager.More() {
				page, err := pager.NextPage(b.soon())
				require.NoError(b, err)
				ids = append(ids, page.Sessions...)
			}
			require.Equal(b, []string{"A", "B", "C"}, ids)
		}},
	}
}

func topicRules() []rule {
	return []rule{
		{name: "every subscription has a copy, of what its filters let pass", js: true, check: func(b *bench) {
			b.send("t", &azservicebus.Message{Body: []byte("1"), Subject: new("a")}, &azservicebus.Message{Body: []byte("2"), Subject: new("b")})
			all, some := b.receiver("t/Subscriptions/all"), b.receiver("t/Subscriptions/subject")
			ms := b.take(all, 2)
			require.Equal(b, []string{"1", "2"}, bodies(ms))
			m := b.one(some)
			require.Equal(b, "2", string(m.Body))
			require.Equal(b, []int64{1, 2}, []int64{*m.SequenceNumber, *m.EnqueuedSequenceNumber}, "its own number, and the topic's")
			require.NoError(b, some.AbandonMessage(b.soon(), m, &azservicebus.AbandonMessageOptions{PropertiesToModify: map[string]any{"k": "v"}}))
			require.NoError(b, all.AbandonMessage(b.soon(), ms[1], nil))
			require.Empty(b, b.one(all).ApplicationProperties, "a change of one copy is not the other's")
		}},
		{name: "a filter is all of its fields, and one filter is enough", doc: learn + "topic-filters", check: func(b *bench) {
			subs := map[string]servicebustest.Subscription{
				"CorrelationID": {Filters: []servicebustest.Filter{{CorrelationID: "1"}}}, "MessageID": {Filters: []servicebustest.Filter{{MessageID: "1"}}},
				"To": {Filters: []servicebustest.Filter{{To: "1"}}}, "ReplyTo": {Filters: []servicebustest.Filter{{ReplyTo: "1"}}},
				"SessionID": {Filters: []servicebustest.Filter{{SessionID: "1"}}}, "ReplyToSessionID": {Filters: []servicebustest.Filter{{ReplyToSessionID: "1"}}},
				"ContentType": {Filters: []servicebustest.Filter{{ContentType: "1"}}}, "true": {Filters: []servicebustest.Filter{{}}},
				"property": {Filters: []servicebustest.Filter{{Properties: map[string]any{"a": 1, "b": "x"}}}},
				"either":   {Filters: []servicebustest.Filter{{To: "another"}, {To: "1"}}},
				"both":     {Filters: []servicebustest.Filter{{To: "1", ReplyTo: "another"}}},
			}
			require.NoError(b, b.server.CreateTopic("f", servicebustest.Topic{Subscriptions: subs}))
			one := new("1")
			b.send("f", &azservicebus.Message{
				CorrelationID: one, MessageID: one, To: one, ReplyTo: one, SessionID: one, ReplyToSessionID: one, ContentType: one,
				ApplicationProperties: map[string]any{"a": int32(1), "b": "x", "c": true},
			}, &azservicebus.Message{ApplicationProperties: map[string]any{"a": int32(1)}}, &azservicebus.Message{ApplicationProperties: map[string]any{"a": "1", "b": "x"}})
			for name := range subs {
				want := map[string]int{"true": 3, "both": 0}
				n, special := want[name]
				if !special {
					n = 1
				}
				require.Equal(b, n, b.server.Stats("f/Subscriptions/"+name).Active, name)
			}
		}},
		{name: "a subscription has dead letters of its own", js: true, check: func(b *bench) {
			b.send("t", text("x"))
			r := b.receiver("t/Subscriptions/all")
			require.NoError(b, r.DeadLetterMessage(b.soon(), b.one(r), nil))
			require.Equal(b, "x", string(b.one(b.dead("t/Subscriptions/all")).Body))
		}},
		{name: "a subscription may have sessions, and dead-letters what has none", doc: learn + "service-bus-dead-letter-queues", check: func(b *bench) {
			b.send("t", inSession("A", "a"), text("without"))
			r, err := b.client.AcceptNextSessionForSubscription(b.soon(), "t", "sessions", nil)
			require.NoError(b, err)
			require.Equal(b, "a", string(b.one(r).Body))
			require.Equal(b, "Session ID is null", *b.one(b.dead("t/Subscriptions/sessions")).DeadLetterReason)
		}},
		{name: "a topic without subscriptions takes messages", doc: learn + "service-bus-queues-topics-subscriptions", check: func(b *bench) {
			b.send("lonely", text("x"))
			require.Zero(b, b.server.Stats("lonely"))
		}},
		{name: "a message can be scheduled in a topic", js: true, check: func(b *bench) {
			_, err := b.sender("t").ScheduleMessages(b.soon(), []*azservicebus.Message{text("x")}, b.clock.Now().Add(time.Minute), nil)
			require.NoError(b, err)
			require.Equal(b, servicebustest.Stats{Scheduled: 1}, b.server.Stats("t"))
			require.Zero(b, b.server.Stats("t/Subscriptions/all"))
			b.clock.Advance(time.Minute)
			require.Equal(b, "x", string(b.one(b.receiver("t/Subscriptions/all")).Body))
		}},
		{name: "a topic is not received from, a subscription not sent to", doc: learn + "service-bus-queues-topics-subscriptions", check: func(b *bench) {
			_, err := b.receiver("t").ReceiveMessages(b.soon(), 1, nil)
			require.Equal(b, "amqp:not-allowed", condition(err))
			require.Equal(b, "amqp:not-allowed", condition(b.sender("t/Subscriptions/all").SendMessage(b.soon(), text("x"), nil)))
		}},
	}
}
