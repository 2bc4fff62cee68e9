package sqs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/renew"
)

// A subscriber is one consumer of a queue, and the settler of what it was handed. Its parts are told in the files of
// their own: the start, receiving, locks, settlements, dead letters.
type subscriber struct {
	b    *Broker
	q    queue
	set  settings
	err  error      // of opening
	dead *publisher // to the queue of dead letters; nil: there is none

	locks *renew.Tracker[*message]

	mu        sync.Mutex // guards what follows; the tracker may be called under it
	client    client
	listening eventflow.Listening
	started   bool
	calling   bool // a Next is under way
	isReady   bool
	t         traits
	wait      time.Duration // of a long poll
	lasting   context.Context
	life      context.Context // of requests but receives
	end       context.CancelFunc

	seq     uint64
	size    int // of Data, an average
	slots   []*message
	free    []uint32
	byID    map[string]*message // what is held, by its message ID
	buffer  []*message          // received, and not yet handed over
	perLane map[string]int      // handed over and unsettled, of each lane
	held    int                 // handed over and unsettled

	polls   int // receives under way
	asked   int // messages that they may bring
	loops   int // how many may be under way, by what the last ones brought
	pollErr error
	wake    chan struct{} // of the Next that waits

	acks      batcher               // deletes
	backs     batcher               // visibility changes
	condemned map[string]*condemned // by message ID
	burning   int                   // dead letters that wait for theirs

	closed   bool
	finished bool           // nothing is sent any more
	drained  chan struct{}  // made by a Close that waits
	told     chan struct{}  // closed when Close has returned
	running  sync.WaitGroup // the writes of settlements
}

// message is one that was received and is not yet settled for good.
type message struct {
	d       eventflow.Delivery
	lock    renew.Lock[*message]
	id      string
	handle  string
	slot    uint32
	seq     uint64 // messages were received in this order
	at      state
	came    time.Time // when the request was sent that brought it
	st      eventflow.Settlement
	due     time.Time // when it shall be visible again
	until   time.Time // given back: when the lock ends that is not renewed any more
	renewal bool      // a renewal of it is under way
	quiet   bool      // nobody is told of its settlement: it was not handed over, or its subscriber is closed
	writing bool      // a request that settles it is under way
	renewed bool      // and it was received again meanwhile: that request says nothing of the new receipt
	gone    bool      // its lock is lost, while its settlement was on its way
	moved   bool      // it is left to the queue's redrive policy: its acknowledgement deletes nothing

	parts []message // of a message that holds several events: each is a delivery, and none is the message's own
	whole *message  // of a part
	open  int       // parts that are not settled
}

// each calls f with what is handed over of a message: itself, or its parts.
func (m *message) each(f func(p *message)) {
	if m.parts == nil {
		f(m)
		return
	}
	for i := range m.parts {
		f(&m.parts[i])
	}
}

// merge takes a part's settlement into that of the whole message: it is deleted when all parts are acknowledged, comes
// back when the last of the others is due, and lapses when one was abandoned.
func (m *message) merge(p *message) {
	switch {
	case p.st.Verb == eventflow.Ack || m.st.Verb == eventflow.Abandon:
	default:
		m.st.Verb = p.st.Verb
		if p.due.After(m.due) {
			m.due = p.due
		}
	}
}

// state of a message.
type state uint8

const (
	stateFree     state = iota
	stateBuffered       // not yet handed over
	stateHanded         // handed over, not settled
	stateSettled        // settled, not confirmed
)

func (b *Broker) newSubscriber(name string, set settings) (*subscriber, error) {
	q, err := parseQueue(name)
	s := &subscriber{
		b: b, q: q, set: set, byID: map[string]*message{}, perLane: map[string]int{}, condemned: map[string]*condemned{},
		loops: 1, told: make(chan struct{}),
	}
	if err != nil {
		return s, err
	}
	if set.deadLetters != "" {
		s.dead, err = b.deadPublisher(set)
	}
	s.acks = batcher{s: s, send: s.sendAcks, most: mostWrites, linger: standardLinger}
	s.backs = batcher{s: s, send: s.sendBacks, back: true, most: mostWrites, linger: backLinger}
	if q.fifo() {
		s.acks.linger = fifoLinger
		s.backs.most = 1 // the order in which a group's messages come back is that of the requests
	}
	return s, err
}

// Err is what was wrong when it was opened.
func (s *subscriber) Err() error { return s.err }

// String names the queue.
func (s *subscriber) String() string { return s.q.String() }

func (s *subscriber) wrap(err error) error { return fmt.Errorf("sqs: queue %q: %w", s.q.given, err) }

// api gives the client.
func (s *subscriber) api() client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		s.client = s.b.client(&s.q, &s.set)
	}
	return s.client
}

func (s *subscriber) logger() *slog.Logger {
	l := s.listening.Logger
	if l == nil {
		l = slog.Default()
	}
	return l.With("queue", s.q.given)
}

// Start asks the queue what only it knows. A queue that cannot be reached is asked again by Next.
func (s *subscriber) Start(ctx context.Context, l eventflow.Listening) error {
	if s.err != nil {
		return s.err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return s.wrap(eventflow.ErrClosed)
	case s.started:
		s.mu.Unlock()
		return s.wrap(errTwoStarts)
	}
	s.started, s.listening = true, l
	s.mu.Unlock()
	err := s.ready(ctx)
	switch {
	case err == nil, errors.Is(err, eventflow.ErrFatal), errors.Is(err, eventflow.ErrClosed):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	s.logger().Warn("the queue cannot be asked yet; it is asked again", "error", err)
	return nil
}

// open makes what receiving needs. The caller holds the lock.
func (s *subscriber) open(t traits) {
	s.t, s.isReady = t, true
	// A message may have been waiting in the answer for as long as the poll lasted, so a third of the visibility is left.
	s.wait = min(s.set.longPoll, (t.visibility * 2 / 3).Truncate(time.Second))
	s.wait = max(s.wait, time.Second)
	s.lasting = s.b.lastingContext()
	s.life, s.end = context.WithCancel(context.Background())
	s.locks = renew.New(renew.Config[*message]{
		Renew: s.renew, Lost: s.lost, Batch: largestMaxNumber, Calls: renewCalls, Margin: min(time.Second, t.visibility/8), Total: maxVisibility,
	})
}

// Next hands over what was received, and asks for as much as is wanted. A receive that is under way when ctx ends is
// not cut; what it brings is kept for the next call, or given back by Close.
func (s *subscriber) Next(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	if s.err != nil {
		return nil, s.err
	}
	want.Events, want.PerLane = max(want.Events, 1), max(want.PerLane, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calling {
		return nil, s.wrap(errTwoCallers)
	}
	s.calling, s.started = true, true
	s.wake = make(chan struct{}, 1) // in the call: it may be another bubble's than the last one
	defer func() { s.calling, s.wake = false, nil }()
	for {
		if s.closed {
			return nil, s.wrap(eventflow.ErrClosed)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !s.isReady {
			s.mu.Unlock()
			err := s.ready(ctx)
			s.mu.Lock()
			if err != nil {
				if ctx.Err() != nil {
					err = ctx.Err()
				}
				return nil, err
			}
			continue
		}
		if ds := s.take(want); len(ds) > 0 {
			return ds, nil
		}
		if err := s.pollErr; err != nil && s.polls == 0 {
			s.pollErr = nil
			return nil, err
		}
		s.poll(want)
		wake := s.wake
		s.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
}

// signal wakes the Next that waits. The caller holds the lock.
func (s *subscriber) signal() {
	if s.wake != nil {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// take hands over what is there, within the bounds. The caller holds the lock.
func (s *subscriber) take(want eventflow.Want) []*eventflow.Delivery {
	var ds []*eventflow.Delivery
	bytes := 0
	kept := s.buffer[:0]
	for i, m := range s.buffer {
		if m.at != stateBuffered {
			continue // lost
		}
		size := len(m.d.Event.Data)
		if len(ds) == want.Events || want.Bytes > 0 && len(ds) > 0 && bytes+size > want.Bytes {
			kept = append(kept, s.buffer[i:]...)
			break
		}
		if lane := m.d.Lane; lane != "" {
			if want.PerLane > 0 && s.perLane[lane] >= want.PerLane {
				kept = append(kept, m)
				continue
			}
			s.perLane[lane]++
		}
		m.at = stateHanded
		bytes += size
		s.held++
		ds = append(ds, &m.d)
	}
	clear(s.buffer[len(kept):])
	s.buffer = kept
	return ds
}

// hold gives a message, or each of its parts, a place. The caller holds the lock.
func (s *subscriber) hold(m *message) {
	s.byID[m.id] = m
	m.each(func(p *message) {
		if n := len(s.free); n > 0 {
			p.slot = s.free[n-1]
			s.free = s.free[:n-1]
		} else {
			p.slot = uint32(len(s.slots)) // bounded by what a queue hands out, 120,000
			s.slots = append(s.slots, nil)
		}
		s.slots[p.slot] = p
		p.d.Bind(s, uint64(p.slot))
	})
}

// drop forgets a message that is settled for good or lost, but for parts whose settlement is about to come. The caller
// holds the lock.
func (s *subscriber) drop(m *message) {
	if s.byID[m.id] == m {
		delete(s.byID, m.id)
	}
	m.each(func(p *message) {
		if p.at == stateFree || p.at == stateHanded && p.gone && p != m {
			return
		}
		p.at = stateFree
		s.slots[p.slot] = nil
		s.free = append(s.free, p.slot)
	})
	m.at = stateFree
}

// unhand notes that a delivery is settled or lost. The caller holds the lock.
func (s *subscriber) unhand(m *message) {
	s.held--
	if lane := m.d.Lane; lane != "" {
		if s.perLane[lane]--; s.perLane[lane] <= 0 {
			delete(s.perLane, lane)
		}
	}
}
