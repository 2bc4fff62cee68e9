package store

import "time"

// slot is an overlap slot. It belongs to its flow: slots of two flows are two, whatever they are called.
type slot struct{ flow, name string }

// refuse answers a fire whose key is free and which may not run now all the same; 0 when it may. It records nothing: the
// fire was not claimed, so the cursor stays. i is the key's record, if it has one.
func (m *Memory) refuse(c *Claim, i int32, now instant) (Status, time.Time) {
	if now.wall.Before(c.Fire.NotBefore) {
		return Early, c.Fire.NotBefore
	}
	if c.Fire.Overlap != "" {
		if h := m.slotHolder(slot{c.Key.Flow, c.Fire.Overlap}, now); h != 0 && h != i {
			return Overlapping, now.at(m.keys.at(h).until)
		}
	}
	return 0, time.Time{}
}

// slotHolder gives the record of the live run that holds s, 0 when there is none.
func (m *Memory) slotHolder(s slot, now instant) int32 {
	if h := m.slots[s]; h != 0 && now.ns < m.keys.at(h).until {
		return h
	}
	return 0
}

// fire notes what the grant of a fire changes besides its key.
func (m *Memory) fire(c *Claim, i int32) {
	r := m.keys.at(i)
	if !r.fire {
		r.fire = true
		m.fires.push(&m.keys, i)
	}
	m.freeSlot(r, i)
	if c.Fire.Overlap != "" {
		s := slot{c.Key.Flow, c.Fire.Overlap}
		m.slots[s], m.wanted[i] = i, s
	}
	if c.Fire.Definition != "" {
		m.cursors.move(clockName{c.Key.Flow, c.Key.Binding}, c.Fire.Definition, c.Fire.Nominal)
	}
}

// slotOf gives the slot that the newest run of record i was granted with, if it was with one.
func (m *Memory) slotOf(r *record, i int32) (slot, bool) {
	if !r.fire {
		return slot{}, false
	}
	s, ok := m.wanted[i]
	return s, ok
}

// freeSlot gives back the slot that r holds. One that another run took, after r's lease lapsed, is that run's.
func (m *Memory) freeSlot(r *record, i int32) {
	s, ok := m.slotOf(r, i)
	if !ok {
		return
	}
	if m.slots[s] == i {
		delete(m.slots, s)
	}
	delete(m.wanted, i)
}

type clockName struct{ flow, clock string }

type cursor struct {
	definition string
	nominal    time.Time
}

// cursors remember how far clocks have come: at least the limit/2 that moved last and at most limit, in two halves, of
// which the older is dropped when the newer is full.
type cursors struct {
	limit      int
	newer, old map[clockName]cursor
}

func (cs *cursors) find(name clockName) (cursor, bool) {
	if c, ok := cs.newer[name]; ok {
		return c, true
	}
	c, ok := cs.old[name]
	return c, ok
}

func (cs *cursors) get(name clockName, definition string) time.Time {
	if c, ok := cs.find(name); ok && c.definition == definition {
		return c.nominal
	}
	return time.Time{}
}

// move moves a cursor forward only. A changed definition starts over.
func (cs *cursors) move(name clockName, definition string, nominal time.Time) {
	if c, ok := cs.find(name); ok && c.definition == definition && !nominal.After(c.nominal) {
		nominal = c.nominal
	}
	if _, ok := cs.newer[name]; !ok && (cs.newer == nil || len(cs.newer) >= max(cs.limit/2, 1)) {
		cs.newer, cs.old = make(map[clockName]cursor), cs.newer
	}
	cs.newer[name] = cursor{definition, nominal}
}
