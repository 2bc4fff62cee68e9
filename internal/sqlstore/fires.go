package sqlstore

import (
	"bytes"

	"github.com/eventflow-go/eventflow/store"
)

// one decides on a fire, or on a row that holds an overlap slot. There are few of those: each takes its own statements,
// and what it writes is there for the next.
func (b *batch) one(tx Tx, o *op) error {
	var r *record
	if err := read(tx, [][]byte{o.key}, func(got *record) { r = got }); err != nil {
		return err
	}
	now, err := tx.Now()
	if err != nil {
		return err
	}
	switch o.req.kind {
	case renewing:
		return b.renewSlotted(tx, o, r, now)
	case finishing:
		return finishSlotted(tx, o, r, now)
	}
	e := entry{r: r}
	e.revive(o, now, b.window)
	if !o.claim(e.r, now) {
		return nil
	}
	if now < o.fire.NotBefore.UnixNano() && !o.fire.NotBefore.IsZero() {
		o.status = store.Early
		return nil
	}
	slot := noBytes
	if o.fire.Overlap != "" {
		slot = name(o.flow, o.fire.Overlap)
		if held, err := b.slotHeld(tx, o, slot, &now); held || err != nil {
			return err
		}
	}
	if r != nil && len(r.slot) > 0 && !bytes.Equal(r.slot, slot) {
		if err := freeSlot(tx, r); err != nil {
			return err
		}
	}
	o.grant(e.r, now, b.fences.next(now))
	e.r.slot = slot
	return b.writeFire(tx, o, &e, now)
}

// writeFire writes the grant of a fire with all that goes with it.
func (b *batch) writeFire(tx Tx, o *op, e *entry, now int64) error {
	if e.isNew {
		if ok, err := b.insert(tx, []*record{e.r}, now); err != nil {
			return err
		} else if !ok {
			return ErrAgain
		}
	} else {
		if e.keep {
			if _, err := tx.Each(keep, []any{[][]byte{o.key}}); err != nil {
				return err
			}
		}
		if err := update(tx, []*record{e.r}); err != nil {
			return err
		}
	}
	if len(e.r.slot) > 0 {
		if _, err := tx.Exec(`UPDATE slots SET holder = $1 WHERE name = $2`, o.key, e.r.slot); err != nil {
			return err
		}
	}
	if o.fire.Definition == "" {
		return nil
	}
	_, err := tx.Exec(`INSERT INTO cursors (name, definition, nominal) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, nominal = CASE
			WHEN cursors.definition = excluded.definition AND cursors.nominal > excluded.nominal THEN cursors.nominal
			ELSE excluded.nominal END`, name(o.flow, o.clock), []byte(o.fire.Definition), o.fire.Nominal.UnixNano())
	return err
}

// slotHeld locks a slot and answers Overlapping when another live run holds it. Waiting for the lock takes time, so it
// reads the clock again.
func (b *batch) slotHeld(tx Tx, o *op, slot []byte, now *int64) (bool, error) {
	if _, err := tx.Exec(`INSERT INTO slots (name, holder) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET holder = slots.holder`, slot, noBytes); err != nil {
		return false, err
	}
	held, until := false, int64(0)
	err := tx.Query(`SELECT runs.until FROM slots JOIN runs ON runs.key = slots.holder
		WHERE slots.name = $1 AND slots.holder <> $2 AND runs.slot = slots.name AND runs.live > 0 AND runs.last = 0`,
		[]any{slot, o.key}, func(row func(...any) error) error {
			held = true
			return row(&until)
		})
	if err != nil {
		return false, err
	}
	if *now, err = tx.Now(); err != nil || !held || until <= *now {
		return false, err
	}
	o.status, o.left = store.Overlapping, until-*now
	return true, nil
}

// freeSlot gives back the slot of r. One that another run took, after r's lease lapsed, is that run's.
func freeSlot(tx Tx, r *record) error {
	_, err := tx.Exec(`DELETE FROM slots WHERE name = $1 AND holder = $2`, r.slot, r.key)
	r.slot = noBytes
	return err
}

func (b *batch) renewSlotted(tx Tx, o *op, r *record, now int64) error {
	if r == nil || len(r.slot) == 0 { // since it was looked at first
		if o.renew(r, now) {
			return update(tx, []*record{r})
		}
		return nil
	}
	was := *r
	if !o.renew(&was, now) {
		return nil
	}
	if held, err := b.slotHeld(tx, o, r.slot, &now); held || err != nil {
		return err
	}
	o.renew(r, now)
	if _, err := tx.Exec(`UPDATE slots SET holder = $1 WHERE name = $2`, o.key, r.slot); err != nil {
		return err
	}
	return update(tx, []*record{r})
}

func finishSlotted(tx Tx, o *op, r *record, now int64) error {
	changed, gone := o.finish(r, now)
	if !changed {
		return nil
	}
	if len(r.slot) > 0 {
		if err := freeSlot(tx, r); err != nil {
			return err
		}
	}
	if gone {
		return forget(tx, [][]byte{o.key})
	}
	return update(tx, []*record{r})
}
