package servicebus

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/opened"
)

// Config says which namespace, and as whom. [New] checks it.
type Config struct {
	// ConnectionString is that of a shared access policy, of the namespace or of one entity, as the portal shows it. A
	// key with Listen rights alone suffices to subscribe, one with Send alone to publish.
	ConnectionString string

	// Namespace and Credential stand in place of a connection string: "name.servicebus.windows.net", and any credential
	// of azidentity or of one's own.
	Namespace  string
	Credential azcore.TokenCredential

	// Client are the vendor's own options: TLS, a proxy or a dialler by NewWebSocketConn, the application's name. Its
	// RetryOptions are not used: what is repeated, and when, is this package's work.
	Client azservicebus.ClientOptions
}

// Broker is one Service Bus namespace. It may be used by many goroutines; all of its methods may be called after Close.
type Broker struct {
	cfg       Config
	namespace string

	open opened.Set

	mu     sync.Mutex           // guards what follows
	shared *azservicebus.Client // made on first use
}

var _ eventflow.Broker = (*Broker)(nil)

// New checks the configuration and does no I/O: the first use connects. Every mistake is a *eventflow.ConfigError, and
// none shows the connection string.
func New(c Config) (*Broker, error) {
	b := &Broker{cfg: c, namespace: c.Namespace}
	bad := func(field, value, allowed string) (*Broker, error) {
		return nil, &eventflow.ConfigError{Field: "servicebus.Config." + field, Value: value, Allowed: allowed}
	}
	switch {
	case c.ConnectionString != "" && (c.Namespace != "" || c.Credential != nil):
		return bad("ConnectionString", hidden, "no Namespace and no Credential beside it: it names both")
	case c.ConnectionString != "":
		var ok bool
		if b.namespace, ok = namespaceOf(c.ConnectionString); !ok {
			return bad("ConnectionString", hidden, "Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…, or with SharedAccessSignature=… for the last two")
		}
	case c.Namespace == "":
		return bad("ConnectionString", "", "a connection string, or Namespace and Credential")
	case c.Credential == nil:
		return bad("Credential", "nil", "a credential beside Namespace, such as one of azidentity")
	}
	if host, _, err := net.SplitHostPort(b.namespace); err == nil {
		b.namespace = host // ports come and go; the name is part of every event's identity
	}
	return b, nil
}

// namespaceOf gives the host of a connection string, and whether it has what it takes to log in.
func namespaceOf(cs string) (host string, ok bool) {
	has := map[string]string{}
	for part := range strings.SplitSeq(cs, ";") {
		name, value, _ := strings.Cut(part, "=")
		has[strings.ToLower(name)] = value
	}
	u, err := url.Parse(has["endpoint"])
	if err != nil {
		return "", false
	}
	key := has["sharedaccesskeyname"] != "" && has["sharedaccesskey"] != ""
	return u.Host, u.Scheme == "sb" && u.Host != "" && (key || has["sharedaccesssignature"] != "")
}

// hidden stands for a value that is not shown.
const hidden = "(not shown)"

// maxEvent is what fits into the 256 KiB of a message of the standard tier, beside attributes of 64 KiB.
const maxEvent = 192 << 10

// maxNack is how long a delivery waits here, under its lock, before it is handed over again.
const maxNack = 24 * time.Hour

// maxLock is the longest lock duration that the service knows.
const maxLock = 5 * time.Minute

// Features says what a subscriber promises: Lanes is true of those with [Sessions], all else of all.
func (b *Broker) Features() eventflow.Features {
	return eventflow.Features{Lanes: true, ExactAttempt: true, DeadLetter: true, MaxNack: maxNack, MaxLock: maxLock, MaxEvent: maxEvent}
}

// OpenPublisher opens a publisher to a queue or a topic. All publishers of a broker share a connection.
func (b *Broker) OpenPublisher(entity string, opts ...eventflow.PublisherOption) (eventflow.Publisher, error) {
	p := b.Publisher(entity, opts...)
	if p.err != nil {
		return nil, p.err
	}
	return p, nil
}

// OpenSubscriber opens a consumer of a queue, or with [Subscription] of a topic's subscription.
func (b *Broker) OpenSubscriber(entity string, opts ...eventflow.SubscriberOption) (eventflow.Subscriber, error) {
	s := b.subscriber(entity, opts)
	if s.err != nil {
		return nil, s.err
	}
	return s, nil
}

// Publisher is OpenPublisher whose error waits in Publisher.Err, where runner.New finds it.
func (b *Broker) Publisher(entity string, opts ...eventflow.PublisherOption) *Publisher {
	set := publication{}
	cfg := eventflow.PublisherConfig{Native: &set}
	errs := []error{checkName("servicebus publisher", entity)}
	for _, o := range opts {
		if o == nil {
			errs = append(errs, &eventflow.ConfigError{Field: "servicebus publisher option", Value: "nil", Allowed: "a PublisherOption"})
			continue
		}
		errs = append(errs, o.ApplyPublisher(&cfg))
	}
	p := &Publisher{b: b, entity: entity, set: set, err: errors.Join(errs...)}
	if p.err == nil {
		p.err = b.keep(p, entity)
	}
	return p
}

// Queue is OpenSubscriber of a queue whose error waits in Subscriber.Err, where runner.New finds it.
func (b *Broker) Queue(name string, opts ...eventflow.SubscriberOption) *Subscriber {
	return b.subscriber(name, opts)
}

// Subscription is OpenSubscriber of a topic's subscription whose error waits in Subscriber.Err, where runner.New finds
// it.
func (b *Broker) Subscription(topic, name string, opts ...eventflow.SubscriberOption) *Subscriber {
	return b.subscriber(topic, append([]eventflow.SubscriberOption{Subscription(name)}, opts...))
}

func (b *Broker) subscriber(entity string, opts []eventflow.SubscriberOption) *Subscriber {
	set := subscription{idle: defaultIdle}
	cfg := eventflow.SubscriberConfig{Native: &set}
	errs := []error{checkName("servicebus subscriber", entity)}
	for _, o := range opts {
		if o == nil {
			errs = append(errs, &eventflow.ConfigError{Field: "servicebus subscriber option", Value: "nil", Allowed: "a SubscriberOption"})
			continue
		}
		errs = append(errs, o.ApplySubscriber(&cfg))
	}
	if cfg.Group != "" {
		errs = append(errs, &eventflow.ConfigError{
			Field: "eventflow.Group", Value: cfg.Group, Allowed: "no group: consumers of a queue compete; servicebus.Subscription names that of a topic",
		})
	}
	errs = append(errs, set.check())
	s := newSubscriber(b, entity, set)
	s.err = errors.Join(errs...)
	if s.err == nil {
		s.err = b.keep(s, s.path)
	}
	return s
}

// keep notes what Close has to close.
func (b *Broker) keep(c opened.Closer, entity string) error {
	if !b.open.Add(c) {
		return &Error{Entity: entity, Err: eventflow.ErrClosed}
	}
	return nil
}

// client gives the client, and makes it on first use. It repeats nothing by itself: it would do so by opening links that
// were lost, and with them sessions whose locks are gone, and nobody would know. See link.
func (b *Broker) client() (*azservicebus.Client, error) {
	opts := b.cfg.Client
	opts.RetryOptions.MaxRetries = -1
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.shared == nil && b.open.Closed():
		return nil, eventflow.ErrClosed
	case b.shared != nil:
		return b.shared, nil
	}
	var err error
	if b.cfg.ConnectionString != "" {
		b.shared, err = azservicebus.NewClientFromConnectionString(b.cfg.ConnectionString, &opts)
	} else {
		b.shared, err = azservicebus.NewClient(b.cfg.Namespace, b.cfg.Credential, &opts)
	}
	if err != nil {
		b.shared = nil
		return nil, &eventflow.ConfigError{Field: "servicebus.Config", Value: hidden, Allowed: "what the client takes: a namespace and a credential that can be used"}
	}
	return b.shared, nil
}

// Close closes the subscribers and the publishers that are still open, all at the same time, and then the connections.
func (b *Broker) Close(ctx context.Context) error {
	err := b.open.Close(ctx)
	b.mu.Lock()
	c := b.shared
	b.shared = nil
	b.mu.Unlock()
	if c != nil {
		_ = c.Close(ctx) // everything of ours is closed: what is left is the connection
	}
	return err
}
