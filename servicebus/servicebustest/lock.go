package servicebustest

import (
	"crypto/rand"
	"fmt"
	"slices"
)

// delivery is a message on a link, not yet settled.
type delivery struct {
	l  *link
	id uint32
	m  *message
}

// lock gives a message to a receiver: a link, or a request for deferred messages.
func (m *message) lock() {
	e := m.e
	m.lane.ready.remove(m)
	_, _ = rand.Read(m.token[:]) // crypto/rand's never fails
	e.locked[m.token] = m
	if e.set.RequiresSession {
		m.lane.locked[m] = struct{}{}
		e.s.unset(&m.timer) // the session's lock is its lock
		return
	}
	m.renew()
}

// renew makes the lock last from now.
func (m *message) renew() {
	m.until = m.e.s.clock.Now().Add(m.e.set.LockDuration)
	m.e.s.set(&m.timer, m.until)
}

// unhold ends the lock, and nothing else.
func (m *message) unhold() {
	if !m.isLocked() {
		return
	}
	delete(m.e.locked, m.token)
	delete(m.lane.locked, m)
	m.token = [16]byte{}
	m.e.s.unset(&m.timer)
	if d := m.delivery; d != nil {
		delete(d.l.ses.unsettled, d.id)
		m.delivery = nil
	}
}

// unlock gives a message back; a failed delivery is counted. The caller pumps the lane.
func (m *message) unlock(failed bool) {
	m.unhold()
	if failed {
		m.failed++
		if e := m.e; e.dead != nil && m.failed >= uint32(e.set.MaxDeliveryCount) {
			m.deadLetter("MaxDeliveryCountExceeded", fmt.Sprintf("Message could not be consumed after %d delivery attempts.", m.failed))
			return
		}
	}
	if m.state == active {
		m.offer()
	}
}

// pump gives the lane's messages to whoever has room for them.
func (ln *lane) pump() {
	e := ln.e
	for len(ln.ready) > 0 {
		l := ln.holder
		if !e.set.RequiresSession {
			l = e.receiver()
		} else if l == nil {
			ln.offer()
			return
		}
		if l == nil || !l.room() {
			return
		}
		m := ln.ready[0]
		if !m.expires.IsZero() && !e.s.clock.Now().Before(m.expires) {
			m.expire()
			continue
		}
		l.deliver(m)
	}
}

// receiver is the next link with room, each in its turn; nil when none has.
func (e *entity) receiver() *link {
	for range e.links {
		e.turn = (e.turn + 1) % len(e.links)
		if l := e.links[e.turn]; l.room() {
			return l
		}
	}
	return nil
}

// deliver sends a message on a link with room.
func (l *link) deliver(m *message) {
	f := l.ses.c.s.fault(Operation{Kind: Delivery, Entity: l.e.path, MessageID: m.messageID(), SessionID: m.session()})
	if f.Action != Pass && f.Action != Refuse {
		if f.Applied || f.Action == Silence { // locked, or deleted, and never seen
			l.take(m)
		}
		switch f.Action {
		case Cut:
			l.ses.c.kill()
		case Detach:
			l.detach(f.condition(), f.text())
		}
		return
	}
	if l.take(m) {
		l.transfer(m.render(false), nil, true)
		return
	}
	d := &delivery{l: l, m: m}
	t := m.token // .NET's order of a UUID's bytes
	slices.Reverse(t[0:4])
	slices.Reverse(t[4:6])
	slices.Reverse(t[6:8])
	d.id = l.transfer(m.render(false), t[:], false)
	m.delivery = d
	l.ses.unsettled[d.id] = d
}

// take removes or locks a message, as the link's mode is.
func (l *link) take(m *message) (removed bool) {
	if l.deletes {
		m.remove()
		return true
	}
	m.lock()
	return false
}
