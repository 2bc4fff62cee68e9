package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventflow-go/eventflow"
)

// Memory is a broker in process; the package's comment tells what it does. It may be used by many goroutines, and all
// of its methods may be called after Close.
type Memory struct {
	set   settings
	err   error     // of the options
	base  time.Time // delays are counted from here
	nonce string    // of the IDs that it gives: another process or broker has another
	ids   atomic.Uint64

	faults atomic.Pointer[faults] // nil: none is planted

	mu     sync.Mutex // guards what follows
	topics map[string]*topic
	closed bool
}

var (
	_ eventflow.Broker      = (*Memory)(nil)
	_ eventflow.TopicLister = (*Memory)(nil)
)

// NewMemory makes a broker. It starts nothing, and a broker that is no longer used needs no Close. A bad option waits
// in [Memory.Err] and is the error of all that the broker opens.
func NewMemory(opts ...MemoryOption) *Memory {
	m := &Memory{set: defaults(), base: time.Now(), nonce: rand.Text()[:16], topics: map[string]*topic{}}
	var errs []error
	for _, o := range opts {
		if o == nil {
			errs = append(errs, &eventflow.ConfigError{Field: "broker.NewMemory option", Value: "nil", Allowed: "a MemoryOption"})
			continue
		}
		errs = append(errs, o(&m.set))
	}
	m.err = errors.Join(errs...)
	for _, name := range m.set.topics {
		if name != "" {
			m.topics[name] = newTopic(m, name)
		}
	}
	return m
}

// Err says what is wrong with the broker's options, each a *eventflow.ConfigError; nil when nothing is.
func (m *Memory) Err() error { return m.err }

// Publisher is OpenPublisher with the error kept for later: the publisher has an Err method, which runner.New asks, and
// it is the error of each Publish.
func (m *Memory) Publisher(topic string) eventflow.Publisher {
	p, _ := m.publisher(topic, nil)
	return p
}

// Subscriber is OpenSubscriber with the error kept for later: the subscriber has an Err method, which runner.New asks,
// and it is the error of Start and Next.
func (m *Memory) Subscriber(topic string, opts ...eventflow.SubscriberOption) eventflow.Subscriber {
	s, _ := m.subscriber(topic, opts)
	return s
}

// OpenPublisher opens a publisher for the topic. It may be used by many goroutines; its Publish waits while a group of
// the topic is full, until ctx ends.
func (m *Memory) OpenPublisher(topic string, opts ...eventflow.PublisherOption) (eventflow.Publisher, error) {
	p, err := m.publisher(topic, opts)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// OpenSubscriber opens a consumer of the topic in the group that [eventflow.Group] names, or in the default one, and
// makes the group. Its String, the default name of a trigger, is "memory/TOPIC", with "?group=NAME" in a named group.
func (m *Memory) OpenSubscriber(topic string, opts ...eventflow.SubscriberOption) (eventflow.Subscriber, error) {
	s, err := m.subscriber(topic, opts)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (m *Memory) publisher(name string, opts []eventflow.PublisherOption) (*publisher, error) {
	errs := []error{m.err, topicName(name)}
	cfg := eventflow.PublisherConfig{Native: native{}}
	for _, o := range opts {
		if o == nil {
			errs = append(errs, &eventflow.ConfigError{Field: "broker.Memory publisher option", Value: "nil", Allowed: "a PublisherOption"})
			continue
		}
		errs = append(errs, o.ApplyPublisher(&cfg))
	}
	p := &publisher{m: m, topicName: name, err: errors.Join(errs...)}
	if p.err == nil {
		p.t, p.err = m.topic(name)
	}
	return p, p.err
}

func (m *Memory) subscriber(name string, opts []eventflow.SubscriberOption) (*subscriber, error) {
	errs := []error{m.err, topicName(name)}
	cfg := eventflow.SubscriberConfig{Native: native{}}
	for _, o := range opts {
		if o == nil {
			errs = append(errs, &eventflow.ConfigError{Field: "broker.Memory subscriber option", Value: "nil", Allowed: "a SubscriberOption"})
			continue
		}
		errs = append(errs, o.ApplySubscriber(&cfg))
	}
	s := &subscriber{m: m, topicName: name, groupName: cfg.Group, err: errors.Join(errs...)}
	if s.err == nil {
		s.t, s.err = m.topic(name)
	}
	if s.t != nil {
		s.t.mu.Lock()
		s.g = s.t.group(cfg.Group)
		s.g.consumers++
		s.t.mu.Unlock()
	}
	return s, s.err
}

// native is the Native of the configs: the options of other brokers do not find theirs.
type native struct{}

func topicName(name string) error {
	if name == "" {
		return &eventflow.ConfigError{Field: "broker.Memory topic", Allowed: "a name"}
	}
	return nil
}

// topic gives the topic of that name; nil where topics are declared and it is not.
func (m *Memory) topic(name string) (*topic, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, fmt.Errorf("memory broker: %w", eventflow.ErrClosed)
	}
	t := m.topics[name]
	if t == nil && !m.set.declared {
		t = newTopic(m, name)
		m.topics[name] = t
	}
	return t, nil
}

// known gives the topic of that name if there is one.
func (m *Memory) known(name string) *topic {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.topics[name]
}

// all gives every topic, by name.
func (m *Memory) all() []*topic {
	m.mu.Lock()
	defer m.mu.Unlock()
	ts := make([]*topic, 0, len(m.topics))
	for _, t := range m.topics {
		ts = append(ts, t)
	}
	slices.SortFunc(ts, func(a, b *topic) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return ts
}

// Topics lists the topics that were declared or named so far, in order.
func (m *Memory) Topics(context.Context) ([]string, error) {
	ts := m.all()
	names := make([]string, len(ts))
	for i, t := range ts {
		names[i] = t.name
	}
	return names, nil
}

// Features says what the broker promises: everything, with locks of the [Lease] and events up to [MaxEvent].
func (m *Memory) Features() eventflow.Features {
	return eventflow.Features{
		Lanes: true, Groups: true, ExactAttempt: true, DeadLetter: true,
		MaxNack: maxDelay, MaxLock: m.set.lease, MaxEvent: m.set.maxEvent,
	}
}

// maxDelay keeps the sum of an instant and a delay far from overflow.
const maxDelay = 100 * 365 * 24 * time.Hour

// Close closes all publishers and subscribers: calls that wait return ErrClosed, what is handed over is fenced. The
// events stay and can be looked at, but nothing hands them over any more. It never waits and never fails.
func (m *Memory) Close(context.Context) error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	for _, t := range m.all() {
		t.close()
	}
	return nil
}

// instant gives a time as the broker counts it.
func (m *Memory) instant(t time.Time) int64 { return int64(t.Sub(m.base)) }

// trigger is the canonical text of a topic and its events' source.
func trigger(topic, group string) string {
	s := "memory/" + (&url.URL{Path: topic}).EscapedPath()
	if group != "" {
		s += "?group=" + url.QueryEscape(group)
	}
	return s
}
