package servicebustest_test

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

func managementRules() []rule {
	return []rule{
		{name: "peeking shows all and locks nothing", js: true, check: func(b *bench) {
			b.send("q", text("locked"), text("deferred"), text("active"))
			r := b.receiver("q")
			ms := b.take(r, 2)
			require.NoError(b, r.DeferMessage(b.soon(), ms[1], nil))
			first, err := r.PeekMessages(b.soon(), 2, nil)
			require.NoError(b, err)
			rest, err := r.PeekMessages(b.soon(), 2, nil) // goes on where it was
			require.NoError(b, err)
			peeked := append(first, rest...) //nolint:gocritic // a new name for both
			require.Equal(b, []string{"locked", "deferred", "active"}, bodies(peeked))
			require.Equal(b, []azservicebus.MessageState{0, 1, 0}, []azservicebus.MessageState{peeked[0].State, peeked[1].State, peeked[2].State})
			none, err := r.PeekMessages(b.soon(), 2, nil)
			require.NoError(b, err)
			require.Empty(b, none)
			require.Equal(b, "active", string(b.one(r).Body))
		}},
		{name: "an unknown request is said to be unknown", doc: learn + "service-bus-amqp-request-response", check: func(b *bench) {
			reply := b.call(b.raw(0), "q/$management", &amqp.Message{ApplicationProperties: map[string]any{"operation": "com.microsoft:dance"}, Value: map[string]any{}})
			require.Equal(b, int32(501), reply.ApplicationProperties["statusCode"])
		}},
		{name: "a missing entity is not found", js: true, check: func(b *bench) {
			require.Equal(b, "amqp:not-found", condition(b.sender("missing").SendMessage(b.soon(), text("x"), nil)))
			_, err := b.receiver("missing").ReceiveMessages(b.soon(), 1, nil)
			require.Equal(b, "amqp:not-found", condition(err))
			_, err = b.receiver("t/Subscriptions/missing").ReceiveMessages(b.soon(), 1, nil)
			require.Equal(b, "amqp:not-found", condition(err))
		}},
		{name: "a deleted entity is not found until it is made again, empty", doc: learn + "service-bus-messaging-exceptions-latest", check: func(b *bench) {
			s, r := b.sender("q"), b.receiver("q")
			require.NoError(b, s.SendMessage(b.soon(), text("1"), nil))
			b.one(r)
			require.NoError(b, b.server.Delete("q"))
			require.Equal(b, "amqp:not-found", condition(s.SendMessage(b.soon(), text("2"), nil)))
			_, err := r.ReceiveMessages(b.soon(), 1, nil)
			require.Equal(b, "amqp:not-found", condition(err))
			require.NoError(b, b.server.CreateQueue("q", servicebustest.Queue{}))
			b.send("q", text("3")) // with new links: azservicebus takes this error for final, and keeps the old ones
			require.Equal(b, "3", string(b.one(b.receiver("q")).Body))
		}},
	}
}

func rightsRules() []rule {
	refused := func(b *bench, c *azservicebus.Client, what string) {
		b.Helper()
		s, err := c.NewSender("q", nil)
		require.NoError(b, err)
		err = s.SendMessage(b.soon(), text("x"), nil)
		require.Equal(b, azservicebus.CodeUnauthorizedAccess, code(err), "%s: %v", what, err)
	}
	return []rule{
		{name: "a wrong key opens nothing", js: true, check: func(b *bench) {
			good := b.server.ConnectionString()
			refused(b, b.connect(strings.Replace(good, "SharedAccessKey=", "SharedAccessKey=x", 1)), "secret")
			refused(b, b.connect(strings.Replace(good, "SharedAccessKeyName=", "SharedAccessKeyName=x", 1)), "name")
			endpoint := "Endpoint=sb://" + b.server.Addr() + ";UseDevelopmentEmulator=true;SharedAccessSignature="
			refused(b, b.connect(endpoint+sign(good, b.server.Addr(), time.Now().Add(-time.Second))), "expired")
			refused(b, b.connect(endpoint+sign(good, b.server.Addr()+"/another", time.Now().Add(time.Hour))), "of another entity")
			refused(b, b.connect(endpoint+"SharedAccessSignature sr=%zz"), "malformed")
			s, err := b.connect(endpoint+sign(good, b.server.Addr(), time.Now().Add(time.Hour))).NewSender("q", nil)
			require.NoError(b, err)
			require.NoError(b, s.SendMessage(b.soon(), text("signed beforehand"), nil))
		}},
		{name: "without a token there is no link", doc: learn + "service-bus-amqp-protocol-guide", check: func(b *bench) {
			conn, err := amqp.Dial(b.soon(), "amqp://"+b.server.Addr(), nil)
			require.NoError(b, err)
			defer conn.Close() //nolint:errcheck // it is only a test's
			s, err := conn.NewSession(b.soon(), nil)
			require.NoError(b, err)
			_, err = s.NewSender(b.soon(), "q", nil)
			require.Equal(b, "amqp:unauthorized-access", condition(err)) //nolint:misspell // AMQP's word
		}},
		{name: "the right to listen is enough to receive, and does not send", js: true, check: func(b *bench) {
			b.send("q", text("x"), text("y"))
			b.client = b.connect(b.server.Grant(servicebustest.Listen, ""))
			r := b.receiver("q")
			ms := b.take(r, 2)
			require.NoError(b, r.RenewMessageLock(b.soon(), ms[0], nil))
			require.NoError(b, r.CompleteMessage(b.soon(), ms[0], nil))
			require.NoError(b, r.DeferMessage(b.soon(), ms[1], nil))
			_, err := r.ReceiveDeferredMessages(b.soon(), []int64{2}, nil)
			require.NoError(b, err)
			refused(b, b.client, "send")
		}},
		{name: "the right to send is enough to send, and does not receive", js: true, check: func(b *bench) {
			b.client = b.connect(b.server.Grant(servicebustest.Send, ""))
			s := b.sender("q")
			require.NoError(b, s.SendMessage(b.soon(), text("x"), nil))
			require.NoError(b, s.SendMessage(b.soon(), &azservicebus.Message{Body: []byte("y"), ScheduledEnqueueTime: new(b.clock.Now().Add(time.Minute))}, nil))
			_, err := s.ScheduleMessages(b.soon(), []*azservicebus.Message{text("z")}, b.clock.Now().Add(time.Minute), nil)
			require.Equal(b, azservicebus.CodeUnauthorizedAccess, code(err), "by a request it takes more")
			require.Equal(b, servicebustest.Stats{Active: 1, Scheduled: 1}, b.server.Stats("q"))
			r := b.receiver("q")
			_, err = r.ReceiveMessages(b.soon(), 1, nil)
			require.Equal(b, azservicebus.CodeUnauthorizedAccess, code(err))
			_, err = r.PeekMessages(b.soon(), 1, nil)
			require.Equal(b, azservicebus.CodeUnauthorizedAccess, code(err))
		}},
		{name: "a request needs the right that it uses", doc: learn + "service-bus-sas", check: func(b *bench) {
			ask := func(r servicebustest.Rights, operation string) any {
				s := b.dial(0)
				require.Equal(b, int32(401), b.token(s, b.server.Grant(r, ""), time.Now().Add(-time.Second)), "it is expired")
				require.Equal(b, int32(202), b.token(s, b.server.Grant(r, ""), time.Now().Add(time.Hour)))
				return b.call(s, "q/$management", &amqp.Message{ApplicationProperties: map[string]any{"operation": operation}, Value: map[string]any{}}).ApplicationProperties["statusCode"]
			}
			require.Equal(b, int32(204), ask(servicebustest.Listen, "com.microsoft:peek-message"))
			require.Equal(b, int32(401), ask(servicebustest.Send, "com.microsoft:peek-message"))
			require.Equal(b, int32(401), ask(servicebustest.Listen, "com.microsoft:cancel-scheduled-message"))
			require.Equal(b, int32(401), ask(servicebustest.Send, "com.microsoft:cancel-scheduled-message"))
			require.Equal(b, int32(404), ask(servicebustest.Send|servicebustest.Listen, "com.microsoft:cancel-scheduled-message"))
		}},
		{name: "a key of one entity is none of another", doc: learn + "service-bus-sas", check: func(b *bench) {
			b.client = b.connect(b.server.Grant(servicebustest.Manage, "t"))
			b.send("t", text("x"))
			b.one(b.receiver("t/Subscriptions/all"))
			refused(b, b.client, "another entity")
		}},
		{name: "a token of another issuer is asked about", doc: learn + "service-bus-authentication-and-authorization", check: func(b *bench) {
			server := servicebustest.New(b, servicebustest.Options{
				Queues: map[string]servicebustest.Queue{"q": {}},
				Token: func(token string) servicebustest.Rights {
					if token == "sesame" {
						return servicebustest.Send
					}
					return 0
				},
			})
			connect := func(s *servicebustest.Server, token credential) *azservicebus.Client {
				c, err := azservicebus.NewClient("ns.servicebus.windows.net", token, &azservicebus.ClientOptions{
					NewWebSocketConn: func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) { return s.Dial(ctx) },
				})
				require.NoError(b, err)
				b.Cleanup(func() { _ = c.Close(context.Background()) })
				return c
			}
			refused(b, connect(server, "mellon"), "a token that Options.Token does not know")
			refused(b, connect(b.server, "sesame"), "no Options.Token")
			s, err := connect(server, "sesame").NewSender("q", nil)
			require.NoError(b, err)
			require.NoError(b, s.SendMessage(b.soon(), text("x"), nil))
		}},
	}
}

// credential is an OAuth token.
type credential string

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}
