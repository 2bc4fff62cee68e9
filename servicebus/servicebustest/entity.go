package servicebustest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest/internal/amqp"
)

const (
	deadLetterSuffix = "/$DeadLetterQueue"
	managementSuffix = "/$management"
	subscriptionPart = "/Subscriptions/"
)

// An entity is a queue, a topic, a subscription or the dead-letter queue of one of them. A topic holds nothing but its
// scheduled messages.
type entity struct {
	s    *Server
	path string // as it was written
	set  Queue  // settings, complete

	subs    []*entity // of a topic
	isTopic bool
	topic   *entity  // of a subscription
	filters []Filter // of a subscription
	dead    *entity  // its dead-letter queue; nil for a topic and for a dead-letter queue
	deleted bool

	order  []*message // by number, with those that are gone until they are half of all
	live   int
	bytes  int
	number int64 // the last one given

	lanes   map[string]*lane // by session; one, "", without sessions
	locked  map[amqp.UUID]*message
	links   []*link // receivers, attached
	turn    int     // the next of links to be served
	waiting []*link // receivers that want any session
	free    []*lane // sessions that such a receiver may get, the longest free first

	seen      map[string]time.Time // message IDs and when they came
	seenOrder []string
	seenFrom  int // where seenOrder begins
}

// A lane is a session, or all messages of an entity without sessions.
type lane struct {
	e      *entity
	id     string
	ready  heap[*message] // active and not locked
	locked map[*message]struct{}
	live   int // messages, whatever their state

	holder  *link
	until   time.Time // the end of the session's lock
	timer   timer
	offered bool // stands in entity.free
	state   []byte
	changed time.Time // when state was
}

func (s *Server) newEntity(path string, set Queue) *entity {
	e := &entity{s: s, path: path, set: set, lanes: map[string]*lane{}, locked: map[amqp.UUID]*message{}, seen: map[string]time.Time{}}
	s.entities[canonical(path)] = e
	return e
}

// plain is the one lane of an entity without sessions.
func (e *entity) plain() *lane { return e.lane("") }

func (e *entity) lane(id string) *lane {
	ln := e.lanes[id]
	if ln == nil {
		ln = &lane{e: e, id: id, locked: map[*message]struct{}{}}
		ln.timer.due = ln.expire
		e.lanes[id] = ln
	}
	return ln
}

// sweep forgets a session of which nothing is left.
func (ln *lane) sweep() {
	if ln.e.set.RequiresSession && ln.live == 0 && ln.holder == nil && ln.state == nil && !ln.offered {
		delete(ln.e.lanes, ln.id)
	}
}

// ttl is how long a message lives here; 0 is for ever.
func (e *entity) ttl(c *amqp.Message) time.Duration {
	d := c.TTL
	shorten := func(t time.Duration) {
		if t > 0 && (d == 0 || t < d) {
			d = t
		}
	}
	shorten(e.set.DefaultTTL)
	if e.topic != nil {
		shorten(e.topic.set.DefaultTTL)
	}
	return d
}

// refusal is why something was not done: an AMQP error.
type refusal struct{ condition, text string }

// admit says why these cannot be sent here; nil when they can.
func (e *entity) admit(cs []*amqp.Message) *refusal {
	size := e.bytes
	for _, sub := range e.subs {
		size += sub.bytes
	}
	for _, c := range cs {
		size += c.Size()
		if e.set.RequiresSession && !hasSession(c) {
			return &refusal{"amqp:not-allowed", "The SessionId was not set on a message, and it cannot be sent to the entity. " +
				"Entities that have session support enabled can only receive messages that have the SessionId set to a valid value."}
		}
	}
	if size > e.set.MaxBytes {
		return &refusal{"amqp:resource-limit-exceeded", fmt.Sprintf("The maximum entity size has been reached or exceeded for %q.", e.path)}
	}
	return nil
}

// put takes an admitted message and returns its sequence number. A duplicate has the number that it would have had.
func (e *entity) put(c *amqp.Message) int64 {
	now := e.s.clock.Now()
	e.number++
	if e.duplicate(text(c.Properties, amqp.MessageID), now) {
		return e.number
	}
	if due, ok := c.Annotations.Get(annDue).(time.Time); ok && due.After(now) {
		m := e.store(clean(c), e.number)
		m.state, m.due, m.enqueued = scheduled, due, now
		e.s.set(&m.timer, due)
		return m.number
	}
	e.enqueue(clean(c), e.number)
	return e.number
}

// enqueue makes a message active: in this entity, or in the subscriptions of a topic.
func (e *entity) enqueue(c *amqp.Message, original int64) {
	if e.isTopic {
		for _, sub := range e.subs {
			if sub.wants(c) {
				sub.number++
				sub.enqueue(c, original)
			}
		}
		return
	}
	m := e.store(c, e.number)
	m.original, m.enqueued = original, e.s.clock.Now()
	if e.set.RequiresSession && !hasSession(c) { // a topic takes what not all of its subscriptions can
		m.deadLetter("Session ID is null", "Session enabled entity doesn't allow a message whose session identifier is null.")
		return
	}
	if ttl := e.ttl(c); ttl > 0 {
		m.expires = m.enqueued.Add(ttl)
	}
	m.offer()
	m.lane.pump()
}

// hasSession: the empty string is a session as any other.
func hasSession(c *amqp.Message) bool {
	_, ok := amqp.Opt[string](c.Properties, amqp.GroupID)
	return ok
}

func (e *entity) wants(c *amqp.Message) bool {
	return len(e.filters) == 0 || slices.ContainsFunc(e.filters, func(f Filter) bool { return f.pass(c) })
}

// maxSeen bounds the message IDs that duplicate detection remembers; the oldest go first.
const maxSeen = 1 << 20

func (e *entity) duplicate(id string, now time.Time) bool {
	w := e.set.DuplicateWindow
	if w == 0 || id == "" {
		return false
	}
	for e.seenFrom < len(e.seenOrder) {
		oldest := e.seenOrder[e.seenFrom]
		if now.Sub(e.seen[oldest]) < w && len(e.seen) < maxSeen {
			break
		}
		delete(e.seen, oldest)
		e.seenOrder[e.seenFrom] = ""
		e.seenFrom++
	}
	if e.seenFrom > len(e.seenOrder)/2 {
		e.seenOrder, e.seenFrom = slices.Clone(e.seenOrder[e.seenFrom:]), 0
	}
	if _, ok := e.seen[id]; ok {
		return true
	}
	e.seen[id] = now
	e.seenOrder = append(e.seenOrder, id)
	return false
}

// store makes content a message of this entity. The caller says what state it is in.
func (e *entity) store(c *amqp.Message, number int64) *message {
	m := &message{content: c, number: number, original: number}
	e.insert(m)
	return m
}

func (e *entity) insert(m *message) {
	m.e, m.timer.due, m.gone = e, m.next, false
	session := ""
	if e.set.RequiresSession {
		session = text(m.content.Properties, amqp.GroupID)
	}
	m.lane = e.lane(session)
	m.lane.live++
	e.live++
	e.bytes += m.content.Size()
	if n := len(e.order); n == 0 || e.order[n-1].number < m.number {
		e.order = append(e.order, m)
		return
	}
	e.order = slices.Insert(e.order, e.index(m.number), m) // a dead letter: they come in any order
}

// index is where in order a number is or would be.
func (e *entity) index(number int64) int {
	i, _ := slices.BinarySearchFunc(e.order, number, func(m *message, n int64) int { return int(m.number - n) })
	return i
}

// find is a message by its number and state, nil when there is none.
func (e *entity) find(number int64, s state) *message {
	for i := e.index(number); i < len(e.order) && e.order[i].number == number; i++ {
		if m := e.order[i]; !m.gone && m.state == s {
			return m
		}
	}
	return nil
}

// remove takes a message out of its entity, and out of its lock.
func (m *message) remove() {
	e := m.e
	m.unhold()
	m.lane.ready.remove(m)
	e.s.unset(&m.timer)
	m.gone = true
	m.lane.live--
	e.live--
	e.bytes -= m.content.Size()
	if len(e.order) > 2*e.live+64 {
		e.order = slices.DeleteFunc(e.order, func(m *message) bool { return m.gone })
	}
	m.lane.sweep()
}

// next does what m's timer was set for.
func (m *message) next() {
	switch {
	case m.isLocked():
		m.unlock(true)
		m.lane.pump()
	case m.state == scheduled:
		e, c := m.e, m.content
		m.remove()
		e.number++ // it is enqueued now, and numbered as such
		e.enqueue(c, e.number)
	case m.state == active:
		m.expire()
	}
}

// offer makes a message receivable, or finds that its time is over.
func (m *message) offer() {
	if !m.expires.IsZero() {
		if !m.e.s.clock.Now().Before(m.expires) {
			m.expire()
			return
		}
		m.e.s.set(&m.timer, m.expires)
	}
	m.lane.ready.push(m)
}

func (m *message) expire() {
	if m.e.set.DeadLetterOnExpiration {
		m.deadLetter("TTLExpiredException", "The message expired and was dead lettered.")
		return
	}
	m.remove()
}

// deadLetter moves a message, with its number and its deliveries, to the dead-letter queue, where it never expires.
func (m *message) deadLetter(reason, text string) {
	var props amqp.Map
	if reason != "" {
		props = append(props, amqp.Pair{Key: "DeadLetterReason", Value: reason})
	}
	if text != "" {
		props = append(props, amqp.Pair{Key: "DeadLetterErrorDescription", Value: text})
	}
	dead := m.e.dead
	m.remove()
	moved := &message{content: m.content, number: m.number, original: m.original, enqueued: m.enqueued, failed: m.failed}
	moved.modify(props)
	dead.insert(moved)
	moved.offer()
	moved.lane.pump()
}

// close ends every link of a deleted entity and forgets its messages.
func (e *entity) close() {
	e.deleted = true
	delete(e.s.entities, canonical(e.path))
	for _, m := range e.order {
		e.s.unset(&m.timer)
	}
	for _, ln := range e.lanes {
		e.s.unset(&ln.timer)
		ln.holder = nil
	}
	e.order, e.live, e.bytes = nil, 0, 0
	clear(e.lanes)
	clear(e.locked)
	e.free = nil
	e.s.detach(func(l *link) bool { return l.e == e }, "amqp:not-found", fmt.Sprintf("The messaging entity %q was deleted.", e.path))
}

// lookup finds what an address names, nil when nothing: the entity, and whether its management node is meant.
func (s *Server) lookup(address string) (e *entity, management bool) {
	path := canonical(address)
	if e = s.entities[path]; e != nil {
		return e, false
	}
	base, ok := strings.CutSuffix(path, managementSuffix)
	if !ok {
		return nil, false
	}
	return s.entities[base], true
}
