package servicebustest

import "github.com/eventflow-go/eventflow/servicebus/servicebustest/internal/amqp"

// session is an AMQP session, which has nothing to do with the sessions of messages.
type session struct {
	c         *conn
	channel   uint16
	links     map[uint32]*link // by handle, which is the same in both directions
	unsettled map[uint32]*delivery

	nextIn  uint32 // the ID of the client's next transfer
	nextOut uint32 // that of ours
	nextID  uint32 // of our next delivery
	window  uint32 // transfers that the client has room for
	held    [][]byte
}

func (ses *session) send(code byte, fields ...any) {
	ses.c.put(amqp.AppendFrame(nil, amqp.FrameAMQP, ses.channel, amqp.Composite(code, fields...), nil))
}

// transfer sends a transfer's frame, or holds it until the client's window is open. Since nothing is delivered
// meanwhile, what is held is part of one message.
func (ses *session) transfer(frame []byte) {
	if len(ses.held) > 0 || ses.window == 0 {
		ses.held = append(ses.held, frame)
		return
	}
	ses.window--
	ses.nextOut++
	ses.c.put(frame)
}

func (ses *session) handle(f amqp.Frame) {
	handle := amqp.At[uint32](f.Fields, 0)
	l := ses.links[handle]
	switch f.Code {
	case amqp.CodeAttach:
		ses.attach(f.Fields)
	case amqp.CodeFlow:
		ses.flow(f.Fields)
	case amqp.CodeTransfer:
		ses.nextIn++
		if l != nil && !l.sends {
			l.receive(f.Fields, f.Payload)
		}
	case amqp.CodeDisposition:
		ses.disposition(f.Fields)
	case amqp.CodeDetach:
		if l != nil {
			l.drop()
			if !l.attached { // its client does not wait for a session any longer
				l.answerNull()
			}
			ses.send(amqp.CodeDetach, handle, true)
		}
	case amqp.CodeEnd:
		ses.end()
		delete(ses.c.sessions, ses.channel)
		ses.send(amqp.CodeEnd)
	default:
		ses.c.fail("amqp:not-implemented", "The frame is not one of a session.")
	}
}

// end drops the session's links. Locks of messages outlive it, those of sessions do not.
func (ses *session) end() {
	for _, l := range ses.links {
		l.drop()
	}
}

func (ses *session) flow(f amqp.List) {
	shut := ses.window == 0
	next := amqp.At[uint32](f, 0) // absent before the client has seen our begin, which starts at 0
	ses.window = uint32(max(int32(next+amqp.At[uint32](f, 1)-ses.nextOut), 0))
	held := ses.held
	ses.held = nil
	for _, frame := range held {
		ses.transfer(frame)
	}
	handle, ok := amqp.Opt[uint32](f, 4)
	if !ok {
		ses.pump()
		return
	}
	if l := ses.links[handle]; l != nil && l.sends {
		// A client that drains may not have seen all that is on its way: less than nothing is nothing.
		l.credit = uint32(max(int32(amqp.At[uint32](f, 5)+amqp.At[uint32](f, 6)-l.count), 0))
		l.pump()
		switch {
		case amqp.At[bool](f, 8): // drain
			l.count, l.credit = l.count+l.credit, 0
			l.flow(true)
		case amqp.At[bool](f, 9): // echo
			l.flow(false)
		}
	}
	if shut { // what waits on other links too
		ses.pump()
	}
}

func (ses *session) pump() {
	for _, l := range ses.links {
		if l.sends {
			l.pump()
		}
	}
}
