package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/eventflow-go/eventflow"
)

// Settle marks; the sessions write. What is given back with a delay is held under its lock until then: a share group has no
// delays of its own.
func (s *shareSubscriber) Settle(ds []*eventflow.Delivery, st eventflow.Settlement) {
	after := min(st.After, maxNack)
	var done, late []*eventflow.Delivery
	s.mu.Lock()
	for _, d := range ds {
		r := s.of(d)
		switch {
		case r == nil || r.state != shareHanded:
			late = append(late, d)
			continue
		case s.closed: // its session has ended, or writes what it has; the broker releases it
			s.drop(r)
			late = append(late, d)
			continue
		}
		r.verb = st.Verb
		switch {
		case st.Verb == eventflow.Ack:
			s.mark(r, shareAccept)
		case st.Verb == eventflow.Abandon:
			s.drop(r) // nobody renews it any more
			done = append(done, d)
		case after > 0 || s.isLast(r):
			r.state, r.quiet = shareDelayed, true
			s.schedule(r, after)
			done = append(done, d)
		default:
			s.mark(r, shareRelease)
		}
	}
	s.mu.Unlock()
	s.tellSettled(done, nil)
	s.tellSettled(late, s.wrap(eventflow.ErrLockLost))
}

// Attempted does nothing: the broker counts deliveries and no attempts.
func (s *shareSubscriber) Attempted([]*eventflow.Delivery) {}

// DeadLetter writes the record and why to the dead-letter topic.
func (s *shareSubscriber) DeadLetter(ctx context.Context, d *eventflow.Delivery, f eventflow.Failure) error {
	if s.set.noDeadLetters {
		return eventflow.ErrNoDeadLetters
	}
	s.mu.Lock()
	r := s.of(d)
	s.mu.Unlock()
	if r == nil {
		return s.wrap(eventflow.ErrLockLost)
	}
	return s.b.deadLetter(ctx, r.rec, s.set.deadLetterTopic, &f)
}

// lapsed is told by the tracker of locks that were not renewed in time.
func (s *shareSubscriber) lapsed(rs []*shareRecord, err error) {
	s.mu.Lock()
	lost, unsure := s.lose(rs)
	s.mu.Unlock()
	s.tellLost(lost, unsure, s.wrap(err))
}

// lose drops records whose lock is gone. It gives the deliveries that are fenced, and those whose acknowledgement is not
// confirmed and cannot be any more. The caller holds mu.
func (s *shareSubscriber) lose(rs []*shareRecord) (lost, unsure []*eventflow.Delivery) {
	for _, r := range rs {
		switch {
		case r == nil || r.state == shareGone:
			continue
		case r.state == shareHanded:
			if !r.d.Lose() {
				continue // its settlement is about to come, and finds the lock gone at the broker
			}
			lost = append(lost, r.d)
		case r.state == shareSettled && !r.quiet:
			unsure = append(unsure, r.d)
		}
		s.drop(r)
	}
	return lost, unsure
}

// tellLost tells the runner. The caller does not hold mu.
func (s *shareSubscriber) tellLost(lost, unsure []*eventflow.Delivery, err error) {
	s.tellSettled(unsure, err)
	if tell := s.listening.Lost; tell != nil && len(lost) > 0 {
		if !errors.Is(err, eventflow.ErrLockLost) {
			err = fmt.Errorf("%w: %w", eventflow.ErrLockLost, err)
		}
		tell(lost, err)
	}
}

// tellSettled tells the runner. The caller does not hold mu.
func (s *shareSubscriber) tellSettled(ds []*eventflow.Delivery, err error) {
	if tell := s.listening.Settled; tell != nil && len(ds) > 0 {
		tell(ds, err)
	}
}
