package sqs

import (
	"errors"
	"strconv"

	"github.com/eventflow-go/eventflow"
)

// Decoder gives the events that a message holds, in their order: [S3Events], [SNS], [EventBridge], or one of your own. An
// event without an ID gets the message's with its index, one without a source the message's. No events, or the error of
// [eventflow.Skip], is a message to ignore: it is deleted, and the reason logged. After any other error the message is
// handed over as it came. A Decoder is called by several goroutines at once, and does not change what it is given.
type Decoder func(ev *eventflow.Event) ([]eventflow.Event, error)

// Decode makes a subscriber hand over what d finds in each message. Each of its events is a delivery, and the message is
// deleted when all of them are acknowledged. When one goes back to the queue, so does the message: the runner's store
// knows the others as done. A dead letter is of one event, so that a queue's redrive policy, which moves whole messages,
// is no place for them: name a [DeadLetterQueue].
func Decode(d Decoder) Option {
	return func(s *settings) error {
		s.decode = d
		if d == nil {
			return &eventflow.ConfigError{Field: "sqs.Decode", Value: "nil", Allowed: "a Decoder, such as sqs.S3Events"}
		}
		return s.only(atSubscriber, "sqs.Decode")
	}
}

// mostParts bounds what one message may become.
const mostParts = 10_000

// split makes a message one in parts. One that does not decode stays whole: a flow that cannot read it dead-letters it.
func (s *subscriber) split(m *message) {
	evs, err := s.set.decode(&m.d.Event)
	var skip *eventflow.SkipError
	switch {
	case errors.As(err, &skip):
		s.logger().Info("a message is ignored", "id", m.id, "reason", skip.Reason)
		evs = nil
	case err != nil || len(evs) > mostParts:
		return
	}
	m.parts, m.open, m.st.Verb = make([]message, len(evs)), len(evs), eventflow.Ack
	for i := range evs {
		p := &m.parts[i]
		p.whole, p.came = m, m.came
		p.d.Event = evs[i]
		if p.d.Event.ID == "" {
			p.d.Event.ID = m.d.Event.ID + "/" + strconv.Itoa(i)
		}
		if p.d.Event.Source == "" {
			p.d.Event.Source = m.d.Event.Source
		}
		p.d.Event.Key = m.d.Event.Key
		p.d.Lane, p.d.Attempts, p.d.Receives, p.d.Redrive = m.d.Lane, m.d.Attempts, m.d.Receives, m.d.Redrive
		p.d.LockedUntil, p.d.Native = m.d.LockedUntil, m.d.Native
	}
}

// holder gives the message whose lock holds m.
func (m *message) holder() *message {
	if m.whole != nil {
		return m.whole
	}
	return m
}
