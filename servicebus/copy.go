package servicebus

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// sendCopy schedules a copy of a message, to come when its delay is over. It comes before the message is completed: a
// process that dies between the two leaves both, which are one event.
func (s *Subscriber) sendCopy(ctx context.Context, h *held) error {
	l := s.copySender()
	c, err := l.enter(ctx)
	if err != nil {
		return err
	}
	err = c.use(func(ctx context.Context) error {
		return l.s.SendAMQPAnnotatedMessage(ctx, copyOf(h, time.Now().Add(h.after)), nil)
	})
	l.leave(c, err)
	if isFinal(explain(s.path, rightSend, err)) {
		s.mu.Lock()
		if s.sender == l {
			s.sender = nil
		}
		s.mu.Unlock()
		l.close()
	}
	return err
}

func (s *Subscriber) copySender() *sender {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sender == nil {
		s.sender = newSender(s.b, s.entity)
	}
	return s.sender
}

// askSender verifies that copies can be sent.
func (s *Subscriber) askSender(ctx context.Context) error {
	l := s.copySender()
	c, err := l.enter(ctx)
	if err == nil {
		l.leave(c, nil)
	}
	return explain(s.path, rightSend, err)
}

// copyOf is a message again, with a message ID of its own and the event's identity and attempts in properties.
func copyOf(h *held, at time.Time) *azservicebus.AMQPAnnotatedMessage {
	raw := h.raw.RawAMQPMessage
	props := maps.Clone(raw.ApplicationProperties)
	if props == nil {
		props = map[string]any{}
	}
	props[propID], props[propSource] = text(h.event.ID), text(h.event.Source)
	props[propAttempts] = int32(h.attempts)
	var p azservicebus.AMQPAnnotatedMessageProperties
	if raw.Properties != nil {
		p = *raw.Properties
	}
	p.MessageID = rand.Text()
	m := &azservicebus.AMQPAnnotatedMessage{
		ApplicationProperties: props, Body: raw.Body, Properties: &p, Footer: raw.Footer,
		MessageAnnotations: map[any]any{annDue: dueAt(at)},
	}
	if h.raw.PartitionKey != nil {
		m.MessageAnnotations["x-opt-partition-key"] = *h.raw.PartitionKey
	}
	if raw.Header != nil {
		m.Header = &azservicebus.AMQPAnnotatedMessageHeader{Durable: raw.Header.Durable, Priority: raw.Header.Priority, TTL: raw.Header.TTL}
	}
	return m
}

// innermost is the error that others wrap: its type tells what went wrong and quotes no payload.
func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// cut shortens a text to at most n bytes.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
