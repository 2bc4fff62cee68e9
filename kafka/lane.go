package kafka

import (
	"container/heap"
	"hash/maphash"
	"strconv"
	"time"
)

// A lane is the records of a partition that are handed over in order: all of them, or those whose keys share a hash, or,
// without a name, those that are in no order at all.
type lane struct {
	p    *partition
	name string

	// back holds what was given back, by its place; everything in it comes before everything in the queue, because a lane
	// is handed over in order.
	back        seqHeap
	first, last uint64 // the queue of what was not handed over yet; 0: none
	held        int    // handed over and not settled

	deaf time.Time // until then the flow of something that was abandoned may run

	listed     bool // on the subscriber's list of lanes that have something for Next
	prev, next *lane
}

// keyLanes is how many lanes the keys of one partition share. Two keys of one lane are in order with each other as well,
// and wait for each other.
const keyLanes = 256

var keySeed = maphash.MakeSeed()

// laneOf gives the lane of a record's key.
func (p *partition) laneOf(key []byte) *lane {
	switch {
	case p.s.set.mode == PartitionLanes:
		return &p.lanes[0]
	case p.s.set.mode != KeyLanes, key == nil:
		return &p.loose
	}
	i := maphash.Bytes(keySeed, key) % keyLanes
	l := &p.lanes[i]
	if l.name == "" {
		l.p, l.name = p, p.name+"/"+strconv.Itoa(int(i))
	}
	return l
}

// head is the record that is next in order, 0 when there is none.
func (l *lane) head() uint64 {
	if len(l.back) > 0 {
		return l.back[0]
	}
	return l.first
}

func (l *lane) push(seq uint64, e *entry) {
	e.next = 0
	if l.first == 0 {
		l.first = seq
	} else {
		l.p.at(l.last).next = seq
	}
	l.last = seq
}

// pop removes the head.
func (l *lane) pop() {
	if len(l.back) > 0 {
		heap.Pop(&l.back)
		return
	}
	l.first = l.p.at(l.first).next
	if l.first == 0 {
		l.last = 0
	}
}

// seqHeap is a min-heap of sequence numbers.
type seqHeap []uint64

func (h seqHeap) Len() int           { return len(h) }
func (h seqHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h seqHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is container/heap's.
func (h *seqHeap) Push(x any) { *h = append(*h, x.(uint64)) } //nolint:forcetypeassert // only heap.Push of this package calls it

// Pop is container/heap's.
func (h *seqHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// laneList is doubly linked through its lanes: a lane leaves from anywhere.
type laneList struct {
	first, last *lane
	n           int
}

func (ls *laneList) push(l *lane) {
	l.listed, l.prev, l.next = true, ls.last, nil
	if ls.last == nil {
		ls.first = l
	} else {
		ls.last.next = l
	}
	ls.last = l
	ls.n++
}

func (ls *laneList) remove(l *lane) {
	if !l.listed {
		return
	}
	if l.prev == nil {
		ls.first = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		ls.last = l.prev
	} else {
		l.next.prev = l.prev
	}
	ls.n--
	l.listed, l.prev, l.next = false, nil, nil
}
