package sqstest

import "time"

// lane is a message group of a FIFO queue: its messages in order. While any of them is in flight, none is received.
type lane struct {
	name        string
	first, last *message
	inFlight    int
}

// enter puts a message at the end of its lane.
func (q *queue) enter(m *message) {
	l := q.lanes[m.group]
	if l == nil {
		l = &lane{name: m.group}
		q.lanes[m.group] = l
	}
	m.lane, m.prev, m.next = l, l.last, nil
	if l.last == nil {
		l.first = m
	} else {
		l.last.next = m
	}
	l.last = m
}

// leave takes a message out of its lane, which may free the lane.
func (q *queue) leave(m *message) {
	l := m.lane
	if m.prev == nil {
		l.first = m.next
	} else {
		m.prev.next = m.next
	}
	if m.next == nil {
		l.last = m.prev
	} else {
		m.next.prev = m.prev
	}
	m.lane, m.prev, m.next = nil, nil, nil
	if l.first == nil {
		delete(q.lanes, l.name)
		return
	}
	q.reopen(l)
}

// reopen offers a lane's first message, when nothing of the lane is in flight.
func (q *queue) reopen(l *lane) {
	if l.inFlight == 0 && l.first.state == visible {
		q.ready.add(l.first)
	}
}

// sighting is a deduplication ID that was used.
type sighting struct {
	id, sequence string
	until        time.Time
}

func (q *queue) dedupKey(group, id string) string {
	if q.set.dedupByGroup {
		return group + " " + id // groups have no spaces
	}
	return id
}

// duplicate is the message that a deduplication ID was used for within the window.
func (q *queue) duplicate(key string, now time.Time) (sighting, bool) {
	old := 0
	for _, k := range q.sighted {
		if q.seen[k].until.After(now) {
			break
		}
		delete(q.seen, k)
		old++
	}
	q.sighted = q.sighted[old:]
	q.s.bytes -= old * dedupOverhead
	s, ok := q.seen[key]
	return s, ok
}

func (q *queue) remember(key string, m *message, now time.Time) {
	q.seen[key] = sighting{m.id, m.sequence(), now.Add(dedupWindow)}
	q.sighted = append(q.sighted, key)
	q.s.bytes += dedupOverhead
}

// attempt is a receive that can be asked for again, by its ReceiveRequestAttemptId.
type attempt struct {
	until    time.Time
	messages []*message
	receipts []uint64
	due      []time.Time // when each becomes visible: another value means that somebody changed it
}

// again is the messages of an earlier attempt, when none of them was touched since.
func (q *queue) again(id string, now time.Time) []*message {
	for k, a := range q.attempts {
		if !a.until.After(now) {
			delete(q.attempts, k)
		}
	}
	a := q.attempts[id]
	if a == nil {
		return nil
	}
	for i, m := range a.messages {
		if q.messages[m.serial] != m || m.state != inFlight || m.receipt != a.receipts[i] || !m.visibleAt.Equal(a.due[i]) {
			delete(q.attempts, id)
			return nil
		}
	}
	return a.messages
}

func (q *queue) keepAttempt(id string, ms []*message, now time.Time) {
	a := &attempt{until: now.Add(attemptWindow), messages: ms}
	for _, m := range ms {
		a.receipts = append(a.receipts, m.receipt)
		a.due = append(a.due, m.visibleAt)
	}
	q.attempts[id] = a
}
