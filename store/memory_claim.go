package store

import (
	"context"
	"time"
)

// Claim implements [Store]. A key that is asked for twice in one call is granted once and Held once. On an error nothing
// was claimed.
func (m *Memory) Claim(ctx context.Context, owner string, lease time.Duration, cs []Claim) error {
	if err := CheckHolder(owner, lease); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx); err != nil {
		return err
	}
	now := m.now()
	for n := 2 * len(cs); n > 0 && m.ended.head != 0 && m.expired(m.keys.at(m.ended.head), now); n-- {
		m.forget(m.ended.head)
	}
	if err := m.makeRoom(cs, now); err != nil {
		return err
	}
	m.warm(cs)
	ends := now.ns + int64(min(lease, maxLease))
	until := now.at(ends)
	holder := m.keys.owners.hold(owner)
	defer m.keys.owners.drop(holder)
	for i := range cs {
		c := &cs[i]
		c.Outcome, c.Fence, c.Attempts, c.Until = 0, 0, 0, time.Time{}
		c.Status, c.slot = m.claim(c, now)
		if c.Status != Granted {
			continue
		}
		r := m.keys.at(c.slot)
		m.fence++
		m.keys.owners.give(r, holder)
		r.fence, r.until, r.state = m.fence, ends, running
		c.Fence, c.Attempts, c.Until = r.fence, int(r.attempts), until
	}
	return nil
}

// warm reads the places of the table that claiming cs will read. A large table is mostly in memory that no cache holds;
// read side by side, its places are fetched together, while the claims one by one would wait for each.
func (m *Memory) warm(cs []Claim) {
	ks := &m.keys
	if len(cs) < warmFrom || len(ks.table) < warmTable {
		return
	}
	s := ks.spaceOf(&cs[0].Key)
	if s == 0 {
		return
	}
	mask := uint32(len(ks.table) - 1)
	var read uint64
	for i := range cs {
		read |= ks.table[ks.hash(s, cs[i].Key.ID)&mask]
	}
	if evict := len(cs) - (m.capacity - ks.used); evict > 0 {
		for i := m.ended.head; i != 0 && evict > 0; evict-- {
			r := ks.at(i)
			read |= ks.table[r.hash&mask]
			i = r.next
		}
	}
	m.warmed = read
}

const (
	warmFrom  = 4       // keys in a call
	warmTable = 1 << 13 // entries: 64 KiB, more than the first cache holds
)

// claim decides, and gives the record of a key that may be granted.
func (m *Memory) claim(c *Claim, now instant) (Status, int32) {
	p := m.keys.probe(&c.Key)
	i := p.index
	if i != 0 && m.expired(m.keys.at(i), now) {
		m.forget(i)
		i = 0
	}
	if i != 0 {
		switch r := m.keys.at(i); {
		case r.state == done:
			c.Outcome = r.outcome
			m.keys.release(p)
			return Done, i
		case r.state == running && now.ns < r.until:
			c.Until = now.at(r.until)
			m.keys.release(p)
			return Held, i
		}
	}
	if c.Fire != nil {
		if s, until := m.refuse(c, i, now); s != 0 {
			c.Until = until
			m.keys.release(p)
			return s, i
		}
	}
	if i == 0 {
		if m.keys.used == m.capacity {
			m.forget(m.ended.head)
		}
		i = m.keys.add(p, c.Key.ID)
	} else {
		m.keys.release(p)
		if r := m.keys.at(i); r.state == running {
			r.attempts++ // its holder died with it
		}
	}
	if c.Fire != nil {
		m.fire(c, i)
	}
	return Granted, i
}

// makeRoom fails unless every key of cs that may need a new record can have one, so that a call is claimed whole or not
// at all.
func (m *Memory) makeRoom(cs []Claim, now instant) error {
	if len(cs) <= m.room() {
		return nil
	}
	asked := 0
	for i := range cs {
		p := m.keys.probe(&cs[i].Key)
		// A finished key counts: its record may be taken for a key before it in the slice, and then it needs another.
		if p.index == 0 || m.keys.at(p.index).state == done {
			asked++
		}
		m.keys.release(p)
	}
	if asked > m.room() {
		m.reap(now)
	}
	if asked > m.room() {
		return &FullError{Capacity: m.capacity, Asked: asked}
	}
	return nil
}

// room is how many keys can be added, by forgetting finished ones.
func (m *Memory) room() int { return m.capacity - m.keys.used + m.ended.n }

// reap forgets the unfinished keys that nobody has touched for the window. It looks at every key, so it is only asked
// when there is no room otherwise, and not before the oldest can have expired.
func (m *Memory) reap(now instant) {
	if now.ns < m.reapAt {
		return
	}
	m.reapAt = now.ns + int64(m.window)
	for i := range m.keys.each {
		switch r := m.keys.at(i); {
		case r.state == done:
		case m.expired(r, now):
			m.forget(i)
		default:
			m.reapAt = min(m.reapAt, r.until+int64(m.window))
		}
	}
}

func (m *Memory) expired(r *record, now instant) bool {
	return now.ns-r.until >= int64(m.window)
}

// forget removes a key, whatever its state.
func (m *Memory) forget(i int32) {
	r := m.keys.at(i)
	switch {
	case r.state == done:
		m.ended.remove(&m.keys, i)
	case r.fire:
		m.fires.remove(&m.keys, i)
		m.freeSlot(r, i)
	}
	m.keys.remove(i)
}
