package store

// ended names the records that are done, in the order of their ends. It is beside the records and not a list through
// them, so that it can be read ahead without waiting for one record to know the next; each record knows its place in it.
// It is made of blocks, which are used again: however it grows and moves on, nothing is copied.
type ended struct {
	blocks     pages[block]
	unused     int32 // a list of the blocks that are not used now
	head, tail place // of the oldest; of the next that comes
	n          int
}

type block struct {
	next int32 // the one after it; of an unused one, the next unused
	of   [inBlock]int32
}

// place is a block and, in its low bits, what is in it. 0 is nowhere.
type place int32

const (
	blockBits = 4
	blockMask = 1<<blockBits - 1
	inBlock   = blockMask
)

func (q *ended) at(p place) *int32 { return &q.blocks.at(int32(p >> blockBits)).of[p&blockMask] }

// first gives the record that ended first; 0 when there is none.
func (q *ended) first() int32 {
	if q.n == 0 {
		return 0
	}
	return *q.at(q.head)
}

// push puts in a record that ended now.
func (q *ended) push(ks *keys, i int32) {
	if q.tail == 0 || q.tail&blockMask == inBlock {
		b := q.unused
		if b != 0 {
			q.unused = q.blocks.at(b).next
		} else {
			b = q.blocks.add()
		}
		q.blocks.at(b).next = 0
		if q.tail == 0 {
			q.head = place(b) << blockBits
		} else {
			q.blocks.at(int32(q.tail >> blockBits)).next = b
		}
		q.tail = place(b) << blockBits
	}
	*q.at(q.tail) = i
	ks.at(i).next = int32(q.tail)
	q.tail++
	q.n++
}

// remove takes out a record that is the first, or past its window. The first goes to its place: that is past its window
// too, and in which order such records go makes no difference.
func (q *ended) remove(ks *keys, i int32) {
	if p := place(ks.at(i).next); p != q.head {
		first := *q.at(q.head)
		*q.at(p) = first
		ks.at(first).next = int32(p)
	}
	q.n--
	q.head++
	if q.n > 0 && q.head&blockMask != inBlock {
		return
	}
	n := int32((q.head - 1) >> blockBits)
	b := q.blocks.at(n)
	if q.n > 0 {
		q.head = place(b.next) << blockBits
	} else {
		q.head, q.tail = 0, 0
	}
	b.next, q.unused = q.unused, n
}

// read gives the first len(to), which must be there.
func (q *ended) read(to []int32) {
	p := q.head
	for {
		b := q.blocks.at(int32(p >> blockBits))
		n := copy(to, b.of[p&blockMask:])
		if to = to[n:]; len(to) == 0 {
			return
		}
		p = place(b.next) << blockBits
	}
}
