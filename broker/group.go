package broker

import (
	"cmp"
	"slices"
	"time"

	"github.com/eventflow-go/eventflow"
)

// A group holds the events that its consumers have not settled. It is guarded by its topic's mutex.
//
// Every event waits in main until a Next reaches it; main's first event is therefore always looked at once. One whose
// lane cannot be handed over moves to the lane's own queue, so that a stuck lane costs each of its events one move and
// nobody else anything. A lane with something to hand over is on a list: its owner's, or ready when it has none.
type group struct {
	t    *topic
	name string

	slots slots
	lanes lanes
	slab  []eventflow.Delivery // not used yet

	main   fifo     // published, in order
	again  fifo     // came back and have no lane
	ready  laneList // lanes that nobody owns
	delays heap     // what waits for an instant
	turn   int      // the source that is asked first
	moves  int      // that the take under way may still make from main to lanes

	seq     uint64
	live    int // events of any state
	bytes   int // their size
	queued  int // events that wait to be handed over
	delayed int // events that wait for an instant

	consumers int           // subscribers that are open
	waiters   []*subscriber // those whose Next waits, the longest first

	count counts
}

// counts only grow.
type counts struct {
	published, redriven, duplicated          int64
	handedOver, acked, deadLettered, attempt int64
}

func newGroup(t *topic, name string) *group {
	return &group{t: t, name: name, slots: slots{free: none}, main: newFIFO(), again: newFIFO()}
}

// add puts a new event at the end, as d. It is the n-th of those whose lanes f looked for, if there is an f.
func (g *group) add(d *eventflow.Delivery, f *found, n, size int) {
	i, s := g.slots.take()
	g.count.published++
	g.enqueue(i, s, d, f, n, size)
}

// fill makes ev, with that ID, what d delivers.
func (t *topic) fill(d *eventflow.Delivery, ev *eventflow.Event, id string) {
	d.Event = *ev
	d.Event.ID = id
	// Whoever appends to these must not write into what other deliveries of the event share.
	d.Event.Attributes = slices.Clip(ev.Attributes)
	d.Event.Data = slices.Clip(ev.Data)
	if ev.Source == "" {
		d.Event.Source = t.source
	}
}

// delivery gives a new one. One allocation makes several, and one that is kept keeps its neighbours.
func (g *group) delivery() *eventflow.Delivery {
	if len(g.slab) == 0 {
		g.slab = make([]eventflow.Delivery, slabSize)
	}
	d := &g.slab[0]
	g.slab = g.slab[1:]
	return d
}

const slabSize = 32

func (g *group) enqueue(i int32, s *slot, d *eventflow.Delivery, f *found, n, size int) {
	g.seq++
	s.d = d
	s.seq = g.seq
	s.size = size
	s.state = slotQueued
	if d.Event.Key != "" {
		d.Lane = d.Event.Key
		s.lane = g.lanes.enter(d.Lane, f, n)
	}
	g.main.push(&g.slots, i, s)
	g.queued++
	g.live++
	g.bytes += size
}

// room reports whether one more event of that size fits.
func (g *group) room(size int) bool {
	set := &g.t.m.set
	return g.live < set.capacity && (g.bytes == 0 || g.bytes+size <= set.capacityBytes)
}

// free forgets an event that is in no queue: it is settled. The caller calls topic.freed in the end.
func (g *group) free(i int32, s *slot) {
	if l := s.lane; l != nil {
		if s.state == slotHeld {
			l.drop()
		}
		g.lanes.exit(l)
		if l.live > 0 {
			g.place(l)
		}
	}
	g.live--
	g.bytes -= s.size
	g.slots.give(i, s)
}

// drop notes that the owner holds one less.
func (l *lane) drop() {
	l.held--
	if l.held == 0 {
		l.owner = nil
	}
}

// giveBack makes an event that was handed over one to be handed over, at once or when it is due.
func (g *group) giveBack(i int32, s *slot, delay time.Duration, now int64) {
	if s.written {
		g.count.deadLettered++
		g.free(i, s)
		return
	}
	if l := s.lane; l != nil {
		l.drop()
	}
	s.holder = nil
	g.park(i, s, delay, now)
}

// park queues an event that is in no queue, before everything that was published after it.
func (g *group) park(i int32, s *slot, delay time.Duration, now int64) {
	l := s.lane
	if l != nil {
		l.back.push(entry{key: int64(s.seq), slot: i})
	}
	if delay > 0 {
		s.state = slotDelayed
		g.delayed++
		e := entry{key: now + int64(min(delay, maxDelay)), seq: s.seq, slot: i}
		g.delays.push(e)
		if g.delays[0] == e {
			g.wakeOne() // it waits for a later instant, if for any
		}
	} else {
		s.state = slotQueued
		g.queued++
		if l == nil {
			g.again.push(&g.slots, i, s)
			g.wakeOne()
		}
	}
	if l != nil {
		g.place(l)
	}
}

// expire queues what is due.
func (g *group) expire(now int64) {
	for len(g.delays) > 0 && g.delays[0].key <= now {
		i := g.delays.pop().slot
		s := g.slots.at(i)
		s.state = slotQueued
		g.delayed--
		g.queued++
		if s.lane != nil {
			if s.deaf {
				s.deaf = false
				s.lane.losing--
			}
			g.place(s.lane)
		} else {
			g.again.push(&g.slots, i, s)
		}
	}
}

// place puts a lane on the list of who may be handed its head, and wakes him.
func (g *group) place(l *lane) {
	var to *laneList
	if i := l.head(); i != none && l.losing == 0 && g.slots.at(i).state == slotQueued {
		switch {
		case l.owner == nil:
			to = &g.ready
		case l.owner.roomFor(l):
			to = &l.owner.ready
		}
	}
	if l.list == to {
		return
	}
	l.leave()
	switch to {
	case nil:
	case &g.ready:
		to.push(l)
		g.wakeOne()
	default:
		to.push(l)
		g.wake(l.owner)
	}
}

// The sources that Next serves from. They take turns, so that none starves another: what keeps coming back does not
// hold up what is new, nor the other way round.
const (
	fromMain = iota
	fromAgain
	fromOwned
	fromReady
	sources
)

// peek gives the event that s is handed next, and where it is.
func (g *group) peek(s *subscriber) (int32, int) {
	for k := range sources {
		from := (g.turn + k) % sources
		i := none
		switch from {
		case fromMain:
			i = g.peekMain(s)
		case fromAgain:
			i = g.again.first
		case fromOwned:
			for l := s.ready.first; l != nil; l = s.ready.first {
				if s.roomFor(l) {
					i = l.head()
					break
				}
				l.leave() // the bound was lowered
			}
		case fromReady:
			if l := g.ready.first; l != nil {
				i = l.head()
			}
		}
		if i != none {
			return i, from
		}
	}
	return none, 0
}

// peekMain gives the first event of main that s may have; those before it move to their lanes, but no more than a few
// thousand in one take, so that the lock is not held for long.
func (g *group) peekMain(s *subscriber) int32 {
	for {
		i := g.main.first
		if i == none || g.moves == 0 {
			return none
		}
		sl := g.slots.at(i)
		l := sl.lane
		if l == nil || l.head() == none && l.losing == 0 && (l.owner == nil || l.owner == s && s.roomFor(l)) {
			return i
		}
		g.main.pop(sl)
		g.moves--
		l.waiting.push(&g.slots, i, sl)
		if l.waiting.first == i {
			g.place(l)
		}
	}
}

// remove takes the event that peek gave out of its queue.
func (g *group) remove(s *slot, from int) {
	switch from {
	case fromMain:
		g.main.pop(s)
	case fromAgain:
		g.again.pop(s)
	default:
		s.lane.pop(s)
		s.lane.leave() // the next lane's turn
	}
	g.queued--
	g.turn = (from + 1) % sources
}

// take hands events to s, within the bounds.
func (g *group) take(s *subscriber, want eventflow.Want) []*eventflow.Delivery {
	if g.queued == 0 && len(g.delays) == 0 {
		return nil
	}
	now := time.Now()
	g.expire(g.t.m.instant(now))
	g.moves = maxMoves
	if s.perLane != want.PerLane {
		g.bound(s, want.PerLane)
	}
	var (
		out   []*eventflow.Delivery
		bytes int
		n     = min(want.Events, g.queued)
		until = now.Add(g.t.m.set.lease)
		fs    = g.t.m.faults.Load()
	)
	for len(out) < n {
		i, from := g.peek(s)
		if i == none {
			break
		}
		sl := g.slots.at(i)
		size := len(sl.d.Event.Data)
		if want.Bytes > 0 && bytes+size > want.Bytes && len(out) > 0 {
			break
		}
		g.remove(sl, from)
		if g.overdrawn(i, sl) || fs != nil && fs.delay(g, i, sl, g.t.m.instant(now)) {
			continue
		}
		bytes += size
		if out == nil {
			out = make([]*eventflow.Delivery, 0, n)
		}
		out = append(out, g.handOver(i, sl, s, until))
		if fs != nil {
			fs.handedOver(g, sl)
		}
	}
	return out
}

const maxMoves = 4096

func (g *group) handOver(i int32, sl *slot, s *subscriber, until time.Time) *eventflow.Delivery {
	if sl.receive > 0 {
		old := sl.d
		sl.d = g.delivery()
		sl.d.Event, sl.d.Lane = old.Event, old.Lane
	}
	d := sl.d
	sl.state = slotHeld
	sl.holder = s
	sl.gen++
	sl.receive++
	g.count.handedOver++
	d.Attempts, d.Receives, d.Redrive = int(sl.attempt), int(sl.receive), int(sl.redrive)
	d.LockedUntil = until
	d.Bind(s, uint64(i)<<32|uint64(sl.gen))
	if l := sl.lane; l != nil {
		l.owner = s
		l.held++
		g.place(l)
	}
	return d
}

// bound notes how much of a lane s may hold from now on; lanes that waited for more go on its list.
func (g *group) bound(s *subscriber, perLane int) {
	more := s.perLane > 0 && (perLane == 0 || perLane > s.perLane)
	s.perLane = perLane
	if more {
		for _, l := range g.lanes.byKey {
			if l.owner == s {
				g.place(l)
			}
		}
	}
}

// handBack gives back what s holds and has not settled, or all that anybody holds.
func (g *group) handBack(s *subscriber) {
	for _, i := range g.held(s) {
		if sl := g.slots.at(i); sl.d.Lose() {
			g.giveBack(i, sl, 0, 0)
		}
	}
	g.t.freed()
}

// held gives what s holds, or anybody, in the order of publishing.
func (g *group) held(s *subscriber) []int32 {
	var held []int32
	for c, chunk := range g.slots.chunks {
		for i := range chunk {
			if sl := &chunk[i]; sl.state == slotHeld && (s == nil || sl.holder == s) {
				held = append(held, int32(c<<slotChunkBits+i))
			}
		}
	}
	slices.SortFunc(held, func(a, b int32) int { return cmp.Compare(g.slots.at(a).seq, g.slots.at(b).seq) })
	return held
}
