package kafka

import (
	"container/heap"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/renew"
)

// sharePart is a partition of a share group. A topic that is deleted and made again has another ID.
type sharePart struct {
	topic     [16]byte
	partition int32
}

// shareState is where a record is. One that the broker has back, or that was lost, is gone.
type shareState uint8

const (
	shareGone    shareState = iota
	shareReady              // waits for Next
	shareHanded             // handed over, not settled
	shareDelayed            // given back, and held until its delay is over
	shareSettled            // its end is on its way to the broker
)

// shareRecord is one record that this member has acquired.
type shareRecord struct {
	d      *eventflow.Delivery
	rec    *kgo.Record
	lock   renew.Lock[*shareRecord]
	x      *shareSession
	part   sharePart
	offset int64
	size   int
	state  shareState
	verb   eventflow.Verb // of its settlement
	quiet  bool           // nobody is told of its end: it was not handed over, or was told already
}

// hold takes in a record that was acquired by a request that was sent at sent, and reports whether its lock can be kept.
// The caller holds mu.
func (s *shareSubscriber) hold(r *shareRecord, sent time.Time, lock time.Duration) bool {
	if !s.locks.Add(&r.lock, r, sent, lock) {
		return false
	}
	r.state, r.size = shareReady, len(r.rec.Value)+len(r.rec.Key)
	s.bytes += r.size
	n := uint64(len(s.records))
	if last := len(s.free) - 1; last >= 0 {
		n, s.free = s.free[last], s.free[:last]
		s.records[n] = r
	} else {
		s.records = append(s.records, r)
	}
	r.d.Bind(s, n)
	s.offer(r)
	return true
}

// offer lets Next have a record. One that no Next takes soon is given back: others may be waiting for it. The caller holds
// mu.
func (s *shareSubscriber) offer(r *shareRecord) {
	r.state = shareReady
	s.ready = append(s.ready, r)
	s.schedule(r, shareUncollected)
	s.wakeUp()
}

// drop forgets a record. The caller holds mu.
func (s *shareSubscriber) drop(r *shareRecord) {
	if r.state == shareGone {
		return
	}
	r.state = shareGone
	s.locks.Remove(&r.lock)
	s.bytes -= r.size
	n := r.d.Token()
	s.records[n] = nil
	s.free = append(s.free, n)
	if s.want > 0 {
		s.kickAll() // there may be room again
	}
}

// of gives the record of a delivery; nil when it is not held any more. The caller holds mu.
func (s *shareSubscriber) of(d *eventflow.Delivery) *shareRecord {
	n := d.Token()
	if n >= uint64(len(s.records)) || s.records[n] == nil || s.records[n].d != d {
		return nil
	}
	return s.records[n]
}

// isLast reports whether the broker would hand the record to nobody again.
func (s *shareSubscriber) isLast(r *shareRecord) bool {
	return s.traits.deliveries > 0 && r.d.Receives >= s.traits.deliveries
}

// again offers a record anew in this process, as the delivery that it is: the broker would hand it to nobody. The caller
// holds mu.
func (s *shareSubscriber) again(r *shareRecord) {
	d := &eventflow.Delivery{Event: r.d.Event, Attempts: -1, Receives: r.d.Receives, Native: r.rec}
	d.Bind(s, r.d.Token())
	r.d, r.verb, r.quiet = d, 0, false
	s.offer(r)
}

// shareDue is when a record wants to be looked at.
type shareDue struct {
	at    time.Time
	r     *shareRecord
	state shareState // nothing is to be done when it is in another by then
	d     *eventflow.Delivery
}

// schedule looks at a record after a while. The caller holds mu.
func (s *shareSubscriber) schedule(r *shareRecord, after time.Duration) {
	if s.closed {
		return
	}
	at := time.Now().Add(after)
	heap.Push(&s.due, shareDue{at: at, r: r, state: r.state, d: r.d})
	if s.due[0].r != r {
		return
	}
	if s.timer == nil {
		s.timer = time.AfterFunc(after, s.expire)
		return
	}
	s.timer.Reset(after)
}

// expire gives back what was held for its delay, and what no Next has taken.
func (s *shareSubscriber) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.due) > 0 && !s.closed {
		e := s.due[0]
		if left := time.Until(e.at); left > 0 {
			s.timer.Reset(left)
			return
		}
		heap.Pop(&s.due)
		switch r := e.r; {
		case r.state != e.state || r.d != e.d:
		case s.isLast(r) && r.state == shareDelayed:
			s.again(r)
		case r.state == shareReady && (s.want > 0 || s.isLast(r)):
			s.schedule(r, shareUncollected)
		default:
			r.quiet = true
			s.mark(r, shareRelease)
		}
	}
}

// shareDueHeap is a min-heap by time.
type shareDueHeap []shareDue

func (h shareDueHeap) Len() int           { return len(h) }
func (h shareDueHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h shareDueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is container/heap's.
func (h *shareDueHeap) Push(x any) { *h = append(*h, x.(shareDue)) } //nolint:forcetypeassert // only heap.Push of this file calls it

// Pop is container/heap's.
func (h *shareDueHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = shareDue{}
	*h = (*h)[:last]
	return x
}
