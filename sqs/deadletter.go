package sqs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/eventflow-go/eventflow"
)

// Attributes that a dead letter has beside its event's own.
const (
	attributePrefix   = "eventflow-"
	attributeReason   = attributePrefix + "reason"
	attributeFlow     = attributePrefix + "flow"
	attributeAttempts = attributePrefix + "attempts"
	attributeTrigger  = attributePrefix + "trigger"
	attributeVersion  = attributePrefix + "version"
	attributeOrigin   = attributePrefix + "origin"
)

// deadPublisher opens the publisher of dead letters. It belongs to its subscriber.
func (b *Broker) deadPublisher(set settings) (*publisher, error) {
	set.structured = false
	return b.newPublisher(set.deadLetters, set)
}

// DeadLetter writes the event to the queue of dead letters. Without one it leaves the message to the queue's own redrive
// policy, which takes it away when it was received often enough: it is made visible and received, unrun, until then. With
// neither it gives the message back and says so.
func (s *subscriber) DeadLetter(ctx context.Context, d *eventflow.Delivery, f eventflow.Failure) error {
	s.mu.Lock()
	m := s.messageOf(d)
	if m == nil || m.at != stateHanded || m.gone || s.closed || !s.locks.Held(&m.holder().lock) {
		s.mu.Unlock()
		return s.wrap(eventflow.ErrLockLost)
	}
	redrive := s.t.maxReceives
	s.mu.Unlock()
	switch {
	case s.dead != nil:
		return s.bury(ctx, m, f)
	case redrive > 0 && m.whole != nil: // the policy moves whole messages
		return s.wrap(eventflow.ErrNoDeadLetters)
	case redrive > 0:
		return s.condemn(ctx, m, f)
	}
	return s.leave(m, f)
}

// bury sends a dead letter. What tells why gives way when the copy would be larger than SQS takes.
func (s *subscriber) bury(ctx context.Context, m *message, f eventflow.Failure) error {
	ev := m.d.Event
	own := eventflow.Attributes{}
	for _, a := range ev.Attributes {
		if len(a.Name) < len(attributePrefix) || a.Name[:len(attributePrefix)] != attributePrefix {
			own = append(own, a)
		}
	}
	said := slices.Concat(own, s.obituary(m, f))
	for keep := len(said); ; keep-- {
		ev.Attributes = said[:keep:keep]
		out := encode(&ev, s.dead.q.fifo(), false)
		if out.size > s.set.maxBytes && keep > len(own) {
			continue
		}
		if out.group != "" {
			// Its own: the queue would drop the dead letter of a redriven event as a duplicate of the first.
			out.dedup = digest(m.holder().id + "/" + m.d.Event.ID + "/" + strconv.Itoa(m.d.Redrive) + "/" + strconv.Itoa(m.d.Receives))
		}
		err := s.dead.publish(ctx, 1, func(int) outgoing { return out })
		var failed *eventflow.PublishError
		if errors.As(err, &failed) && len(failed.Failed) == 1 {
			err = failed.Failed[0].Err
		}
		if errors.Is(err, eventflow.ErrTooLarge) && keep > len(own) {
			continue // the queue has a limit of its own
		}
		return err
	}
}

// obituary says why, the most important first.
func (s *subscriber) obituary(m *message, f eventflow.Failure) eventflow.Attributes {
	as := eventflow.Attributes{
		{Name: redriveName, Value: strconv.Itoa(m.d.Redrive + 1)},
		{Name: attributeReason, Value: f.Reason},
		{Name: attributeFlow, Value: f.Flow},
		{Name: attributeAttempts, Value: strconv.Itoa(f.Attempts)},
		{Name: attributeOrigin, Value: s.t.arn},
	}
	for _, a := range []eventflow.Attribute{{Name: attributeTrigger, Value: f.Binding}, {Name: attributeVersion, Value: f.Version}} {
		if a.Value != "" {
			as = append(as, a)
		}
	}
	return as
}

// leave gives back what has no dead letters to go to.
func (s *subscriber) leave(m *message, f eventflow.Failure) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.at != stateHanded || !m.d.Lose() {
		return s.wrap(eventflow.ErrLockLost)
	}
	s.unhand(m)
	m.due = time.Now().Add(s.t.visibility)
	s.giveBack(m)
	s.giveBackLane(m.d.Lane)
	s.backs.flush()
	s.logger().Error("an event is exhausted and there is no place for its dead letter: it is left in its queue, where it will be received again",
		"id", m.d.Event.ID, "reason", f.Reason)
	return fmt.Errorf("sqs: queue %q: %w: %w", s.q.given, ErrLeft, eventflow.ErrLockLost)
}
