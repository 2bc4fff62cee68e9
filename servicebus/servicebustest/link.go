package servicebustest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest/internal/amqp"
)

const (
	cbsNode     = "$cbs"
	batchFormat = 0x80013700 // a message whose data sections are messages
	grant       = 1000       // what a sending client may send before it is allowed more
	maxReplies  = 100        // that wait for credit
	acceptWait  = time.Minute
)

// link is one end of a link, ours.
type link struct {
	ses     *session
	handle  uint32
	name    string
	ask     amqp.List // the client's attach
	sends   bool      // we are its sender
	deletes bool      // receive and delete: what is sent is settled
	e       *entity   // nil for $cbs
	node    bool      // $management or $cbs: requests come, or replies go

	attached  bool
	described bool   // the session filter was, so the answer's is
	lane      *lane  // the session that it holds
	wait      timer  // until which it waits for one
	replyTo   string // what requests call this link, which carries their answers

	credit  uint32
	count   uint32 // its delivery-count
	replies [][]byte

	in       []byte // the message that is coming, part after part
	inID     uint32
	inFormat uint32
	inDone   bool // sent settled
	inLarge  bool // too large: only its end is waited for
}

// attach answers a client that opens a link.
func (ses *session) attach(f amqp.List) {
	l := &link{ses: ses, name: amqp.At[string](f, 0), handle: amqp.At[uint32](f, 1), ask: f, sends: amqp.At[bool](f, 2), deletes: amqp.At[uint8](f, 3) == 1}
	if ses.links[l.handle] != nil || len(ses.links) >= maxLinks {
		ses.c.fail("amqp:session:handle-in-use", "The handle is in use, or there are too many links.")
		return
	}
	ses.links[l.handle] = l
	source, target := amqp.At[*amqp.Described](f, 5), amqp.At[*amqp.Described](f, 6)
	end := target
	if l.sends {
		end, l.replyTo = source, amqp.At[string](target.Fields(), 0)
	}
	address := amqp.At[string](end.Fields(), 0)
	if end.Code() == amqp.CodeCoordinator {
		l.refuse(&refusal{"amqp:not-implemented", "There are no transactions here."})
		return
	}
	if canonical(address) == cbsNode {
		l.node = true
		l.answer()
		return
	}
	e, management := ses.c.s.lookup(address)
	l.e, l.node = e, management
	op := Operation{Kind: Attach, Entity: address}
	if e != nil {
		op.Entity = e.path
	}
	ses.c.s.perform(ses, l, op, func() *refusal {
		if ses.links[l.handle] != l {
			return nil // given up while a fault held it up
		}
		return l.open(address)
	}, func(r *refusal) {
		if r != nil && ses.links[l.handle] == l {
			l.refuse(r)
		}
	})
}

// open attaches the link, or says why not.
func (l *link) open(address string) *refusal {
	rights, need, name := l.ses.c.rights(canonical(address)), Listen, "Listen"
	if !l.sends {
		need, name = Send, "Send"
	}
	if l.node {
		need, name = Listen|Send, "Listen or Send"
	}
	switch {
	case !rights.any(need):
		return &refusal{noRights, fmt.Sprintf("The right %q is required to open this link to %q.", name, address)}
	case l.e == nil || l.e.deleted:
		return &refusal{"amqp:not-found", fmt.Sprintf("The messaging entity %q could not be found.", address)}
	case l.node:
		l.answer()
		return nil
	case !l.sends && (l.e.topic != nil || l.e.dead == nil && !l.e.isTopic):
		return &refusal{"amqp:not-allowed", fmt.Sprintf("%q is not for sending to.", l.e.path)}
	case !l.sends:
		l.answer()
		return nil
	case l.e.isTopic:
		return &refusal{"amqp:not-allowed", fmt.Sprintf("%q is a topic: receive from one of its subscriptions.", l.e.path)}
	}
	id, described, filtered := wantsSession(amqp.At[*amqp.Described](l.ask, 5))
	switch {
	case filtered && !l.e.set.RequiresSession:
		return &refusal{"amqp:not-allowed", "A sessionful message receiver cannot be created on an entity that does not require sessions."}
	case !filtered && l.e.set.RequiresSession:
		return &refusal{"amqp:not-allowed", "It is not possible for an entity that requires sessions to create a non-sessionful message receiver."}
	case !filtered:
		l.answer()
		l.e.links = append(l.e.links, l)
		return nil
	}
	l.described = described
	if id == nil {
		l.awaitSession()
		return nil
	}
	ln := l.e.lane(*id)
	if ln.holder != nil {
		return &refusal{"com.microsoft:session-cannot-be-locked", fmt.Sprintf("The requested session %q cannot be accepted. It may be locked by another receiver.", *id)}
	}
	l.accept(ln)
	return nil
}

// awaitSession accepts a free session, or the next that comes within the client's time.
func (l *link) awaitSession() {
	if ln := l.e.anyFree(); ln != nil {
		l.accept(ln)
		return
	}
	d := acceptWait
	if ms, ok := amqp.At[amqp.Map](l.ask, 13).Get("com.microsoft:timeout").(uint32); ok {
		d = time.Duration(ms) * time.Millisecond
	}
	s := l.ses.c.s
	l.e.waiting = append(l.e.waiting, l)
	l.wait.due = func() {
		l.refuse(&refusal{"com.microsoft:timeout", "The operation did not complete within the allotted timeout. There is no session that could be accepted."})
	}
	s.set(&l.wait, s.clock.Now().Add(d))
}

// answer attaches the link.
func (l *link) answer() {
	l.attached = true
	source, target := amqp.At[*amqp.Described](l.ask, 5).Fields(), amqp.At[*amqp.Described](l.ask, 6).Fields()
	var filter, props any
	size := uint64(l.ses.c.s.opts.MaxMessage)
	switch {
	case l.lane != nil:
		var id any = l.lane.id
		if l.described {
			id = &amqp.Described{Descriptor: sessionFilterCode, Value: id}
		}
		filter = amqp.Map{{Key: amqp.Symbol(sessionFilter), Value: id}}
		props = amqp.Map{{Key: amqp.Symbol("com.microsoft:locked-until-utc"), Value: ticks(l.lane.until)}}
	case !l.sends:
		props = amqp.Map{{Key: amqp.Symbol("com.microsoft:max-message-batch-size"), Value: size}}
	}
	l.ses.send(amqp.CodeAttach, l.name, l.handle, !l.sends, amqp.At[any](l.ask, 3), amqp.At[any](l.ask, 4),
		amqp.Composite(amqp.CodeSource, amqp.At[any](source, 0), nil, nil, nil, nil, nil, nil, filter),
		amqp.Composite(amqp.CodeTarget, amqp.At[any](target, 0)), nil, nil, uint32(0), size, nil, nil, props)
	if !l.sends {
		l.credit = grant
		l.flow(false)
	}
}

// answerNull is how AMQP begins to refuse a link: it is attached to nothing, and then detached.
func (l *link) answerNull() {
	l.attached = true
	l.ses.send(amqp.CodeAttach, l.name, l.handle, !l.sends, nil, nil, nil, nil, nil, nil, uint32(0))
}

func (l *link) refuse(r *refusal) {
	if !l.attached {
		l.answerNull()
	}
	l.detach(r.condition, r.text)
}

// detach ends the link with an error.
func (l *link) detach(condition, text string) {
	if l.ses.links[l.handle] != l {
		return
	}
	if !l.attached {
		l.answerNull()
	}
	l.drop()
	l.ses.send(amqp.CodeDetach, l.handle, true, (&refusal{condition, text}).encode())
}

// drop forgets the link. A session that it held is given up; messages that it locked stay locked, and may be settled
// by a request to $management.
func (l *link) drop() {
	delete(l.ses.links, l.handle)
	for _, d := range l.ses.unsettled {
		if d.l == l {
			delete(l.ses.unsettled, d.id)
			d.m.delivery = nil
		}
	}
	if l.e == nil {
		return
	}
	l.ses.c.s.unset(&l.wait)
	is := func(x *link) bool { return x == l }
	l.e.links = slices.DeleteFunc(l.e.links, is)
	l.e.waiting = slices.DeleteFunc(l.e.waiting, is)
	if l.lane != nil && l.lane.holder == l {
		l.lane.release(false)
	}
}

func (l *link) flow(drain bool) {
	ses := l.ses
	ses.send(amqp.CodeFlow, ses.nextIn, uint32(clientWindow), ses.nextOut, uint32(clientWindow), l.handle, l.count, l.credit, nil, drain)
}

// pump sends what waits for the link's credit.
func (l *link) pump() {
	for len(l.replies) > 0 && l.room() {
		b := l.replies[0]
		l.replies = l.replies[1:]
		l.transfer(b, nil, true)
	}
	switch {
	case l.e == nil || l.node || !l.attached:
	case l.lane != nil:
		l.lane.pump()
	case !l.e.set.RequiresSession:
		l.e.plain().pump()
	}
}

// room reports whether a message can be delivered on the link now.
func (l *link) room() bool {
	if l.credit == 0 || l.ses.window == 0 || len(l.ses.held) > 0 || l.ses.c.dead {
		return false
	}
	if l.ses.c.full() {
		l.ses.c.stalled = true
		return false
	}
	return true
}

// transfer sends a message, in as many frames as it needs. Without a tag it gets one.
func (l *link) transfer(b, tag []byte, settled bool) (id uint32) {
	ses := l.ses
	id = ses.nextID
	ses.nextID++
	if tag == nil {
		tag = binary.BigEndian.AppendUint32(nil, id)
	}
	l.count++
	l.credit--
	const head = 128 // more than a transfer's performative takes
	for {
		n := min(ses.c.maxFrame-head, len(b))
		ses.transfer(amqp.AppendFrame(nil, amqp.FrameAMQP, ses.channel, amqp.Composite(amqp.CodeTransfer, l.handle, id, tag, uint32(0), settled, n < len(b)), b[:n]))
		if b = b[n:]; len(b) == 0 {
			return id
		}
	}
}

// receive takes a part of a message that a client sends.
func (l *link) receive(f amqp.List, payload []byte) {
	if id, ok := amqp.Opt[uint32](f, 1); ok {
		l.inID = id
	}
	if format, ok := amqp.Opt[uint32](f, 3); ok {
		l.inFormat = format
	}
	l.inDone = l.inDone || amqp.At[bool](f, 4)
	switch {
	case l.inLarge || len(l.in)+len(payload) > l.ses.c.s.opts.MaxMessage:
		l.inLarge, l.in = true, nil
	case l.in == nil:
		l.in = payload // most messages come in one frame, which is the message's alone
	default:
		l.in = append(l.in, payload...)
	}
	if amqp.At[bool](f, 5) { // there is more
		return
	}
	b, id, format, settled, large := l.in, l.inID, l.inFormat, l.inDone, l.inLarge
	l.in, l.inFormat, l.inDone, l.inLarge = nil, 0, false, false
	l.count++
	if l.credit--; l.credit < grant/2 {
		l.credit = grant
		l.flow(false)
	}
	if amqp.At[bool](f, 9) { // aborted
		return
	}
	say := func(r *refusal) {
		if settled {
			return
		}
		state := amqp.Composite(amqp.CodeAccepted)
		if r != nil {
			state = amqp.Composite(amqp.CodeRejected, r.encode())
		}
		l.ses.send(amqp.CodeDisposition, true, id, id, true, state)
	}
	if large {
		say(&refusal{"amqp:link:message-size-exceeded", fmt.Sprintf("The received message exceeds the limit (%d bytes) currently allowed on the link.", l.ses.c.s.opts.MaxMessage)})
		return
	}
	m, err := amqp.ParseMessage(b)
	switch {
	case err != nil:
		say(&refusal{"amqp:decode-error", err.Error()})
	case l.node:
		say(nil)
		l.request(m)
	default:
		l.publish(m, format, say)
	}
}

// publish takes a message, or a batch of them as a whole, from a client.
func (l *link) publish(m *amqp.Message, format uint32, say func(*refusal)) {
	s := l.ses.c.s
	cs := []*amqp.Message{m}
	op := Operation{Kind: Sending, Entity: l.e.path, MessageID: text(m.Properties, amqp.MessageID), SessionID: text(m.Properties, amqp.GroupID)}
	if format == batchFormat {
		cs, op.MessageID, op.SessionID = nil, "", ""
		for _, b := range m.Data() {
			c, err := amqp.ParseMessage(b)
			if err != nil {
				say(&refusal{"amqp:decode-error", err.Error()})
				return
			}
			cs = append(cs, c)
		}
	}
	s.perform(l.ses, l, op, func() *refusal {
		if r := l.e.admit(cs); r != nil {
			return r
		}
		for _, c := range cs {
			l.e.put(c)
		}
		return nil
	}, say)
}
