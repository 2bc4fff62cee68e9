package servicebus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/eventflow-go/eventflow"
)

const (
	acceptors  = 4                // that wait for a session at one time
	acceptTime = 10 * time.Second // see receiveTime
)

// lane is a session that is held. Subscriber.mu guards it, but for what never changes.
type lane struct {
	s    *Subscriber
	rcv  *azservicebus.SessionReceiver
	link *link // once broken, it is not opened again: the session would be begun anew
	turn chan struct{}
	id   string
	name string // of the deliveries' lane
	grip grip

	life   context.Context // of its calls; ends with its lock
	cancel context.CancelFunc
	wake   chan struct{}

	cancelReceive context.CancelFunc // of the receive under way

	all       []*held // everything of it that is not settled
	queue     []*held // those of it that are not handed over, by number
	out       int     // handed over and not settled
	last      int64   // the highest number received
	jobs      int     // settlements on their way
	idleSince time.Time
	lost      error
	abandoned bool // it is renewed no more
}

// rouse wakes the lane's goroutine.
func (ln *lane) rouse() {
	select {
	case ln.wake <- struct{}{}:
	default:
	}
}

// accept is a goroutine that accepts sessions while there is an order and room for one more. It serves none itself. It
// ends when Close begins.
func (s *Subscriber) accept() {
	for {
		s.mu.Lock()
		for !s.closed && (s.order <= 0 || s.fault != nil || len(s.lanes)+s.accepting >= s.set.sessions) {
			s.changed.Wait()
		}
		if s.closed {
			s.mu.Unlock()
			return
		}
		s.accepting++
		s.mu.Unlock()
		sent := time.Now()
		rcv, err := s.acceptNext()
		s.accepted(rcv, sent, err)
	}
}

// acceptNext waits for a session, until Close begins.
func (s *Subscriber) acceptNext() (*azservicebus.SessionReceiver, error) {
	ctx, cancel := context.WithTimeout(s.receiving, acceptTime)
	defer cancel()
	ctx, end := patient(ctx)
	defer end()
	c, err := s.b.client()
	switch {
	case err != nil:
		return nil, err
	case s.set.name != "":
		return c.AcceptNextSessionForSubscription(ctx, s.entity, s.set.name, nil)
	}
	return c.AcceptNextSessionForQueue(ctx, s.entity, nil)
}

// accepted takes in a session, or why there is none.
func (s *Subscriber) accepted(rcv *azservicebus.SessionReceiver, sent time.Time, err error) {
	s.mu.Lock()
	s.accepting--
	switch {
	case err == nil && !s.closed:
		s.verified = true
		s.serveNew(rcv, sent)
		s.mu.Unlock()
		return
	case err == nil: // too late
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		_ = rcv.Close(ctx)
		cancel()
		return
	case codeOf(err) == azservicebus.CodeTimeout || isEnded(err): // no session has anything
		s.verified = s.verified || codeOf(err) == azservicebus.CodeTimeout
	case !s.closed && s.fault == nil:
		err = explain(s.path, rightListen, err)
		if s.verified {
			err = later(err)
		}
		s.fault = err
		s.signal()
	}
	s.mu.Unlock()
}

// serveNew makes a lane of a session. The caller holds the lock.
func (s *Subscriber) serveNew(rcv *azservicebus.SessionReceiver, sent time.Time) {
	ln := &lane{s: s, rcv: rcv, id: rcv.SessionID(), wake: make(chan struct{}, 1), turn: make(chan struct{}, 1), idleSince: time.Now()}
	if ln.name = ln.id; ln.id == "" {
		ln.name = `""` // "" is no lane
	}
	ln.link = newLink(func(context.Context) error { return errLinkGone }, rcv.Close, ln.breakOff)
	ln.link.sound = true
	ln.life, ln.cancel = context.WithCancel(s.life)
	ln.grip.lane = ln
	until := rcv.LockedUntil()
	since := time.Now() // the service may have waited for a session since the request was sent
	d, sure := s.lasts(since, &until, nil)
	if !sure {
		since, d = sent, min(leastLock, s.bound)/2
	}
	if !s.tracker.Add(&ln.grip.lock, &ln.grip, since, d) {
		ln.lost = eventflow.ErrLockLost
	}
	s.lanes = append(s.lanes, ln)
	s.running.Go(ln.serve)
}

// serve is the goroutine of a session. It ends when the session is idle, lost or to be closed, and gives it up then.
//
// It receives one event at a time: of what is asked for beyond that, the client gives back what comes between two
// receives, and then what is behind it would come first.
func (ln *lane) serve() {
	s := ln.s
	defer ln.end()
	idle := time.NewTimer(s.set.idle)
	defer idle.Stop()
	for {
		s.mu.Lock()
		receive := s.order > 0 && len(ln.queue) == 0 && (s.perLane == 0 || ln.out < s.perLane) && !s.full()
		switch {
		case s.closed || ln.lost != nil || ln.abandoned:
			s.mu.Unlock()
			return
		case len(ln.all) == 0 && time.Since(ln.idleSince) >= s.set.idle:
			s.mu.Unlock()
			return
		case s.idled && ln.out == 0 && ln.jobs == 0 && (len(ln.queue) == 0 || ln.queue[0].due.IsZero()):
			s.mu.Unlock() // nobody asks for what it has: others may
			return
		}
		s.mu.Unlock()
		if !receive {
			idle.Reset(s.set.idle)
			select {
			case <-ln.wake:
			case <-idle.C:
			}
			continue
		}
		ctx, cancel := ln.receiving()
		stop := context.AfterFunc(s.receiving, cancel)
		c, err := ln.link.enter(ctx)
		var ms []*azservicebus.ReceivedMessage
		if err == nil {
			err = c.receive(func(ctx context.Context) (err error) {
				ms, err = receiveMessages(ctx, ln.rcv, 1, quickReceive)
				return err
			})
			if err == nil && len(ms) == 0 {
				err = errLinkGone
			}
			ln.link.leave(c, nil)
		}
		ended := isEnded(err)
		stop()
		cancel()
		switch {
		case len(ms) > 0:
			if !ln.admit(ms) {
				ln.lose(errAcceptedAnew)
			}
		case !ended:
			ln.lose(err)
		}
	}
}

// receiving gives the context of a receive. It ends when the session has been idle, which it is not while something of
// it is held; see leave.
func (ln *lane) receiving() (context.Context, context.CancelFunc) {
	ln.s.mu.Lock()
	defer ln.s.mu.Unlock()
	most := receiveTime
	if len(ln.all) == 0 {
		most = ln.s.set.idle
	}
	ctx, cancel := context.WithTimeout(ln.life, max(most, ln.s.set.idle))
	ln.cancelReceive = cancel
	return ctx, cancel
}

var (
	errLinkGone     = errors.New("the session's link is gone")
	errAcceptedAnew = errors.New("the session was accepted anew: its messages come again")
)

// admit takes in what was received; false when the service has begun the session anew.
func (ln *lane) admit(ms []*azservicebus.ReceivedMessage) bool {
	s := ln.s
	hs := s.read(ms, ln)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ln.lost != nil {
		return true
	}
	for _, h := range hs {
		for _, x := range ln.all {
			if x.number == h.number {
				return false
			}
		}
		ln.last = max(ln.last, h.number)
		ln.all = append(ln.all, h)
		ln.enqueue(h)
		s.order = max(s.order-1, 0)
	}
	s.signal()
	return true
}

// enqueue puts a message at its place among those that are to be handed over. The caller holds the lock.
func (ln *lane) enqueue(h *held) {
	if ln.abandoned {
		h.state = stateLeft
		return
	}
	h.state = stateWaiting
	ln.s.heldBytes += h.size
	i, _ := slices.BinarySearchFunc(ln.queue, h.number, func(x *held, n int64) int { return int(x.number - n) })
	ln.queue = slices.Insert(ln.queue, i, h)
}

// unqueue has nothing more of the session handed over. The caller holds the lock.
func (ln *lane) unqueue() {
	for _, h := range ln.queue {
		h.state = stateLeft
		ln.s.heldBytes -= h.size
	}
	ln.queue = nil
}

// takeTurn waits until no call is under way on the session's link but a receive, which forgets the client's links when it
// fails: each of several calls would open them then.
func (ln *lane) takeTurn(ctx context.Context) (done func(), err error) {
	select {
	case ln.turn <- struct{}{}:
		return func() { <-ln.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// renew asks for more time.
func (ln *lane) renew(ctx context.Context) (time.Time, error) {
	ln.s.mu.Lock()
	abandoned := ln.abandoned
	ln.s.mu.Unlock()
	if abandoned {
		return time.Time{}, errAbandoned
	}
	done, err := ln.takeTurn(ctx)
	if err != nil {
		return time.Time{}, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	c, err := ln.link.enter(ctx)
	if err != nil {
		return time.Time{}, err
	}
	err = c.use(func(ctx context.Context) error { return ln.rcv.RenewSessionLock(ctx, nil) })
	until := ln.rcv.LockedUntil()
	ln.link.leave(c, nil) // what fails without reason is tried again
	return until, err
}

// breakOff ends the lane whose link is broken.
func (ln *lane) breakOff() { ln.lose(errLinkGone) }

var errAbandoned = errors.New("a delivery of the session was abandoned")

// lose ends a lane whose lock is gone, and tells of what was handed over.
func (ln *lane) lose(err error) {
	s := ln.s
	err = ln.gone(explain(s.path, rightListen, err))
	s.mu.Lock()
	ds := s.loseLane(ln, err)
	tell := s.listening.Lost
	s.mu.Unlock()
	if len(ds) > 0 && tell != nil {
		tell(ds, err)
	}
}

// gone makes an error one of a lost lock.
func (ln *lane) gone(err error) error {
	if errors.Is(err, eventflow.ErrLockLost) {
		return err
	}
	return fmt.Errorf("%w: session %s: %w", eventflow.ErrLockLost, strconv.Quote(ln.id), err)
}

// loseLane ends a lane. It gives the deliveries that are to be told of. The caller holds the lock.
func (s *Subscriber) loseLane(ln *lane, err error) (ds []*eventflow.Delivery) {
	if ln.lost != nil {
		return nil
	}
	ln.lost = err
	s.tracker.Remove(&ln.grip.lock)
	for _, h := range slices.Clone(ln.all) {
		if d := s.lose(h, err); d != nil {
			ds = append(ds, d)
		}
	}
	ln.cancel()
	ln.rouse()
	return ds
}

// leaveLane makes room for another session. The caller holds the lock.
func (s *Subscriber) leaveLane(ln *lane) {
	s.lanes = slices.DeleteFunc(s.lanes, func(x *lane) bool { return x == ln })
	s.tracker.Remove(&ln.grip.lock)
	s.changed.Broadcast()
}

// end gives the session up. Its events are then free for whoever accepts it next; the attempts that the service does not
// know of are written first.
func (ln *lane) end() {
	s := ln.s
	s.mu.Lock()
	ln.unqueue()
	for ln.jobs > 0 && s.life.Err() == nil {
		s.changed.Wait()
	}
	if ln.lost == nil && !ln.abandoned && s.life.Err() == nil {
		for _, h := range ln.all {
			if h.attempts != h.written && h.state != stateSettling && !h.busy && !h.dead {
				s.release(h)
				h.d = nil
				s.enqueue(h, jobAbandon)
			}
		}
		for ln.jobs > 0 && s.life.Err() == nil {
			s.changed.Wait()
		}
	}
	abandoned := ln.abandoned && !s.closed && ln.lost == nil
	s.mu.Unlock()
	if abandoned { // its lock lapses: giving it up would be a release
		select {
		case <-ln.life.Done():
		case <-s.receiving.Done():
		}
	}
	ln.cancel()
	ln.link.close()
	s.mu.Lock()
	s.leaveLane(ln)
	for _, h := range ln.all {
		if h.state == stateOut {
			s.release(h)
		}
	}
	s.mu.Unlock()
}

// Session is a session that is held: its state is kept by the service beside its events.
type Session struct{ ln *lane }

// Session gives the session of the event that started a run; ctx is the flow's. It is an error when the run is none of
// this subscriber's events, or the session is lost.
func (s *Subscriber) Session(ctx context.Context) (*Session, error) {
	ev := eventflow.RunFrom(ctx).Event()
	if ev == nil {
		return nil, &Error{Entity: s.path, Err: errNoSession}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ln := range s.lanes {
		if ln.id != ev.Key {
			continue
		}
		for _, h := range ln.all {
			if h.event.ID == ev.ID && h.event.Source == ev.Source && ln.lost == nil {
				return &Session{ln}, nil
			}
		}
	}
	return nil, &Error{Entity: s.path, Err: errNoSession}
}

var errNoSession = errors.New("the run has no session that this subscriber holds")

// ID is the session's, which is the Key of its events.
func (x *Session) ID() string { return x.ln.id }

// State gives the session's state; nil when it has none.
func (x *Session) State(ctx context.Context) ([]byte, error) {
	if err := x.held(); err != nil {
		return nil, err
	}
	done, err := x.ln.takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	c, err := x.ln.link.enter(ctx)
	if err != nil {
		return nil, x.ln.gone(err)
	}
	var b []byte
	err = c.use(func(ctx context.Context) (err error) {
		b, err = x.ln.rcv.GetSessionState(ctx, nil)
		return err
	})
	x.ln.link.leave(c, nil)
	return b, explain(x.ln.s.path, rightListen, err)
}

// SetState replaces the session's state; nil takes it away. It is written at once, and stays when the run fails: it is
// no part of the event's acknowledgement. The error matches eventflow.ErrLockLost when the session is no longer held,
// and nothing was written then.
func (x *Session) SetState(ctx context.Context, state []byte) error {
	if err := x.held(); err != nil {
		return err
	}
	done, err := x.ln.takeTurn(ctx)
	if err != nil {
		return err
	}
	defer done()
	c, err := x.ln.link.enter(ctx)
	if err != nil {
		return x.ln.gone(err)
	}
	err = c.use(func(ctx context.Context) error { return x.ln.rcv.SetSessionState(ctx, state, nil) })
	x.ln.link.leave(c, nil)
	return explain(x.ln.s.path, rightListen, err)
}

func (x *Session) held() error {
	s := x.ln.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.ln.lost != nil || !s.tracker.Held(&x.ln.grip.lock) {
		return fmt.Errorf("%w: session %s of %s", eventflow.ErrLockLost, strconv.Quote(x.ln.id), s.path)
	}
	return nil
}
