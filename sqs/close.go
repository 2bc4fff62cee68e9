package sqs

import (
	"context"
	"fmt"

	"github.com/eventflow-go/eventflow"
)

// Close gives back what is not settled, writes the settlements, and waits for the receives under way, whose messages it
// gives back as well: a receive that were cut would leave its messages invisible until their visibility ends. When ctx
// ends first, such a receive is left to the broker, whose Close waits for it, and settlements that were not confirmed
// are told so.
func (s *subscriber) Close(ctx context.Context) error {
	if s.err != nil {
		return nil //nolint:nilerr // it was never open
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		select {
		case <-s.told:
		case <-ctx.Done():
		}
		return nil
	}
	s.closed = true
	s.signal()
	s.handBack()
	drained := make(chan struct{})
	s.drained = drained
	s.checkDrained()
	s.mu.Unlock()

	var err error
	select {
	case <-drained:
	case <-ctx.Done():
		s.mu.Lock()
		if !s.isWritten() {
			err = ctx.Err()
		}
		s.mu.Unlock()
	}
	s.finish(err)
	if s.dead != nil {
		if cerr := s.dead.Close(ctx); err == nil {
			err = cerr
		}
	}
	close(s.told)
	s.b.forget(s)
	if err != nil {
		return fmt.Errorf("sqs: queue %q: not everything was given back: %w", s.q.given, err)
	}
	return nil
}

// handBack gives back what is not settled. The caller holds the lock.
func (s *subscriber) handBack() {
	s.buffer = nil
	for _, m := range s.slots {
		switch {
		case m == nil:
		case m.at == stateBuffered:
			s.giveBack(m)
		case m.at == stateHanded && m.d.Lose(): // else its settlement is about to come
			s.unhand(m)
			if m.until.IsZero() {
				s.giveBack(m)
			} else {
				s.drop(m) // a condemned one, which went back before
			}
		}
	}
	if s.isReady {
		s.acks.flush()
		s.backs.flush()
	}
	for id, c := range s.condemned {
		delete(s.condemned, id)
		close(c.moved)
	}
}

// isWritten reports whether every settlement was written. The caller holds the lock.
func (s *subscriber) isWritten() bool {
	return len(s.acks.pending)+len(s.backs.pending)+s.acks.calls+s.backs.calls == 0
}

// checkDrained ends the wait of a Close when nothing is under way any more. The caller holds the lock.
func (s *subscriber) checkDrained() {
	if s.drained != nil && s.polls == 0 && s.isWritten() {
		close(s.drained)
		s.drained = nil
	}
}

// finish stops everything and tells what was not confirmed. Receives under way release by themselves what they bring.
func (s *subscriber) finish(cause error) {
	s.mu.Lock()
	s.finished, s.drained = true, nil
	end, locks := s.end, s.locks
	for _, b := range []*batcher{&s.acks, &s.backs} {
		if b.timer != nil {
			b.timer.Stop()
		}
	}
	s.mu.Unlock()
	if end != nil {
		end()
	}
	s.running.Wait()
	if locks != nil {
		locks.Close()
	}
	var unsure []*eventflow.Delivery
	s.mu.Lock()
	for _, m := range s.slots {
		if m == nil || m.at == stateHanded {
			continue
		}
		if m.at == stateSettled && !m.quiet {
			unsure = append(unsure, &m.d)
		}
		s.drop(m)
	}
	tell := s.listening.Settled
	s.mu.Unlock()
	if len(unsure) > 0 && tell != nil {
		if cause == nil {
			cause = eventflow.ErrClosed
		}
		tell(unsure, s.wrap(cause))
	}
}
