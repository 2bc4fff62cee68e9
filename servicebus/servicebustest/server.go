package servicebustest

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ErrClosed is returned by [Server.Dial] after Close.
var ErrClosed = errors.New("servicebustest: server is closed")

// Server is a namespace of queues and topics that clients of Azure Service Bus can connect to. Its methods may be
// called from several goroutines at once.
type Server struct {
	opts       Options
	clock      Clock
	host       string // for connection strings
	listener   net.Listener
	goroutines sync.WaitGroup // the acceptor, and of each connection a reader and a writer; Close waits for them

	// mu guards all below, and everything that can be reached from there: entities, messages, connections, sessions
	// and links. Nobody waits for a network while holding it.
	mu           sync.Mutex
	closed       bool
	conns        map[*conn]bool
	entities     map[string]*entity
	keys         map[string]*key
	interceptors []*interceptor

	timers    heap[*timer]
	stopAlarm func() bool
	alarmAt   time.Time
	alarms    int
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

// Start starts a server; the caller closes it. An error is an
// *eventflow.ConfigError, or that of listening.
func Start(opts Options) (*Server, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	s := &Server{
		opts: opts, clock: opts.Clock, host: "in-memory.servicebustest",
		conns: map[*conn]bool{}, entities: map[string]*entity{}, keys: map[string]*key{},
	}
	s.grant(rootKey, Manage, "")
	for _, name := range slices.Sorted(maps.Keys(opts.Queues)) {
		if err := s.CreateQueue(name, opts.Queues[name]); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(opts.Topics)) {
		if err := s.CreateTopic(name, opts.Topics[name]); err != nil {
			return nil, err
		}
	}
	if opts.InMemory {
		return s, nil
	}
	ln, err := net.Listen("tcp", opts.Addr) //nolint:noctx // it is done at once: the address is loopback's
	if err != nil {
		return nil, err
	}
	s.listener, s.host = ln, ln.Addr().String()
	s.goroutines.Go(s.accept)
	return s, nil
}

// accept ends when Close closes the listener.
func (s *Server) accept() {
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			return
		}
		if s.serve(nc) != nil {
			_ = nc.Close()
		}
	}
}

var errTooMany = errors.New("servicebustest: too many connections")

func (s *Server) serve(nc net.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case len(s.conns) >= s.opts.MaxConnections:
		return errTooMany
	}
	c := newConn(s, nc)
	s.conns[c] = true
	s.goroutines.Go(c.read)
	s.goroutines.Go(c.write)
	return nil
}

// Dial makes a connection inside this process. For azservicebus it goes into ClientOptions:
//
//	NewWebSocketConn: func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
//		return server.Dial(ctx)
//	}
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	if err := s.serve(ours); err != nil {
		return nil, err
	}
	return theirs, nil
}

// Addr is the address that the server listens on, "" when it is in memory.
func (s *Server) Addr() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Close cuts all connections and returns when the server's goroutines have ended. A second call does nothing.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.kill()
	}
	if s.stopAlarm != nil {
		s.stopAlarm()
	}
	s.mu.Unlock()
	if s.listener != nil {
		_ = s.listener.Close()
	}
	s.goroutines.Wait()
}

// CreateQueue makes a queue and its dead-letter queue, "name/$DeadLetterQueue".
func (s *Server) CreateQueue(name string, q Queue) error {
	if err := q.check("Queue"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.free("Queue", name); err != nil {
		return err
	}
	s.newQueue(name, q)
	return nil
}

func (s *Server) newQueue(path string, q Queue) *entity {
	e := s.newEntity(path, q)
	e.dead = s.newEntity(path+deadLetterSuffix, Queue{LockDuration: q.LockDuration, MaxBytes: q.MaxBytes})
	return e
}

// CreateTopic makes a topic with its subscriptions. A message that no subscription wants is taken, and is gone.
func (s *Server) CreateTopic(name string, t Topic) error {
	set := Queue{DefaultTTL: t.DefaultTTL, DuplicateWindow: t.DuplicateWindow, MaxBytes: t.MaxBytes}
	if err := set.check("Topic"); err != nil {
		return err
	}
	s.mu.Lock()
	if err := s.free("Topic", name); err != nil {
		s.mu.Unlock()
		return err
	}
	e := s.newEntity(name, set)
	e.isTopic = true
	s.mu.Unlock()
	for _, sub := range slices.Sorted(maps.Keys(t.Subscriptions)) {
		if err := s.CreateSubscription(name, sub, t.Subscriptions[sub]); err != nil {
			return err
		}
	}
	return nil
}

// CreateSubscription adds "topic/Subscriptions/name" to a topic. It gets what is sent from now on.
func (s *Server) CreateSubscription(topic, name string, sub Subscription) error {
	set := Queue{
		LockDuration: sub.LockDuration, MaxDeliveryCount: sub.MaxDeliveryCount, RequiresSession: sub.RequiresSession,
		DefaultTTL: sub.DefaultTTL, DeadLetterOnExpiration: sub.DeadLetterOnExpiration,
	}
	if err := set.check("Subscription"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.entities[canonical(topic)]
	if t == nil || !t.isTopic {
		return refuse("CreateSubscription", topic, "a topic that exists")
	}
	if strings.Contains(name, "/") {
		return refuse("CreateSubscription", name, "a name without slashes")
	}
	path := t.path + subscriptionPart + name
	if err := s.free("Subscription", path); err != nil {
		return err
	}
	e := s.newQueue(path, set)
	e.topic, e.filters = t, slices.Clone(sub.Filters)
	t.subs = append(t.subs, e)
	return nil
}

func (s *Server) free(kind, name string) error {
	c := canonical(name)
	if c == "" || len(c) > maxName || !strings.EqualFold(c, name) || strings.ContainsRune(c, '$') {
		return refuse(kind, name, "a name of at most 260 bytes, without $ and without a slash at its ends")
	}
	if s.entities[c] != nil {
		return refuse(kind, name, "a name that is not taken")
	}
	return nil
}

// Delete removes a queue, a topic with its subscriptions, or a subscription, with all messages. Links to it are
// detached as not found. It is an error when there is none.
func (s *Server) Delete(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entities[canonical(name)]
	if e == nil || !e.isTopic && e.dead == nil {
		return refuse("Delete", name, "a queue, topic or subscription that exists")
	}
	if e.topic != nil {
		e.topic.subs = slices.DeleteFunc(e.topic.subs, func(x *entity) bool { return x == e })
	}
	for _, x := range append(slices.Clone(e.subs), e) {
		x.close()
		if x.dead != nil {
			x.dead.close()
		}
	}
	return nil
}

// Stats are the messages of an entity at one moment.
type Stats struct {
	Active    int // with those that are locked
	Locked    int
	Deferred  int
	Scheduled int // of a topic: not yet in its subscriptions
	Dead      int // in its dead-letter queue
	Sessions  int // with messages, state or a receiver
	Receivers int // links
}

// Stats counts an entity's messages; the zero Stats when there is no such entity.
func (s *Server) Stats(entity string) (st Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.catchUp()
	e := s.entities[canonical(entity)]
	if e == nil {
		return st
	}
	for _, m := range e.order {
		switch {
		case m.gone:
		case m.state == deferred:
			st.Deferred++
		case m.state == scheduled:
			st.Scheduled++
		default:
			st.Active++
		}
	}
	st.Locked, st.Receivers = len(e.locked), len(e.links)
	if e.set.RequiresSession {
		st.Sessions = len(e.lanes)
	}
	if e.dead != nil {
		st.Dead = e.dead.live
	}
	return st
}
