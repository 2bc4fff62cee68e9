package servicebus

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/renew"
)

// grip is a lock at the service: of a message, or of a session.
type grip struct {
	lock renew.Lock[*grip]
	h    *held // one of the two
	lane *lane
}

// state of a held message.
type state uint8

const (
	stateWaiting  state = iota // here, to be handed over
	stateOut                   // handed over
	stateSettling              // its settlement is on its way
	stateLeft                  // here, of a session that is given up
	stateGone
)

// held is a message under its lock. Subscriber.mu guards it.
type held struct {
	grip     grip // without sessions
	lane     *lane
	raw      *azservicebus.ReceivedMessage
	event    eventflow.Event
	size     int
	number   int64 // its sequence number
	attempts int   // failed runs
	written  int   // those that the service knows of
	receives int
	redrive  int
	due      time.Time // not handed over before; zero: at once

	state state
	d     *eventflow.Delivery // its hand-over; nil: nobody is to be told
	slot  uint32
	job   job
	after time.Duration // of a delayed copy
	busy  bool          // it is being dead-lettered
	dead  bool          // it is dead-lettered: its acknowledgement is only told
	lost  error         // its lock is

	refused bool // a settlement was; used by one call at a time, as is the next
	unheard int  // how many repetitions of it had no answer
}

// slot finds a held message by the token of its delivery.
type slot struct {
	h   *held
	gen uint32
}

// admit takes in what was received without sessions.
func (s *Subscriber) admit(ms []*azservicebus.ReceivedMessage) {
	if doubtful := s.holdAll(ms); len(doubtful) > 0 {
		s.prove(s.life, doubtful)
	}
}

// holdAll gives what has to prove first that its lock is held yet.
func (s *Subscriber) holdAll(ms []*azservicebus.ReceivedMessage) (doubtful []*held) {
	now, hs := time.Now(), s.read(ms, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order = max(s.order-len(ms), 0)
	for _, h := range hs {
		s.average = (s.average*7 + h.size) / 8
		d, sure := s.lasts(now, h.raw.LockedUntil, h.raw.EnqueuedTime)
		if !sure {
			doubtful = append(doubtful, h)
			continue
		}
		s.hold(h, now, d)
	}
	s.signal()
	return doubtful
}

// hold adds a message whose lock lasts d from a time on. The caller holds the lock.
func (s *Subscriber) hold(h *held, since time.Time, d time.Duration) {
	h.grip.h = h
	if !s.tracker.Add(&h.grip.lock, &h.grip, since, d) {
		return // its lock is as good as over: it comes again
	}
	s.heldBytes += h.size
	s.ready = append(s.ready, h)
}

// read makes what is held of messages: of a session, or of none when ln is nil. The caller does not hold the lock: this takes
// longer than all that is done with them under it, and whoever settles would wait.
func (s *Subscriber) read(ms []*azservicebus.ReceivedMessage, ln *lane) []*held {
	hs := make([]*held, len(ms))
	var slab []held // a message that is kept keeps its neighbours
	for i, m := range ms {
		if len(slab) == 0 {
			slab = make([]held, min(16, len(ms)-i))
		}
		h := &slab[0]
		slab = slab[1:]
		h.lane, h.event = ln, decode(m, s.source, &s.set)
		h.receive(m)
		hs[i] = h
	}
	return hs
}

// receive makes h, which has the event, that of a message.
func (h *held) receive(m *azservicebus.ReceivedMessage) {
	h.raw, h.receives, h.attempts, h.redrive = m, int(m.DeliveryCount)-1, attemptsOf(m), redriveOf(m)
	h.written = h.attempts
	if m.SequenceNumber != nil {
		h.number = *m.SequenceNumber
	}
	for _, b := range m.RawAMQPMessage.Body.Data {
		h.size += len(b)
	}
	if h.size == 0 { // a text, such as JMS sends, or another value
		h.size = len(h.event.Data)
	}
}

// leastLock is the shortest lock duration of the service.
const leastLock = 5 * time.Second

// lasts gives how long a lock lasts yet: as the service says by this machine's clock, and no longer than a lock can. It
// is not sure when that is next to nothing: the message has waited, or the clock is wrong. The caller holds the lock.
func (s *Subscriber) lasts(now time.Time, until, enqueued *time.Time) (d time.Duration, sure bool) {
	switch {
	case s.set.lock > 0:
		return s.set.lock, true
	case until == nil:
		return min(leastLock, s.bound), true
	case enqueued != nil: // both are the service's: a lock is no longer than what lies between
		if most := until.Sub(*enqueued); most > 0 {
			s.bound = min(s.bound, most)
		}
	}
	d = min(until.Sub(now), s.bound)
	return d, d >= min(leastLock, s.bound)/4
}

// prove renews locks that seem to be over, one after the other, before their messages are handed over.
func (s *Subscriber) prove(ctx context.Context, doubtful []*held) {
	for _, h := range doubtful {
		sent := time.Now()
		until, err := s.renewMessage(ctx, h)
		s.mu.Lock()
		if err == nil {
			d, sure := s.lasts(time.Now(), &until, nil)
			if !sure {
				d = min(leastLock, s.bound) / 2
				if !s.skewed {
					s.skewed = true
					s.logger().Warn("servicebus: locks end as soon as they begin: the clock of this machine is ahead; give servicebus.LockDuration", "entity", s.path)
				}
			}
			s.hold(h, sent, d)
		}
		s.signal()
		s.mu.Unlock()
	}
}

// take hands over what is there and wanted. The caller holds the lock.
func (s *Subscriber) take(want eventflow.Want) []*eventflow.Delivery {
	now := time.Now()
	for len(s.delayed) > 0 && !s.delayed[0].due.After(now) {
		h := s.delayed[0]
		s.delayed = slices.Delete(s.delayed, 0, 1)
		s.ready = append(s.ready, h)
	}
	p := picking{s: s, want: want, now: now}
	n := 0
	for n < len(s.ready) && p.pick(s.ready[n]) {
		n++
	}
	s.ready = slices.Delete(s.ready, 0, n)
	for i := range s.lanes {
		ln := s.lanes[(s.turn+i)%len(s.lanes)]
		for len(ln.queue) > 0 && !ln.queue[0].due.After(now) && (want.PerLane <= 0 || ln.out < want.PerLane) && p.pick(ln.queue[0]) {
			ln.queue = slices.Delete(ln.queue, 0, 1)
			ln.out++
		}
	}
	s.turn++
	return p.ds
}

// picking is one hand-over.
type picking struct {
	s     *Subscriber
	want  eventflow.Want
	now   time.Time
	bytes int
	slab  []eventflow.Delivery
	ds    []*eventflow.Delivery
}

// pick hands over a message when it is within bounds.
func (p *picking) pick(h *held) bool {
	s := p.s
	if len(p.ds) >= p.want.Events {
		return false
	}
	size := len(h.event.Data)
	if p.want.Bytes > 0 && len(p.ds) > 0 && p.bytes+size > p.want.Bytes {
		return false
	}
	g := h.guard()
	left := s.tracker.Left(&g.lock)
	if left <= 0 {
		return false // its loss is about to be told
	}
	p.bytes += size
	s.heldBytes -= h.size
	const most = 32 // a delivery that is kept keeps its slab
	if len(p.slab) == 0 {
		p.slab = make([]eventflow.Delivery, min(most, p.want.Events-len(p.ds), len(s.ready)+len(s.lanes)+1))
	}
	d := &p.slab[0]
	p.slab = p.slab[1:]
	h.receives++
	d.Event, d.Attempts, d.Receives, d.Redrive, d.Native = h.event, h.attempts, h.receives, h.redrive, h.raw
	d.LockedUntil = p.now.Add(left)
	if h.lane != nil {
		d.Lane = h.lane.name
	}
	h.d, h.state, h.due = d, stateOut, time.Time{}
	d.Bind(s, s.give(h))
	p.ds = append(p.ds, d)
	return true
}

// guard is the lock that a message is under.
func (h *held) guard() *grip {
	if h.lane != nil {
		return &h.lane.grip
	}
	return &h.grip
}

// give gives a message a slot, and the token of its delivery. The caller holds the lock.
func (s *Subscriber) give(h *held) uint64 {
	if len(s.free) == 0 {
		s.free = append(s.free, uint32(len(s.slots)))
		s.slots = append(s.slots, slot{})
	}
	h.slot = s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.lastGen++
	s.slots[h.slot] = slot{h, s.lastGen}
	return uint64(s.lastGen)<<32 | uint64(h.slot)
}

// release takes a message out of its slot; what is said about its delivery from now on comes too late. The caller holds
// the lock.
func (s *Subscriber) release(h *held) {
	if int(h.slot) < len(s.slots) && s.slots[h.slot].h == h {
		s.slots[h.slot].h = nil
		s.free = append(s.free, h.slot)
	}
}

// find gives the message of a delivery; nil when it was settled, lost or handed over again since.
func (s *Subscriber) find(d *eventflow.Delivery) *held {
	i, gen := uint32(d.Token()), uint32(d.Token()>>32)
	if int(i) >= len(s.slots) || s.slots[i].gen != gen {
		return nil
	}
	return s.slots[i].h
}

// postpone keeps a message here until it is due. The caller holds the lock.
func (s *Subscriber) postpone(h *held, after time.Duration) {
	h.state, h.d, h.due = stateWaiting, nil, time.Now().Add(min(after, maxNack))
	s.heldBytes += h.size
	i := sort.Search(len(s.delayed), func(i int) bool { return s.delayed[i].due.After(h.due) })
	s.delayed = slices.Insert(s.delayed, i, h)
	if most := s.listening.MaxHeldBytes; len(s.delayed) > maxDelayed || most > 0 && s.heldBytes > most {
		first := s.delayed[0] // it comes too early, from the service
		s.delayed = slices.Delete(s.delayed, 0, 1)
		s.heldBytes -= first.size
		s.enqueue(first, jobAbandon)
	}
}

// maxDelayed bounds what waits here for its time.
const maxDelayed = 10_000

// nextDue gives when the next delay is over. The caller holds the lock.
func (s *Subscriber) nextDue() (at time.Time, ok bool) {
	if len(s.delayed) > 0 {
		at, ok = s.delayed[0].due, true
	}
	for _, ln := range s.lanes {
		if len(ln.queue) > 0 && !ln.queue[0].due.IsZero() && (!ok || ln.queue[0].due.Before(at)) && (s.perLane == 0 || ln.out < s.perLane) {
			at, ok = ln.queue[0].due, true
		}
	}
	return at, ok
}

// renew asks the service for more time, for one lock.
func (s *Subscriber) renew(ctx context.Context, rs []renew.Renewal[*grip]) error {
	r := &rs[0]
	var until time.Time
	var err error
	if ln := r.Lock.lane; ln != nil {
		until, err = ln.renew(ctx)
	} else {
		until, err = s.renewMessage(ctx, r.Lock.h)
	}
	if err != nil {
		return explain(s.path, rightListen, err) // one that says that the lock is lost matches ErrLockLost
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, sure := s.lasts(time.Now(), &until, nil)
	if !sure {
		d = min(leastLock, s.bound) / 2
	}
	r.For = d
	return nil
}

func (s *Subscriber) renewMessage(ctx context.Context, h *held) (time.Time, error) {
	r := s.keeper()
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	c, err := r.enter(ctx)
	if err != nil {
		return time.Time{}, err
	}
	m := *h.raw // the client writes into it, and Delivery.Native is the user's
	err = c.use(func(ctx context.Context) error { return r.r.RenewMessageLock(ctx, &m, nil) })
	if isGone(err) {
		err = fmt.Errorf("%w: %w", eventflow.ErrLockLost, err)
		r.leave(c, nil)
	} else {
		r.leave(c, err)
	}
	if err != nil {
		return time.Time{}, err
	}
	return *m.LockedUntil, nil
}

// isGone: a message that is not found is not locked either.
func isGone(err error) bool { return codeOf(err) == azservicebus.CodeNotFound }

// lost is told of locks that are gone.
func (s *Subscriber) lost(gs []*grip, err error) {
	var ds []*eventflow.Delivery
	s.mu.Lock()
	for _, g := range gs {
		if g.lane != nil {
			ds = append(ds, s.loseLane(g.lane, err)...)
			continue
		}
		if d := s.lose(g.h, err); d != nil {
			ds = append(ds, d)
		}
	}
	tell := s.listening.Lost
	s.mu.Unlock()
	if len(ds) > 0 && tell != nil {
		tell(ds, err)
	}
}

// lose ends a message whose lock is gone. It gives the delivery that is to be told of. The caller holds the lock.
func (s *Subscriber) lose(h *held, err error) *eventflow.Delivery {
	if h.lost != nil || h.state == stateGone {
		return nil
	}
	h.lost = err
	switch h.state {
	case stateWaiting:
		s.forgetWaiting(h)
		h.state = stateGone
	case stateOut:
		if h.busy || !h.d.Lose() {
			return nil // what settles it finds out
		}
		s.release(h)
		s.leave(h)
		h.state = stateGone
		return h.d
	case stateSettling, stateLeft, stateGone: // its settlement says what became of it
	}
	return nil
}

func (s *Subscriber) forgetWaiting(h *held) {
	is := func(x *held) bool { return x == h }
	s.heldBytes -= h.size
	s.ready = slices.DeleteFunc(s.ready, is)
	s.delayed = slices.DeleteFunc(s.delayed, is)
	if h.lane != nil {
		h.lane.queue = slices.DeleteFunc(h.lane.queue, is)
	}
}

// leave takes a message out of its lane. The caller holds the lock.
func (s *Subscriber) leave(h *held) {
	if ln := h.lane; ln != nil {
		ln.all = slices.DeleteFunc(ln.all, func(x *held) bool { return x == h })
		ln.idleSince = time.Now()
		if len(ln.all) == 0 && ln.cancelReceive != nil {
			ln.cancelReceive() // from now on it is idle
		}
		ln.rouse()
	}
}
