package servicebus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/eventflow-go/eventflow"
)

// job is what a worker does about a message.
type job uint8

const (
	jobComplete job = iota
	jobAbandon
	jobCopy // schedules a copy, then completes
)

// Settle is the settler's. What stays here is confirmed at once; what the service is to know is written by workers.
func (s *Subscriber) Settle(ds []*eventflow.Delivery, st eventflow.Settlement) {
	var done, late []*eventflow.Delivery
	back := st.Verb != eventflow.Ack // or there is room in a lane
	s.mu.Lock()
	if s.calling && errors.Is(s.asking.Err(), context.Canceled) {
		s.beginWithdraw() // or what is given back comes back
	}
	for _, d := range ds {
		h := s.find(d)
		switch {
		case h == nil:
			late = append(late, d)
		case h.lost != nil:
			s.release(h)
			s.leave(h)
			h.state = stateGone
			late = append(late, d)
		case s.mark(h, st):
			done = append(done, d)
		}
	}
	tell := s.listening.Settled
	if back || len(s.lanes) > 0 {
		s.signal()
	}
	s.mu.Unlock()
	if tell == nil {
		return
	}
	if len(done) > 0 {
		tell(done, nil)
	}
	if len(late) > 0 {
		tell(late, &Error{Entity: s.path, Err: eventflow.ErrLockLost})
	}
}

// mark does what a settlement says. It reports whether it is confirmed already. The caller holds the lock.
func (s *Subscriber) mark(h *held, st eventflow.Settlement) bool {
	if ln := h.lane; ln != nil {
		ln.out--
		ln.rouse()
	}
	s.release(h)
	switch st.Verb {
	case eventflow.Ack:
		if h.dead {
			h.state = stateGone
			s.leave(h)
			return true
		}
		s.enqueue(h, jobComplete)
		return false
	case eventflow.Abandon:
		if h.lane != nil {
			h.lane.abandoned = true // a message has no lock of its own there
			h.lane.unqueue()        // the flow that was abandoned still runs
		} else {
			s.tracker.Remove(&h.grip.lock)
		}
		h.state = stateGone
		return true
	case eventflow.Nack:
		h.attempts++
	}
	switch {
	case h.lane != nil:
		// Nobody else can have it while the session is held: it waits here, at its place.
		h.d, h.due = nil, time.Time{}
		if st.After > 0 {
			h.due = time.Now().Add(min(st.After, maxNack))
		}
		h.lane.enqueue(h)
		return true
	case st.After <= 0:
		s.enqueue(h, jobAbandon)
		return false
	case s.set.copies && st.After > s.listening.MaxHold:
		h.after = st.After
		s.enqueue(h, jobCopy)
		return false
	}
	s.postpone(h, st.After)
	return true
}

// Attempted counts failed runs of deliveries that stay held. The service learns of them when the messages are given
// back.
func (s *Subscriber) Attempted(ds []*eventflow.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range ds {
		if h := s.find(d); h != nil {
			h.attempts++
		}
	}
}

// enqueue leaves a message to the workers. The caller holds the lock.
func (s *Subscriber) enqueue(h *held, j job) {
	h.state, h.job = stateSettling, j
	s.jobs = append(s.jobs, h)
	s.pending++
	if h.lane != nil {
		h.lane.jobs++
	}
	s.employ()
}

// employ starts workers for what there is to settle. The caller holds the lock.
func (s *Subscriber) employ() {
	for s.workers < settleCalls && s.workers-s.working < len(s.jobs) {
		s.workers++
		s.running.Go(s.work)
	}
}

// work is a goroutine that settles until there is nothing to settle.
func (s *Subscriber) work() {
	w := worker{s: s}
	s.mu.Lock()
	for len(s.jobs) > 0 {
		h := s.jobs[0]
		s.jobs[0] = nil
		if s.jobs = s.jobs[1:]; len(s.jobs) == 0 {
			s.jobs = nil
		}
		if s.withdrawing && h.lane == nil && h.job == jobAbandon {
			s.parked = append(s.parked, h)
			continue
		}
		s.working++
		s.mu.Unlock()
		err := w.settle(h)
		if h.lane == nil {
			s.tracker.Remove(&h.grip.lock)
		}
		s.mu.Lock()
		s.working--
		s.finish(h, err)
	}
	s.workers--
	s.mu.Unlock()
	w.stand(nil)
}

// finish ends a message whose settlement was confirmed, or cannot be any more. The caller holds the lock, which is given
// back while somebody is told.
func (s *Subscriber) finish(h *held, err error) {
	if h.lane != nil {
		h.lane.jobs--
	}
	h.state = stateGone
	s.leave(h)
	s.pending--
	if s.pending == 0 || h.lane != nil {
		s.changed.Broadcast()
	}
	d, ln := h.d, h.lane
	if d != nil {
		s.confirm(d, err)
	}
	if ln != nil && errors.Is(err, eventflow.ErrLockLost) {
		s.mu.Unlock()
		ln.lose(err)
		s.mu.Lock()
	}
}

// confirm tells of a settlement. What others confirm meanwhile is told with the next call, by whoever makes it. The caller holds the lock,
// which is given back while somebody is told.
func (s *Subscriber) confirm(d *eventflow.Delivery, err error) {
	tell := s.listening.Settled
	if tell == nil {
		return
	}
	if err != nil {
		s.mu.Unlock()
		tell([]*eventflow.Delivery{d}, err)
		s.mu.Lock()
		return
	}
	s.confirmed = append(s.confirmed, d)
	if s.confirming {
		return
	}
	s.confirming = true
	for len(s.confirmed) > 0 {
		ds := s.confirmed
		s.confirmed, s.told = s.told, nil
		s.mu.Unlock()
		tell(ds, nil)
		clear(ds)
		s.mu.Lock()
		s.told = ds[:0]
	}
	s.confirming = false
}

// worker settles one message after the other. What a settlement is called with is made once for many of them, when
// they are of messages without sessions.
type worker struct {
	s      *Subscriber
	r      *receiver // the link it has entered; nil: none
	c      call
	fresh  context.Context // ends with c, or when too little of its time is left for another settlement
	cancel context.CancelFunc
}

// sit enters the link to settle with, for d from now on. What has two thirds of the usual time left is used again.
func (w *worker) sit(d time.Duration) error {
	if w.r != nil {
		if d == settleTime && w.fresh.Err() == nil {
			return nil
		}
		w.stand(nil)
	}
	ctx, cancel := context.WithTimeout(w.s.life, d)
	r, c, err := w.s.enterKeeper(ctx)
	if err != nil {
		cancel()
		return err
	}
	fresh, stale := context.WithTimeout(c, settleTime/3)
	w.r, w.c, w.fresh, w.cancel = r, c, fresh, func() {
		stale()
		cancel()
	}
	return nil
}

// stand leaves the link, whose last call came to err.
func (w *worker) stand(err error) {
	if w.r == nil {
		return
	}
	w.r.leave(w.c, err)
	w.cancel()
	w.r = nil
}

// settle writes a settlement, again and again for as long as the lock is held.
func (w *worker) settle(h *held) error {
	s, life := w.s, w.s.life
	if h.lane != nil {
		life = h.lane.life
	}
	wait := 50 * time.Millisecond
	copied := false
	for {
		err := w.settleInTurn(life, h, &copied)
		if err == nil {
			return nil
		}
		if err = explain(s.path, rightListen, err); errors.Is(err, eventflow.ErrLockLost) || life.Err() != nil {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-life.Done():
			t.Stop()
			return err
		}
		wait = min(2*wait, 2*time.Second)
	}
}

// settleInTurn writes a settlement once, when nothing else is written about its session.
func (w *worker) settleInTurn(life context.Context, h *held, copied *bool) error {
	s := w.s
	if h.lane != nil {
		done, err := h.lane.takeTurn(life)
		if err != nil {
			return err
		}
		defer done()
	}
	g := h.guard()
	left := s.tracker.Left(&g.lock)
	if left <= 0 {
		return s.tooLate(h)
	}
	// The lock is renewed meanwhile; the deadline is for answers that never come.
	return w.settleOnce(h, min(settleTime, max(left/2, 100*time.Millisecond)), copied)
}

// tooLate says why a settlement was not written.
func (s *Subscriber) tooLate(h *held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.lost != nil {
		return h.lost
	}
	return &Error{Entity: s.path, Err: eventflow.ErrLockLost}
}

// settler is what receivers with and without sessions have in common.
type settler interface {
	CompleteMessage(ctx context.Context, m *azservicebus.ReceivedMessage, o *azservicebus.CompleteMessageOptions) error
	AbandonMessage(ctx context.Context, m *azservicebus.ReceivedMessage, o *azservicebus.AbandonMessageOptions) error
	DeadLetterMessage(ctx context.Context, m *azservicebus.ReceivedMessage, o *azservicebus.DeadLetterOptions) error
}

// via gives what a message is settled with, the call to do it in, and what to tell how that ended.
func (s *Subscriber) via(ctx context.Context, h *held) (settler, call, func(error), error) {
	if ln := h.lane; ln != nil {
		c, err := ln.link.enter(ctx)
		return ln.rcv, c, func(err error) {
			if isEnded(err) {
				err = nil // an answer that was lost is no lost session
			}
			ln.link.leave(c, err)
		}, err
	}
	r, c, err := s.enterKeeper(ctx)
	if err != nil {
		return nil, call{}, nil, err
	}
	return r.r, c, func(err error) { r.leave(c, err) }, nil
}

// enterKeeper enters the keeper, another one when it was replaced meanwhile.
func (s *Subscriber) enterKeeper(ctx context.Context) (*receiver, call, error) {
	for {
		r := s.keeper()
		c, err := r.enter(ctx)
		if err == nil {
			return r, c, nil
		}
		s.mu.Lock()
		replaced := s.keep != r
		s.mu.Unlock()
		if !errors.Is(err, errShut) || !replaced {
			return nil, call{}, err
		}
	}
}

// settleOnce writes a settlement, in no more than d.
func (w *worker) settleOnce(h *held, d time.Duration, copied *bool) error {
	if h.lane == nil {
		err := w.sit(d)
		if err != nil {
			return err
		}
		if err = w.s.settleWith(w.c, w.r.r, h, copied); err != nil {
			w.stand(err)
		}
		return err
	}
	ctx, cancel := context.WithTimeout(h.lane.life, d)
	defer cancel()
	r, c, leave, err := w.s.via(ctx, h)
	if err != nil {
		return err
	}
	err = w.s.settleWith(c, r, h, copied)
	leave(err)
	return err
}

func (s *Subscriber) settleWith(c call, r settler, h *held, copied *bool) (err error) {
	defer func() { err = h.tried(err) }()
	m := h.message()
	switch h.job {
	case jobAbandon:
		var o *azservicebus.AbandonMessageOptions
		if h.attempts != h.written {
			o = &azservicebus.AbandonMessageOptions{PropertiesToModify: map[string]any{propAttempts: int32(h.attempts)}}
		}
		return c.use(func(ctx context.Context) error { return r.AbandonMessage(ctx, m, o) })
	case jobCopy:
		if !*copied {
			if err = s.sendCopy(c, h); err != nil {
				return err
			}
			*copied = true
		}
	}
	return c.use(func(ctx context.Context) error { return r.CompleteMessage(ctx, m, nil) })
}

// tried notes how a settlement ended. One that took effect, but whose answer was lost, is refused when it is repeated, and the client
// repeats that in turn and does not say so. The lock of a message is found to be gone then; that of a session is not, and
// would be held for ever: it is given up.
func (h *held) tried(err error) error {
	if h.refused && h.lane != nil && errors.Is(err, context.DeadlineExceeded) {
		if h.unheard++; h.unheard >= mostUnheard {
			err = fmt.Errorf("%w: a settlement has no answer: %w", eventflow.ErrLockLost, err)
		}
	}
	h.refused = h.refused || err != nil
	return err
}

// mostUnheard is how many repetitions of a settlement in a session may have no answer.
const mostUnheard = 2

// message is what the client is given to settle. After a failure it has the lock token alone, and the client asks by a request then: for it,
// a message whose settlement was refused is settled, and it would do nothing and say that all is well.
func (h *held) message() *azservicebus.ReceivedMessage {
	if h.refused {
		return &azservicebus.ReceivedMessage{LockToken: h.raw.LockToken}
	}
	return h.raw
}

// DeadLetter moves the message to the entity's dead-letter queue: Failure.Reason is the dead letter's reason, the
// description says of which flow it was. The error's text is not written.
func (s *Subscriber) DeadLetter(ctx context.Context, d *eventflow.Delivery, f eventflow.Failure) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.set.deadLetters {
		return eventflow.ErrNoDeadLetters
	}
	s.mu.Lock()
	h := s.find(d)
	switch {
	case h == nil || h.lost != nil:
		s.mu.Unlock()
		return eventflow.ErrLockLost
	case h.busy:
		s.mu.Unlock()
		return &Error{Entity: s.path, Err: errTwice}
	case h.dead:
		s.mu.Unlock()
		return nil
	}
	h.busy = true // a renewal that fails now is no loss
	s.mu.Unlock()
	err := h.tried(s.buryInTurn(ctx, h, f))

	s.mu.Lock()
	h.busy = false
	if err == nil {
		h.dead = true
		if h.lane == nil {
			s.tracker.Remove(&h.grip.lock)
		}
		s.mu.Unlock()
		return nil
	}
	err = explain(s.path, rightListen, err)
	lost := h.lost
	if errors.Is(err, eventflow.ErrLockLost) && lost == nil {
		lost = err
		s.tracker.Remove(&h.grip.lock)
	}
	var told *eventflow.Delivery
	if lost != nil {
		h.lost = nil
		told = s.lose(h, lost)
		err = fmt.Errorf("%w: %w", eventflow.ErrLockLost, err)
	}
	tell := s.listening.Lost
	ln := h.lane
	s.mu.Unlock()
	if told != nil && tell != nil {
		tell([]*eventflow.Delivery{told}, lost)
	}
	if lost != nil && ln != nil {
		ln.lose(lost)
	}
	return err
}

var errTwice = errors.New("called DeadLetter twice at once")

// buryInTurn dead-letters a message when nothing else is written about its session.
func (s *Subscriber) buryInTurn(ctx context.Context, h *held, f eventflow.Failure) error {
	if h.lane != nil {
		done, err := h.lane.takeTurn(ctx)
		if err != nil {
			return err
		}
		defer done()
	}
	left := s.tracker.Left(&h.guard().lock)
	if h.lane != nil {
		left /= 2 // the session's renewal waits meanwhile
	}
	ctx, cancel := context.WithTimeout(ctx, min(settleTime, left))
	defer cancel()
	return s.bury(ctx, h, f)
}

// bury dead-letters a message.
func (s *Subscriber) bury(ctx context.Context, h *held, f eventflow.Failure) (err error) {
	r, c, leave, err := s.via(ctx, h)
	if err != nil {
		return err
	}
	defer func() { leave(err) }()
	reason := cut(f.Reason, maxReason)
	why := "flow " + f.Flow
	props := map[string]any{
		"eventflow-reason": reason, "eventflow-flow": f.Flow, "eventflow-attempts": int32(f.Attempts),
		propRedrive: int32(h.redrive + 1),
	}
	if h.attempts != 0 || h.written != 0 {
		props[propAttempts] = int32(0) // when it is sent back, it begins anew
	}
	if f.Version != "" {
		props["eventflow-version"] = f.Version
		why += ", version " + f.Version
	}
	if f.Binding != "" {
		props["eventflow-trigger"] = f.Binding
		why += ", trigger " + f.Binding
	}
	if f.Err != nil {
		class := fmt.Sprintf("%T", innermost(f.Err))
		props["eventflow-error"] = class
		why += ", error of type " + class
	}
	why = cut(fmt.Sprintf("%s, attempt %d", why, f.Attempts), maxReason)
	o := &azservicebus.DeadLetterOptions{Reason: &reason, ErrorDescription: &why, PropertiesToModify: props}
	return c.use(func(ctx context.Context) error { return r.DeadLetterMessage(ctx, h.message(), o) })
}

// maxReason is how many bytes the service keeps of a reason and of a description.
const maxReason = 4096
