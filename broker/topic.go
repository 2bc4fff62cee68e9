package broker

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
)

// A topic and all of its groups are guarded by one mutex, which is taken once by each call, however many events it has.
type topic struct {
	m      *Memory
	name   string
	source string // of events that have none
	first  *group // of groups, always

	mu     sync.Mutex // guards what follows, and the groups with their slots and lanes
	closed bool
	taken  int64 // events ever taken
	// groups has one group from the start: it holds what is published before anybody subscribes, and becomes the first
	// group that is opened.
	groups  []*group
	adopted bool

	full []*turn         // publishers that wait for room; the first one's turn it is
	idle []chan struct{} // WaitSettled calls that wait for the topic to be settled

	dead      []DeadLetter
	deadBytes int
}

// turn is the place of one Publish in the queue for room.
type turn struct{ wake chan struct{} }

func newTopic(m *Memory, name string) *topic {
	t := &topic{m: m, name: name, source: trigger(name, "")}
	t.first = newGroup(t, "")
	t.groups = []*group{t.first}
	return t
}

// group gives the group of that name, and makes it. The caller holds the lock.
func (t *topic) group(name string) *group {
	if !t.adopted {
		t.adopted = true
		t.first.name = name
		return t.first
	}
	if g := t.find(name); g != nil {
		return g
	}
	g := newGroup(t, name)
	t.groups = append(t.groups, g)
	return g
}

func (t *topic) find(name string) *group {
	for _, g := range t.groups {
		if g.name == name && t.adopted {
			return g
		}
	}
	return nil
}

// ahead is what publish does for its first events before it takes the lock: consumers would wait for that meanwhile.
type ahead struct {
	found found // in the first group
	slabs [mostAhead / slabSize][]eventflow.Delivery
	n     int
}

const (
	fewEvents = 4  // below it is not worth it
	mostAhead = 64 // a multiple of slabSize
)

// publish takes the events one after another and waits where there is no room.
func (t *topic) publish(ctx context.Context, p *publisher, evs []eventflow.Event) error {
	ids := idBlock{m: t.m}
	if len(evs) < fewEvents {
		return t.accept(ctx, p, evs, &ids, nil)
	}
	var a ahead
	a.n = min(len(evs), mostAhead)
	t.first.lanes.find(&a.found, evs[:a.n])
	for i := range a.n {
		if i%slabSize == 0 {
			a.slabs[i/slabSize] = make([]eventflow.Delivery, min(a.n-i, slabSize))
		}
		t.fill(a.delivery(i), &evs[i], ids.of(evs, i))
	}
	return t.accept(ctx, p, evs, &ids, &a)
}

// delivery is what the i-th event is handed over as.
func (a *ahead) delivery(i int) *eventflow.Delivery { return &a.slabs[i/slabSize][i%slabSize] }

// accept is publish with what was done ahead, if anything was.
func (t *topic) accept(ctx context.Context, p *publisher, evs []eventflow.Event, ids *idBlock, a *ahead) error {
	if a == nil && evs[0].ID == "" {
		ids.fill(len(evs)) // outside the lock
	}
	var (
		now    time.Time
		failed []eventflow.ItemError
		mine   *turn
		added  bool
	)
	t.mu.Lock()
	if p.closed || t.closed {
		t.mu.Unlock()
		return t.wrap(eventflow.ErrClosed)
	}
	p.active++
	for i := range evs {
		ev := &evs[i]
		if len(ev.Data) > t.m.set.maxEvent {
			failed = append(failed, eventflow.ItemError{Index: i, Err: t.tooLarge(len(ev.Data))})
			continue
		}
		size := sizeOf(ev)
		if !t.room(size) || mine == nil && len(t.full) > 0 {
			if t.m.set.failWhenFull {
				failed = append(failed, eventflow.ItemError{Index: i, Err: t.wrap(ErrFull)})
				continue
			}
			if added {
				t.wakeConsumers()
				added = false
			}
			if mine == nil {
				mine = &turn{wake: make(chan struct{}, 1)}
				t.full = append(t.full, mine)
			}
			if err := t.wait(ctx, p, mine, size); err != nil {
				if i == 0 {
					t.published(p, mine)
					t.mu.Unlock()
					return err // none was taken
				}
				for j := i; j < len(evs); j++ {
					failed = append(failed, eventflow.ItemError{Index: j, Err: err})
				}
				break
			}
		}
		t.taken++
		var (
			d *eventflow.Delivery
			f *found
		)
		if a != nil && i < a.n {
			d, f = a.delivery(i), &a.found
		} else {
			d = t.first.delivery()
			t.fill(d, ev, ids.of(evs, i))
		}
		if d.Event.Time.IsZero() {
			if now.IsZero() {
				now = time.Now()
			}
			d.Event.Time = now
		}
		t.add(d, f, i, size)
		added = true
	}
	if added {
		t.wakeConsumers()
	}
	t.published(p, mine)
	t.mu.Unlock()
	if len(failed) > 0 {
		return &eventflow.PublishError{Failed: failed}
	}
	return nil
}

// add puts an event at the end of each group, as d in the first, where f may have found its lane. The caller holds the lock.
func (t *topic) add(d *eventflow.Delivery, f *found, i, size int) {
	for _, g := range t.groups[1:] {
		other := g.delivery()
		other.Event = d.Event
		g.add(other, nil, 0, size)
	}
	t.first.add(d, f, i, size)
}

// published ends a Publish. The caller holds the lock.
func (t *topic) published(p *publisher, mine *turn) {
	if mine != nil {
		t.full = slices.DeleteFunc(t.full, func(x *turn) bool { return x == mine })
		t.roomMade()
	}
	p.active--
	if p.active == 0 && p.done != nil {
		close(p.done)
		p.done = nil
	}
}

// wait returns with the lock held when it is this Publish's turn and there is room.
func (t *topic) wait(ctx context.Context, p *publisher, mine *turn, size int) error {
	for {
		switch {
		case p.cut || t.closed:
			return t.wrap(eventflow.ErrClosed)
		case t.full[0] == mine && t.room(size):
			return nil
		}
		t.mu.Unlock()
		select {
		case <-mine.wake:
		case <-ctx.Done():
		}
		t.mu.Lock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// room reports whether each group can take one more event of that size.
func (t *topic) room(size int) bool {
	for _, g := range t.groups {
		if !g.room(size) {
			return false
		}
	}
	return true
}

// roomMade wakes the publisher whose turn it is. The caller holds the lock.
func (t *topic) roomMade() {
	if len(t.full) > 0 {
		signal(t.full[0].wake)
	}
}

// wakeConsumers wakes one consumer of each group; it wakes the next when it leaves something.
func (t *topic) wakeConsumers() {
	for _, g := range t.groups {
		g.wakeOne()
	}
}

// unsettled counts the events of all groups. What waits for a first group does not count: nobody will settle it.
func (t *topic) unsettled() int {
	n := 0
	if t.adopted {
		for _, g := range t.groups {
			n += g.live
		}
	}
	return n
}

// freed is called after events have left: there may be room, and nothing more to settle. The caller holds the lock.
func (t *topic) freed() {
	t.roomMade()
	if len(t.idle) > 0 && t.unsettled() == 0 {
		t.wakeIdle()
	}
}

func (t *topic) wakeIdle() {
	for _, c := range t.idle {
		signal(c)
	}
	t.idle = nil
}

func (t *topic) close() {
	t.mu.Lock()
	t.closed = true
	for _, g := range t.groups {
		g.handBack(nil)
		g.wakeAll()
	}
	for _, x := range t.full {
		signal(x.wake)
	}
	t.wakeIdle()
	t.mu.Unlock()
}

func (t *topic) wrap(err error) error { return topicError(t.name, err) }

func topicError(name string, err error) error {
	return fmt.Errorf("memory topic %q: %w", name, err)
}

func (t *topic) tooLarge(n int) error {
	return fmt.Errorf("memory topic %q: %d bytes, at most %d are allowed: %w", t.name, n, t.m.set.maxEvent, eventflow.ErrTooLarge)
}

// signal fills a channel of capacity 1.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sizeOf is what CapacityBytes counts.
func sizeOf(ev *eventflow.Event) int {
	n := len(ev.Data) + len(ev.ID) + len(ev.Source) + len(ev.Type) + len(ev.Subject) + len(ev.DataContentType) +
		len(ev.DataSchema) + len(ev.Key)
	for i := range ev.Attributes {
		a := &ev.Attributes[i]
		n += len(a.Name)
		switch v := a.Value.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		default:
			n += 16
		}
	}
	return n
}

// An idBlock makes the IDs of one Publish, many in one string: they are slices of it.
type idBlock struct {
	m     *Memory
	block string
	width int // of each
}

// idDigits keeps IDs in their order as texts, for the first ten thousand million of a broker.
const idDigits = 10

// of gives the ID of the event, a new one when it has none.
func (b *idBlock) of(evs []eventflow.Event, i int) string {
	if id := evs[i].ID; id != "" {
		return id
	}
	return b.next(len(evs) - i)
}

func (b *idBlock) next(left int) string {
	if b.block == "" {
		b.fill(left)
	}
	id := b.block[:b.width]
	b.block = b.block[b.width:]
	return id
}

func (b *idBlock) fill(n int) {
	n = min(n, 64) // one that is kept keeps its neighbours
	last := b.m.ids.Add(uint64(n))
	digits := max(idDigits, len(strconv.FormatUint(last, 10)))
	b.width = len(b.m.nonce) + 1 + digits
	var s strings.Builder
	s.Grow(n * b.width)
	var buf [20]byte
	for i := last - uint64(n) + 1; i <= last; i++ {
		s.WriteString(b.m.nonce)
		s.WriteByte('-')
		num := strconv.AppendUint(buf[:0], i, 10)
		for range digits - len(num) {
			s.WriteByte('0')
		}
		s.Write(num)
	}
	b.block = s.String()
}
