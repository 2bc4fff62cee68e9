package servicebustest

import (
	"slices"
	"time"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest/internal/amqp"
)

// state is a message's, with the numbers that the service uses.
type state int32

const (
	active state = iota
	deferred
	scheduled
)

// Annotations that the service writes. A sender's own are not believed.
const (
	annNumber   = amqp.Symbol("x-opt-sequence-number")
	annOriginal = amqp.Symbol("x-opt-enqueue-sequence-number")
	annEnqueued = amqp.Symbol("x-opt-enqueued-time")
	annState    = amqp.Symbol("x-opt-message-state")
	annLocked   = amqp.Symbol("x-opt-locked-until")
	annSource   = amqp.Symbol("x-opt-deadletter-source")
	annToken    = amqp.Symbol("x-opt-lock-token")
	annDue      = "x-opt-scheduled-enqueue-time"
)

// message is a message in one entity. Copies in several subscriptions share their content, which nobody changes: a
// change makes a new one.
type message struct {
	content  *amqp.Message
	e        *entity
	lane     *lane
	number   int64 // its sequence number
	original int64 // the one that the topic gave it, or number
	enqueued time.Time
	due      time.Time // scheduled: when it becomes active
	expires  time.Time // zero: never
	state    state
	failed   uint32 // deliveries
	gone     bool   // removed, but still in entity.order

	token    amqp.UUID // zero: not locked
	until    time.Time // the lock's end; a session's message has its session's
	delivery *delivery // the open one on a link; nil when the lock outlived its link

	ready int   // place in lane.ready
	timer timer // of what is next: due, lock's end or expiry
}

func (m *message) before(o *message) bool { return m.number < o.number }
func (m *message) place() *int            { return &m.ready }
func (m *message) isLocked() bool         { return m.token != amqp.UUID{} }
func (m *message) messageID() string      { return text(m.content.Properties, amqp.MessageID) }

func (m *message) session() string {
	if m.lane == nil {
		return ""
	}
	return m.lane.id
}

// clean takes a sender's message: what only the service may say is dropped from it.
func clean(c *amqp.Message) *amqp.Message {
	c.Annotations = slices.DeleteFunc(c.Annotations, func(p amqp.Pair) bool {
		switch p.Key {
		case annNumber, annOriginal, annEnqueued, annState, annLocked, annSource:
			return true
		}
		return false
	})
	c.DeliveryAnnotations, c.DeliveryCount = nil, 0
	return c
}

// render is the message as a receiver sees it. One that is answered to a request carries its lock's token inside; one
// that is delivered has it for a tag.
func (m *message) render(answered bool) []byte {
	c := *m.content
	if answered && m.isLocked() {
		c.DeliveryAnnotations = amqp.Map{{Key: annToken, Value: m.token}}
	}
	c.DeliveryCount = m.failed
	if ttl := m.e.ttl(&c); ttl > 0 {
		c.TTL = ttl
	}
	pairs := [5]amqp.Pair{
		{Key: annNumber, Value: m.number},
		{Key: annOriginal, Value: m.original},
		{Key: annEnqueued, Value: m.enqueued},
		{Key: annState, Value: int32(m.state)},
		{Key: annLocked, Value: m.lockedUntil()},
	}
	if !m.isLocked() {
		return c.Append(nil, pairs[:4]...)
	}
	return c.Append(nil, pairs[:]...)
}

func (m *message) lockedUntil() time.Time {
	if m.e.set.RequiresSession {
		return m.lane.until
	}
	return m.until
}

// modify sets application properties, as a receiver may when it settles.
func (m *message) modify(props amqp.Map) {
	if len(props) == 0 {
		return
	}
	c := *m.content
	c.Application = c.ApplicationProperties()
	for _, p := range props {
		switch k := p.Key.(type) {
		case string:
			c.Application = c.Application.Set(k, p.Value)
		case amqp.Symbol:
			c.Application = c.Application.Set(string(k), p.Value)
		}
	}
	m.content = &c
}
