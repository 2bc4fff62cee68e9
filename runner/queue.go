package runner

// deque is a queue with two ends in a ring that grows by doubling. Its owner bounds what is put in.
type deque[T any] struct {
	ring []T
	head int
	n    int
}

func (q *deque[T]) len() int { return q.n }

func (q *deque[T]) grow() {
	ring := make([]T, max(16, 2*len(q.ring)))
	for i := range q.n {
		ring[i] = q.ring[(q.head+i)%len(q.ring)]
	}
	q.ring, q.head = ring, 0
}

func (q *deque[T]) pushBack(v T) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = v
	q.n++
}

func (q *deque[T]) pushFront(v T) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.head = (q.head - 1) & (len(q.ring) - 1)
	q.ring[q.head] = v
	q.n++
}

func (q *deque[T]) popFront() (v T) {
	var zero T
	v, q.ring[q.head] = q.ring[q.head], zero
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return v
}

// heap is a min-heap by before.
type heap[T any] struct {
	items  []T
	before func(a, b T) bool
}

func (h *heap[T]) len() int { return len(h.items) }

func (h *heap[T]) push(v T) {
	h.items = append(h.items, v)
	for i := len(h.items) - 1; i > 0; {
		up := (i - 1) / 2
		if !h.before(h.items[i], h.items[up]) {
			return
		}
		h.items[i], h.items[up] = h.items[up], h.items[i]
		i = up
	}
}

// order puts the heap in order again after items were changed in place.
func (h *heap[T]) order() {
	items := h.items
	h.items = h.items[:0]
	for _, v := range items {
		h.push(v)
	}
}

func (h *heap[T]) pop() (v T) {
	var zero T
	last := len(h.items) - 1
	v, h.items[0], h.items[last] = h.items[0], h.items[last], zero
	h.items = h.items[:last]
	for i := 0; ; {
		least := i
		for _, down := range [...]int{2*i + 1, 2*i + 2} {
			if down < last && h.before(h.items[down], h.items[least]) {
				least = down
			}
		}
		if least == i {
			return v
		}
		h.items[i], h.items[least] = h.items[least], h.items[i]
		i = least
	}
}
