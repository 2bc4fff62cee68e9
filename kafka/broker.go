package kafka

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

// Broker is one Kafka cluster, or what speaks its protocol. A process may have several. It may be used by many
// goroutines; all of its methods may be called after Close.
type Broker struct {
	cfg       Config
	session   time.Duration // the timeout of the classic groups' members
	rebalance time.Duration // how long a group waits for them

	mu     sync.Mutex // guards what follows
	cl     *kgo.Client
	open   map[closer]struct{} // what was opened and not closed yet
	usable map[string]bool     // topics that were found and may be written to
	closed bool

	asking sync.WaitGroup // questions under way; none begins after closed is set
}

// closer is a publisher or a subscriber.
type closer interface {
	Close(ctx context.Context) error
}

var _ eventflow.Broker = (*Broker)(nil)

// New checks the configuration and does no I/O: the first use connects. Every mistake is a *eventflow.ConfigError.
func New(c Config) (*Broker, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	b := &Broker{cfg: c, open: map[closer]struct{}{}, usable: map[string]bool{}}
	if err := kgo.ValidateOpts(append(b.options(nil), b.producerOptions()...)...); err != nil {
		return nil, optionsError(err)
	}
	b.session, b.rebalance = memberTimeouts(c.Client)
	return b, nil
}

// optionsError is what franz-go says of options that do not go together.
func optionsError(err error) error {
	return &eventflow.ConfigError{Field: "kafka.Config", Value: "the options of the client together", Allowed: err.Error()}
}

// Publisher is OpenPublisher with the error kept for later: the publisher has an Err method, which runner.New asks, and
// it is the error of each Publish.
func (b *Broker) Publisher(topic string, opts ...eventflow.PublisherOption) eventflow.Publisher {
	return b.publisher(topic, opts)
}

// Subscriber is OpenSubscriber with the error kept for later: the subscriber has an Err method, which runner.New asks,
// and it is the error of Start and Next.
func (b *Broker) Subscriber(topic string, opts ...eventflow.SubscriberOption) eventflow.Subscriber {
	return b.subscriber(topic, opts).public()
}

// OpenPublisher opens a publisher of the topic. All publishers of a broker share one client and its connections.
func (b *Broker) OpenPublisher(topic string, opts ...eventflow.PublisherOption) (eventflow.Publisher, error) {
	p := b.publisher(topic, opts)
	if p.err != nil {
		return nil, p.err
	}
	return p, nil
}

// OpenSubscriber opens a consumer of the topic in the group that [eventflow.Group] names, which is needed: the group's
// offsets are what survives the process.
func (b *Broker) OpenSubscriber(topic string, opts ...eventflow.SubscriberOption) (eventflow.Subscriber, error) {
	s := b.subscriber(topic, opts)
	if err := s.Err(); err != nil {
		return nil, err
	}
	return s.public(), nil
}

func (b *Broker) publisher(topic string, opts []eventflow.PublisherOption) *publisher {
	p := &publisher{b: b, topic: topic, source: trigger(topic, "")}
	cfg := eventflow.PublisherConfig{Native: &p.set}
	errs := []error{checkTopic("kafka topic", topic)}
	for _, o := range opts {
		if o == nil {
			errs = append(errs, &eventflow.ConfigError{Field: "kafka publisher option", Value: "nil", Allowed: "a PublisherOption"})
			continue
		}
		errs = append(errs, o.ApplyPublisher(&cfg))
	}
	p.err = errors.Join(errs...)
	if p.err == nil {
		p.err = b.keep(p)
	}
	return p
}

// opened is a subscriber that may have been opened wrongly.
type opened interface {
	Err() error
	public() eventflow.Subscriber
}

func (b *Broker) subscriber(topic string, opts []eventflow.SubscriberOption) opened {
	set := subscription{}
	cfg := eventflow.SubscriberConfig{Native: &set}
	errs := []error{checkTopic("kafka topic", topic)}
	for _, o := range opts {
		if o == nil {
			errs = append(errs, &eventflow.ConfigError{Field: "kafka subscriber option", Value: "nil", Allowed: "a SubscriberOption"})
			continue
		}
		errs = append(errs, o.ApplySubscriber(&cfg))
	}
	set.group = cfg.Group
	if set.group == "" {
		errs = append(errs, &eventflow.ConfigError{Field: "kafka subscriber of " + topic, Allowed: "eventflow.Group: the group whose offsets are kept"})
	}
	if set.deadLetterTopic == "" && !set.noDeadLetters {
		set.deadLetterTopic = topic + deadLetterSuffix
		errs = append(errs, checkTopic("kafka.DeadLetterTopic", set.deadLetterTopic))
	}
	if set.mode == ShareGroup {
		s := newShareSubscriber(b, topic, set)
		s.err = errors.Join(append(errs, s.err)...)
		if s.err == nil {
			s.err = b.keep(s)
		}
		return s
	}
	s := newSubscriber(b, topic, set)
	s.err = errors.Join(errs...)
	if s.err == nil {
		s.err = b.keep(s)
	}
	return s
}

// Features says what a subscriber with default options promises.
func (b *Broker) Features() eventflow.Features {
	f := PartitionLanes.Features()
	f.MaxEvent, f.MaxLock = b.cfg.MaxEventBytes-overhead, b.session
	return f
}

// keep notes what Close has to close.
func (b *Broker) keep(c closer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return b.explain("open", "", kgo.ErrClientClosed, false)
	}
	b.open[c] = struct{}{}
	return nil
}

// forget is called by what closed by itself.
func (b *Broker) forget(c closer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, c)
}

// client gives the client that publishes and asks questions, and makes it on first use.
func (b *Broker) client() (*kgo.Client, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, b.explain("open", "", kgo.ErrClientClosed, false)
	case b.cl != nil:
		return b.cl, nil
	}
	cl, err := kgo.NewClient(append(b.options(nil), b.producerOptions()...)...)
	if err != nil {
		return nil, optionsError(err)
	}
	b.cl = cl
	return cl, nil
}

// toPublish gives the client for publishing to a topic. The first time it asks the cluster, because the client's way to
// publish would wait for ever for a password to become right.
func (b *Broker) toPublish(ctx context.Context, topic string) (*kgo.Client, error) {
	cl, err := b.client()
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	known := b.usable[topic]
	b.mu.Unlock()
	if known {
		return cl, nil
	}
	if err := b.describe(ctx, cl, topic, mayWrite); err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.usable[topic] = true
	b.mu.Unlock()
	return cl, nil
}

// published hears how a publish to a topic ended: after one that failed, the next asks again. The client holds on to a
// topic that was deleted, also when one of its name is made again: it has to be told to forget it.
func (b *Broker) published(cl *kgo.Client, topic string, err error) error {
	if err == nil {
		return nil
	}
	b.mu.Lock()
	delete(b.usable, topic)
	b.mu.Unlock()
	if errors.Is(err, eventflow.ErrNoTopic) {
		cl.PurgeTopicsFromProducing(topic)
	}
	return err
}

// Close closes the subscribers and the publishers that are still open, all at the same time, and then the connections.
func (b *Broker) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	open := b.open
	b.open = map[closer]struct{}{}
	b.mu.Unlock()
	errs := make(chan error, len(open))
	for c := range open {
		go func() { errs <- c.Close(ctx) }()
	}
	all := make([]error, 0, len(open))
	for range open {
		all = append(all, <-errs)
	}
	b.mu.Lock()
	cl := b.cl
	b.cl = nil
	b.mu.Unlock()
	if cl != nil {
		cl.Close()
	}
	b.asking.Wait()
	return errors.Join(all...)
}
