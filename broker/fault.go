package broker

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
)

// FaultKind says what goes wrong.
type FaultKind uint8

const (
	// LoseSettlement keeps a settlement from the broker, so that the event comes back when its lease ends. With an
	// Err, Listening.Settled reports it; without, nobody is told.
	LoseSettlement FaultKind = iota + 1
	// DuplicateDelivery hands the event over a second time although the first is not settled, to anybody; in a lane
	// to the same consumer. Both are to be settled.
	DuplicateDelivery
	// DelayDelivery hands the event over After later than it could be. Its lane waits with it.
	DelayDelivery
	// LoseLock takes the lock away After the hand-over: Delivery.Lose, Listening.Lost with ErrLockLost, and the
	// event is handed over again at once. With After 0 that may be before Next has returned.
	LoseLock
	// StopRenewing renews the lock no more, as a subscriber that has stalled: Listening.Lost is called when nine
	// tenths of the lease are over, and the event is handed over again when all of it is. After is not used.
	StopRenewing
	// FailPublish refuses the matching events of a Publish with Err, and takes the others.
	FailPublish
	// UnconfirmedPublish takes the matching events of a Publish and says all the same that they were refused with Err.
	UnconfirmedPublish
	// FailNext makes Next return Err, also one that waits already. Match is not used.
	FailNext
	// FailDeadLetter makes Delivery.DeadLetter return Err, and nothing is written.
	FailDeadLetter
)

var faultNames = [...]string{
	"none", "lose settlement", "duplicate delivery", "delay delivery", "lose lock", "stop renewing", "fail publish",
	"unconfirmed publish", "fail next", "fail dead letter",
}

// String gives the kind in lower case.
func (k FaultKind) String() string {
	if int(k) < len(faultNames) {
		return faultNames[k]
	}
	return "fault " + strconv.Itoa(int(k))
}

// Fault is something that a real broker does to its clients now and then, on demand: see [Memory.Inject].
type Fault struct {
	Kind   FaultKind
	Topics []string // nil: every topic
	Groups []string // nil: every group; the default group is "". Publishing knows no groups
	// Match chooses events; nil: every event. It is called under the topic's lock, so it must not call the broker.
	Match func(*eventflow.Event) bool
	// Times is how often it strikes: calls of Publish (each time all of the call's matching events) and of Next, and
	// events for all other kinds. 0 is once, a negative number always.
	Times int
	After time.Duration // of DelayDelivery and LoseLock
	Err   error         // nil: [ErrInjected], except for LoseSettlement
}

// faults are those that are planted. The slice is replaced, never changed.
type faults struct{ list []*planted }

type planted struct {
	Fault
	mu     sync.Mutex // guards what follows
	left   int        // below 0: for ever
	struck int
}

// Inject plants a fault and returns a function that withdraws it and says how often it has struck, so that a test can
// tell that it tested something. Of several that match the one that was planted first strikes.
//
// LoseLock and StopRenewing strike what is handed over at the moment first, counted from now. It panics with a
// *eventflow.ConfigError when the fault has no kind: a test whose fault never strikes proves nothing.
func (m *Memory) Inject(f Fault) (withdraw func() (struck int)) {
	if f.Kind == 0 || int(f.Kind) >= len(faultNames) {
		panic(&eventflow.ConfigError{Field: "broker.Fault.Kind", Value: f.Kind.String(), Allowed: "one of the kinds of this package"})
	}
	if f.Err == nil && f.Kind != LoseSettlement {
		f.Err = ErrInjected
	}
	p := &planted{Fault: f, left: f.Times}
	if f.Times == 0 {
		p.left = 1
	}
	m.plant(func(list []*planted) []*planted { return append(list, p) })
	for _, t := range m.all() {
		t.mu.Lock()
		for _, g := range t.groups {
			switch f.Kind {
			case FailNext:
				g.wakeAll()
			case LoseLock, StopRenewing:
				for _, i := range g.held(nil) {
					sl := g.slots.at(i)
					if p.strike(t, g, &sl.d.Event) {
						g.loseLater(sl.holder, sl.d, p)
					}
				}
			}
		}
		t.mu.Unlock()
	}
	return func() int {
		m.plant(func(list []*planted) []*planted {
			return slices.DeleteFunc(list, func(x *planted) bool { return x == p })
		})
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.struck
	}
}

func (m *Memory) plant(change func([]*planted) []*planted) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*planted
	if fs := m.faults.Load(); fs != nil {
		list = slices.Clone(fs.list)
	}
	if list = change(list); len(list) == 0 {
		m.faults.Store(nil)
		return
	}
	m.faults.Store(&faults{list})
}

// concerns reports whether the fault is for that place; a nil group is a Publish.
func (p *planted) concerns(t *topic, g *group) bool {
	return (p.Topics == nil || slices.Contains(p.Topics, t.name)) &&
		(p.Groups == nil || g == nil || slices.Contains(p.Groups, g.name))
}

func (p *planted) matches(ev *eventflow.Event) bool { return p.Match == nil || p.Match(ev) }

// use takes one of the times.
func (p *planted) use() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		return false
	}
	if p.left > 0 {
		p.left--
	}
	p.struck++
	return true
}

func (p *planted) strike(t *topic, g *group, ev *eventflow.Event) bool {
	return p.concerns(t, g) && (ev == nil || p.matches(ev)) && p.use()
}

// find gives the fault of a kind that strikes, or nil. A nil event is a call.
func (fs *faults) find(kind FaultKind, g *group, ev *eventflow.Event) *planted {
	for _, p := range fs.list {
		if p.Kind == kind && p.strike(g.t, g, ev) {
			return p
		}
	}
	return nil
}

// publish is a Publish under FailPublish and UnconfirmedPublish.
func (fs *faults) publish(ctx context.Context, p *publisher, evs []eventflow.Event) error {
	failed := map[int]error{}
	refused := map[int]bool{}
	for _, f := range fs.list {
		if f.Kind != FailPublish && f.Kind != UnconfirmedPublish || !f.concerns(p.t, nil) {
			continue
		}
		var hit []int
		for i := range evs {
			if failed[i] == nil && f.matches(&evs[i]) {
				hit = append(hit, i)
			}
		}
		if len(hit) > 0 && f.use() {
			for _, i := range hit {
				failed[i], refused[i] = f.Err, f.Kind == FailPublish
			}
		}
	}
	if len(failed) == 0 {
		return p.t.publish(ctx, p, evs)
	}
	var taken []eventflow.Event
	var index []int // of each in the call
	for i := range evs {
		if !refused[i] {
			taken, index = append(taken, evs[i]), append(index, i)
		}
	}
	if len(taken) > 0 {
		var some *eventflow.PublishError
		switch err := p.t.publish(ctx, p, taken); {
		case errors.As(err, &some):
			for _, it := range some.Failed {
				failed[index[it.Index]] = it.Err
			}
		case err != nil:
			for _, i := range index {
				failed[i] = err
			}
		}
	}
	all := &eventflow.PublishError{}
	for i := range evs {
		if failed[i] != nil {
			all.Failed = append(all.Failed, eventflow.ItemError{Index: i, Err: failed[i]})
		}
	}
	return all
}

// delay puts an event off that is in no queue.
func (fs *faults) delay(g *group, i int32, sl *slot, now int64) bool {
	if sl.late {
		return false
	}
	p := fs.find(DelayDelivery, g, &sl.d.Event)
	if p == nil {
		return false
	}
	sl.late = true
	g.park(i, sl, p.After, now)
	return true
}

// handedOver does what is done to an event that is.
func (fs *faults) handedOver(g *group, sl *slot) {
	if !sl.copied && fs.find(DuplicateDelivery, g, &sl.d.Event) != nil {
		sl.copied = true
		i, c := g.slots.take()
		*c = slot{
			d: sl.d, lane: sl.lane, seq: sl.seq, size: sl.size, gen: c.gen,
			attempt: sl.attempt, receive: sl.receive, redrive: sl.redrive, copied: true,
		}
		if c.lane != nil {
			c.lane.live++
		}
		g.live++
		g.bytes += c.size
		g.count.duplicated++
		g.park(i, c, 0, 0)
	}
	for _, kind := range [...]FaultKind{LoseLock, StopRenewing} {
		if p := fs.find(kind, g, &sl.d.Event); p != nil {
			g.loseLater(sl.holder, sl.d, p)
		}
	}
}

// loseLater takes the lock of d in time. Nobody stops the timer, which might belong to a synctest bubble: it finds that
// the delivery is settled.
func (g *group) loseLater(s *subscriber, d *eventflow.Delivery, p *planted) {
	after, rest := p.After, time.Duration(0)
	if p.Kind == StopRenewing {
		rest = g.t.m.set.lease / 10
		after = g.t.m.set.lease - rest
	}
	time.AfterFunc(after, func() { s.lose(d, rest) })
}

// lose takes the lock of d: its consumer learns of it first, and then the event may be handed over again, after the
// rest of the lease.
func (s *subscriber) lose(d *eventflow.Delivery, rest time.Duration) {
	t := s.t
	t.mu.Lock()
	_, lost := s.slot(d)
	if lost == nil || !d.Lose() {
		t.mu.Unlock() // settled, or about to be
		return
	}
	l := lost.lane
	if l != nil { // what its consumer gives back when it is told must not come before it
		l.losing++
		s.g.place(l)
	}
	tell := s.listening.Lost
	s.telling++
	t.mu.Unlock()
	if tell != nil {
		tell([]*eventflow.Delivery{d}, t.wrap(eventflow.ErrLockLost))
	}
	now := s.m.instant(time.Now())
	t.mu.Lock()
	defer t.mu.Unlock()
	if i, sl := s.slot(d); sl != nil {
		if s.closed {
			rest = 0
		}
		s.g.giveBack(i, sl, rest, now)
		t.freed()
	}
	if l != nil && l.losing > 0 {
		l.losing--
		s.g.place(l)
	}
	s.telling--
	if s.telling == 0 && s.told != nil {
		close(s.told)
		s.told = nil
	}
}

// Crash is what the broker sees when the process of a consumer dies: nothing that it holds is settled or given back,
// nobody is told, and its events come back when their lease ends. What the consumer does afterwards comes too late; its
// Next is ErrClosed. The subscriber must be one of this broker.
func (m *Memory) Crash(consumer eventflow.Subscriber) error {
	s, ok := consumer.(*subscriber)
	if !ok || s.m != m || s.t == nil {
		return &eventflow.ConfigError{Field: "broker.Crash subscriber", Value: "another", Allowed: "a subscriber of this broker"}
	}
	now := m.instant(time.Now())
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if s.leave() {
		for _, i := range s.g.held(s) {
			s.g.giveBack(i, s.g.slots.at(i), m.set.lease, now)
		}
		s.t.freed()
	}
	return nil
}
