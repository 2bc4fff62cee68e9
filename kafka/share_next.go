package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/eventflow-go/eventflow"
)

// Next hands over what was received, and lets the sessions ask for the rest of what is wanted. A request that is under way
// when ctx ends is not cut: what it brings waits for the next call for a moment, and is released then.
func (s *shareSubscriber) Next(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	want.Events = max(want.Events, 1)
	s.mu.Lock()
	started, closed := s.started, s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return nil, s.wrap(eventflow.ErrClosed)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !started:
		if err := s.Start(ctx, eventflow.Listening{}); err != nil && !errors.Is(err, errTwoStarts) {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.calling:
		return nil, errTwoCallers
	case s.cl == nil:
		return nil, s.wrap(eventflow.ErrClosed)
	}
	s.calling = true
	defer func() { s.calling, s.want = false, 0 }()
	for {
		if s.closed {
			return nil, s.wrap(eventflow.ErrClosed)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if ds := s.take(want); len(ds) > 0 {
			return ds, nil
		}
		if err := s.failure(); err != nil {
			return nil, err
		}
		s.want = want.Events
		s.kickAll()
		s.mu.Unlock()
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
}

// failure is what went wrong since it was asked last. The caller holds mu.
func (s *shareSubscriber) failure() error {
	if s.final != nil {
		return s.final
	}
	err := s.broken
	s.broken = nil
	return err
}

// take hands over what is there, within the bounds. The caller holds mu.
func (s *shareSubscriber) take(want eventflow.Want) []*eventflow.Delivery {
	var ds []*eventflow.Delivery
	bytes, now := 0, time.Now()
	for len(s.ready) > 0 && len(ds) < want.Events {
		r := s.ready[0]
		if r.state == shareReady {
			size := len(r.rec.Value)
			if want.Bytes > 0 && len(ds) > 0 && bytes+size > want.Bytes {
				break
			}
			left := s.locks.Left(&r.lock)
			if left > 0 { // else it is about to be told that it is lost
				bytes += size
				r.state, r.d.LockedUntil = shareHanded, now.Add(left)
				ds = append(ds, r.d)
			}
		}
		s.ready[0] = nil
		s.ready = s.ready[1:]
	}
	return ds
}
