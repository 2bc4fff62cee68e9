package sqs

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/eventflow-go/eventflow"
)

// mostBlocked bounds what waits in the buffer for its lane: a FIFO queue hands out up to ten messages of a group at
// once, and then none of it until those are settled.
const mostBlocked = 10_000

// poll starts receives for what is wanted: whole ones, and a smaller one only when there is no other. One is enough for
// an idle queue; the number doubles while they come back full. The caller holds the lock.
func (s *subscriber) poll(want eventflow.Want) {
	if s.pollErr != nil || len(s.buffer) >= mostBlocked {
		return
	}
	room := want.Events
	if want.Bytes > 0 && s.size > 0 {
		room = min(room, max(want.Bytes/s.size, 1))
	}
	for room -= s.asked; room > 0 && s.polls < s.loops; room -= largestMaxNumber {
		n := min(room, largestMaxNumber)
		if n < largestMaxNumber && s.polls > 0 {
			return
		}
		if s.q.fifo() && s.burning > 0 {
			n = 1 // the innocents behind a condemned message are not received along with it
		}
		s.polls++
		s.asked += n
		s.b.lasting.Add(1)
		go s.receive(n)
	}
}

// receive makes one request. Its goroutine is the subscriber's, and the broker's when the subscriber's close could not
// wait for it.
func (s *subscriber) receive(n int) {
	defer s.b.lasting.Done()
	s.mu.Lock()
	ctx, wait, url, visibility, c := s.lasting, s.wait, s.t.url, s.set.visibility, s.client
	s.mu.Unlock()
	in := awssqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: int32(n),
		WaitTimeSeconds: int32(wait / time.Second), VisibilityTimeout: int32(visibility / time.Second),
		MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: systemAttributes,
	}
	if s.q.fifo() {
		in.ReceiveRequestAttemptId = aws.String(rand.Text()) // an answer that was lost is given again to the client's retry
	}
	ctx, cancel := context.WithTimeout(ctx, wait+requestTime)
	defer cancel()
	sent := time.Now()
	out, err := c.ReceiveMessage(ctx, &in)
	if err != nil {
		s.missed(n, explain("ReceiveMessage", s.q.given, err, false))
		return
	}
	s.received(n, sent, out.Messages)
}

// missed notes a receive that failed.
func (s *subscriber) missed(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polls--
	s.asked -= n
	s.loops, s.pollErr = 1, err
	s.signal()
	s.checkDrained()
}

// received takes in what one receive brought.
func (s *subscriber) received(n int, sent time.Time, in []types.Message) {
	ms := make([]message, len(in))
	for i := range in {
		m := &ms[i]
		m.id, m.handle, m.came = aws.ToString(in[i].MessageId), aws.ToString(in[i].ReceiptHandle), sent
		told := decode(&in[i], s.t.arn, &m.d.Event)
		m.d.Attempts, m.d.Receives, m.d.Redrive = -1, told.receives, told.redrive
		m.d.LockedUntil, m.d.Native = sent.Add(s.t.visibility), &in[i]
		if s.q.fifo() {
			m.d.Lane = told.group
		}
		if s.set.decode != nil {
			s.split(m)
		}
	}
	s.mu.Lock()
	s.polls--
	s.asked -= n
	switch {
	case len(ms) == 0:
		s.loops = 1
	case len(ms) == n:
		s.loops = min(2*s.loops, s.set.polls)
	}
	var open, settled []*eventflow.Delivery
	if s.finished { // too late for all of it
		c, url := s.client, s.t.url
		s.mu.Unlock()
		releaseAtOnce(s.lasting, c, url, ms)
		return
	}
	for i := range ms {
		o, x := s.takeIn(&ms[i])
		open, settled = append(open, o...), append(settled, x...)
	}
	s.acks.flush()
	s.backs.flush()
	s.pollBurning()
	s.signal()
	s.checkDrained()
	s.mu.Unlock()
	s.tellLost(open, settled, s.wrap(errReceivedAgain))
}

// takeIn takes in one message. When the queue handed the same message out before, it gives what was open and what was
// settled of that: its lock is lost. The caller holds the lock.
func (s *subscriber) takeIn(m *message) (open, settled []*eventflow.Delivery) {
	s.size += (len(m.d.Event.Data) - s.size) / 8
	s.seq++
	m.seq = s.seq
	if old := s.byID[m.id]; old != nil {
		switch {
		case old.at == stateSettled && !old.until.IsZero(): // it is here again before the answer to its release
		case old.at == stateSettled && old.st.Verb == eventflow.Ack && !old.moved: // that holds for the new receipt as well
			s.locks.Remove(&old.lock)
			old.handle, old.came, old.renewed = m.handle, m.came, old.writing
			s.locks.Add(&old.lock, old, m.came, s.t.visibility)
			return nil, nil
		default:
			s.locks.Remove(&old.lock)
			open, settled = s.lose(old)
		}
	}
	if !s.locks.Add(&m.lock, m, m.came, s.t.visibility) {
		return open, settled // the answer came when its visibility was over
	}
	s.hold(m)
	switch {
	case m.parts != nil && m.open == 0: // there is nothing in it
		m.at = stateSettled
		s.acks.add(m)
	case s.closed:
		s.giveBack(m)
	case s.burn(m):
	default:
		m.at = stateHanded // of a message in parts
		m.each(func(p *message) {
			p.at = stateBuffered
			s.buffer = append(s.buffer, p)
		})
	}
	return open, settled
}

// giveBack releases a message, or a part, that is not in anybody's hands. The caller holds the lock.
func (s *subscriber) giveBack(m *message) {
	m.each(func(p *message) {
		p.quiet, p.st = true, eventflow.Settlement{Verb: eventflow.Release}
		s.decide(p)
	})
}

// giveBackLane releases what is in the buffer of a lane: something of it that comes first is not in our hands any more.
// The caller holds the lock.
func (s *subscriber) giveBackLane(lane string) {
	if lane == "" {
		return
	}
	var back []*message
	s.buffer = slices.DeleteFunc(s.buffer, func(m *message) bool {
		if m.at != stateBuffered || m.d.Lane != lane {
			return false
		}
		back = append(back, m)
		return true
	})
	for _, m := range back {
		s.giveBack(m)
	}
}

// releaseAtOnce makes messages visible that came when their subscriber was closed and could not wait for them. What it
// cannot release comes back when its visibility ends.
func releaseAtOnce(ctx context.Context, c client, url string, ms []message) {
	if len(ms) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	in := awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url}
	for i := range ms {
		in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: entryIDs[i], ReceiptHandle: &ms[i].handle})
	}
	_, _ = c.ChangeMessageVisibilityBatch(ctx, &in)
}

// entryIDs are those of the entries of a batch.
var entryIDs = func() (ids [largestMaxNumber]*string) {
	for i := range ids {
		ids[i] = aws.String(string(rune('0' + i)))
	}
	return ids
}()
