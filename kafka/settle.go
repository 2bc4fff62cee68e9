package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

// Settle marks; the committer writes.
func (p *partition) Settle(ds []*eventflow.Delivery, st eventflow.Settlement) {
	s := p.s
	if st.Verb == transacted {
		s.tellSettled(ds, nil)
		return
	}
	s.mu.Lock()
	if p.fenced {
		s.mu.Unlock()
		s.tellSettled(ds, s.lost("the partition is another's"))
		return
	}
	var done *lane // what was acknowledged last is of it; neighbours often share one
	for _, d := range ds {
		seq := d.Token()
		e := p.at(seq)
		if e.in {
			e.freed = st.Verb
			continue
		}
		switch st.Verb {
		case eventflow.Ack:
			if done != nil && done != e.lane {
				p.replace(done)
			}
			done = e.lane
			p.finish(seq, e)
			p.pending = append(p.pending, d)
			s.unconfirmed++
			s.marked++
			continue
		case eventflow.Nack:
			p.fail(e)
			p.touch()
			p.takeBack(d, st.After)
		case eventflow.Abandon:
			p.abandon(d)
		default:
			p.takeBack(d, st.After)
		}
	}
	if done != nil {
		p.replace(done)
	}
	if s.unconfirmed >= max(s.open, 1) || s.many() {
		s.kickCommit()
	}
	s.mu.Unlock()
	if st.Verb != eventflow.Ack { // the record stays: there is nothing to confirm
		s.tellSettled(ds, nil)
	}
}

// Attempted notes a failed run of deliveries that stay held; the next commit writes it.
func (p *partition) Attempted(ds []*eventflow.Delivery) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.fenced {
		return
	}
	for _, d := range ds {
		if e := p.at(d.Token()); p.has(d.Token()) && e.d == d && e.state == entryHeld {
			p.fail(e)
			p.touch()
		}
	}
}

// DeadLetter writes the record and why to the dead-letter topic.
func (p *partition) DeadLetter(ctx context.Context, d *eventflow.Delivery, f eventflow.Failure) error {
	s := p.s
	if s.set.noDeadLetters {
		return eventflow.ErrNoDeadLetters
	}
	r, ok := d.Native.(*kgo.Record)
	if !ok {
		return s.wrap(fmt.Errorf("Delivery.Native was changed: %w", eventflow.ErrFatal))
	}
	return s.b.deadLetter(ctx, r, s.set.deadLetterTopic, &f)
}

// lost is an error that says that a lock is gone, and how.
func (s *subscriber) lost(how string) error {
	return fmt.Errorf("kafka: %v: %s: %w", s, how, eventflow.ErrLockLost)
}

// tellSettled tells the runner. The caller does not hold mu.
func (s *subscriber) tellSettled(ds []*eventflow.Delivery, err error) {
	if tell := s.listening.Settled; tell != nil && len(ds) > 0 {
		tell(ds, err)
	}
}

// tellLost tells the runner of deliveries that were lost, and of those that were acknowledged too late for a commit. The
// caller does not hold mu.
func (s *subscriber) tellLost(ds []*eventflow.Delivery, err error) {
	s.mu.Lock()
	unsure := s.unsure
	s.unsure = nil
	s.mu.Unlock()
	s.tellSettled(unsure, err)
	if tell := s.listening.Lost; tell != nil && len(ds) > 0 {
		tell(ds, err)
	}
}
