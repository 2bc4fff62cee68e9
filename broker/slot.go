package broker

import "github.com/eventflow-go/eventflow"

// none is the index of no slot.
const none int32 = -1

// A slot holds one event of a group from its publishing to its settlement. Slots never move: they are named by their
// index, linked by it, and used again.
type slot struct {
	// d is the delivery that it is handed over as, or the last one that it was. It holds the event from the publishing
	// on, so that an event which is handed over once is copied once.
	d      *eventflow.Delivery
	holder *subscriber // while it is handed over
	lane   *lane       // nil without a Key

	seq     uint64 // its place in the group
	size    int
	next    int32  // in the queue it is in, or in the free list
	gen     uint32 // grows with each hand-over, so that an old delivery cannot settle a new one
	attempt int32  // failed attempts
	receive int32  // hand-overs
	redrive int32
	state   slotState
	written bool // its dead letter is safe: it must not come back
	copied  bool // a fault has made a second one of it, or it is that one
	late    bool // a fault has delayed it
	deaf    bool // its run was abandoned and may go on: nothing of its lane is handed over while it waits
}

type slotState uint8

const (
	slotFree slotState = iota
	slotQueued
	slotDelayed
	slotHeld
)

// slots are allocated in chunks and recycled through a free list.
type slots struct {
	chunks []*[slotChunk]slot
	free   int32 // the first free slot, or none
}

const (
	slotChunkBits = 6
	slotChunk     = 1 << slotChunkBits
)

func (ss *slots) at(i int32) *slot {
	return &ss.chunks[i>>slotChunkBits][i&(slotChunk-1)]
}

// take gives a free slot whose gen is the only field that means anything.
func (ss *slots) take() (int32, *slot) {
	if ss.free == none {
		first := int32(len(ss.chunks)) << slotChunkBits
		chunk := new([slotChunk]slot)
		for i := range chunk {
			chunk[i].next = first + int32(i) + 1
		}
		chunk[slotChunk-1].next = none
		ss.chunks = append(ss.chunks, chunk)
		ss.free = first
	}
	i := ss.free
	s := ss.at(i)
	ss.free = s.next
	return i, s
}

// give takes a slot back. It lets go of the event.
func (ss *slots) give(i int32, s *slot) {
	*s = slot{gen: s.gen, next: ss.free}
	ss.free = i
}

// A fifo is a queue of slots, linked by their next.
type fifo struct{ first, last int32 }

func newFIFO() fifo { return fifo{none, none} }

func (q *fifo) empty() bool { return q.first == none }

func (q *fifo) push(ss *slots, i int32, s *slot) {
	s.next = none
	if q.first == none {
		q.first = i
	} else {
		ss.at(q.last).next = i
	}
	q.last = i
}

// pop removes the first slot, which is s.
func (q *fifo) pop(s *slot) {
	q.first = s.next
	if q.first == none {
		q.last = none
	}
}
