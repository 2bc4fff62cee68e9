package sim

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
)

// sub is a consumer as its runner sees it. It hands over deliveries of its own, each for one of the memory broker's, so
// that it sees every settlement and a dead process can be cut off.
type sub struct {
	n            *node
	topic, group string
	l            eventflow.Listening
	late         sync.WaitGroup // settlements on their way

	// Guarded by world.mu.
	inner       eventflow.Subscriber // another one after a stall
	started     bool
	crashed     bool
	closed      bool
	handed      []*handed
	byInner     map[*eventflow.Delivery]*handed
	byEvent     map[*eventflow.Event]*handed
	open, bytes int // that are neither settled nor lost
	perLane     map[string]int
}

// handed is one hand-over.
type handed struct {
	d     eventflow.Delivery // the runner's
	inner *eventflow.Delivery
	of    eventflow.Subscriber // the consumer of inner
	sub   *sub
	tk    *taken
	key   *key

	// Guarded by world.mu.
	begun, settled, told, ok bool
	lostAt                   time.Time
	deaf                     bool // abandoned: its run goes on, under a lock that nobody renews
}

func (s *sub) Start(ctx context.Context, l eventflow.Listening) error {
	if _, err := s.n.p.at(atStart); err != nil {
		return err
	}
	s.n.p.w.mu.Lock()
	defer s.n.p.w.mu.Unlock()
	s.l, s.started = l, true
	return s.inner.Start(ctx, s.listening())
}

// listening is what the memory broker's consumer tells.
func (s *sub) listening() eventflow.Listening {
	l := s.l
	l.Settled, l.Lost = s.settledBy, s.lostBy
	return l
}

func (s *sub) Next(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	p := s.n.p
	for {
		f, err := p.at(atNext)
		if err != nil {
			return nil, err
		}
		p.w.mu.Lock()
		inner, down := s.inner, time.Now().Before(p.w.noMQ)
		p.w.mu.Unlock()
		if f.Kind == failNext || down {
			return nil, errDown
		}
		ds, err := inner.Next(ctx, want)
		if errors.Is(err, eventflow.ErrClosed) && s.standsStill() {
			continue
		}
		if err != nil {
			return nil, err
		}
		outs := s.hand(inner, ds)
		if _, err := p.at(atReceived); err != nil {
			return nil, err
		}
		p.w.mu.Lock()
		s.n.received += len(outs)
		p.w.mu.Unlock()
		return outs, nil
	}
}

var errDown = errors.New("sim: it is down")

// standsStill reports whether the consumer is cut off for a while.
func (s *sub) standsStill() bool {
	s.n.p.w.mu.Lock()
	defer s.n.p.w.mu.Unlock()
	return !s.closed && !s.n.p.dead
}

// hand wraps a hand-over and checks the bounds.
func (s *sub) hand(of eventflow.Subscriber, ds []*eventflow.Delivery) []*eventflow.Delivery {
	w, set := s.n.p.w, &s.n.p.w.s.Set
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.n.returned {
		w.brokenf(promptly, "%v receives after Listen returned", s.n)
	}
	outs := make([]*eventflow.Delivery, len(ds))
	largest := 0
	for i, in := range ds {
		h := &handed{inner: in, of: of, sub: s}
		h.d.Event, h.d.Lane, h.d.Attempts, h.d.Receives = in.Event, in.Lane, in.Attempts, in.Receives
		h.d.Redrive, h.d.LockedUntil = in.Redrive, in.LockedUntil
		h.d.Bind(s, uint64(len(s.handed)))
		h.tk = w.topics[s.topic].byID[[2]string{in.Event.Source, in.Event.ID}]
		h.key = w.key(eventflow.Key{Flow: flowNames[s.n.flow], Binding: s.topic, Source: in.Event.Source, ID: in.Event.ID, Redrive: in.Redrive})
		h.key.tk, h.tk.keys[s.n.flow] = h.tk, h.key
		if in.Receives > 1 {
			h.key.trouble++
		}
		s.handed = append(s.handed, h)
		w.tellf(in.Event.ID, "is handed to %v, receive %d, lane %q", s.n, in.Receives, in.Lane)
		s.byInner[in], s.byEvent[&h.d.Event] = h, h
		outs[i] = &h.d
		s.open++
		s.bytes += len(in.Event.Data)
		s.perLane[in.Lane]++
		largest = max(largest, len(in.Event.Data))
		if in.Lane != "" && s.perLane[in.Lane] > max(set.MaxPerLane, set.Batch) {
			w.brokenf(bounded, "%v holds %d deliveries of lane %s, of at most %d", s.n, s.perLane[in.Lane], in.Lane, set.MaxPerLane)
		}
	}
	if s.open > set.MaxInFlight {
		w.brokenf(bounded, "%v holds %d deliveries, of at most %d", s.n, s.open, set.MaxInFlight)
	}
	if s.bytes > set.MaxHeldBytes+largest {
		w.brokenf(bounded, "%v holds %d bytes, of at most %d", s.n, s.bytes, set.MaxHeldBytes)
	}
	return outs
}

// release takes a delivery from those that are held. The caller holds world.mu.
func (h *handed) release() {
	s := h.sub
	s.open--
	s.bytes -= len(h.d.Event.Data)
	s.perLane[h.d.Lane]--
}

// lose notes that the lock is gone. The caller holds world.mu.
func (h *handed) lose() {
	h.lostAt = time.Now()
	h.sub.n.p.w.tellf(h.d.Event.ID, "is lost to %v", h.sub.n)
	h.key.trouble++
	h.release()
}

// Settle checks what the runner settles, and passes it on.
func (s *sub) Settle(ds []*eventflow.Delivery, st eventflow.Settlement) {
	p := s.n.p
	hs := make([]*handed, len(ds))
	p.w.mu.Lock()
	for i, d := range ds {
		hs[i] = s.handed[d.Token()]
		hs[i].settled, hs[i].deaf = true, st.Verb == eventflow.Abandon
		p.w.tellf(d.Event.ID, "is settled by %v: %v after %v", s.n, st.Verb, st.After)
		hs[i].release()
		if !p.dead {
			s.checkSettlement(hs[i], st.Verb)
		}
	}
	p.w.mu.Unlock()
	f, err := p.at(atSettle)
	if err != nil {
		return
	}
	if f.Kind == lateAck && st.Verb == eventflow.Ack { // what is handed back late might be overtaken in its lane
		s.late.Go(func() {
			select {
			case <-time.After(f.For):
				s.forward(hs, st)
			case <-p.gone:
			}
		})
		return
	}
	s.forward(hs, st)
	_, _ = p.at(atSettled)
}

func (s *sub) checkSettlement(h *handed, v eventflow.Verb) {
	w, k := s.n.p.w, h.key
	if s.n.returned && v != eventflow.Release { // what came in while it stood still
		w.brokenf(promptly, "%v settles %s after Listen returned", s.n, h.d.Event.ID)
	}
	switch v {
	case eventflow.Ack:
		if !k.over() {
			w.brokenf(ackLast, "%v acknowledges %v, whose end nobody has recorded", s.n, k.key)
		}
	case eventflow.Nack:
		if k.failures == 0 && !h.tk.from.bad {
			w.brokenf(attemptsFail, "%v hands %v back as failed, and no run has", s.n, k.key)
		}
	}
}

// forward settles the broker's deliveries, and tells the runner of those that were lost before.
func (s *sub) forward(hs []*handed, st eventflow.Settlement) {
	ins := make([]*eventflow.Delivery, len(hs))
	for i, h := range hs {
		ins[i] = h.inner
	}
	eventflow.SettleAll(ins, st)
	var lost []*eventflow.Delivery
	p := s.n.p
	p.w.mu.Lock()
	for _, h := range hs {
		if !h.told && !p.dead {
			h.told = true
			lost = append(lost, &h.d)
		}
	}
	p.w.mu.Unlock()
	if len(lost) > 0 {
		s.l.Settled(lost, eventflow.ErrLockLost)
	}
}

// settledBy is the broker's confirmation.
func (s *sub) settledBy(ds []*eventflow.Delivery, err error) {
	p := s.n.p
	p.w.mu.Lock()
	outs := make([]*eventflow.Delivery, 0, len(ds))
	for _, d := range ds {
		h := s.byInner[d]
		h.told = true
		if err != nil {
			h.key.trouble++
		}
		outs = append(outs, &h.d)
	}
	dead := p.dead
	p.w.mu.Unlock()
	if !dead {
		s.l.Settled(outs, err)
	}
}

// lostBy is the broker's word that locks are gone.
func (s *sub) lostBy(ds []*eventflow.Delivery, err error) {
	p := s.n.p
	p.w.mu.Lock()
	var outs []*eventflow.Delivery
	for _, d := range ds {
		if h := s.byInner[d]; h != nil && h.d.Lose() {
			h.lose()
			outs = append(outs, &h.d)
		}
	}
	dead := p.dead
	p.w.mu.Unlock()
	if !dead && len(outs) > 0 {
		s.l.Lost(outs, err)
	}
}

// Attempted notes a failed run of deliveries that stay held.
func (s *sub) Attempted(ds []*eventflow.Delivery) {
	p := s.n.p
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.dead {
		return
	}
	for _, d := range ds {
		h := s.handed[d.Token()]
		if h.key.failures == 0 && !h.tk.from.bad {
			p.w.brokenf(attemptsFail, "%v marks an attempt of %v, and no run has failed", s.n, h.key.key)
		}
		h.inner.Attempted()
	}
}

// DeadLetter writes a dead letter of the broker's own.
func (s *sub) DeadLetter(ctx context.Context, d *eventflow.Delivery, f eventflow.Failure) error {
	p := s.n.p
	p.w.mu.Lock()
	h := s.handed[d.Token()]
	if !p.dead {
		s.n.buries(h.key, f.Reason, f.Attempts)
	}
	down := time.Now().Before(p.w.noMQ)
	p.w.mu.Unlock()
	fail, err := p.at(atDead)
	if err == nil && (fail.Kind == failDead || down) {
		err = errDown
	}
	if err != nil {
		p.w.mu.Lock()
		h.key.trouble++
		p.w.mu.Unlock()
		return err
	}
	p.w.mu.Lock()
	if err = h.of.(eventflow.Settler).DeadLetter(ctx, h.inner, f); err == nil {
		h.key.dead++
	}
	p.w.mu.Unlock()
	if _, dead := p.at(atBuried); dead != nil {
		return dead
	}
	return err
}

// buries checks that a dead letter is due. The caller holds world.mu.
func (n *node) buries(k *key, reason string, attempts int) {
	w := n.p.w
	if n.returned {
		w.brokenf(promptly, "%v dead-letters %v after Listen returned", n, k.key)
	}
	switch reason {
	case "exhausted":
		w.tellf(k.key.ID, "is exhausted in %v: %d failures, %d lapsed, %d trouble", n, k.failures, k.lapsed, k.trouble)
		if k.failures+k.lapsed < maxAttempts {
			w.brokenf(exactly, "%v dead-letters %v after %d runs that failed and %d that died, of %d", n, k.key, k.failures, k.lapsed, maxAttempts)
		}
		if n.flow != third && k.trouble == 0 && k.lapsed == 0 && k.failures != maxAttempts {
			w.brokenf(exactly, "%v dead-letters %v after %d runs that failed, of %d", n, k.key, k.failures, maxAttempts)
		}
		if attempts < maxAttempts {
			w.brokenf(exactly, "%v dead-letters %v and says that it was tried %d times, of %d", n, k.key, attempts, maxAttempts)
		}
	case "permanent":
		if !k.permanent {
			w.brokenf(exactly, "%v dead-letters %v as permanent, and no run said so", n, k.key)
		}
	case "decode":
		w.hits[doUndecodable.String()]++
		if k.tk == nil || !k.tk.from.bad {
			w.brokenf(exactly, "%v dead-letters %v as undecodable, and it is not", n, k.key)
		}
	default:
		w.brokenf(exactly, "%v dead-letters %v for the reason %q", n, k.key, reason)
	}
}

func (s *sub) Close(ctx context.Context) error {
	s.late.Wait()
	p := s.n.p
	p.w.mu.Lock()
	s.closed = true
	inner, dead := s.inner, p.dead
	p.w.mu.Unlock()
	if dead {
		return nil
	}
	return inner.Close(ctx)
}
