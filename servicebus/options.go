package servicebus

import (
	"strconv"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
)

// subscription is the Native of a subscriber's config.
type subscription struct {
	name        string // of a topic's subscription; "" is a queue
	deadLetters bool
	sessions    int // at one time; 0: the entity has none
	idle        time.Duration
	lock        time.Duration // the entity's; 0: what the service says
	messageIDs  bool
	copies      bool
}

// publication is the Native of a publisher's config.
type publication struct {
	structured  bool
	partitioned bool
	delay       time.Duration
}

type subscriberOption func(*subscription) error

func (o subscriberOption) ApplySubscriber(c *eventflow.SubscriberConfig) error {
	s, ok := c.Native.(*subscription)
	if !ok {
		return &eventflow.ConfigError{Field: "servicebus option", Value: "given to another broker", Allowed: "subscribers of a *servicebus.Broker"}
	}
	return o(s)
}

type publisherOption func(*publication) error

func (o publisherOption) ApplyPublisher(c *eventflow.PublisherConfig) error {
	p, ok := c.Native.(*publication)
	if !ok {
		return &eventflow.ConfigError{Field: "servicebus option", Value: "given to another broker", Allowed: "publishers of a *servicebus.Broker"}
	}
	return o(p)
}

// Subscription consumes a subscription of the topic that is opened, in place of a queue. Each subscription sees every
// event that its rules let pass; its consumers compete. [Broker.Subscription] is the same as a method.
func Subscription(name string) eventflow.SubscriberOption {
	return subscriberOption(func(s *subscription) error {
		s.name = name
		if err := checkName("servicebus.Subscription", name); err != nil {
			return err
		}
		if strings.Contains(name, "/") {
			return &eventflow.ConfigError{Field: "servicebus.Subscription", Value: name, Allowed: "a name without slashes: the topic is what is opened"}
		}
		return nil
	})
}

// DeadLetters consumes the dead-letter queue of the queue or subscription, in place of itself. Why a message is there
// stands in its attributes DeadLetterReason and DeadLetterErrorDescription, and where it came from in DeadLetterSource; what a runner
// dead-lettered has its flow, version and attempts in attributes that begin with "eventflow-". A dead-letter queue has no
// sessions, and none of its own behind it: a runner needs runner.DeadLetterTo.
func DeadLetters() eventflow.SubscriberOption {
	return subscriberOption(func(s *subscription) error {
		s.deadLetters = true
		return nil
	})
}

// Sessions consumes an entity that requires sessions. Each session is a lane: its events are handed over in order. At
// most n are held at one time, at least 1, at most 1,000; each has a link of its own.
func Sessions(n int) eventflow.SubscriberOption {
	return subscriberOption(func(s *subscription) error {
		s.sessions = n
		if n < 1 || n > maxSessions {
			return &eventflow.ConfigError{Field: "servicebus.Sessions", Value: strconv.Itoa(n), Allowed: "1 to " + strconv.Itoa(maxSessions)}
		}
		return nil
	})
}

const (
	maxSessions = 1000
	defaultIdle = time.Second
)

// SessionIdle is how long a session without events is kept before it is given up for another one; 10 ms to 5 min, by
// default 1 s. A session that is given up is accepted again, by anybody, when it has an event.
func SessionIdle(d time.Duration) eventflow.SubscriberOption {
	return subscriberOption(func(s *subscription) error {
		s.idle = d
		return within("servicebus.SessionIdle", d, 10*time.Millisecond, maxLock)
	})
}

// LockDuration is the entity's lock duration. Without it, a lock is taken to end when the service says so, by the clock
// of this machine: give it where that clock may be off by more than a few seconds. At most 5 min, as in the service.
func LockDuration(d time.Duration) eventflow.SubscriberOption {
	return subscriberOption(func(s *subscription) error {
		s.lock = d
		return within("servicebus.LockDuration", d, 50*time.Millisecond, maxLock)
	})
}

// UseMessageIDs takes a message's ID for the event's, where the message is no CloudEvent and has one: for senders whose message
// IDs are unique. By default such an event is named by namespace, entity, sequence number and time of arrival.
func UseMessageIDs() eventflow.SubscriberOption {
	return subscriberOption(func(s *subscription) error {
		s.messageIDs = true
		return nil
	})
}

// DelayByCopy lets delays that are longer than the runner's MaxHold leave the process: a copy with the delay is scheduled in
// the queue, and then the message is completed. It needs the right to send to the queue, which must have no sessions.
// The copy has a message ID of its own, for duplicate detection would drop it otherwise, and the event's ID and attempts
// in properties; its time to live and its delivery count begin anew. Without it long delays are waited out under the
// lock, up to 24 h.
func DelayByCopy() eventflow.SubscriberOption {
	return subscriberOption(func(s *subscription) error {
		s.copies = true
		return nil
	})
}

// check finds options that exclude each other.
func (s *subscription) check() error {
	bad := func(field, value, allowed string) error {
		return &eventflow.ConfigError{Field: "servicebus." + field, Value: value, Allowed: allowed}
	}
	switch {
	case s.deadLetters && s.sessions > 0:
		return bad("Sessions", "with DeadLetters", "either: a dead-letter queue has no sessions")
	case s.copies && s.sessions > 0:
		return bad("DelayByCopy", "with Sessions", "either: a copy would leave its place in the session")
	case s.copies && s.name != "":
		return bad("DelayByCopy", "subscription "+s.name, "queues: what is sent to a topic reaches all of its subscriptions")
	case s.copies && s.deadLetters:
		return bad("DelayByCopy", "with DeadLetters", "either: nobody can send to a dead-letter queue")
	}
	return nil
}

// Structured publishes events as CloudEvents in structured mode, one JSON document each, in place of binary mode. Such
// an event needs ID, Source and Type.
func Structured() eventflow.PublisherOption {
	return publisherOption(func(p *publication) error {
		p.structured = true
		return nil
	})
}

// Partitioned sends events of different keys in batches of their own, as partitioned entities want it.
func Partitioned() eventflow.PublisherOption {
	return publisherOption(func(p *publication) error {
		p.partitioned = true
		return nil
	})
}

// Delay schedules what is published: consumers see it d later. [Publisher.PublishAt] does it for one call. At most 365
// days.
func Delay(d time.Duration) eventflow.PublisherOption {
	return publisherOption(func(p *publication) error {
		p.delay = d
		return within("servicebus.Delay", d, 0, 365*24*time.Hour)
	})
}

func within(field string, d, least, most time.Duration) error {
	if d < least || d > most {
		return &eventflow.ConfigError{Field: field, Value: d.String(), Allowed: least.String() + " to " + most.String()}
	}
	return nil
}

// maxName is the longest name of an entity.
const maxName = 260

func checkName(field, name string) error {
	if name == "" || len(name) > maxName || strings.Trim(name, "/") != name {
		return &eventflow.ConfigError{Field: field, Value: name, Allowed: "the name of an entity: 1 to 260 bytes, without a slash at its ends"}
	}
	return nil
}
