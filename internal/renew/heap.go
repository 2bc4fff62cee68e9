package renew

import "time"

// The two orders in which a tracker looks at its locks.
const (
	byDue = iota // when a lock wants its next renewal; locks that are being renewed are not in it
	byEnd        // when a lock has to be given up; every lock is in it
	orders
)

// place is where a lock stands in one order: its instant, counted from the tracker's start, and its index; -1: nowhere.
type place struct {
	at    time.Duration
	index int
}

// queue is a binary heap of locks by their instant in one order. Locks know their own index, so that any of them can be
// taken out: container/heap would cost an interface call a step.
type queue[L any] struct {
	order int
	locks []*Lock[L]
}

func (q *queue[L]) len() int { return len(q.locks) }

// first gives the instant of the earliest lock; there must be one.
func (q *queue[L]) first() time.Duration { return q.locks[0].places[q.order].at }

func (q *queue[L]) push(l *Lock[L], at time.Duration) {
	l.places[q.order] = place{at: at, index: len(q.locks)}
	q.locks = append(q.locks, l)
	q.up(len(q.locks) - 1)
}

// remove takes l out; nothing happens when it is not in the order.
func (q *queue[L]) remove(l *Lock[L]) {
	i := l.places[q.order].index
	if i < 0 {
		return
	}
	last := len(q.locks) - 1
	q.swap(i, last)
	q.locks[last] = nil
	q.locks = q.locks[:last]
	l.places[q.order].index = -1
	if i < last && !q.up(i) {
		q.down(i)
	}
}

// move gives l, which is in the order, another instant.
func (q *queue[L]) move(l *Lock[L], at time.Duration) {
	l.places[q.order].at = at
	if i := l.places[q.order].index; !q.up(i) {
		q.down(i)
	}
}

func (q *queue[L]) less(i, j int) bool {
	return q.locks[i].places[q.order].at < q.locks[j].places[q.order].at
}

func (q *queue[L]) swap(i, j int) {
	q.locks[i], q.locks[j] = q.locks[j], q.locks[i]
	q.locks[i].places[q.order].index, q.locks[j].places[q.order].index = i, j
}

func (q *queue[L]) up(i int) (moved bool) {
	for i > 0 {
		parent := (i - 1) / 2
		if !q.less(i, parent) {
			break
		}
		q.swap(i, parent)
		i, moved = parent, true
	}
	return moved
}

func (q *queue[L]) down(i int) {
	for {
		least := 2*i + 1
		if least >= len(q.locks) {
			return
		}
		if right := least + 1; right < len(q.locks) && q.less(right, least) {
			least = right
		}
		if !q.less(least, i) {
			return
		}
		q.swap(i, least)
		i = least
	}
}
