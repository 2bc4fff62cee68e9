package sqlstore

import (
	"bytes"
	"maps"
	"slices"

	"github.com/eventflow-go/eventflow/store"
)

// slot is a row of the table of overlap slots, which the transaction has locked.
type slot struct {
	name   []byte
	holder []byte // the key of the run that took it last; empty: it was given back
	live   bool   // the holder's run has not been finished
	until  int64  // the end of its lease

	changed bool
}

// cursor is how far a clock has come.
type cursor struct {
	definition string
	nominal    int64
}

// The statements of slots and cursors.
var (
	lockSlot = &Statement{
		Text: `WITH {b} INSERT INTO slots (name, holder) SELECT name, x'' FROM b WHERE true ORDER BY name
			ON CONFLICT (name) {touch}`,
		Columns: []Column{bytesColumn("name")},
	}
	loadSlot = &Statement{
		Text: `WITH {b} SELECT slots.name, slots.holder, runs.until
			FROM b CROSS JOIN slots CROSS JOIN runs WHERE slots.name = b.name AND runs.key = slots.holder AND runs.slot = slots.name
				AND runs.live > 0 AND runs.last = 0`,
		Columns: []Column{bytesColumn("name")},
	}
	setSlot = &Statement{
		Text:    `WITH {b} UPDATE slots SET holder = b.holder FROM b WHERE slots.name = b.name`,
		Columns: []Column{bytesColumn("name"), bytesColumn("holder")},
	}
	freeSlot = &Statement{
		Text:    `WITH {b} DELETE FROM slots WHERE name IN (SELECT name FROM b)`,
		Columns: []Column{bytesColumn("name")},
	}
	moveCursor = &Statement{
		Text: `WITH {b} INSERT INTO cursors (name, definition, nominal) SELECT name, definition, nominal FROM b WHERE true ORDER BY name
			ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, nominal = CASE
				WHEN cursors.definition = excluded.definition AND cursors.nominal > excluded.nominal THEN cursors.nominal
				ELSE excluded.nominal END`,
		Columns: []Column{bytesColumn("name"), bytesColumn("definition"), intColumn("nominal")},
	}
)

// lockSlots locks the slots that the ops may take or give back, and reads who has them.
func (b *batch) lockSlots(tx Tx, ops []*op) error {
	b.slots = nil
	now, err := tx.Now()
	if err != nil {
		return err
	}
	want := func(name []byte) {
		if b.slots == nil {
			b.slots = make(map[string]*slot)
		}
		b.slots[string(name)] = &slot{name: name}
	}
	for _, o := range ops {
		e := b.rows[string(o.key)]
		if !e.finishes && (o.early(now) || !e.free(now, b.window)) {
			continue // a claim that is refused
		}
		if e.r != nil && len(e.r.slot) > 0 {
			want(e.r.slot)
		}
		if o.fire != nil && o.fire.Overlap != "" {
			want(name(o.flow, o.fire.Overlap))
		}
	}
	if len(b.slots) == 0 {
		return nil
	}
	names := b.slotNames(func(*slot) bool { return true })
	if _, err := tx.Each(lockSlot, []any{names}); err != nil {
		return err
	}
	return tx.Select(loadSlot, []any{names}, func(row func(...any) error) error {
		var name, holder []byte
		var until int64
		err := row(&name, &holder, &until)
		s := b.slots[string(name)]
		s.holder, s.live, s.until = holder, true, until
		return err
	})
}

func (b *batch) slotNames(which func(*slot) bool) (names [][]byte) {
	for _, s := range b.slots {
		if which(s) {
			names = append(names, s.name)
		}
	}
	slices.SortFunc(names, bytes.Compare)
	return names
}

// free reports whether a claim of the row would be granted.
func (e *entry) free(now, window int64) bool {
	r := e.r
	switch {
	case r == nil, now-r.until >= window:
		return true
	case r.live == ended:
		return false
	}
	return !r.running() || now >= r.until
}

func (o *op) early(now int64) bool {
	return o.fire != nil && !o.fire.NotBefore.IsZero() && now < nanos(o.fire.NotBefore)
}

// mayStart decides on a claim of a key that is free, whose row is that of was.
func (b *batch) mayStart(o *op, was *entry, now int64) bool {
	if o.fire == nil {
		return true
	}
	if o.early(now) {
		o.status = store.Early
		return false
	}
	if r := was.r; r != nil && len(r.slot) > 0 && b.slots[string(r.slot)] == nil {
		return o.tooSoon()
	}
	return o.fire.Overlap == "" || !b.overlaps(o, name(o.flow, o.fire.Overlap), now)
}

// tooSoon answers a claim that became free while the transaction waited for locks, of which it has not all: it is to be
// asked for again.
func (o *op) tooSoon() bool {
	o.status, o.left = store.Held, 0
	return false
}

// overlaps answers an op whose slot another live run has.
func (b *batch) overlaps(o *op, name []byte, now int64) bool {
	s := b.slots[string(name)]
	if s == nil {
		o.tooSoon()
		return true
	}
	if !s.live || bytes.Equal(s.holder, o.key) || s.until <= now {
		return false
	}
	o.status, o.left = store.Overlapping, s.until-now
	return true
}

// started takes the slot of a fire that was granted, and moves its clock's cursor.
func (b *batch) started(o *op, e, was *entry) {
	if was.r != nil {
		b.free(&record{key: o.key, slot: was.r.slot})
	}
	e.r.slot = noBytes
	if o.fire.Overlap != "" {
		e.r.slot = name(o.flow, o.fire.Overlap)
		b.hold(e.r)
	}
	if o.fire.Definition == "" {
		return
	}
	if b.cursors == nil {
		b.cursors = make(map[string]cursor)
	}
	to := cursor{o.fire.Definition, nanos(o.fire.Nominal)}
	of := string(name(o.flow, o.clock))
	if c := b.cursors[of]; c.definition == to.definition {
		to.nominal = max(to.nominal, c.nominal)
	}
	b.cursors[of] = to
}

// hold gives the slot of r to it.
func (b *batch) hold(r *record) {
	if s := b.slots[string(r.slot)]; s != nil && len(r.slot) > 0 {
		s.changed = s.changed || !bytes.Equal(s.holder, r.key)
		s.holder, s.live, s.until = r.key, true, r.until
	}
}

// free gives back the slot of r. One that another run took, after r's lease lapsed, is that run's.
func (b *batch) free(r *record) {
	if s := b.slots[string(r.slot)]; s != nil && bytes.Equal(s.holder, r.key) {
		s.holder, s.live, s.changed = nil, false, true
	}
	r.slot = noBytes
}

func (b *batch) storeSlots(tx Tx) error {
	if held := b.slotNames(func(s *slot) bool { return s.changed && s.live }); len(held) > 0 {
		holders := make([][]byte, len(held))
		for i, name := range held {
			holders[i] = b.slots[string(name)].holder
		}
		if _, err := tx.Each(setSlot, []any{held, holders}); err != nil {
			return err
		}
	}
	if freed := b.slotNames(func(s *slot) bool { return !s.live }); len(freed) > 0 {
		_, err := tx.Each(freeSlot, []any{freed})
		return err
	}
	return nil
}

func (b *batch) storeCursors(tx Tx) error {
	n := len(b.cursors)
	if n == 0 {
		return nil
	}
	names, definitions, nominals := make([][]byte, 0, n), make([][]byte, 0, n), make([]int64, 0, n)
	for _, of := range slices.Sorted(maps.Keys(b.cursors)) {
		c := b.cursors[of]
		names, definitions, nominals = append(names, []byte(of)), append(definitions, []byte(c.definition)), append(nominals, c.nominal)
	}
	_, err := tx.Each(moveCursor, []any{names, definitions, nominals})
	return err
}
