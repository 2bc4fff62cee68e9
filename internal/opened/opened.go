// Package opened keeps what a broker has opened and its user has not closed yet, for the broker's Close.
package opened

import (
	"context"
	"errors"
	"sync"
)

// Closer is a publisher or a subscriber.
type Closer interface {
	// Close is called by the user or by Set.Close, or by both.
	Close(ctx context.Context) error
}

// Set holds closers, compared by identity. The zero value is empty and open. All methods may be called by any goroutine.
type Set struct {
	mu     sync.Mutex // guards what follows
	in     map[Closer]struct{}
	closed bool
}

// Add takes c in. It reports false, and takes nothing in, once Close began.
func (s *Set) Add(c Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.in == nil {
		s.in = map[Closer]struct{}{}
	}
	s.in[c] = struct{}{}
	return true
}

// Remove forgets c, which closes by itself.
func (s *Set) Remove(c Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.in, c)
}

// Closed reports whether Close began.
func (s *Set) Closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Close closes everything, all at the same time, and joins the errors. What is closed may call Remove meanwhile.
func (s *Set) Close(ctx context.Context) error {
	s.mu.Lock()
	in := s.in
	s.in, s.closed = nil, true
	s.mu.Unlock()
	errs := make(chan error, len(in))
	for c := range in {
		go func() { errs <- c.Close(ctx) }()
	}
	all := make([]error, 0, len(in))
	for range in {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}
