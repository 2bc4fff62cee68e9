package broker

import (
	"context"
	"strconv"
	"time"

	"github.com/eventflow-go/eventflow"
)

// A subscriber is one consumer of a group, and the settler of what it was handed. Below the line it is guarded by the
// topic's mutex.
type subscriber struct {
	m                    *Memory
	topicName, groupName string
	err                  error  // of opening
	t                    *topic // nil: not declared
	g                    *group

	// ---
	listening eventflow.Listening
	started   bool
	closed    bool
	perLane   int      // of its last Next
	ready     laneList // its lanes that have something and room

	calling bool          // a Next is under way
	wake    chan struct{} // of the Next that waits
	armed   bool          // that one wakes by itself
	due     int64         // then

	telling int           // Lost calls under way
	told    chan struct{} // made by a Close that waits for them
}

// Err is what was wrong when it was opened.
func (s *subscriber) Err() error { return s.err }

// String names the topic and the group.
func (s *subscriber) String() string { return trigger(s.topicName, s.groupName) }

func (s *subscriber) Start(ctx context.Context, l eventflow.Listening) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	if n := s.m.set.maxReceives; n > 0 && l.MaxAttempts > 0 && n < l.MaxAttempts+l.Slack {
		return &eventflow.ConfigError{
			Field: "broker.MaxReceives", Value: strconv.Itoa(n),
			Allowed: "at least " + strconv.Itoa(l.MaxAttempts+l.Slack) + ", the runner's attempts and slack",
		}
	}
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	switch {
	case s.closed || s.t.closed:
		return s.t.wrap(eventflow.ErrClosed)
	case s.started:
		return s.t.wrap(errTwoStarts)
	}
	s.started = true
	s.listening = l
	return nil
}

// usable tells what can be told without the lock.
func (s *subscriber) usable(ctx context.Context) error {
	switch {
	case s.err != nil:
		return s.err
	case s.t == nil:
		return topicError(s.topicName, eventflow.ErrNoTopic)
	}
	return ctx.Err()
}

func (s *subscriber) Next(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	want.Events = max(want.Events, 1)
	want.PerLane = max(want.PerLane, 0)
	t, g := s.t, s.g
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.calling {
		return nil, t.wrap(errTwoCallers)
	}
	s.calling, s.started = true, true
	defer func() { s.calling = false }()

	var timer *time.Timer
	for {
		if s.closed || t.closed {
			return nil, t.wrap(eventflow.ErrClosed)
		}
		if fs := s.m.faults.Load(); fs != nil {
			if p := fs.find(FailNext, g, nil); p != nil {
				return nil, p.Err
			}
		}
		// First, so that a consumer that is told to stop does not take what it has just given back.
		if err := ctx.Err(); err != nil {
			g.pass() // it may have been woken for something
			return nil, err
		}
		if ds := g.take(s, want); len(ds) > 0 {
			g.pass()
			return ds, nil
		}
		if !g.main.empty() {
			t.mu.Unlock() // others have their turn while s goes through what is not for it
			t.mu.Lock()
			continue
		}
		// Whatever waits is made here, so that a broker can be used inside a synctest bubble that it was not made in.
		if s.wake == nil {
			s.wake = make(chan struct{}, 1)
			defer func() { s.wake = nil }() //nolint:gocritic // once in a call
		}
		var due <-chan time.Time
		s.armed = len(g.delays) > 0
		if s.armed {
			s.due = g.delays[0].key
			wait := time.Duration(s.due - s.m.instant(time.Now()))
			if timer == nil {
				timer = time.NewTimer(wait)
				defer timer.Stop() //nolint:gocritic // once in a call
			} else {
				timer.Reset(wait)
			}
			due = timer.C
		}
		g.waiters = append(g.waiters, s)
		t.mu.Unlock()
		select {
		case <-s.wake:
		case <-due:
		case <-ctx.Done():
		}
		t.mu.Lock()
		g.unwait(s)
	}
}

// roomFor reports whether s may hold one more of a lane.
func (s *subscriber) roomFor(l *lane) bool { return s.perLane == 0 || int(l.held) < s.perLane }

// Settle confirms at once: there is nobody to wait for.
func (s *subscriber) Settle(ds []*eventflow.Delivery, st eventflow.Settlement) {
	t, g := s.t, s.g
	fs := s.m.faults.Load()
	var now int64
	if st.Verb == eventflow.Abandon || st.After > 0 || fs != nil {
		now = s.m.instant(time.Now())
	}
	t.mu.Lock()
	tell := s.listening.Settled
	var odd []unconfirmed
	for n, d := range ds {
		i, sl := s.slot(d)
		if sl == nil {
			odd = append(odd, unconfirmed{n, t.wrap(eventflow.ErrLockLost)})
			continue
		}
		if fs != nil && st.Verb != eventflow.Abandon {
			if p := fs.find(LoseSettlement, g, &sl.d.Event); p != nil {
				odd = append(odd, unconfirmed{n, p.Err})
				g.giveBack(i, sl, s.m.set.lease, now)
				continue
			}
		}
		g.settle(i, sl, st, now)
	}
	t.freed()
	t.mu.Unlock()
	switch {
	case tell == nil:
	case odd == nil:
		tell(ds, nil)
	default:
		s.tell(tell, ds, odd)
	}
}

// unconfirmed is a settlement that came too late or was lost on its way, by its index. Without an error nobody is told.
type unconfirmed struct {
	index int
	err   error
}

// tell reports each of the odd settlements by itself, and the others together.
func (s *subscriber) tell(settled func([]*eventflow.Delivery, error), ds []*eventflow.Delivery, odd []unconfirmed) {
	var rest []*eventflow.Delivery
	for n, d := range ds {
		switch {
		case len(odd) == 0 || odd[0].index != n:
			rest = append(rest, d)
			continue
		case odd[0].err != nil:
			settled(ds[n:n+1], odd[0].err)
		}
		odd = odd[1:]
	}
	if len(rest) > 0 {
		settled(rest, nil)
	}
}

// slot gives the event of a delivery that is still s's; nil when it was handed over again since.
func (s *subscriber) slot(d *eventflow.Delivery) (int32, *slot) {
	i, gen := int32(d.Token()>>32), uint32(d.Token())
	sl := s.g.slots.at(i)
	if sl.state != slotHeld || sl.gen != gen {
		return none, nil
	}
	return i, sl
}

func (g *group) settle(i int32, sl *slot, st eventflow.Settlement, now int64) {
	switch st.Verb {
	case eventflow.Ack:
		if sl.written {
			g.count.deadLettered++
		} else {
			g.count.acked++
		}
		g.free(i, sl)
	case eventflow.Nack:
		sl.attempt++
		g.count.attempt++
		g.giveBack(i, sl, st.After, now)
	case eventflow.Release:
		g.giveBack(i, sl, st.After, now)
	case eventflow.Abandon:
		if sl.lane != nil && !sl.written {
			sl.deaf = true
			sl.lane.losing++
		}
		g.giveBack(i, sl, g.t.m.set.lease, now) // its last renewal was now
	}
}

// Attempted counts failed runs of deliveries that stay held.
func (s *subscriber) Attempted(ds []*eventflow.Delivery) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	for _, d := range ds {
		if _, sl := s.slot(d); sl != nil {
			sl.attempt++
			s.g.count.attempt++
		}
	}
}

// Close gives back what is unsettled. It waits for nothing but a Lost that is being called.
func (s *subscriber) Close(ctx context.Context) error {
	if s.t == nil {
		return nil
	}
	s.t.mu.Lock()
	if s.leave() {
		s.g.handBack(s)
	}
	for s.telling > 0 {
		if s.told == nil {
			s.told = make(chan struct{})
		}
		told := s.told
		s.t.mu.Unlock()
		select {
		case <-told:
		case <-ctx.Done():
			return ctx.Err()
		}
		s.t.mu.Lock()
	}
	s.t.mu.Unlock()
	return nil
}

// leave takes s out of its group; false when it was out before. The caller holds the lock.
func (s *subscriber) leave() bool {
	if s.closed {
		return false
	}
	s.closed = true
	s.g.consumers--
	s.g.wake(s)
	s.g.pass() // it may have been woken for something
	return true
}
