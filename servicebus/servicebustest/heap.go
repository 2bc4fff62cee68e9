package servicebustest

// A heap keeps its least element first. Its elements know their places, so that any can be taken out.
type heap[T element[T]] []T

type element[T any] interface {
	before(other T) bool
	place() *int // in the heap, from 1; 0 when it is in none
}

func (h *heap[T]) push(x T) {
	*h = append(*h, x)
	*x.place() = len(*h)
	h.up(len(*h) - 1)
}

func (h *heap[T]) remove(x T) {
	i := *x.place() - 1
	if i < 0 {
		return
	}
	*x.place() = 0
	s := *h
	last := s[len(s)-1]
	var none T
	s[len(s)-1] = none
	*h = s[:len(s)-1]
	if i == len(*h) {
		return
	}
	(*h)[i] = last
	*last.place() = i + 1
	h.down(i)
	h.up(*last.place() - 1)
}

func (h *heap[T]) up(i int) {
	s := *h
	for i > 0 {
		parent := (i - 1) / 2
		if !s[i].before(s[parent]) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *heap[T]) down(i int) {
	s := *h
	for {
		child := 2*i + 1
		if child >= len(s) {
			return
		}
		if child+1 < len(s) && s[child+1].before(s[child]) {
			child++
		}
		if !s[child].before(s[i]) {
			return
		}
		h.swap(i, child)
		i = child
	}
}

func (h *heap[T]) swap(i, j int) {
	s := *h
	s[i], s[j] = s[j], s[i]
	*s[i].place(), *s[j].place() = i+1, j+1
}
