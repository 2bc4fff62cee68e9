package sqstest

import (
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
)

// Server is queues that clients of Amazon SQS can connect to. Its methods may be called from several goroutines at once.
type Server struct {
	watch
	front

	opts  Options
	clock Clock

	// mu guards all below, and everything that can be reached from there: queues and their messages. Nobody waits for
	// a network or a clock while holding it.
	mu          sync.Mutex
	closed      bool
	serial      uint64 // of messages and queues
	bytes       int
	queues      map[string]*queue
	deleted     map[string]time.Time // names that are not free yet
	credentials map[string]*Credential
	roles       map[string]*role // by ARN
}

// New starts a server for a test, which fails when the options are wrong, and closes it when the test ends.
func New(tb testing.TB, opts Options) *Server {
	tb.Helper()
	s, err := Start(opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// Start starts a server; the caller closes it. An error is an *eventflow.ConfigError, or that of listening.
func Start(opts Options) (*Server, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	s := &Server{
		opts: opts, clock: opts.Clock, front: newFront(),
		queues: map[string]*queue{}, deleted: map[string]time.Time{}, credentials: map[string]*Credential{}, roles: map[string]*role{},
	}
	if !opts.InMemory {
		if err := s.listen(opts.Addr, opts.MaxConnections); err != nil {
			return nil, err
		}
	}
	if err := s.createAll(); err != nil {
		s.shut()
		return nil, err
	}
	if !opts.InMemory {
		s.answerWith(s.serve)
	}
	return s, nil
}

// createAll makes those queues first that others name as theirs for dead letters.
func (s *Server) createAll() error {
	names := slices.Sorted(maps.Keys(s.opts.Queues))
	for len(names) > 0 {
		i := slices.IndexFunc(names, func(name string) bool { return !slices.Contains(names, s.opts.Queues[name].DeadLetterQueue) })
		if i < 0 {
			return misconfigured("Options.Queues", names, "queues that are not one another's dead-letter queues")
		}
		if err := s.CreateQueue(names[i], s.opts.Queues[names[i]]); err != nil {
			return err
		}
		names = slices.Delete(names, i, i+1)
	}
	return nil
}

// QueueURL is the URL of a queue, whether it exists or not.
func (s *Server) QueueURL(name string) string { return s.endpoint + "/" + s.opts.Account + "/" + name }

// ARN is the Amazon resource name of a queue, whether it exists or not.
func (s *Server) ARN(name string) string { return arn(s.opts.Region, s.opts.Account, name) }

// CreateQueue makes a queue. Unlike clients, it need not wait after a queue of the name was deleted.
func (s *Server) CreateQueue(name string, q Queue) error {
	attributes, err := q.attributes(name, s.opts.Account, s.opts.Region)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[name] != nil {
		return misconfigured("CreateQueue", name, "a name that is not taken")
	}
	if _, err := s.create(name, attributes, s.clock.Now()); err != nil {
		return misconfigured("CreateQueue", name, err.message)
	}
	return nil
}

// DeleteQueue removes a queue with its messages, at once. It is an error when there is none.
func (s *Server) DeleteQueue(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[name]
	if q == nil {
		return misconfigured("DeleteQueue", name, "a queue that exists")
	}
	s.remove(q)
	return nil
}

// ExpireVisibility makes all messages of a queue that are in flight visible, as if their timeouts had run out.
func (s *Server) ExpireVisibility(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[name]
	if q == nil {
		return
	}
	now := s.clock.Now()
	for _, m := range q.messages {
		if m.state == inFlight {
			q.hold(m, now)
		}
	}
	q.catchUp(now)
	q.settle(now)
}

// Close cuts all connections and returns when the server's goroutines have ended. A second call does nothing.
func (s *Server) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	for _, q := range s.queues {
		q.close()
	}
	s.mu.Unlock()
	s.shut()
}
