package sqstest

import "container/heap"

// schedule is a heap of messages, the one with the earliest time first, then the oldest. A message is in at most one.
type schedule struct{ s []*message }

func (h *schedule) Len() int { return len(h.s) }

func (h *schedule) Less(i, j int) bool {
	if c := h.s[i].visibleAt.Compare(h.s[j].visibleAt); c != 0 {
		return c < 0
	}
	return h.s[i].serial < h.s[j].serial
}

func (h *schedule) Swap(i, j int) {
	h.s[i], h.s[j] = h.s[j], h.s[i]
	h.s[i].place, h.s[j].place = i, j
}

// Push and Pop are for package heap alone.
func (h *schedule) Push(x any) {
	m := x.(*message)
	m.in, m.place = h, len(h.s)
	h.s = append(h.s, m)
}

// Pop is for package heap alone.
func (h *schedule) Pop() any {
	last := len(h.s) - 1
	m := h.s[last]
	h.s[last] = nil
	h.s = h.s[:last]
	m.in = nil
	return m
}

// add puts a message in, and takes it out of where it was.
func (h *schedule) add(m *message) {
	m.unschedule()
	heap.Push(h, m)
}

// first is nil when there is none.
func (h *schedule) first() *message {
	if len(h.s) == 0 {
		return nil
	}
	return h.s[0]
}

func (m *message) unschedule() {
	if m.in != nil {
		heap.Remove(m.in, m.place)
	}
}
