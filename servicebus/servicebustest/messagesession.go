package servicebustest

import (
	"slices"
	"time"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest/internal/amqp"
)

// offer puts a free session with messages up for receivers that want any.
func (ln *lane) offer() {
	e := ln.e
	if !ln.offered {
		ln.offered = true
		e.free = append(e.free, ln)
	}
	for len(e.waiting) > 0 {
		ln := e.anyFree()
		if ln == nil {
			return
		}
		l := e.waiting[0]
		e.waiting = e.waiting[1:]
		l.accept(ln)
	}
}

// anyFree takes a session out of the free ones, nil when there is none.
func (e *entity) anyFree() *lane {
	for len(e.free) > 0 {
		ln := e.free[0]
		e.free = e.free[1:]
		ln.offered = false
		if ln.holder == nil && len(ln.ready) > 0 {
			return ln
		}
		ln.sweep()
	}
	return nil
}

// accept gives a free session to a link whose attach waits for one, and answers the attach.
func (l *link) accept(ln *lane) {
	s := ln.e.s
	s.unset(&l.wait)
	l.lane, ln.holder = ln, l
	ln.renew()
	l.answer()
	ln.e.links = append(ln.e.links, l)
	ln.pump()
}

// renew makes the session's lock last from now.
func (ln *lane) renew() {
	ln.until = ln.e.s.clock.Now().Add(ln.e.set.LockDuration)
	ln.e.s.set(&ln.timer, ln.until)
}

// expire ends a session's lock that was not renewed: its messages count a failed delivery.
func (ln *lane) expire() {
	if l := ln.holder; l != nil {
		ln.release(true)
		l.detach("com.microsoft:session-lock-lost", "The session lock has expired on the MessageSession. Accept a new MessageSession.")
	}
}

// release gives a session up. Its messages come again; their deliveries count as failed only when its lock ran out.
func (ln *lane) release(failed bool) {
	ln.holder = nil
	ln.e.s.unset(&ln.timer)
	locked := make([]*message, 0, len(ln.locked))
	for m := range ln.locked {
		locked = append(locked, m)
	}
	slices.SortFunc(locked, func(a, b *message) int { return int(a.number - b.number) })
	for _, m := range locked {
		m.unlock(failed)
	}
	ln.pump()
	ln.sweep()
}

// ticks is a time as .NET counts it: in 100 ns since the year 1.
func ticks(t time.Time) int64 { return t.UnixMilli()*10_000 + 621_355_968_000_000_000 }

// wantsSession reads a receiver's session filter, described or plain: whether there is one, and the session that it
// names; nil when any will do.
func wantsSession(source *amqp.Described) (id *string, described, ok bool) {
	filters := amqp.At[amqp.Map](source.Fields(), 7)
	v, ok := filters.Lookup(sessionFilter)
	if d, is := v.(*amqp.Described); is {
		v, described = d.Value, true
	}
	if s, is := v.(string); is {
		id = &s
	}
	return id, described, ok
}

const (
	sessionFilter     = "com.microsoft:session-filter"
	sessionFilterCode = uint64(0x137000000C)
)

// sessionIDs lists sessions: those with messages or state for a client that asks for all, else those whose state
// changed after a time.
func (e *entity) sessionIDs(after time.Time) []string {
	var ids []string
	all := after.Year() >= 9999
	for id, ln := range e.lanes {
		if all && (ln.live > 0 || ln.state != nil) || !all && ln.state != nil && ln.changed.After(after) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
