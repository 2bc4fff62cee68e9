package sqstest

import (
	"slices"
	"strings"
	"time"
)

type receiveMessage struct {
	onQueue
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
	ReceiveRequestAttemptID     *string `json:"ReceiveRequestAttemptId"`

	twice bool // a fault: what is received stays receivable
}

type receivedMessage struct {
	MessageID              string `json:"MessageId"`
	ReceiptHandle          string
	Body                   string
	MD5OfBody              string
	Attributes             map[string]string    `json:",omitempty"`
	MessageAttributes      map[string]attribute `json:",omitempty"`
	MD5OfMessageAttributes string               `json:",omitempty"`
}

type receiveResult struct {
	Messages []receivedMessage `json:",omitempty"`
}

var systemAttributes = []string{
	"All", "SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "SequenceNumber",
	"MessageDeduplicationId", "MessageGroupId", "AWSTraceHeader", "DeadLetterQueueSourceArn",
}

func (r *receiveMessage) check() *refusal {
	if n := r.MaxNumberOfMessages; n != nil && (*n < 1 || *n > maxBatch) {
		return invalid("MaxNumberOfMessages", *n, "Must be between 1 and 10, if provided.")
	}
	if n := r.WaitTimeSeconds; n != nil && (*n < 0 || *n > int(maxWait/time.Second)) {
		return invalid("WaitTimeSeconds", *n, "Must be >= 0 and <= 20, if provided.")
	}
	if err := checkVisibility(r.VisibilityTimeout); err != nil {
		return err
	}
	for _, name := range slices.Concat(r.AttributeNames, r.MessageSystemAttributeNames) {
		if !slices.Contains(systemAttributes, name) && !settable(name) && !slices.Contains(readOnly, name) {
			return refuse("InvalidAttributeName", "Unknown Attribute %s.", name)
		}
	}
	for _, name := range r.MessageAttributeNames {
		if name == "All" || name == ".*" {
			continue
		}
		if !attributeName(strings.TrimSuffix(name, ".*")) {
			return invalid("MessageAttributeNames", name, "It is not the name of a message attribute.")
		}
	}
	return nil
}

func checkVisibility(seconds *int) *refusal {
	if seconds != nil && (*seconds < 0 || *seconds > int(maxVisibility/time.Second)) {
		return invalid("VisibilityTimeout", *seconds, "Must be between 0 and 43200, if provided.")
	}
	return nil
}

func (r *receiveMessage) do(c *call) (any, *refusal) {
	if err := r.check(); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(r.QueueURL)
	if err != nil {
		return nil, err
	}
	if id := r.ReceiveRequestAttemptID; id != nil {
		if !q.fifo {
			return nil, invalid("ReceiveRequestAttemptId", *id, "The request include parameter that is not valid for this queue type.")
		}
		if !idOf128(*id) {
			return nil, invalid("ReceiveRequestAttemptId", *id, reasonID)
		}
	}
	wait := q.set.wait
	if r.WaitTimeSeconds != nil {
		wait = time.Duration(*r.WaitTimeSeconds) * time.Second
	}
	deadline := s.clock.Now().Add(wait)
	for {
		if err := c.ctx.Err(); err != nil {
			return nil, refuse("ServiceUnavailable", "The client has gone: %v", err) // it must take nothing
		}
		now := s.clock.Now()
		q.catchUp(now)
		ms := q.take(r, now)
		q.settle(now)
		if len(ms) > 0 {
			return r.show(ms), nil
		}
		if wait == 0 && !q.fifo && q.inFlight >= s.opts.MaxInFlight {
			return nil, refuse("OverLimit", "Too many messages in flight: the limit of the queue is %d.", s.opts.MaxInFlight)
		}
		if !deadline.After(now) {
			return receiveResult{}, nil
		}
		s.poll(c, q, deadline.Sub(now), now)
		switch {
		case s.closed:
			return nil, errClosing
		case q.gone:
			return nil, errNoQueue
		}
	}
}

// poll waits, without the lock, until the queue has something, the time is over, or the client has gone.
func (s *Server) poll(c *call, q *queue, d time.Duration, now time.Time) {
	p := &poller{make(chan struct{}, 1)}
	q.pollers = append(q.pollers, p)
	q.alarm(now)
	over := make(chan struct{})
	stop := s.clock.AfterFunc(d, func() { close(over) })
	s.mu.Unlock()
	select {
	case <-p.wake:
	case <-over:
	case <-c.ctx.Done():
	case <-s.closing:
	}
	stop()
	s.mu.Lock()
	q.forget(p)
	if c.ctx.Err() != nil && !q.gone {
		q.settle(s.clock.Now()) // it may have been woken for what another can have
	}
}

// take receives up to as many as were asked for.
func (q *queue) take(r *receiveMessage, now time.Time) []*message {
	visibility := q.set.visibility
	if r.VisibilityTimeout != nil {
		visibility = time.Duration(*r.VisibilityTimeout) * time.Second
	}
	most := 1
	if r.MaxNumberOfMessages != nil {
		most = *r.MaxNumberOfMessages
	}
	if r.ReceiveRequestAttemptID != nil {
		if ms := q.again(*r.ReceiveRequestAttemptID, now); ms != nil {
			for _, m := range ms {
				q.hold(m, now.Add(visibility))
			}
			q.keepAttempt(*r.ReceiveRequestAttemptID, ms, now)
			return ms
		}
	}
	var ms []*message
	for m := q.ready.first(); m != nil && len(ms) < most && q.inFlight < q.s.opts.MaxInFlight; m = q.ready.first() {
		l := m.lane
		for m != nil && len(ms) < most && q.inFlight < q.s.opts.MaxInFlight && m.state == visible {
			next := m.next
			if q.receivable(m, now) {
				q.receive(m, now, visibility)
				ms = append(ms, m)
			}
			m = next
			if l == nil {
				break
			}
		}
	}
	if r.twice {
		for _, m := range ms {
			q.hold(m, now)
		}
	}
	if r.ReceiveRequestAttemptID != nil && len(ms) > 0 {
		q.keepAttempt(*r.ReceiveRequestAttemptID, ms, now)
	}
	return ms
}

// receivable is false for a message that goes elsewhere instead: nowhere, or to the dead-letter queue.
func (q *queue) receivable(m *message, now time.Time) bool {
	if q.outlived(m, now) {
		q.drop(m)
		return false
	}
	p := q.set.redrive
	if p.target == "" || m.here < p.most {
		return true
	}
	target := q.s.byARN(p.target)
	if target == nil {
		return true
	}
	q.bury(m, target, now)
	return false
}

func (q *queue) receive(m *message, now time.Time, visibility time.Duration) {
	if m.receives == 0 {
		m.first = now
	}
	m.receives++
	m.here++
	m.receipt++
	m.received = now
	m.state = inFlight
	q.inFlight++
	if m.lane != nil {
		m.lane.inFlight++
	}
	q.hold(m, now.Add(visibility))
}

// hold sets when a message in flight is visible again.
func (q *queue) hold(m *message, until time.Time) {
	m.visibleAt = until
	q.waiting.add(m)
}

func (r *receiveMessage) show(ms []*message) receiveResult {
	wanted := slices.Concat(r.AttributeNames, r.MessageSystemAttributeNames)
	out := make([]receivedMessage, len(ms))
	for i, m := range ms {
		as := pick(m.attributes, r.MessageAttributeNames)
		out[i] = receivedMessage{
			MessageID: m.id, ReceiptHandle: handle{m.queue.number, m.serial, m.receipt}.String(), Body: m.body, MD5OfBody: m.md5,
			Attributes: m.system(wanted), MessageAttributes: as, MD5OfMessageAttributes: digestAttributes(as),
		}
	}
	return receiveResult{out}
}
