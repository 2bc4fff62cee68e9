package kafka

import (
	"container/heap"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

// A partition is one assignment of one: a partition that goes and comes back is another one, so that whatever is still
// said of the first is said to nobody. It is the settler of its deliveries, whose token is the sequence number of the
// record. It is guarded by its subscriber's mu.
type partition struct {
	tracker

	s      *subscriber
	number int32
	name   string
	origin *origin
	topic  [16]byte // its ID
	member string   // who it was assigned to: see rejoins

	lanes []lane
	loose lane // of records without order

	held    int // handed over and not settled
	queued  int // to be handed over
	bytes   int
	over    bool      // has all that it may
	since   time.Time // over
	paused  bool      // the client was told so
	started bool      // its start is committed
	leaving bool      // nothing more is handed over
	fenced  bool      // it is another's
	full    bool      // its commits can hardly tell more

	first  int64 // where it began
	starts int   // unclean ones at first, this one included
	until  int64 // below it one record at a time is run

	dirty   bool                  // something is not committed
	pending []*eventflow.Delivery // acknowledged and not committed
	spare   []*eventflow.Delivery // empty: the next pending
}

func (s *subscriber) newPartition(number int32, at int64, epoch int32, id [16]byte, cluster string, p *progress) *partition {
	x := &partition{
		tracker: newTracker(at, epoch, p), s: s, number: number, name: strconv.Itoa(int(number)), topic: id,
		origin: newOrigin(cluster, s.topic, id, number), first: at, starts: 1,
	}
	x.loose.p = x
	switch s.set.mode {
	case PartitionLanes:
		x.lanes = []lane{{p: x, name: x.name}}
	case KeyLanes:
		x.lanes = make([]lane, keyLanes)
	}
	if p != nil {
		x.starts, x.until = p.starts+1, p.until
		if p.starts >= deadly {
			x.until = max(x.until, at+aheadRecords)
		}
	}
	return x
}

// deadly is how many consumers may die at one offset before its records are run one at a time.
const deadly = 2

// absorb takes in what was fetched.
func (p *partition) absorb(rs []*kgo.Record) {
	if p.leaving || p.fenced || len(rs) == 0 {
		return
	}
	before := p.prefix
	for _, r := range rs {
		seq, e, fresh := p.add(r)
		if !fresh {
			continue
		}
		p.bytes += int(e.size)
		p.s.bytes += int(e.size)
		p.queued++
		l := p.laneOf(r.Key)
		e.lane = l
		l.push(seq, e)
		if !l.listed {
			p.s.place(l)
		}
	}
	if p.prefix != before { // an earlier consumer had settled these
		p.touch()
	}
	p.weigh()
}

// weigh notes whether the partition holds all that it may: its share of half of what there is, or more while the others
// have not got theirs. One that was paused has room again when half of that is gone, so that it has something left until
// its next records are there.
func (p *partition) weigh() {
	s := p.s
	half := s.limits.bytes / 2
	share, records := max(half/max(len(s.parts), 1), 1), s.limits.records
	if p.paused {
		half, share, records = half/2, share/2, records/2
	}
	over := p.n > 0 && (p.bytes >= share && s.bytes >= half || p.n >= records)
	if over == p.over || p.fenced {
		return
	}
	if p.over = over; over {
		s.over++
		p.since = time.Now()
		return
	}
	s.over--
	s.wakeUp()
}

// handOver makes a record a delivery.
func (p *partition) handOver(l *lane, seq uint64, e *entry, until time.Time) *eventflow.Delivery {
	d := p.s.delivery()
	if e.d != nil {
		d.Event = e.d.Event
	} else {
		p.s.fresh = append(p.s.fresh, reading{e.rec, e.offset, p.origin, &d.Event})
	}
	e.receives++
	d.Lane, d.Attempts, d.Receives = l.name, int(e.attempts), int(e.receives)
	d.LockedUntil, d.Native = until, e.rec
	d.Bind(p, seq)
	e.d, e.state = d, entryHeld
	p.handed = max(p.handed, seq)
	l.held++
	p.held++
	p.queued--
	p.s.open++
	return d
}

// alone decides whether a record may run where processes have died: nothing else of the partition runs, and its attempt
// is committed.
func (p *partition) alone(seq uint64, e *entry) bool {
	switch {
	case p.held > 0 || seq != p.head:
		return false
	case e.sole == soleCleared:
		return true
	case e.sole == soleNone:
		p.mark(e, soleWanted)
		p.touch()
		p.s.kickCommit()
	}
	return false
}

// outstanding gives what was handed over, is not settled and is in no transaction.
func (p *partition) outstanding() (ds []*eventflow.Delivery) {
	if p.held == 0 {
		return nil
	}
	for seq := p.head; p.has(seq); seq++ {
		if e := p.at(seq); e.state == entryHeld && !e.in {
			ds = append(ds, e.d)
		}
	}
	return ds
}

// letGo notes that a delivery is settled, whatever becomes of its record.
func (p *partition) letGo(e *entry) {
	e.lane.held--
	p.held--
	p.s.open--
	if p.held == 0 && p.leaving {
		select {
		case p.s.drained <- struct{}{}:
		default:
		}
	}
}

// takeBack puts a record that was handed over where it came from, to be handed over again.
func (p *partition) takeBack(d *eventflow.Delivery, after time.Duration) {
	seq := d.Token()
	e := p.at(seq)
	p.letGo(e)
	p.mark(e, soleNone)
	l := e.lane
	e.state = entryQueued
	p.queued++
	if after > 0 {
		p.queued--
		e.state = entryDelayed
		p.s.delays.push(delayed{time.Now().Add(min(after, maxNack)), p, seq})
		p.s.wakeUp()
	}
	if after <= 0 || l.name != "" { // a lane waits for what is delayed in it
		l.giveBack(seq)
	}
	p.replace(l)
}

// abandon puts a record back whose flow may run for as long as it was promised. Nothing of its lane runs beside it.
func (p *partition) abandon(d *eventflow.Delivery) {
	p.s.abandoned = true
	after := min(p.s.pulse.lasts(), maxNack)
	p.at(d.Token()).lane.deaf = time.Now().Add(after)
	p.takeBack(d, after)
}

// replace places a lane again after something of it was settled.
func (p *partition) replace(l *lane) {
	p.s.place(l)
	if p.prefix < p.until { // the next may be of another lane
		if e := p.at(p.head); p.n > 0 && e.lane != nil && e.lane != l {
			p.s.place(e.lane)
		}
	}
}

func (l *lane) giveBack(seq uint64) { heap.Push(&l.back, seq) }

// finish notes that a record is done, which is to be committed.
func (p *partition) finish(seq uint64, e *entry) {
	p.touch()
	p.done(seq, e)
}

// done notes that a record is done. Its lane is to be replaced then.
func (p *partition) done(seq uint64, e *entry) {
	p.letGo(e)
	p.bytes -= int(e.size)
	if most := p.s.limits.bytes; p.s.bytes >= most && p.s.bytes-int(e.size) < most {
		p.s.wakeUp()
	}
	p.s.bytes -= int(e.size)
	before := p.prefix
	p.settle(seq, e)
	if p.over {
		p.weigh()
	}
	if before < p.until && p.prefix >= p.until {
		p.placeAll()
	}
}

func (p *partition) placeAll() {
	for i := range p.lanes {
		if l := &p.lanes[i]; l.p != nil {
			p.s.place(l)
		}
	}
	p.s.place(&p.loose)
}

// touch notes that there is something to commit.
func (p *partition) touch() {
	p.dirty = true
	if !p.s.dirty {
		p.s.dirty = true
		p.s.kickCommit()
	}
}

// delayed is a record that waits.
type delayed struct {
	at  time.Time
	p   *partition
	seq uint64
}

// delayHeap is a min-heap by time.
type delayHeap []delayed

func (h delayHeap) Len() int           { return len(h) }
func (h delayHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h delayHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is container/heap's.
func (h *delayHeap) Push(x any) { *h = append(*h, x.(delayed)) } //nolint:forcetypeassert // only push calls it

// Pop is container/heap's.
func (h *delayHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = delayed{}
	*h = (*h)[:last]
	return x
}

func (h *delayHeap) push(d delayed) { heap.Push(h, d) }
func (h *delayHeap) pop()           { heap.Pop(h) }
