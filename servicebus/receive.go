package servicebus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

const (
	// One receive asks for so much: half of it after a link broke, for what was on its way is locked then until its lock
	// ends, and twice as much after one that was filled.
	leastPortion, mostPortion = 8, 256

	// How long a receive waits for more after its first message. What comes later, and before the next receive, is given
	// back by the client: where there is a backlog it pays to let a receive fill up.
	patientReceive = 20 * time.Millisecond
	quickReceive   = 2 * time.Millisecond

	// receiveTime is how long a receive waits, and asks again then, which costs nothing: the service has been asked. The
	// client opens a link that was lost from within a receive, and nobody else any link meanwhile; when the answer to that
	// is lost, it waits for as long as it may.
	receiveTime = 10 * time.Second

	// drainTime is how long nothing comes of what was asked for, until it is taken for sure that nothing is on its way.
	drainTime = 50 * time.Millisecond
)

// receiver gives the link that events are received with, and makes it on first use, which connects nothing. The caller
// holds the lock.
func (s *Subscriber) receiver() *receiver {
	if s.rcv == nil {
		var l *receiver
		l = s.newReceiver(func() {
			s.mu.Lock()
			if s.rcv == l {
				s.credit = 0
			}
			s.mu.Unlock()
		}, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.rcv == l && s.cancelReceive != nil {
				s.cancelReceive()
			}
			if s.keep != nil {
				s.keep.suspect() // where one connection is lost, all links are
			}
		})
		s.rcv = l
	}
	return s.rcv
}

// keeper gives the link that messages are settled and locks renewed with. It is another one than events are received with: the client, when
// a receive fails, closes the link behind the back of whoever else uses it.
func (s *Subscriber) keeper() *receiver {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keep == nil {
		s.keep = s.newReceiver(func() {}, nil)
	}
	return s.keep
}

func (s *Subscriber) newReceiver(opened, broken func()) *receiver {
	l := &receiver{}
	shut := func(ctx context.Context) error {
		if l.r == nil {
			return nil
		}
		return l.r.Close(ctx)
	}
	l.link = newLink(func(ctx context.Context) error {
		shutOld(shut)
		c, err := s.b.client()
		if err != nil {
			return err
		}
		if l.r, err = s.clientReceiver(c); err != nil {
			return err
		}
		opened()
		_, err = l.r.PeekMessages(ctx, 1, nil)
		return err
	}, shut, broken)
	return l
}

func (s *Subscriber) clientReceiver(c *azservicebus.Client) (*azservicebus.Receiver, error) {
	opts := &azservicebus.ReceiverOptions{}
	if s.set.deadLetters {
		opts.SubQueue = azservicebus.SubQueueDeadLetter
	}
	if s.set.name != "" {
		return c.NewReceiverForSubscription(s.entity, s.set.name, opts)
	}
	return c.NewReceiverForQueue(s.entity, opts)
}

// drop forgets a link that will not work again: that an entity was not there is final for its link.
func (s *Subscriber) drop(r *receiver) {
	s.mu.Lock()
	if s.rcv == r {
		s.rcv, s.credit = nil, 0
	}
	s.mu.Unlock()
	r.close()
}

// receive is the goroutine that receives without sessions. It ends when Close begins.
func (s *Subscriber) receive() {
	defer s.receivers.Done()
	after, empty := quickReceive, 0
	for {
		r, ctx, n, ok := s.ordered()
		if !ok {
			return
		}
		ms, ended, err := s.receiveOnce(ctx, r, n, after)
		if errors.Is(err, errShut) {
			continue // another link takes its place
		}
		if after = quickReceive; len(ms) == n {
			after = patientReceive
		}
		s.mu.Lock()
		s.credit -= len(ms)
		switch {
		case len(ms) == n:
			s.portion = min(2*s.portion, mostPortion)
		case err != nil && !ended || len(ms) == 0 && err == nil:
			s.credit = 0 // the link is gone, and what it was asked for
			s.portion = max(s.portion/2, leastPortion)
		}
		s.mu.Unlock()
		if len(ms) > 0 {
			empty = 0
			s.admit(ms)
			continue
		}
		if ended {
			continue
		}
		if empty++; err == nil && empty < 4 {
			continue // a link that was cut is opened anew at once
		}
		s.fail(r, err)
	}
}

// ordered waits for an order. It gives what to receive with, until when, and how much; false when Close began. Orders
// that are withdrawn it withdraws from the service first.
func (s *Subscriber) ordered() (*receiver, context.Context, int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for !s.closed && !s.withdrawing && (s.order <= 0 || s.fault != nil || s.full()) {
			s.changed.Wait()
		}
		if s.withdrawing {
			s.withdraw()
			continue
		}
		if s.closed {
			return nil, nil, 0, false
		}
		r := s.receiver()
		ctx, cancel := context.WithTimeout(s.receiving, receiveTime)
		s.cancelReceive = cancel
		n := min(s.order, s.portion)
		if s.budget > 0 && s.average > 0 {
			n = min(n, max(s.budget/s.average, 1))
		}
		return r, ctx, n, true
	}
}

// beginWithdraw takes an order back. The caller holds the lock.
func (s *Subscriber) beginWithdraw() {
	s.order = 0
	if s.set.sessions > 0 {
		s.idled = true
		for _, ln := range s.lanes {
			if ln.cancelReceive != nil {
				ln.cancelReceive()
			}
		}
		s.rouse()
		return
	}
	if s.credit > 0 {
		s.withdrawing = true
	}
	if s.cancelReceive != nil {
		s.cancelReceive()
	}
	s.changed.Broadcast()
}

// withdraw ends the link, which is the one way to take back what it was asked for. What is on its way is received
// first: what the service sends to a link that ends is locked for everybody. No abandoned message may come back to it.
// The caller holds the lock, which is given back meanwhile.
func (s *Subscriber) withdraw() {
	r := s.rcv
	if r != nil {
		s.drain(r)
	}
	s.rcv, s.credit = nil, 0
	s.mu.Unlock()
	if r != nil {
		r.close()
	}
	s.mu.Lock()
	s.withdrawing = false
	s.jobs = append(s.jobs, s.parked...)
	s.parked = nil
	s.employ()
	s.changed.Broadcast()
}

// drain receives what is on its way. The caller holds the lock, which is given back meanwhile.
func (s *Subscriber) drain(r *receiver) {
	for s.credit > 0 && s.rcv == r && s.life.Err() == nil && r.isSound() {
		n := min(s.credit, mostPortion)
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(s.life, drainTime)
		ms, _, _ := s.receiveWith(ctx, r, n, quickReceive) // what fails now has nothing to bring
		cancel()
		s.admit(ms)
		s.mu.Lock()
		if s.credit -= len(ms); len(ms) == 0 {
			return
		}
	}
}

// full reports whether what is here already is all that may be here. The caller holds the lock.
func (s *Subscriber) full() bool {
	most := s.listening.MaxHeldBytes
	return most > 0 && s.heldBytes >= most
}

// receiveOnce receives, after it has verified the entity where Start could not. ended: it was told to stop.
func (s *Subscriber) receiveOnce(ctx context.Context, r *receiver, n int, after time.Duration) (ms []*azservicebus.ReceivedMessage, ended bool, err error) {
	s.mu.Lock()
	verified, cancel := s.verified, s.cancelReceive
	s.mu.Unlock()
	defer cancel()
	if !verified {
		if err := s.verify(ctx); err != nil {
			return nil, ctx.Err() != nil, err
		}
	}
	return s.receiveWith(ctx, r, n, after)
}

func (s *Subscriber) receiveWith(ctx context.Context, r *receiver, n int, after time.Duration) (ms []*azservicebus.ReceivedMessage, ended bool, err error) {
	c, err := r.enter(ctx)
	if err != nil {
		return nil, ctx.Err() != nil, err
	}
	s.mu.Lock()
	s.credit = max(s.credit, n)
	s.mu.Unlock()
	err = c.receive(func(ctx context.Context) (err error) {
		ms, err = receiveMessages(ctx, r.r, n, after)
		return err
	})
	ended = c.Err() != nil
	switch {
	case ended && isEnded(err):
		r.leave(c, nil)
	case len(ms) == 0 && err == nil:
		r.leave(c, errLinkLost)
	default:
		r.leave(c, err)
	}
	return ms, ended, err
}

// receives is what receivers with and without sessions have in common.
type receives interface {
	ReceiveMessages(ctx context.Context, most int, o *azservicebus.ReceiveMessagesOptions) ([]*azservicebus.ReceivedMessage, error)
}

// receiveMessages is the client's call. The client panics at a message whose property DeadLetterReason is no text, which anybody can
// send; its lock then lapses, until the service dead-letters it.
func receiveMessages(ctx context.Context, r receives, n int, after time.Duration) (ms []*azservicebus.ReceivedMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			ms, err = nil, fmt.Errorf("%w: %v", errUnreadable, p)
		}
	}()
	return r.ReceiveMessages(ctx, n, &azservicebus.ReceiveMessagesOptions{TimeAfterFirstMessage: after})
}

var errUnreadable = errors.New("the client cannot read a message")

// fail lets Next say what went wrong. A receiver that failed for good is replaced.
func (s *Subscriber) fail(r *receiver, err error) {
	if err == nil {
		err = errLinkLost
	}
	err = explain(s.path, rightListen, err)
	if isFinal(err) {
		s.drop(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.verified {
		err = later(err)
	}
	if s.closed || s.receiving.Err() != nil {
		return
	}
	s.fault = err
	s.signal()
}

var errLinkLost = errors.New("the link is lost again and again")
