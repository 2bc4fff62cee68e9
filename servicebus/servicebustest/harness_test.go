package servicebustest_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

// patience is for what takes no time unless something is wrong.
const patience = 20 * time.Second

// lock is the lock duration of every entity of a bench.
const lock = 30 * time.Second

// bench is a server with a clock that stands still, and the vendor's client. Nothing of one rule meets another's.
type bench struct {
	*testing.T
	server *servicebustest.Server
	clock  *servicebustest.ManualClock
	client *azservicebus.Client
}

func newBench(t *testing.T) *bench {
	t.Helper()
	clock := servicebustest.NewManualClock(time.Now())
	queue := func(q servicebustest.Queue) servicebustest.Queue {
		q.LockDuration = lock
		return q
	}
	b := &bench{T: t, clock: clock, server: servicebustest.New(t, servicebustest.Options{
		Clock: clock,
		Queues: map[string]servicebustest.Queue{
			"q":     queue(servicebustest.Queue{MaxDeliveryCount: 3}),
			"a/b":   queue(servicebustest.Queue{}),
			"sess":  queue(servicebustest.Queue{RequiresSession: true, MaxDeliveryCount: 3}),
			"dup":   queue(servicebustest.Queue{DuplicateWindow: time.Minute}),
			"ttl":   queue(servicebustest.Queue{DefaultTTL: time.Hour, DeadLetterOnExpiration: true}),
			"small": queue(servicebustest.Queue{MaxBytes: 3000}),
		},
		Topics: map[string]servicebustest.Topic{"t": {Subscriptions: map[string]servicebustest.Subscription{
			"all":      {LockDuration: lock},
			"subject":  {LockDuration: lock, Filters: []servicebustest.Filter{{Subject: "b"}}},
			"sessions": {LockDuration: lock, RequiresSession: true},
		}}, "lonely": {}},
	})}
	b.client = b.connect(b.server.ConnectionString())
	return b
}

func (b *bench) connect(connectionString string) *azservicebus.Client {
	b.Helper()
	c, err := azservicebus.NewClientFromConnectionString(connectionString, &azservicebus.ClientOptions{
		RetryOptions: azservicebus.RetryOptions{MaxRetries: 3, RetryDelay: time.Millisecond, MaxRetryDelay: 10 * time.Millisecond},
	})
	require.NoError(b, err)
	b.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// within is a context for calls that should return at once.
func (b *bench) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(b.Context(), d)
	b.Cleanup(cancel)
	return ctx
}

func (b *bench) soon() context.Context { return b.within(patience) }

func (b *bench) sender(entity string) *azservicebus.Sender {
	b.Helper()
	s, err := b.client.NewSender(entity, nil)
	require.NoError(b, err)
	return s
}

func (b *bench) send(entity string, ms ...*azservicebus.Message) {
	b.Helper()
	s := b.sender(entity)
	for _, m := range ms {
		require.NoError(b, s.SendMessage(b.soon(), m, nil))
	}
	require.NoError(b, s.Close(b.soon()))
}

func (b *bench) receiver(queue string) *azservicebus.Receiver {
	b.Helper()
	return b.receiverWith(queue, nil)
}

func (b *bench) receiverWith(queue string, o *azservicebus.ReceiverOptions) *azservicebus.Receiver {
	b.Helper()
	var r *azservicebus.Receiver
	var err error
	if topic, sub, ok := strings.Cut(queue, "/Subscriptions/"); ok {
		r, err = b.client.NewReceiverForSubscription(topic, sub, o)
	} else {
		r, err = b.client.NewReceiverForQueue(queue, o)
	}
	require.NoError(b, err)
	return r
}

func (b *bench) dead(queue string) *azservicebus.Receiver {
	b.Helper()
	return b.receiverWith(queue, &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
}

func (b *bench) deleting(queue string) *azservicebus.Receiver {
	b.Helper()
	return b.receiverWith(queue, &azservicebus.ReceiverOptions{ReceiveMode: azservicebus.ReceiveModeReceiveAndDelete})
}

// receives is what [azservicebus.Receiver] and [azservicebus.SessionReceiver] have in common.
type receives interface {
	ReceiveMessages(ctx context.Context, most int, o *azservicebus.ReceiveMessagesOptions) ([]*azservicebus.ReceivedMessage, error)
}

// take receives exactly n messages.
func (b *bench) take(r receives, n int) []*azservicebus.ReceivedMessage {
	b.Helper()
	var out []*azservicebus.ReceivedMessage
	for len(out) < n {
		ms, err := r.ReceiveMessages(b.soon(), n-len(out), nil)
		require.NoError(b, err)
		out = append(out, ms...)
	}
	return out
}

func (b *bench) one(r receives) *azservicebus.ReceivedMessage {
	b.Helper()
	return b.take(r, 1)[0]
}

// session accepts a session of the queue "sess".
func (b *bench) session(id string) *azservicebus.SessionReceiver {
	b.Helper()
	r, err := b.client.AcceptSessionForQueue(b.soon(), "sess", id, nil)
	require.NoError(b, err)
	return r
}

// stats are compared after what the clients said has arrived.
func (b *bench) stats(entity string, want servicebustest.Stats) {
	b.Helper()
	require.Eventually(b, func() bool { return b.server.Stats(entity) == want }, patience, time.Millisecond, "%s: %+v", entity, b.server.Stats(entity))
}

func text(s string) *azservicebus.Message { return &azservicebus.Message{Body: []byte(s)} }

func inSession(id, body string) *azservicebus.Message {
	return &azservicebus.Message{Body: []byte(body), SessionID: &id}
}

func bodies(ms []*azservicebus.ReceivedMessage) (out []string) {
	for _, m := range ms {
		out = append(out, string(m.Body))
	}
	return out
}

func code(err error) azservicebus.Code {
	if e, ok := errors.AsType[*azservicebus.Error](err); ok {
		return e.Code
	}
	return ""
}

// condition is the AMQP error inside an error of the client.
func condition(err error) string {
	if e, ok := errors.AsType[*amqp.Error](err); ok {
		return string(e.Condition)
	}
	return ""
}

// sign makes a shared access signature.
func sign(connectionString, resource string, until time.Time) string {
	name, secret := property(connectionString, "SharedAccessKeyName"), property(connectionString, "SharedAccessKey")
	sr := url.QueryEscape(resource)
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = fmt.Fprintf(mac, "%s\n%d", sr, until.Unix())
	return fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%d&skn=%s", sr, url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil))), until.Unix(), name)
}

func property(connectionString, name string) string {
	for part := range strings.SplitSeq(connectionString, ";") {
		if v, ok := strings.CutPrefix(part, name+"="); ok {
			return v
		}
	}
	return ""
}

// raw is a session of go-amqp, the vendor's AMQP client, which does what azservicebus never does. It may use the queue "q".
func (b *bench) raw(frame uint32) *amqp.Session {
	b.Helper()
	s := b.dial(frame)
	require.Equal(b, int32(202), b.token(s, b.server.ConnectionString(), time.Now().Add(time.Hour)))
	return s
}

func (b *bench) dial(frame uint32) *amqp.Session {
	b.Helper()
	conn, err := amqp.Dial(b.soon(), "amqp://"+b.server.Addr(), &amqp.ConnOptions{SASLType: amqp.SASLTypeAnonymous(), MaxFrameSize: frame})
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	s, err := conn.NewSession(b.soon(), nil)
	require.NoError(b, err)
	return s
}

// token shows a token for the queue "q" and returns the status.
func (b *bench) token(s *amqp.Session, connectionString string, until time.Time) any {
	b.Helper()
	resource := "amqp://" + b.server.Addr() + "/q"
	return b.call(s, "$cbs", &amqp.Message{
		Value:                 sign(connectionString, resource, until),
		ApplicationProperties: map[string]any{"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": resource},
	}).ApplicationProperties["status-code"]
}

// call sends a request to a node and returns the reply.
func (b *bench) call(s *amqp.Session, node string, m *amqp.Message) *amqp.Message {
	b.Helper()
	to := "replies"
	in, err := s.NewReceiver(b.soon(), node, &amqp.ReceiverOptions{TargetAddress: to, RequestedSenderSettleMode: amqp.SenderSettleModeSettled.Ptr()})
	require.NoError(b, err)
	out, err := s.NewSender(b.soon(), node, nil)
	require.NoError(b, err)
	m.Properties = &amqp.MessageProperties{MessageID: "request", ReplyTo: &to}
	require.NoError(b, out.Send(b.soon(), m, nil))
	reply, err := in.Receive(b.soon(), nil)
	require.NoError(b, err)
	require.Equal(b, "request", reply.Properties.CorrelationID)
	require.NoError(b, in.Close(b.soon()))
	require.NoError(b, out.Close(b.soon()))
	return reply
}
