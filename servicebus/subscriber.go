package servicebus

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/renew"
)

// Subscriber consumes one queue, subscription or dead-letter queue: what [Broker.Queue], [Broker.Subscription] and
// [Broker.OpenSubscriber] give. It receives while Next is called and for half a second longer, and never more than Next
// wanted.
type Subscriber struct {
	b       *Broker
	entity  string // the queue or the topic
	path    string // with the subscription, and the dead-letter queue
	source  string // of events without one
	set     subscription
	err     error // of opening
	tracker *renew.Tracker[*grip]

	running   sync.WaitGroup // all goroutines; Close waits for them
	receivers sync.WaitGroup // those of them that receive without sessions

	mu        sync.Mutex // guards what follows, and everything held
	changed   *sync.Cond // of what the goroutines below wait for
	listening eventflow.Listening
	started   bool // by Start or Next
	begun     bool // its goroutines run
	closed    bool
	verified  bool // the entity was there, and ours to use
	skewed    bool // it was said that a clock is off
	bound     time.Duration

	life          context.Context // of settlements; ends when Close gives up
	endLife       context.CancelFunc
	receiving     context.Context // ends when Close begins
	stopReceiving context.CancelFunc
	cancelReceive context.CancelFunc // of the receive under way
	rcv           *receiver
	keep          *receiver
	sender        *sender // of delayed copies

	calling bool            // a Next is under way
	asking  context.Context // of the last Next
	wake    chan struct{}   // of the Next that waits
	fault   error           // for Next to return
	order   int             // how many events are wanted and have not come
	budget  int             // bytes that may come; 0: any number
	perLane int             // of the last Next
	linger  *time.Timer
	idled   bool // the order was withdrawn

	ready     []*held // without sessions: received, or given back, and not handed over
	delayed   []*held // without sessions: the first due first
	heldBytes int     // of ready, delayed and lanes' queues
	average   int     // bytes of a message
	lanes     []*lane
	turn      int // the lane that is asked first
	accepting int

	slots   []slot
	free    []uint32
	lastGen uint32

	portion     int  // of the next receive
	credit      int  // what the link may be sent yet, at most
	withdrawing bool // an order is taken back

	jobs    []*held // settlements that no worker has taken yet
	parked  []*held // those of them that wait for the link's end
	workers int
	working int // those of them that settle
	pending int // settlements that are not confirmed

	confirmed  []*eventflow.Delivery // to be told of
	told       []*eventflow.Delivery // empty: the next one's room
	confirming bool                  // somebody tells
}

var (
	_ eventflow.Subscriber = (*Subscriber)(nil)
	_ eventflow.Settler    = (*Subscriber)(nil)
)

const (
	deadLetterPath = "/$DeadLetterQueue"

	lingerTime  = 500 * time.Millisecond
	giveUpTime  = 30 * time.Second
	verifyTime  = 10 * time.Second
	settleCalls = 128
	renewCalls  = 16

	// settleTime bounds one settlement. The client would repeat one that failed after 3.2 s or more, see held.message.
	settleTime = 3 * time.Second
)

func newSubscriber(b *Broker, entity string, set subscription) *Subscriber {
	s := &Subscriber{b: b, entity: entity, path: entity, set: set, bound: maxLock, portion: mostPortion / 4}
	if set.name != "" {
		s.path += "/Subscriptions/" + set.name
	}
	if set.deadLetters {
		s.path += deadLetterPath
	}
	s.source = origin(b.namespace, s.path)
	s.changed = sync.NewCond(&s.mu)
	if set.lock > 0 {
		s.bound = set.lock
	}
	s.tracker = renew.New(renew.Config[*grip]{Renew: s.renew, Lost: s.lost, Calls: renewCalls})
	return s
}

// Err is what was wrong when it was opened.
func (s *Subscriber) Err() error { return s.err }

// String names namespace and entity: "servicebus/NAMESPACE/TOPIC/Subscriptions/NAME".
func (s *Subscriber) String() string { return s.source }

// Start connects, and checks that the entity is there, may be listened to, and has sessions or not as was said. A
// namespace that cannot be reached is waited for in Next. It cannot be checked that the entity's MaxDeliveryCount is at
// least the runner's attempts and slack: reading that takes a right that consuming does not.
func (s *Subscriber) Start(ctx context.Context, l eventflow.Listening) error {
	if s.err != nil {
		return s.err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.set.deadLetters && l.MaxAttempts > 0 && !l.DeadLetters {
		return &eventflow.ConfigError{
			Field: "servicebus.DeadLetters", Value: s.path,
			Allowed: "a runner with runner.DeadLetterTo: a dead-letter queue has none of its own behind it",
		}
	}
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return s.closedError()
	case s.started:
		s.mu.Unlock()
		return &Error{Entity: s.path, Err: errTwoStarts}
	}
	s.started = true
	s.listening = l
	s.mu.Unlock()

	err := s.verify(ctx)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, eventflow.ErrFatal), errors.Is(err, eventflow.ErrClosed):
		return err
	default:
		s.logger().Warn("servicebus: namespace cannot be reached, and is waited for", "entity", s.path, "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.closedError()
	}
	s.begin()
	return nil
}

func (s *Subscriber) logger() *slog.Logger {
	if l := s.listening.Logger; l != nil {
		return l
	}
	return slog.Default()
}

func (s *Subscriber) closedError() error { return &Error{Entity: s.path, Err: eventflow.ErrClosed} }

// verify asks the service about the entity, without receiving from it.
func (s *Subscriber) verify(ctx context.Context) error {
	err := s.ask(ctx)
	if err == nil && s.set.copies {
		err = s.askSender(ctx)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.verified = s.set.sessions == 0 // whether there are sessions is seen when one is accepted
	s.mu.Unlock()
	return nil
}

func (s *Subscriber) ask(ctx context.Context) error {
	if s.set.sessions > 0 {
		return explain(s.path, rightListen, s.askSessions(ctx))
	}
	s.mu.Lock()
	r := s.receiver()
	s.mu.Unlock()
	c, err := r.enter(ctx) // which asks
	if err == nil {
		r.leave(c, nil)
		return nil
	}
	s.drop(r)
	return explain(s.path, rightListen, err)
}

func (s *Subscriber) askSessions(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	ctx, end := patient(ctx)
	defer end()
	c, err := s.b.client()
	if err != nil {
		return err
	}
	pager := c.NewListSessionsForQueuePager(s.entity, nil)
	if s.set.name != "" {
		pager = c.NewListSessionsForSubscriptionPager(s.entity, s.set.name, nil)
	}
	_, err = pager.NextPage(ctx)
	return err
}

// begin starts what receives. The caller holds the lock. It is done here and not when the subscriber is opened, so that
// one opened outside a bubble of virtual time can be used inside.
func (s *Subscriber) begin() {
	if s.begun {
		return
	}
	s.begun = true
	s.life, s.endLife = context.WithCancel(context.Background())
	s.receiving, s.stopReceiving = context.WithCancel(s.life)
	if s.set.sessions == 0 {
		s.receivers.Add(1)
		s.running.Go(s.receive)
		return
	}
	for range min(s.set.sessions, acceptors) {
		s.running.Go(s.accept)
	}
}

// Next waits for events, as [eventflow.EventClock] says.
func (s *Subscriber) Next(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	if s.err != nil {
		return nil, s.err
	}
	want.Events = min(max(want.Events, 1), maxOrder)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calling {
		return nil, &Error{Entity: s.path, Err: errTwoCallers}
	}
	if s.closed {
		return nil, s.closedError()
	}
	s.calling, s.started, s.asking = true, true, ctx
	s.perLane = max(want.PerLane, 0)
	s.begin()
	if s.linger != nil {
		s.linger.Stop()
	}
	defer s.called()

	var timer *time.Timer
	for {
		if s.closed {
			return nil, s.closedError()
		}
		// First, so that a consumer that is told to stop does not take what it has just given back.
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if ds := s.take(want); len(ds) > 0 {
			return ds, nil
		}
		if err := s.fault; err != nil {
			s.fault, s.order = nil, 0 // what failed is tried again when Next is called again
			return nil, err
		}
		s.order, s.budget, s.idled = want.Events, want.Bytes, false
		s.rouse()
		// Whatever waits is made here, so that a subscriber can be used inside a synctest bubble that it was not made in.
		if s.wake == nil {
			s.wake = make(chan struct{}, 1)
			defer func() { s.wake = nil }() //nolint:gocritic // once in a call
		}
		var due <-chan time.Time
		if at, ok := s.nextDue(); ok {
			if timer == nil {
				timer = time.NewTimer(time.Until(at))
				defer timer.Stop() //nolint:gocritic // once in a call
			} else {
				timer.Reset(time.Until(at))
			}
			due = timer.C
		}
		wake := s.wake
		s.mu.Unlock()
		select {
		case <-wake:
		case <-due:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
}

// maxOrder is what the client lets a receiver ask for.
const maxOrder = 5000

// called ends a Next. What it ordered may still come for a while, unless its caller was told to stop.
func (s *Subscriber) called() {
	s.calling = false
	switch {
	case s.closed:
	case errors.Is(s.asking.Err(), context.Canceled):
		s.beginWithdraw()
	case s.linger == nil:
		s.linger = time.AfterFunc(lingerTime, s.lingered)
	default:
		s.linger.Reset(lingerTime)
	}
}

// lingered is called when Next was not called for a while: the order is withdrawn, and later what came of it is given
// back, so that other consumers have it.
func (s *Subscriber) lingered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.calling || s.closed:
	case !s.idled:
		s.idled = true
		s.beginWithdraw()
		s.linger.Reset(giveUpTime - lingerTime)
	default:
		for _, h := range s.ready {
			s.heldBytes -= h.size
			s.enqueue(h, jobAbandon)
		}
		s.ready = nil
	}
}

// signal wakes the Next that waits. The caller holds the lock.
func (s *Subscriber) signal() {
	if s.wake == nil {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// rouse tells what receives that there is a new order. The caller holds the lock.
func (s *Subscriber) rouse() {
	s.changed.Broadcast()
	for _, ln := range s.lanes {
		ln.rouse()
	}
}

// Close writes the marks, hands back what is unsettled, with the attempts that were counted, and ends the links. When ctx
// ends first it returns ctx's error: what was not written comes back when its lock ends.
func (s *Subscriber) Close(ctx context.Context) error {
	if s.err != nil {
		return nil //nolint:nilerr // it was never opened
	}
	s.b.open.Remove(s)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	if s.linger != nil {
		s.linger.Stop()
	}
	s.fence()
	s.beginWithdraw()
	s.signal()
	s.rouse()
	if s.begun {
		s.stopReceiving()
	}
	s.mu.Unlock()
	s.receivers.Wait() // it has seen what was on its way

	unhook := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})
	s.mu.Lock()
	s.handBack()
	for (s.pending > 0 || len(s.lanes) > 0) && ctx.Err() == nil {
		s.changed.Wait()
	}
	unwritten := s.pending > 0
	if s.begun {
		s.endLife()
	}
	s.mu.Unlock()
	unhook()
	s.running.Wait()
	s.tracker.Close()
	s.closeLinks()
	if unwritten {
		return ctx.Err()
	}
	return nil
}

// fence ends what is handed over: it will be somebody else's. The caller holds the lock.
func (s *Subscriber) fence() {
	for i := range s.slots {
		if h := s.slots[i].h; h != nil && !h.busy {
			h.d.Lose()
		}
	}
}

// handBack gives back everything that is not settled. The caller holds the lock. Sessions give back theirs themselves.
func (s *Subscriber) handBack() {
	back := append(s.ready, s.delayed...) //nolint:gocritic // both end here
	s.ready, s.delayed = nil, nil
	for i := range s.slots {
		if h := s.slots[i].h; h != nil && h.lane == nil && h.state == stateOut && !h.busy && !h.dead && h.lost == nil {
			back = append(back, h)
		}
	}
	for _, h := range back {
		s.release(h)
		h.d = nil // nobody is told
		s.enqueue(h, jobAbandon)
	}
}

// closeLinks ends the links, even when there is no time left: an AMQP link that is not closed keeps its goroutines.
func (s *Subscriber) closeLinks() {
	s.mu.Lock()
	links, copies := []*receiver{s.rcv, s.keep}, s.sender
	s.rcv, s.keep, s.sender = nil, nil, nil
	s.mu.Unlock()
	for _, l := range links {
		if l != nil {
			l.close()
		}
	}
	if copies != nil {
		copies.close()
	}
}
