package store

import (
	"context"
	"time"
)

// Renew implements [Store]. A lease that lapsed is renewed all the same while nobody has taken the key over, nor its
// overlap slot. A claim that is lost is answered as a new claim would be; Held until now, when the key is free.
func (m *Memory) Renew(ctx context.Context, owner string, lease time.Duration, cs []*Claim) error {
	if err := CheckHolder(owner, lease); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx); err != nil {
		return err
	}
	now := m.now()
	ends := now.ns + int64(min(lease, maxLease))
	holder := m.keys.owners.find(owner)
	for _, c := range cs {
		c.Status, c.Until = m.renew(holder, c, ends, now)
	}
	return nil
}

func (m *Memory) renew(owner int32, c *Claim, ends int64, now instant) (Status, time.Time) {
	i := m.find(c)
	if i == 0 {
		return Held, now.wall
	}
	r := m.keys.at(i)
	switch {
	case r.state == done:
		c.Outcome = r.outcome
		return Done, time.Time{}
	case r.state == idle:
		return Held, now.wall
	case r.fence != c.Fence || r.owner != owner:
		return Held, now.at(r.until)
	}
	if s, ok := m.slotOf(r, i); ok {
		if h := m.slotHolder(s, now); h != 0 && h != i {
			return Overlapping, now.at(m.keys.at(h).until)
		}
		m.slots[s] = i
	}
	r.until = ends
	return Granted, now.at(ends)
}

// find gives the record of a claim's key, 0 when there is none.
func (m *Memory) find(c *Claim) int32 {
	if m.keys.is(c.slot, &c.Key) {
		return c.slot
	}
	return m.keys.find(&c.Key)
}

// Finish implements [Store]. The same Finish twice writes once and is answered alike, so that a caller who did not learn
// the answer may ask again. On an error nothing was written.
func (m *Memory) Finish(ctx context.Context, owner string, fs []Finish) error {
	for i := range fs {
		if err := fs[i].Check(); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx); err != nil {
		return err
	}
	now := instant{ns: m.sinceEpoch()}
	holder := m.keys.owners.find(owner)
	for i := range fs {
		fs[i].Fenced = !m.finish(holder, &fs[i], now)
	}
	return nil
}

// finish reports whether the claim was still the owner's.
func (m *Memory) finish(owner int32, f *Finish, now instant) bool {
	i := m.find(f.Claim)
	if i == 0 {
		return false
	}
	r := m.keys.at(i)
	switch {
	case r.fence != f.Claim.Fence || r.owner != owner:
		return false
	case r.state == done:
		return f.State == Terminal && f.Outcome == r.outcome
	case r.state == idle:
		return f.State == r.last
	}
	r.last = f.State
	m.freeSlot(r, i)
	switch f.State {
	case Terminal:
		if r.fire {
			m.fires.remove(&m.keys, i)
		}
		r.state, r.outcome, r.until = done, f.Outcome, now.ns
		m.ended.push(&m.keys, i)
	case Failed:
		// Until stays: a failed fire becomes an orphan when its lease would have lapsed, not before its own process
		// had the chance to try again.
		r.state = idle
		r.attempts++
	case Released:
		if r.attempts == 0 && !r.fire {
			m.forget(i)
			break
		}
		r.state, r.until = idle, min(r.until, now.ns)
	}
	return true
}
