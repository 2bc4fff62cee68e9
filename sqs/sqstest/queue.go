package sqstest

import (
	"maps"
	"slices"
	"strconv"
	"time"
)

// queue is all guarded by the server's lock.
type queue struct {
	s          *Server
	name, arn  string
	number     uint64 // in handles, so that they do not outlive a queue that is made again
	fifo       bool
	gone       bool
	attributes map[string]string // as clients see them
	set        settings
	tags       map[string]string
	created    time.Time
	modified   time.Time
	purged     time.Time

	messages map[uint64]*message // by serial
	ready    schedule            // to be received: of a standard queue each visible message, of a FIFO queue a lane's first
	waiting  schedule            // delayed or in flight, by when they are visible
	inFlight int
	delayed  int
	sweepAt  time.Time // when the oldest message may have outlived its retention

	pollers   []*poller
	stopAlarm func() bool // wakes pollers when the first waiting message is visible; nil when it is not set
	alarmAt   time.Time

	lanes    map[string]*lane
	seen     map[string]sighting // deduplication
	sighted  []string            // their keys, by age
	attempts map[string]*attempt

	tasks []*moveTask
}

func (q *queue) url() string { return q.s.endpoint + "/" + q.s.opts.Account + "/" + q.name }

// store makes a message part of the queue, behind all others.
func (q *queue) store(m *message, delay time.Duration, now time.Time) {
	q.s.serial++
	m.queue, m.serial, m.enqueued, m.visibleAt = q, q.s.serial, now, now.Add(delay)
	m.here, m.state = 0, visible
	q.s.bytes += m.size
	if len(q.messages) == 0 || m.enqueued.Add(q.set.retention).Before(q.sweepAt) {
		q.sweepAt = m.enqueued.Add(q.set.retention)
	}
	q.messages[m.serial] = m
	if q.fifo {
		q.enter(m)
	}
	if delay > 0 {
		m.state = delayed
		q.delayed++
		q.waiting.add(m)
		return
	}
	q.offer(m)
}

// offer makes a visible message receivable, when it is its turn.
func (q *queue) offer(m *message) {
	if m.lane == nil || m.lane.first == m && m.lane.inFlight == 0 {
		q.ready.add(m)
	}
}

// drop takes a message out of the queue.
func (q *queue) drop(m *message) {
	m.unschedule()
	q.leaveState(m)
	delete(q.messages, m.serial)
	q.s.bytes -= m.size
	if m.lane != nil {
		q.leave(m)
	}
}

func (q *queue) leaveState(m *message) {
	switch m.state {
	case delayed:
		q.delayed--
	case inFlight:
		q.inFlight--
		if m.lane != nil {
			m.lane.inFlight--
		}
	case visible:
	}
	m.state = visible
}

// reappear makes a delayed or received message visible.
func (q *queue) reappear(m *message) {
	m.unschedule()
	q.leaveState(m)
	if m.lane != nil {
		q.reopen(m.lane)
		return
	}
	q.offer(m)
}

// catchUp does what was due until now. Whoever changes a queue settles it afterwards.
func (q *queue) catchUp(now time.Time) {
	for m := q.waiting.first(); m != nil && !m.visibleAt.After(now); m = q.waiting.first() {
		q.reappear(m)
	}
	if len(q.messages) == 0 || q.sweepAt.After(now) {
		return
	}
	oldest := now
	for _, m := range q.messages {
		if q.outlived(m, now) {
			q.drop(m)
		} else if m.enqueued.Before(oldest) {
			oldest = m.enqueued
		}
	}
	// With messages that come and go all the time, a sweep for each would be a scan for each request.
	q.sweepAt = oldest.Add(q.set.retention)
	if soon := now.Add(100 * time.Millisecond); q.sweepAt.Before(soon) {
		q.sweepAt = soon
	}
}

func (q *queue) outlived(m *message, now time.Time) bool {
	return !m.enqueued.Add(q.set.retention).After(now)
}

// poller is a receive that waits.
type poller struct{ wake chan struct{} }

// settle wakes whom the queue's present state concerns: one receiver when there is something to receive. It takes what
// it can and settles again, so that one receiver of ten messages is not ten receivers of one.
func (q *queue) settle(now time.Time) {
	if len(q.pollers) > 0 && q.ready.Len() > 0 {
		p := q.pollers[0]
		q.pollers = slices.Delete(q.pollers, 0, 1)
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	q.alarm(now)
}

// alarm is set while somebody waits for a message that nobody will send: one that is delayed or in flight.
func (q *queue) alarm(now time.Time) {
	next := q.waiting.first()
	if len(q.pollers) == 0 || next == nil {
		if q.stopAlarm != nil {
			q.stopAlarm()
			q.stopAlarm = nil
		}
		return
	}
	if q.stopAlarm != nil {
		if q.alarmAt.Equal(next.visibleAt) {
			return
		}
		q.stopAlarm()
	}
	q.alarmAt = next.visibleAt
	q.stopAlarm = q.s.clock.AfterFunc(next.visibleAt.Sub(now), q.ring)
}

func (q *queue) ring() {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	if q.s.closed || q.gone {
		return
	}
	q.stopAlarm = nil
	now := q.s.clock.Now()
	q.catchUp(now)
	q.settle(now)
}

func (q *queue) forget(p *poller) {
	if i := slices.Index(q.pollers, p); i >= 0 {
		q.pollers = slices.Delete(q.pollers, i, i+1)
	}
}

// close ends the queue and all who wait for it.
func (q *queue) close() {
	q.gone = true
	for _, m := range q.messages {
		q.s.bytes -= m.size
	}
	q.s.bytes -= len(q.sighted) * dedupOverhead
	for _, p := range q.pollers {
		close(p.wake)
	}
	q.pollers = nil
	if q.stopAlarm != nil {
		q.stopAlarm()
	}
	for _, t := range q.tasks {
		t.stop()
	}
}

// show is the attributes that were asked for.
func (q *queue) show(wanted []string) map[string]string {
	all := maps.Clone(q.attributes)
	all["QueueArn"] = q.arn
	all["CreatedTimestamp"] = strconv.FormatInt(q.created.Unix(), 10)
	all["LastModifiedTimestamp"] = strconv.FormatInt(q.modified.Unix(), 10)
	all["ApproximateNumberOfMessages"] = strconv.Itoa(len(q.messages) - q.inFlight - q.delayed)
	all["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(q.inFlight)
	all["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(q.delayed)
	if !slices.Contains(wanted, "All") {
		maps.DeleteFunc(all, func(name, _ string) bool { return !slices.Contains(wanted, name) })
	}
	return all
}

// configure gives the queue new attributes.
func (q *queue) configure(attributes map[string]string, now time.Time) {
	before := q.set
	q.attributes, q.set, q.modified = attributes, understand(attributes), now
	q.sweepAt = now
	if !q.fifo || before.delay == q.set.delay {
		return
	}
	// A FIFO queue's delay holds for the messages that are in it, too.
	for _, m := range q.messages {
		if m.state == delayed {
			m.visibleAt = m.enqueued.Add(q.set.delay)
			q.waiting.add(m)
		}
	}
}
