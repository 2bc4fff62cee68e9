package servicebus_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"go.uber.org/goleak"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/servicebus"
	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

func TestMain(m *testing.M) {
	if os.Getenv(serverVar) != "" {
		beServer()
		return
	}
	if cs := os.Getenv(consumerVar); cs != "" {
		if err := beConsumer(cs); err != nil {
			panic(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// kind is how a harness consumes.
type kind int

const (
	queues kind = iota
	subscriptions
	sessions
)

const subscription = "sub"

// harness is that of servicebustest in virtual time.
func harness(k kind) brokertest.Harness {
	return brokertest.Harness{
		Virtual: true, Lock: 20 * time.Second, Excused: excused(k, brokertest.Rules()), IgnoreGoroutine: shared,
		Open: func(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
			t.Helper()
			return open(t, k, s)
		},
	}
}

// shared are goroutines of the server, which is in this process, of the connection that all subscribers share, and of
// the publisher's link.
func shared(stack string) bool {
	for _, part := range []string{"servicebustest.", "connReader", "connWriter", "(*Sender).mux"} {
		if strings.Contains(stack, part) {
			return true
		}
	}
	return false
}

// excused are the rules that the package's doc comment excuses, of those given, with their reasons: the one table is both
// what is said and what is asserted, for the suites refuse an excuse that is not needed or missing where it is.
func excused(k kind, rules []string) map[string]string {
	of := map[kind]string{queues: "no sessions", subscriptions: "no sessions", sessions: "sessions"}[k]
	out := map[string]string{}
	for _, row := range excuses() {
		if slices.Contains(rules, row.rule) && (row.of == "all" || row.of == of) {
			out[row.rule] = row.why
		}
	}
	return out
}

type excuse struct{ of, rule, why string }

var excuses = sync.OnceValue(func() (out []excuse) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		panic(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^//\t(all|no sessions|sessions)  +(\w+)  +(.*)$`).FindAllStringSubmatch(string(doc), -1) {
		out = append(out, excuse{m[1], m[2], m[3]})
	}
	return out
})

// dialled are client options that connect to a server in memory.
func dialled(server *servicebustest.Server) azservicebus.ClientOptions {
	return azservicebus.ClientOptions{
		RetryOptions: azservicebus.RetryOptions{MaxRetries: 3, RetryDelay: 10 * time.Millisecond, MaxRetryDelay: 100 * time.Millisecond},
		NewWebSocketConn: func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
			return server.Dial(ctx)
		},
	}
}

func open(t brokertest.T, k kind, set brokertest.Setup) *brokertest.Fixture {
	t.Helper()
	server, err := servicebustest.Start(servicebustest.Options{InMemory: true})
	if err != nil {
		t.Fatalf("servicebustest: %v", err)
	}
	t.Cleanup(server.Close)
	lock := min(set.Lock, 5*time.Minute)
	f := &brokertest.Fixture{Missing: "missing", MaxReceives: set.MaxReceives, Lock: lock}
	deliveries := set.MaxReceives
	if deliveries == 0 {
		deliveries = 2000
	}
	for i := range set.Topics {
		name := fmt.Sprintf("topic/%d", i+1)
		f.Topics = append(f.Topics, name)
		if k == subscriptions {
			sub := servicebustest.Subscription{LockDuration: lock, MaxDeliveryCount: deliveries}
			err = server.CreateTopic(name, servicebustest.Topic{Subscriptions: map[string]servicebustest.Subscription{subscription: sub}})
		} else {
			err = server.CreateQueue(name, servicebustest.Queue{LockDuration: lock, MaxDeliveryCount: deliveries, RequiresSession: k == sessions})
		}
		if err != nil {
			t.Fatalf("servicebustest: %v", err)
		}
	}
	b, err := servicebus.New(servicebus.Config{ConnectionString: server.ConnectionString(), Client: dialled(server)})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	f.Broker = b
	switch k {
	case subscriptions:
		f.SubscriberOptions = append(f.SubscriberOptions, servicebus.Subscription(subscription))
	case sessions:
		f.SubscriberOptions = append(f.SubscriberOptions, servicebus.Sessions(200), servicebus.SessionIdle(200*time.Millisecond))
	}
	x := &outside{t: t, server: server, kind: k}
	if x.client, err = azservicebus.NewClientFromConnectionString(server.ConnectionString(), new(dialled(server))); err != nil {
		t.Fatalf("azservicebus: %v", err)
	}
	t.Cleanup(func() { _ = x.client.Close(context.Background()) })
	f.DeadLetters, f.Redrive, f.BreakDeadLetters = x.deadLetters, x.redrive, x.breakDeadLetters
	f.Lose, f.Stall = x.lose, x.stall
	f.Crash = func(s eventflow.Subscriber) { s.(*servicebus.Subscriber).Crash() }
	return f
}

// outside does to a server what a broker does not.
type outside struct {
	t      brokertest.T
	server *servicebustest.Server
	client *azservicebus.Client
	kind   kind
}

// path is the entity that is consumed.
func (x *outside) path(topic string) string {
	if x.kind == subscriptions {
		return topic + "/Subscriptions/" + subscription
	}
	return topic
}

func (x *outside) receiver(topic string, dead bool) (*azservicebus.Receiver, error) {
	opts := &azservicebus.ReceiverOptions{}
	if dead {
		opts.SubQueue = azservicebus.SubQueueDeadLetter
	}
	if x.kind == subscriptions {
		return x.client.NewReceiverForSubscription(topic, subscription, opts)
	}
	return x.client.NewReceiverForQueue(topic, opts)
}

func (x *outside) deadLetters(ctx context.Context, topic string) ([]brokertest.DeadLetter, error) {
	r, err := x.receiver(topic, true)
	if err != nil {
		return nil, err
	}
	defer r.Close(ctx) //nolint:errcheck // it looked
	ms, err := r.PeekMessages(ctx, 100, nil)
	if err != nil {
		return nil, err
	}
	var out []brokertest.DeadLetter
	for _, m := range ms {
		d := brokertest.DeadLetter{Event: servicebus.Decode(m)}
		if m.DeadLetterReason != nil {
			d.Reason = *m.DeadLetterReason
		}
		d.Flow = d.Event.Attributes.String("eventflow-flow")
		d.Version = d.Event.Attributes.String("eventflow-version")
		if n, ok := d.Event.Attributes.Get("eventflow-attempts"); ok {
			d.Attempts = int(n.(int32))
		}
		out = append(out, d)
	}
	return out, nil
}

// redrive sends dead letters back, as the portal's explorer does.
func (x *outside) redrive(ctx context.Context, topic string) error {
	r, err := x.receiver(topic, true)
	if err != nil {
		return err
	}
	defer r.Close(ctx) //nolint:errcheck // it is done
	sender, err := x.client.NewSender(topic, nil)
	if err != nil {
		return err
	}
	defer sender.Close(ctx) //nolint:errcheck // it is done
	for x.server.Stats(x.path(topic)).Dead > 0 {
		ms, err := r.ReceiveMessages(ctx, 10, nil)
		if err != nil {
			return err
		}
		for _, m := range ms {
			raw := *m.RawAMQPMessage
			raw.MessageAnnotations, raw.DeliveryAnnotations, raw.DeliveryTag, raw.Header = nil, nil, nil, nil
			if err := sender.SendAMQPAnnotatedMessage(ctx, &raw, nil); err != nil {
				return err
			}
			if err := r.CompleteMessage(ctx, m, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *outside) breakDeadLetters(_ context.Context, topic string) error {
	x.server.Intercept(func(op servicebustest.Operation) servicebustest.Fault {
		if op.Name == "dead-letter" && strings.HasPrefix(op.Entity, topic) {
			return servicebustest.Fault{Action: servicebustest.Refuse, Condition: "amqp:resource-limit-exceeded"}
		}
		return servicebustest.Fault{}
	})
	return nil
}

// lose abandons a message by its lock token, which is all that the service asks for, or ends its session's lock.
func (x *outside) lose(s eventflow.Subscriber, d *eventflow.Delivery) {
	topic := strings.TrimSuffix(strings.TrimPrefix(s.(*servicebus.Subscriber).String(), "servicebus/in-memory.servicebustest/"), "/Subscriptions/"+subscription)
	if x.kind == sessions {
		x.server.ExpireSession(topic, d.Event.Key)
		return
	}
	r, err := x.receiver(topic, false)
	if err != nil {
		x.t.Errorf("receiver: %v", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer r.Close(ctx) //nolint:errcheck // it is done
	m := &azservicebus.ReceivedMessage{LockToken: d.Native.(*azservicebus.ReceivedMessage).LockToken}
	_ = r.AbandonMessage(ctx, m, nil) // it may have been settled meanwhile
}

// stall lets no renewal be answered.
func (x *outside) stall(eventflow.Subscriber) {
	x.server.Intercept(func(op servicebustest.Operation) servicebustest.Fault {
		if op.Name == "com.microsoft:renew-lock" || op.Name == "com.microsoft:renew-session-lock" {
			return servicebustest.Fault{Action: servicebustest.Silence}
		}
		return servicebustest.Fault{}
	})
}
