package servicebustest

import "github.com/eventflow-go/eventflow/servicebus/servicebustest/internal/amqp"

// verdict is what a receiver says about a message, on its link or by a request.
type verdict struct {
	name         string // as Operation.Name
	props        amqp.Map
	reason, text string // of a dead letter
}

const (
	complete   = "complete"
	abandon    = "abandon"
	deferral   = "defer"
	deadLetter = "dead-letter"
	release    = "release"
)

// verdictOf reads a delivery state.
func verdictOf(state *amqp.Described) (v verdict, ok bool) {
	f := state.Fields()
	switch state.Code() {
	case amqp.CodeAccepted:
		v.name = complete
	case amqp.CodeReleased:
		v.name = release
	case amqp.CodeModified:
		v.name, v.props = abandon, amqp.At[amqp.Map](f, 2)
		if amqp.At[bool](f, 1) { // undeliverable here
			v.name = deferral
		}
	case amqp.CodeRejected:
		v.name = deadLetter
		info := amqp.At[amqp.Map](amqp.At[*amqp.Described](f, 0).Fields(), 2)
		v.reason, v.text = info.Text("DeadLetterReason"), info.Text("DeadLetterErrorDescription")
		v.props = info
	default:
		return v, false
	}
	return v, true
}

// settle does what a receiver that holds m's lock says.
func (m *message) settle(v verdict) *refusal {
	ln := m.lane
	switch v.name {
	case complete:
		m.remove()
	case release:
		m.unlock(false)
	case abandon:
		m.modify(v.props)
		m.unlock(true)
	case deferral:
		m.modify(v.props)
		m.state = deferred
		m.unlock(false)
	case deadLetter:
		if m.e.dead == nil {
			return &refusal{"amqp:not-allowed", "A message of a dead-letter queue cannot be dead-lettered."}
		}
		m.modify(v.props)
		m.deadLetter(v.reason, v.text)
	}
	ln.pump()
	return nil
}

var lockLost = &refusal{"com.microsoft:message-lock-lost", "The lock supplied is invalid. Either the lock expired, or the message has already been removed from the queue."}

// outcome is the delivery state that answers a verdict.
func outcome(v verdict, r *refusal) amqp.Raw {
	switch {
	case r != nil:
		return amqp.Composite(amqp.CodeRejected, r.encode())
	case v.name == complete:
		return amqp.Composite(amqp.CodeAccepted)
	case v.name == release:
		return amqp.Composite(amqp.CodeReleased)
	case v.name == deadLetter:
		return amqp.Composite(amqp.CodeRejected)
	}
	return amqp.Composite(amqp.CodeModified, false, v.name == deferral)
}

func (r *refusal) encode() amqp.Raw {
	return amqp.Composite(amqp.CodeError, amqp.Symbol(r.condition), r.text)
}

// maxRange bounds the deliveries that one disposition may name.
const maxRange = 1 << 16

// disposition is a receiving client's word about one or more deliveries.
func (ses *session) disposition(f amqp.List) {
	if !amqp.At[bool](f, 0) {
		return // about what the client sent: it is settled already
	}
	first := amqp.At[uint32](f, 1)
	last, ok := amqp.Opt[uint32](f, 2)
	if !ok {
		last = first
	}
	if last-first > maxRange {
		ses.c.fail("amqp:not-allowed", "a disposition of too many deliveries")
		return
	}
	settled := amqp.At[bool](f, 3)
	v, known := verdictOf(amqp.At[*amqp.Described](f, 4))
	if !known {
		if !settled {
			return // a state on the way, which changes nothing
		}
		v.name = release
	}
	for n := range last - first + 1 {
		ses.settle(first+n, v, settled)
	}
}

func (ses *session) settle(id uint32, v verdict, settled bool) {
	op := Operation{Kind: Settlement, Name: v.name}
	if d := ses.unsettled[id]; d != nil {
		op.Entity, op.MessageID, op.SessionID = d.m.e.path, d.m.messageID(), d.m.session()
	}
	say := func(r *refusal) {
		if !settled {
			ses.send(amqp.CodeDisposition, false, id, id, true, outcome(v, r))
		}
	}
	var l *link
	if d := ses.unsettled[id]; d != nil {
		l = d.l
	}
	ses.c.s.perform(ses, l, op, func() *refusal {
		d := ses.unsettled[id]
		if d == nil || d.m.delivery != d {
			return lockLost
		}
		return d.m.settle(v)
	}, say)
}
