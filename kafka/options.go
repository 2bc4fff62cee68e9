package kafka

import (
	"time"

	"github.com/eventflow-go/eventflow"
)

// The options of OpenSubscriber and OpenPublisher are SubscriberOption and PublisherOption. They fill the Native of
// their config, which no other broker has: given to another, they fail by name.

// subscriberOption is an option of this package for OpenSubscriber.
type subscriberOption struct {
	field string // "kafka.DeadLetterTopic"
	apply func(*subscription) error
}

// ApplySubscriber fills the subscription's settings.
func (o subscriberOption) ApplySubscriber(c *eventflow.SubscriberConfig) error {
	s, ok := c.Native.(*subscription)
	if !ok {
		return foreign(o.field)
	}
	return o.apply(s)
}

// publisherOption is an option of this package for OpenPublisher.
type publisherOption struct {
	field string
	apply func(*publication) error
}

// ApplyPublisher fills the publisher's settings.
func (o publisherOption) ApplyPublisher(c *eventflow.PublisherConfig) error {
	p, ok := c.Native.(*publication)
	if !ok {
		return foreign(o.field)
	}
	return o.apply(p)
}

func foreign(field string) error {
	return &eventflow.ConfigError{Field: field, Value: "an option of another broker", Allowed: "publishers and subscribers of a *kafka.Broker"}
}

// subscription is what the options of OpenSubscriber fill.
type subscription struct {
	group           string
	deadLetterTopic string // "": the topic's name and ".dlq"
	noDeadLetters   bool

	mode       Mode
	onGap      GapPolicy
	serverSide time.Duration // the group's session timeout, by KIP-848; 0: the classic protocol
	instance   string

	exactlyOnce time.Duration // the timeout of its transactions; 0: none
	committed   bool          // reads nothing of transactions that are open or were aborted
}

// publication is what the options of OpenPublisher fill.
type publication struct {
	structured bool
}

// DeadLetterTopic names the topic that [eventflow.Delivery.DeadLetter] of the subscriber writes to. The default is the
// topic's own name with ".dlq" after it. It must exist: neither is made by itself.
func DeadLetterTopic(topic string) eventflow.SubscriberOption {
	const field = "kafka.DeadLetterTopic"
	return subscriberOption{field, func(s *subscription) error {
		if err := checkTopic(field, topic); err != nil {
			return err
		}
		s.deadLetterTopic, s.noDeadLetters = topic, false
		return nil
	}}
}

// NoDeadLetters leaves the subscriber without a dead-letter topic: DeadLetter returns eventflow.ErrNoDeadLetters, and a
// runner wants a publisher of its own for them.
func NoDeadLetters() eventflow.SubscriberOption {
	return subscriberOption{"kafka.NoDeadLetters", func(s *subscription) error {
		s.deadLetterTopic, s.noDeadLetters = "", true
		return nil
	}}
}

// Structured makes a publisher write CloudEvents in structured mode: the record's value is the whole event as JSON.
// The default is binary mode: the value is Data and the attributes are headers.
func Structured() eventflow.PublisherOption {
	return publisherOption{"kafka.Structured", func(p *publication) error {
		p.structured = true
		return nil
	}}
}

// checkTopic refuses what no Kafka topic can be named.
func checkTopic(field, topic string) error {
	const most = 249
	ok := topic != "" && topic != "." && topic != ".." && len(topic) <= most
	for i := 0; ok && i < len(topic); i++ {
		c := topic[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
	}
	if !ok {
		return &eventflow.ConfigError{Field: field, Value: topic, Allowed: "1 to 249 of a-z, A-Z, 0-9, dot, underscore and hyphen"}
	}
	return nil
}
