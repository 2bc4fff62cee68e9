package broker

import (
	"context"
	"time"

	"github.com/eventflow-go/eventflow"
)

// DeadLetter is an event that will not be tried again, and why.
type DeadLetter struct {
	Event    eventflow.Event // as it was handed over
	Group    string          // whose consumer gave up
	Reason   string          // the runner's: "decode", "permanent", "exhausted"; "receives": see [MaxReceives]
	Err      error           // the run's last; it never leaves the process
	Flow     string
	Version  string // of the flow
	Binding  string // the trigger's name
	Attempts int    // failed attempts, as its runner counted them, else as the broker did
	Receives int    // hand-overs
	Redrive  int    // how often it had come back from the dead letters before
	Time     time.Time

	size int
}

// ReasonReceives is the reason of the broker's own dead letters.
const ReasonReceives = "receives"

// bury writes a dead letter. The caller holds the lock.
func (t *topic) bury(g *group, sl *slot, f eventflow.Failure) error {
	set := &t.m.set
	if len(t.dead) >= set.deadLetters || t.deadBytes > 0 && t.deadBytes+sl.size > set.capacityBytes {
		return t.wrap(ErrDeadLettersFull)
	}
	if f.Attempts == 0 {
		f.Attempts = int(sl.attempt)
	}
	t.dead = append(t.dead, DeadLetter{
		Event: sl.d.Event, Group: g.name, Reason: f.Reason, Err: f.Err, Flow: f.Flow, Version: f.Version, Binding: f.Binding,
		Attempts: f.Attempts, Receives: int(sl.receive), Redrive: int(sl.redrive), Time: time.Now(), size: sl.size,
	})
	t.deadBytes += sl.size
	return nil
}

// DeadLetter is the settler's. The acknowledgement follows; if the lock is lost before it, the event does not come back.
func (s *subscriber) DeadLetter(ctx context.Context, d *eventflow.Delivery, f eventflow.Failure) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	_, sl := s.slot(d)
	switch {
	case sl == nil:
		return eventflow.ErrLockLost
	case sl.written:
		return nil
	}
	if fs := s.m.faults.Load(); fs != nil {
		if p := fs.find(FailDeadLetter, s.g, &sl.d.Event); p != nil {
			return p.Err
		}
	}
	if err := s.t.bury(s.g, sl, f); err != nil {
		return err
	}
	sl.written = true
	return nil
}

// overdrawn dead-letters an event that was received as often as may be; it is in no queue.
func (g *group) overdrawn(i int32, sl *slot) bool {
	n := g.t.m.set.maxReceives
	if n == 0 || int(sl.receive) < n || g.t.bury(g, sl, eventflow.Failure{Reason: ReasonReceives}) != nil {
		return false
	}
	g.count.deadLettered++
	g.free(i, sl)
	g.t.freed()
	return true
}

// DeadLetters gives the dead letters of a topic, the oldest first. Each group writes its own.
func (m *Memory) DeadLetters(topic string) []DeadLetter {
	t := m.known(topic)
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]DeadLetter(nil), t.dead...)
}

// Redrive gives the dead letters of a topic back to the groups they came from, as newly arrived: no attempts, no
// receives, Delivery.Redrive one higher, so that they run again where they ran before. It returns how many; when a
// group is full it stops there with [ErrFull], and the rest stays.
func (m *Memory) Redrive(topic string) (int, error) {
	t := m.known(topic)
	if t == nil {
		return 0, topicError(topic, eventflow.ErrNoTopic)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, t.wrap(eventflow.ErrClosed)
	}
	var err error
	n := 0
	for n < len(t.dead) {
		dl := &t.dead[n]
		g := t.find(dl.Group)
		if !g.room(dl.size) {
			err = t.wrap(ErrFull)
			break
		}
		i, sl := g.slots.take()
		sl.redrive = int32(dl.Redrive) + 1
		d := g.delivery()
		d.Event = dl.Event
		g.enqueue(i, sl, d, nil, 0, dl.size)
		g.count.redriven++
		t.deadBytes -= dl.size
		n++
	}
	t.dead = append([]DeadLetter(nil), t.dead[n:]...)
	t.wakeConsumers()
	return n, err
}
