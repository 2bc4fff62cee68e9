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
	for n := 2 * len(cs); n > 0 && m.ended.n > 0 && m.expired(m.keys.at(m.ended.first()), now); n-- {
		m.forget(m.ended.first())
	}
	if err := m.makeRoom(cs, now); err != nil {
		return err
	}
	ends := now.ns + int64(min(lease, maxLease))
	until := now.at(ends)
	holder := m.keys.owners.hold(owner)
	defer m.keys.owners.drop(holder)
	for len(cs) > 0 {
		part := cs[:min(len(cs), ahead)]
		cs = cs[len(part):]
		m.warm(part)
		for i := range part {
			c := &part[i]
			c.Outcome, c.Fence, c.Attempts, c.Until = 0, 0, 0, time.Time{}
			c.Status, c.slot = m.claim(c, m.hashes[i], now)
			if c.Status != Granted {
				continue
			}
			r := m.keys.at(c.slot)
			m.fence++
			m.keys.owners.give(r, holder)
			r.fence, r.until, r.state = m.fence, ends, running
			c.Fence, c.Attempts, c.Until = r.fence, int(r.attempts), until
		}
	}
	return nil
}

// warm hashes the IDs, and reads the buckets and the oldest records that claiming cs will read. A large store is mostly in
// memory that no cache holds, and the claims one by one would wait for each. Read side by side its places are fetched
// together, as many at a time as loops have room for that do nothing else: so addresses are found before, in loops of
// their own.
func (m *Memory) warm(cs []Claim) {
	ks := &m.keys
	for i := range cs {
		m.hashes[i] = ks.hash(cs[i].Key.ID)
	}
	if len(cs) < warmFrom || ks.used < warmKeys {
		return
	}
	var read uint64
	if s := ks.spaceOf(&cs[0].Key); s != 0 {
		salt := ks.byID[s].salt
		var buckets [ahead]*bucket
		for i, h := range m.hashes[:len(cs)] {
			buckets[i] = ks.table.bucket(salted(h, salt))
		}
		for _, b := range buckets[:len(cs)] {
			read |= uint64(b.rest)
		}
	}
	if evict := min(len(cs)-(m.capacity-ks.used), m.ended.n); evict > 0 {
		var oldest [ahead]int32
		m.ended.read(oldest[:evict])
		var records [ahead]*record
		for i, o := range oldest[:evict] {
			records[i] = ks.at(o)
		}
		for _, r := range records[:evict] {
			read |= uint64(r.fence) | uint64(r.id[0]) | uint64(r.id[inRecord-1])
		}
	}
	m.warmed = read
}

const (
	ahead    = 64   // keys that are read side by side
	warmFrom = 4    // keys in a call
	warmKeys = 1000 // in the store: fewer are in the first caches
)

// claim decides, and gives the record of a key that may be granted.
func (m *Memory) claim(c *Claim, hash uint64, now instant) (Status, int32) {
	var p probe
	m.keys.probe(&p, &c.Key, hash)
	i := p.index
	if i != 0 && m.expired(m.keys.at(i), now) {
		m.forget(i)
		i = 0
	}
	if i != 0 {
		switch r := m.keys.at(i); {
		case r.state == done:
			c.Outcome = r.outcome
			m.keys.release(&p)
			return Done, i
		case r.state == running && now.ns < r.until:
			c.Until = now.at(r.until)
			m.keys.release(&p)
			return Held, i
		}
	}
	if c.Fire != nil {
		if s, until := m.refuse(c, i, now); s != 0 {
			c.Until = until
			m.keys.release(&p)
			return s, i
		}
	}
	if i == 0 {
		if m.keys.used == m.capacity {
			m.forget(m.ended.first())
		}
		i = m.keys.add(&p, c.Key.ID)
	} else {
		m.keys.release(&p)
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
	asked := m.asked(cs)
	if asked > m.room() {
		m.reap(now)
		asked = m.asked(cs) // what was forgotten may be of the call
	}
	if asked > m.room() {
		return &FullError{Capacity: m.capacity, Asked: asked}
	}
	return nil
}

// asked is how many keys of cs may need a new record.
func (m *Memory) asked(cs []Claim) int {
	n := 0
	for i := range cs {
		// A finished key counts: its record may be taken for a key before it in the slice, and then it needs another.
		if r := m.keys.find(&cs[i].Key); r == 0 || m.keys.at(r).state == done {
			n++
		}
	}
	return n
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

// forget removes a key, whatever its state; one that is done, when it is the first that ended or past its window.
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
