package sqs

import (
	"strconv"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/eventflow-go/eventflow"
)

// Option is an option of [New], and then the default of every queue that the broker opens, or of one queue, given to
// OpenPublisher or OpenSubscriber. One that does not fit there is a *eventflow.ConfigError.
type Option func(*settings) error

// settings is what options fill, and the Native of the configs.
type settings struct {
	side side

	visibility  time.Duration // 0: the queue's own
	longPoll    time.Duration
	polls       int
	deadLetters string
	leavePoison bool
	decode      Decoder

	structured bool
	maxBytes   int

	role, externalID string
	client           []func(*awssqs.Options)
}

// side is what the options are applied to.
type side uint8

const (
	atBroker side = iota
	atPublisher
	atSubscriber
)

func defaults() settings {
	return settings{longPoll: maxLongPoll, polls: 10, maxBytes: megabyte}
}

const (
	maxLongPoll      = 20 * time.Second
	minVisibility    = 2 * time.Second // below it a renewal would come too late
	maxVisibility    = 12 * time.Hour
	standardVisible  = 30 * time.Second // of a queue that was made without one
	mostPolls        = 100
	smallestMessage  = 1024
	largestMaxNumber = 10 // messages of one request
)

// ApplySubscriber makes an Option a [eventflow.SubscriberOption].
func (o Option) ApplySubscriber(c *eventflow.SubscriberConfig) error { return o.apply(c.Native) }

// ApplyPublisher makes an Option a [eventflow.PublisherOption].
func (o Option) ApplyPublisher(c *eventflow.PublisherConfig) error { return o.apply(c.Native) }

func (o Option) apply(native any) error {
	s, ok := native.(*settings)
	if !ok {
		return &eventflow.ConfigError{Field: "sqs option", Value: "given to another broker", Allowed: "the broker of sqs.New"}
	}
	return o(s)
}

// only refuses an option at the wrong side.
func (s *settings) only(want side, field string) error {
	if s.side == atBroker || s.side == want {
		return nil
	}
	allowed := "subscribers"
	if want == atPublisher {
		allowed = "publishers"
	}
	return &eventflow.ConfigError{Field: field, Value: "given to the wrong one", Allowed: allowed + ", or sqs.New for all of them"}
}

// Visibility is how long a message stays invisible without a renewal: how soon another consumer has what a dead process
// held. It is asked for with each receive. The default is the queue's own visibility timeout, read once at the start.
// Whole seconds, 2 s to 12 h.
func Visibility(d time.Duration) Option {
	return func(s *settings) error {
		s.visibility = d
		if d < minVisibility || d > maxVisibility || d%time.Second != 0 {
			return &eventflow.ConfigError{Field: "sqs.Visibility", Value: d.String(), Allowed: "whole seconds, 2s to 12h"}
		}
		return s.only(atSubscriber, "sqs.Visibility")
	}
}

// LongPoll is how long a receive waits for a message: an idle queue costs one request in that time. A close waits for
// the one under way, because messages of a receive that is cut are invisible to everybody until their visibility ends.
// It is cut to two thirds of the visibility. Whole seconds, 1 s to 20 s; default 20 s.
func LongPoll(d time.Duration) Option {
	return func(s *settings) error {
		s.longPoll = d
		if d < time.Second || d > maxLongPoll || d%time.Second != 0 {
			return &eventflow.ConfigError{Field: "sqs.LongPoll", Value: d.String(), Allowed: "whole seconds, 1s to 20s"}
		}
		return s.only(atSubscriber, "sqs.LongPoll")
	}
}

// Polls is how many receives may be under way at once, while there is more work than one brings. Default 10, at most
// 100; an idle queue has one.
func Polls(n int) Option {
	return func(s *settings) error {
		s.polls = n
		if n < 1 || n > mostPolls {
			return &eventflow.ConfigError{Field: "sqs.Polls", Value: strconv.Itoa(n), Allowed: "1 to " + strconv.Itoa(mostPolls)}
		}
		return s.only(atSubscriber, "sqs.Polls")
	}
}

// DeadLetterQueue names the queue, by URL, ARN or name, that dead letters are sent to, with the reason in attributes
// that begin with "eventflow-"; the message is deleted then. That needs the right to send to it. A FIFO queue's dead
// letters may go to a queue of either kind. Without it, the queue's own redrive policy is used.
func DeadLetterQueue(queue string) Option {
	return func(s *settings) error {
		s.deadLetters = queue
		if _, err := parseQueue(queue); err != nil {
			return &eventflow.ConfigError{Field: "sqs.DeadLetterQueue", Value: hideUser(queue), Allowed: "a queue's URL, ARN or name"}
		}
		return s.only(atSubscriber, "sqs.DeadLetterQueue")
	}
}

// LeavePoison allows a subscriber of a queue that has neither a [DeadLetterQueue] nor a redrive policy. What is exhausted
// goes back to the queue, loudly, and is received again and again until the queue's retention deletes it.
func LeavePoison() Option {
	return func(s *settings) error {
		s.leavePoison = true
		return s.only(atSubscriber, "sqs.LeavePoison")
	}
}

// Structured publishes events in CloudEvents' structured mode, the whole event as JSON in the body. An event that has no
// ID, source or type, which that mode wants, is published in binary mode all the same. Subscribers read both.
func Structured() Option {
	return func(s *settings) error {
		s.structured = true
		return s.only(atPublisher, "sqs.Structured")
	}
}

// MaxBytes is the largest message, body and attributes, that is sent: the MaximumMessageSize of queues that have a
// smaller one than SQS allows. What is larger is refused with a *[SizeError] before anything is sent, and batches are
// split by it. 1 KiB to 1 MiB, which is the default.
func MaxBytes(n int) Option {
	return func(s *settings) error {
		s.maxBytes = n
		if n < smallestMessage || n > megabyte {
			return &eventflow.ConfigError{Field: "sqs.MaxBytes", Value: strconv.Itoa(n), Allowed: "1024 to 1048576"}
		}
		return nil
	}
}

// AssumeRole makes all requests of a queue with the role of that ARN, of the same or another account, which the
// credentials must be allowed to assume. externalID may be empty. Queues with the same role share its credentials.
func AssumeRole(arn, externalID string) Option {
	return func(s *settings) error {
		s.role, s.externalID = arn, externalID
		if !isRoleARN(arn) {
			return &eventflow.ConfigError{Field: "sqs.AssumeRole", Value: arn, Allowed: "arn:aws:iam::ACCOUNT:role/NAME"}
		}
		return nil
	}
}

// ClientOptions changes the SDK's options of the client that is used: its endpoint, its retryer, its HTTP client.
func ClientOptions(opts ...func(*awssqs.Options)) Option {
	return func(s *settings) error {
		if s.side != atBroker {
			return &eventflow.ConfigError{Field: "sqs.ClientOptions", Value: "given to a queue", Allowed: "sqs.New"}
		}
		s.client = append(s.client, opts...)
		return nil
	}
}
