package eventflow

import (
	"context"
	"log/slog"
	"net/url"
	"time"
)

// Broker opens topics, queues and subscriptions. Opening checks its arguments and does no I/O: a missing topic is
// ErrNoTopic on first use. Brokers belong to whoever opened them; a runner never closes one.
type Broker interface {
	// OpenPublisher opens a publisher to one topic. A topic without a name and an option that does not fit are a
	// *[ConfigError].
	OpenPublisher(topic string, opts ...PublisherOption) (Publisher, error)
	// OpenSubscriber opens a consumer of one topic, as OpenPublisher.
	OpenSubscriber(topic string, opts ...SubscriberOption) (Subscriber, error)
	// Features says what the broker promises.
	Features() Features
	// Close closes what it opened and was not closed yet; settlements are written until ctx ends.
	Close(ctx context.Context) error
}

// Publisher publishes to one topic. It may be used by many goroutines and several runners; whoever opened it closes it.
type Publisher interface {
	// Publish hands the whole slice to the client and returns when the broker has taken the events. A *[PublishError]
	// says which were not taken; any other error means that none was. An error that matches ErrTooLarge or ErrFatal
	// will be the same on a retry. Publishing no events is no error. Their Data belongs to the broker from now
	// on; the slice is the caller's again when the call returns.
	Publish(ctx context.Context, events ...Event) error
	// Close returns when what was being published is done, or when ctx ends.
	Close(ctx context.Context) error
}

// Subscriber is the [EventClock] of one topic. One that is given to a runner belongs to it: Listen closes it.
type Subscriber interface {
	EventClock
	// Start connects, checks what only the broker knows, before anything is received, and learns whom to tell. A
	// missing topic or right, a wrong password and a limit that breaks a promise (*ConfigError) are final; an
	// unreachable broker is waited for in Next. Next without Start implies one with the zero Listening.
	Start(ctx context.Context, l Listening) error
	// Close stops receiving, writes the marks, hands back what is unsettled so that another consumer has it at once,
	// and leaves. Next returns ErrClosed from then on. A second Close is a no-op.
	Close(ctx context.Context) error
}

// Listening is what a runner tells a subscriber when it starts.
type Listening struct {
	Flow    string
	Binding string // the trigger's name
	// MaxAttempts and Slack: a broker's own limit of receives must be at least their sum, or it would dead-letter what
	// the runner still retries. Zero MaxAttempts: no runner, nothing to check.
	MaxAttempts int
	Slack       int
	DeadLetters bool          // the runner has a dead-letter publisher of its own
	Timeout     time.Duration // of one run; 0: none
	Grace       time.Duration // that Close and a revoked partition may take
	MaxHold     time.Duration // the longest that a retry keeps its lock
	// MaxHeldBytes bounds what the subscriber and its client may hold; 0: the subscriber's default.
	MaxHeldBytes int
	Logger       *slog.Logger // for what must be said loudly; nil: [slog.Default]

	// Settled is called when the broker has confirmed settlements, or refused them (err). Lost is called when the lock
	// of deliveries is gone, after Delivery.Lose; err matches ErrLockLost. Either may be nil, may be called by any
	// goroutine, at once, and must not block; the slice belongs to the caller.
	Settled func(ds []*Delivery, err error)
	Lost    func(ds []*Delivery, err error)
}

// Features say what a broker promises: what brokertest may ask of it and what a runner may rely on.
type Features struct {
	Lanes        bool          // events of one Key, partition or session are handed over in order
	Groups       bool          // each group sees every event; false: all consumers compete
	ExactAttempt bool          // Delivery.Attempts counts failed attempts only, and survives its consumer
	DeadLetter   bool          // Delivery.DeadLetter has a place of the broker's own
	MaxNack      time.Duration // the longest delay of Nack and Release; 0: none
	MaxLock      time.Duration // how long a lock is held without a renewal; 0: no locks
	MaxEvent     int           // bytes of Data that surely fit; 0: unknown
}

// TopicLister is implemented by brokers that can list their topics.
type TopicLister interface {
	// Topics gives the names that OpenPublisher and OpenSubscriber take. The broker is asked; no order is promised.
	Topics(ctx context.Context) ([]string, error)
}

// As finds a T in b or in what b wraps (Unwrap() Broker): a TopicLister, a *broker.Memory.
func As[T any](b Broker) (T, bool) {
	for b != nil {
		if t, ok := b.(T); ok {
			return t, true
		}
		u, ok := b.(interface{ Unwrap() Broker })
		if !ok {
			break
		}
		b = u.Unwrap()
	}
	var zero T
	return zero, false
}

// SubscriberOption is an option of OpenSubscriber: portable when it sets a field of the config, a broker's own when it
// asserts Native. A broker's option that is given to another broker fails by name.
type SubscriberOption interface {
	// ApplySubscriber fills the config, or gives a *[ConfigError]. A broker calls it, in the order of the options.
	ApplySubscriber(*SubscriberConfig) error
}

// PublisherOption is an option of OpenPublisher, as [SubscriberOption].
type PublisherOption interface {
	// ApplyPublisher fills the config, or gives a *[ConfigError]. A broker calls it, in the order of the options.
	ApplyPublisher(*PublisherConfig) error
}

// SubscriberConfig is what the options of OpenSubscriber fill.
type SubscriberConfig struct {
	Group  string // see [Group]
	Native any    // the broker's own config, set before the options are applied
}

// PublisherConfig is what the options of OpenPublisher fill.
type PublisherConfig struct {
	Native any // the broker's own config, set before the options are applied
}

type subscriberOption func(*SubscriberConfig) error

func (f subscriberOption) ApplySubscriber(c *SubscriberConfig) error { return f(c) }

// Group names the consumer group. Each group sees every event, the consumers of one compete. Kafka requires it; brokers
// without groups (Features.Groups) refuse it.
func Group(name string) SubscriberOption {
	return subscriberOption(func(c *SubscriberConfig) error {
		if name == "" {
			return &ConfigError{Field: "eventflow.Group", Value: name, Allowed: "a name"}
		}
		c.Group = name
		return nil
	})
}

// Scheme opens a broker from a URL. It is a value, such as kafka.Scheme: nothing registers itself. A URL names the
// broker, never a topic.
type Scheme struct {
	Names []string // "kafka"
	Open  func(ctx context.Context, u *url.URL) (Broker, error)
}

// Transactional is implemented by a [Subscriber] whose settlements and results are one transaction (Kafka's exactly
// once). A runner then installs no store and refuses one, because a store would finish what a transaction aborts; it
// refuses publishers that are not Owned.
type Transactional interface {
	Subscriber
	// Owned reports whether p publishes inside this subscriber's transactions.
	Owned(p Publisher) bool
	// Transact publishes the results, writes the dead letters and acknowledges the deliveries, all or nothing. On an
	// error nothing of it became visible; the deliveries are handed over again or lost, and Listening.Lost says so.
	// It is called by several goroutines at once: a client with one transaction at a time makes them wait.
	Transact(ctx context.Context, t Transaction) error
}

// Transaction is a settled chunk: what is published and acknowledged as one.
type Transaction struct {
	Results []TransactionResult
	Dead    []TransactionDeadLetter
	Acked   []*Delivery // to acknowledge, those of Dead included
	Note    func(*Delivery) uint16
}

// TransactionResult is what a transaction publishes with one publisher.
type TransactionResult struct {
	Publisher Publisher
	Events    []Event
}

// TransactionDeadLetter is a dead letter of a transaction.
type TransactionDeadLetter struct {
	Delivery *Delivery
	Failure  Failure
}
