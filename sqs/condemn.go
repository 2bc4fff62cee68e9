package sqs

import (
	"context"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
)

// condemned is a message that is left to the queue's redrive policy: it is made visible, received and made visible
// again, unrun, until it was received as often as the policy says. The receive after that moves it.
type condemned struct {
	since   time.Time
	waiting bool          // a DeadLetter waits for it
	moved   chan struct{} // closed when the queue will not hand it out again, or the subscriber closes
}

const (
	mostCondemned = 10_000
	condemnedFor  = 10 * time.Minute // how long a message is remembered that somebody else may have received
	burnTime      = time.Minute      // how long a dead letter waits for its message to be moved
	burnLook      = time.Second
	burnBuffer    = 100 // others that are received along with it
)

// errLaneMoves is the cause of the loss of what is behind a condemned message in its group: none of the group is received
// while any of it is held.
var errLaneMoves = fmt.Errorf("%w: its message group is given back, for the first of it goes to the dead letters", eventflow.ErrLockLost)

// condemn returns when the queue will not hand the message out again. Until then it is nobody's: when ctx ends, or it
// takes too long because somebody else receives it, its lock is lost.
func (s *subscriber) condemn(ctx context.Context, m *message, f eventflow.Failure) error {
	s.mu.Lock()
	if m.at != stateHanded || m.gone || s.closed {
		s.mu.Unlock()
		return s.wrap(eventflow.ErrLockLost)
	}
	s.logger().Warn("an event is left to the redrive policy of its queue", "id", m.d.Event.ID, "reason", f.Reason, "flow", f.Flow, "attempts", f.Attempts)
	m.moved = true
	if m.d.Receives >= s.t.maxReceives { // its acknowledgement makes it visible
		s.mu.Unlock()
		return nil
	}
	c := s.beginBurning(m)
	lost := s.loseLane(m)
	tell := s.listening.Lost
	s.mu.Unlock()
	if len(lost) > 0 && tell != nil {
		tell(lost, s.wrap(errLaneMoves))
	}
	if s.awaitBurnt(ctx, c) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.at == stateHanded {
		m.d.Lose()
		s.unhand(m)
		s.drop(m)
	}
	return s.wrap(eventflow.ErrLockLost)
}

// beginBurning gives the message back without settling its delivery. The caller holds the lock.
func (s *subscriber) beginBurning(m *message) *condemned {
	now := time.Now()
	if len(s.condemned) >= mostCondemned {
		for id, c := range s.condemned {
			if !c.waiting && now.Sub(c.since) > condemnedFor {
				delete(s.condemned, id)
			}
		}
	}
	c := &condemned{since: now, waiting: true, moved: make(chan struct{})}
	s.condemned[m.id] = c
	s.burning++
	// Another record goes back: this one stays with its delivery until that is settled.
	left := s.locks.Left(&m.lock)
	s.locks.Remove(&m.lock)
	m.until = now.Add(left)
	delete(s.byID, m.id)
	back := &message{id: m.id, handle: m.handle, seq: m.seq, came: m.came, until: m.until}
	s.hold(back)
	back.d.Lane = m.d.Lane
	s.giveBack(back)
	s.backs.flush()
	return c
}

// loseLane takes from its holder what is behind m in its group. The caller holds the lock.
func (s *subscriber) loseLane(m *message) (lost []*eventflow.Delivery) {
	lane := m.d.Lane
	if lane == "" {
		return nil
	}
	for _, o := range s.slots {
		if o != nil && o != m && o.at == stateHanded && o.d.Lane == lane && o.d.Lose() {
			lost = append(lost, &o.d)
			s.unhand(o)
			s.giveBack(o)
		}
	}
	s.giveBackLane(lane)
	s.backs.flush()
	return lost
}

// awaitBurnt waits for a condemned message, and sees to it that it is received.
func (s *subscriber) awaitBurnt(ctx context.Context, c *condemned) bool {
	look := time.NewTicker(burnLook)
	defer look.Stop()
	end := time.NewTimer(burnTime)
	defer end.Stop()
	moved := false
	for over := false; !over; {
		s.mu.Lock()
		if !s.calling { // else Next is told, and asks again
			s.pollErr = nil
		}
		s.pollBurning()
		s.mu.Unlock()
		select {
		case <-c.moved:
			moved, over = true, true
		case <-look.C:
		case <-end.C:
			over = true
		case <-ctx.Done():
			over = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.waiting = false
	s.burning--
	return moved && !s.closed
}

// pollBurning receives while a dead letter waits for its message, though nobody may be asking. The caller holds the lock.
func (s *subscriber) pollBurning() {
	if s.burning > 0 && s.polls == 0 && !s.closed && len(s.buffer) < burnBuffer {
		s.poll(eventflow.Want{Events: 1})
	}
}

// burn gives back a message if it is a condemned one. The caller holds the lock.
func (s *subscriber) burn(m *message) bool {
	c := s.condemned[m.id]
	if c == nil {
		return false
	}
	s.giveBack(m)
	if m.d.Receives >= s.t.maxReceives {
		delete(s.condemned, m.id)
		close(c.moved)
	}
	return true
}
