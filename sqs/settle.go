package sqs

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/eventflow-go/eventflow"
)

// How long a settlement waits for others to fill its request, while more of them are to come: what is acknowledged is
// held by its lock and waits without harm, but a message group waits with it.
const (
	standardLinger = 100 * time.Millisecond
	fifoLinger     = 10 * time.Millisecond
	backLinger     = 2 * time.Millisecond
)

// mostWrites is how many batches of one kind are on their way at once.
const mostWrites = 8

// batcher writes settlements of one kind, ten in a request. It is guarded by its subscriber's mutex.
type batcher struct {
	s      *subscriber
	send   func(ctx context.Context, in []receipt) outcomes
	back   bool // what it writes makes messages visible
	most   int  // requests at once
	linger time.Duration

	pending  []*message
	calls    int
	due      bool // the oldest has waited long enough
	timer    *time.Timer
	failures int // in a row
	after    time.Time
}

// receipt is what a request says of a message.
type receipt struct {
	handle  string
	seconds int32 // until it is visible again
}

// outcomes is what became of a batch: the error of each message; all has that of the whole request.
type outcomes struct {
	all  error
	each []error
}

// Settle marks. Requests are made by goroutines of the subscriber's own.
func (s *subscriber) Settle(ds []*eventflow.Delivery, st eventflow.Settlement) {
	var now time.Time
	if st.After > 0 {
		now = time.Now()
	}
	var done, late []*eventflow.Delivery
	s.mu.Lock()
	for _, d := range ds {
		m := s.messageOf(d)
		switch {
		case m == nil:
			continue
		case m.at != stateHanded:
			continue
		}
		s.unhand(m)
		m.st = st
		if st.After > 0 {
			m.due = now.Add(st.After)
		}
		switch {
		case m.gone || s.finished:
			s.drop(m)
			late = append(late, d)
		case st.Verb == eventflow.Ack && m.moved && !m.until.IsZero(): // the queue has it already
			s.drop(m)
			done = append(done, d)
		default:
			done = append(done, s.decide(m)...)
		}
	}
	s.acks.flush()
	s.backs.flush()
	s.signal()
	tell := s.listening.Settled
	s.mu.Unlock()
	if tell == nil {
		return
	}
	if len(done) > 0 {
		tell(done, nil)
	}
	if len(late) > 0 {
		tell(late, s.wrap(eventflow.ErrLockLost))
	}
}

// decide writes what was decided of a message; of a part, when all parts of its message are decided. It gives what needs
// no confirmation. The caller holds the lock.
func (s *subscriber) decide(m *message) (done []*eventflow.Delivery) {
	m.at = stateSettled
	w := m
	if m.whole != nil {
		w = m.whole
		w.merge(m)
		if w.open--; w.open > 0 {
			return nil
		}
		w.at = stateSettled
	}
	switch {
	case w.st.Verb == eventflow.Abandon:
		s.locks.Remove(&w.lock)
		w.each(func(p *message) {
			if !p.quiet {
				done = append(done, &p.d)
			}
		})
		s.drop(w)
		s.giveBackLane(w.d.Lane)
	case w.st.Verb == eventflow.Ack && !w.moved:
		s.acks.add(w)
	default:
		s.backs.add(w)
		s.giveBackLane(w.d.Lane)
	}
	return done
}

// Attempted does nothing: SQS has no place for attempts.
func (s *subscriber) Attempted([]*eventflow.Delivery) {}

// messageOf gives the message of a delivery; nil when it is not held any more. The caller holds the lock.
func (s *subscriber) messageOf(d *eventflow.Delivery) *message {
	i := d.Token()
	if i >= uint64(len(s.slots)) || s.slots[i] == nil || &s.slots[i].d != d {
		return nil
	}
	return s.slots[i]
}

// add takes in a settlement; flush sends it. The caller holds the lock.
func (b *batcher) add(m *message) {
	if !b.s.q.fifo() {
		b.pending = append(b.pending, m)
		return
	}
	// Sorted, so that the last of a group go back first: nothing overtakes the first, for it is still held.
	i, _ := slices.BinarySearchFunc(b.pending, m.seq, func(x *message, seq uint64) int {
		if x.seq < seq {
			return -1
		}
		return 1
	})
	b.pending = slices.Insert(b.pending, i, m)
}

// flush sends what should not wait: whole batches, and less when nothing more is to come, or when it has waited long
// enough. The caller holds the lock.
func (b *batcher) flush() {
	s := b.s
	for len(b.pending) > 0 && b.calls < b.most && !s.finished {
		if b.failures > 0 {
			if wait := time.Until(b.after); wait > 0 {
				b.arm(wait)
				return
			}
		}
		if len(b.pending) < largestMaxNumber && !b.due && s.held > 0 && !s.closed {
			b.arm(b.linger)
			return
		}
		batch, in := b.take()
		if len(b.pending) == 0 {
			b.due = false
		}
		if len(batch) == 0 {
			break // what is left waits for a renewal's answer
		}
		b.calls++
		s.running.Go(func() { b.write(batch, in) })
	}
	s.checkDrained()
}

// arm makes the batcher look again. The caller holds the lock.
func (b *batcher) arm(wait time.Duration) {
	if b.timer != nil {
		return
	}
	b.timer = time.AfterFunc(wait, func() {
		b.s.mu.Lock()
		defer b.s.mu.Unlock()
		b.timer, b.due = nil, true
		b.flush()
	})
}

// take gives the next batch: of what is acknowledged only what its lock still holds, of what is given back nothing whose
// renewal is under way, for that might arrive later. What a lost lock takes out here is told by lost. The caller holds
// the lock.
func (b *batcher) take() (batch []*message, in []receipt) {
	s, now := b.s, time.Now()
	lastFirst := s.q.fifo() && b.back
	if lastFirst {
		slices.Reverse(b.pending)
	}
	kept := b.pending[:0]
	for i, m := range b.pending {
		if len(batch) == largestMaxNumber {
			kept = append(kept, b.pending[i:]...)
			break
		}
		if m.at != stateSettled {
			continue
		}
		r := receipt{handle: m.handle}
		if b.back {
			if m.renewal {
				kept = append(kept, m)
				continue
			}
			if m.until.IsZero() {
				left := s.locks.Left(&m.lock)
				if left <= 0 || !s.locks.Remove(&m.lock) {
					continue
				}
				m.until = now.Add(left)
			}
			r.seconds = secondsUntil(m, now)
		} else if !s.locks.Held(&m.lock) {
			continue
		}
		m.writing = true
		batch, in = append(batch, m), append(in, r)
	}
	clear(b.pending[len(kept):])
	b.pending = kept
	if lastFirst {
		slices.Reverse(b.pending)
	}
	return batch, in
}

// secondsUntil gives the visibility that makes a message come back when it is due, within the 12 hours from its receipt.
func secondsUntil(m *message, now time.Time) int32 {
	if m.due.IsZero() {
		return 0
	}
	most := maxVisibility - now.Sub(m.came) - time.Second
	after := min(m.due.Sub(now)+time.Second-1, most).Truncate(time.Second)
	return int32(max(after, 0) / time.Second)
}

// write makes one request and notes what became of each message. What failed is tried again as long as its lock lasts.
func (b *batcher) write(batch []*message, in []receipt) {
	s := b.s
	ctx, cancel := context.WithTimeout(s.life, requestTime)
	out := b.send(ctx, in)
	cancel()
	now := time.Now()
	var done []*eventflow.Delivery
	var bad []*eventflow.Delivery
	var badErrs []error
	var again error
	s.mu.Lock()
	for i, m := range batch {
		err := out.of(i)
		m.writing = false
		switch {
		case m.at != stateSettled: // lost meanwhile, and told
			continue
		case m.renewed:
			m.renewed = false
			b.add(m)
			continue
		case s.byID[m.id] != m: // it was given back, and received again
			err = nil
		case err == nil:
		case errors.Is(err, eventflow.ErrLockLost):
		case !b.back || now.Before(m.until):
			again = err
			b.add(m)
			continue
		default: // it is visible by itself
		}
		s.locks.Remove(&m.lock)
		m.each(func(p *message) {
			switch {
			case p.quiet:
			case err == nil:
				done = append(done, &p.d)
			default:
				bad, badErrs = append(bad, &p.d), append(badErrs, err)
			}
		})
		s.drop(m)
	}
	b.calls--
	b.trouble(again, now)
	b.flush()
	s.checkDrained()
	tell := s.listening.Settled
	s.mu.Unlock()
	if tell == nil {
		return
	}
	if len(done) > 0 {
		tell(done, nil)
	}
	for i := range bad {
		tell(bad[i:i+1], s.wrap(badErrs[i]))
	}
}

func (o *outcomes) of(i int) error {
	if o.all != nil {
		return o.all
	}
	return o.each[i]
}

// loudAfter is how many failures in a row are said: a request that fails now and then is nobody's concern.
const loudAfter = 3

// trouble sets when to try again, and says once that settlements fail and once that they do not any more. The caller
// holds the lock.
func (b *batcher) trouble(err error, now time.Time) {
	if err == nil {
		if b.failures >= loudAfter {
			b.s.logger().Info("settlements are written again")
		}
		b.failures = 0
		return
	}
	if b.failures++; b.failures == loudAfter {
		b.s.logger().Warn("settlements cannot be written; they are tried again while the locks last", "error", err)
	}
	wait := 100 * time.Millisecond << min(b.failures-1, 5)
	b.after = now.Add(wait/2 + rand.N(wait/2)) //nolint:gosec // no secret
}

// sendAcks deletes messages.
func (s *subscriber) sendAcks(ctx context.Context, in []receipt) outcomes {
	req := awssqs.DeleteMessageBatchInput{QueueUrl: &s.t.url, Entries: make([]types.DeleteMessageBatchRequestEntry, len(in))}
	for i := range in {
		req.Entries[i] = types.DeleteMessageBatchRequestEntry{Id: entryIDs[i], ReceiptHandle: &in[i].handle}
	}
	out, err := s.api().DeleteMessageBatch(ctx, &req)
	if err != nil {
		return outcomes{all: explain("DeleteMessage", s.q.given, err, false)}
	}
	o := newOutcomes(len(in))
	for i := range out.Successful {
		o.succeeded(out.Successful[i].Id)
	}
	o.failed(out.Failed)
	return o
}

// sendBacks makes messages visible, at once or later.
func (s *subscriber) sendBacks(ctx context.Context, in []receipt) outcomes {
	req := awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &s.t.url, Entries: make([]types.ChangeMessageVisibilityBatchRequestEntry, len(in))}
	for i := range in {
		req.Entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{Id: entryIDs[i], ReceiptHandle: &in[i].handle, VisibilityTimeout: in[i].seconds}
	}
	return s.changeVisibility(ctx, s.api(), &req)
}

func (s *subscriber) changeVisibility(ctx context.Context, c client, req *awssqs.ChangeMessageVisibilityBatchInput) outcomes {
	out, err := c.ChangeMessageVisibilityBatch(ctx, req)
	if err != nil {
		return outcomes{all: explain("ChangeMessageVisibility", s.q.given, err, false)}
	}
	o := newOutcomes(len(req.Entries))
	for i := range out.Successful {
		o.succeeded(out.Successful[i].Id)
	}
	o.failed(out.Failed)
	return o
}

func newOutcomes(n int) outcomes {
	o := outcomes{each: make([]error, n)}
	for i := range o.each {
		o.each[i] = errSilent
	}
	return o
}

func (o *outcomes) succeeded(id *string) {
	if n, ok := entryIndex(id, len(o.each)); ok {
		o.each[n] = nil
	}
}

func (o *outcomes) failed(entries []types.BatchResultErrorEntry) {
	for i := range entries {
		if n, ok := entryIndex(entries[i].Id, len(o.each)); ok {
			o.each[n] = entryFault(&entries[i])
		}
	}
}
