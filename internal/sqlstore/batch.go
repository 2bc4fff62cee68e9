package sqlstore

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/eventflow-go/eventflow/store"
)

// ErrAgain asks [Engine.Write] to run its function again: another transaction was faster.
var ErrAgain = errors.New("store: another transaction was faster")

// batch is what one transaction writes: the calls that waited, together.
type batch struct {
	window int64
	base   int64 // of the engine, when the batch was made
	fences *fences
	reqs   []*request

	// Of the transaction that reads.
	rows    map[string]*entry
	keys    [][]byte // of rows, in order
	slots   map[string]*slot
	cursors map[string]cursor

	// The ops, by what they need.
	ends   []*op // ends, which are written without reading first
	claims []*op // of events
	fires  []*op
	others []*op

	ended   bool // ends are written
	granted bool // claims are
}

// entry is a row in the batch.
type entry struct {
	r              *record // nil: there is none
	isNew, changed bool
	gone           bool
	keep           bool // it is past its window, and its end is not in the history yet
	finishes       bool // not all that asks for it are claims
}

func newBatch(window, base int64, f *fences, reqs []*request) *batch {
	b := &batch{window: window, base: base, fences: f, reqs: reqs}
	asked := time.Now()
	for _, q := range reqs {
		q.asked = asked
		for i := range q.ops {
			o := &q.ops[i]
			switch {
			case q.kind == finishing && o.state == store.Terminal:
				b.ends = append(b.ends, o)
			case q.kind == claiming && o.fire != nil:
				b.fires = append(b.fires, o)
			case q.kind == claiming:
				b.claims = append(b.claims, o)
			default:
				b.others = append(b.others, o)
			}
		}
	}
	b.ended, b.granted = len(b.ends) == 0, len(b.claims) == 0
	// Two transactions that want the same rows must want them in the same order; and neighbours in an index are cheaper.
	byKey := func(a, b *op) int { return bytes.Compare(a.key, b.key) }
	slices.SortStableFunc(b.ends, byKey)
	slices.SortStableFunc(b.claims, byKey)
	return b
}

// write writes the batch. Most batches are new keys and ends of live claims: two statements, which read nothing first.
// When a row was not as they need it, what they wrote stays, and the rest takes a transaction that reads.
func (b *batch) write(ctx context.Context, e Engine) error {
	if len(b.fires)+len(b.others) == 0 {
		if err := b.writeBlind(ctx, e); err != nil || b.ended && b.granted {
			return err
		}
	}
	return e.Write(ctx, b.writeSeeing)
}

func (b *batch) writeBlind(ctx context.Context, e Engine) error {
	var bulks []Bulk
	if !b.ended {
		bulks = append(bulks, endings(b.ends, b.base))
	}
	adds := b.distinct()
	if adds {
		rs := make([]*record, len(b.claims))
		for i, o := range b.claims {
			rs[i] = o.fresh()
			o.grant(rs[i], b.base, b.fences.next(time.Now().UnixNano()))
		}
		bulks = append(bulks, additions(rs, 0))
	}
	if len(bulks) == 0 {
		return nil
	}
	counts, err := e.Together(ctx, bulks)
	if err != nil {
		return err
	}
	if !b.ended {
		b.ended = counts[0] == int64(len(b.ends))
		counts = counts[1:]
	}
	if adds {
		b.granted = counts[0] == int64(len(b.claims))
	}
	return nil
}

// distinct reports whether there are claims, and no two of one key, which would be neighbours.
func (b *batch) distinct() bool {
	for i := 1; i < len(b.claims); i++ {
		if bytes.Equal(b.claims[i-1].key, b.claims[i].key) {
			return false
		}
	}
	return len(b.claims) > 0
}

// endings gives what writes ends of claims that are still their owner's. An end that was written before is answered alike
// when it is looked at again.
func endings(ends []*op, base int64) Bulk {
	n := len(ends)
	keys, owners, reasons, errs := column[[]byte](n), column[[]byte](n), column[[]byte](n), column[[]byte](n)
	fences, outcomes, untils, starts := column[int64](n), column[int64](n), column[int64](n), column[int64](n)
	for i, o := range ends {
		keys[i], owners[i], reasons[i], errs[i] = o.key, []byte(o.req.owner), []byte(o.reason), []byte(o.err)
		fences[i], outcomes[i], untils[i], starts[i] = o.fence, int64(o.outcome), base, o.started
		o.fenced = false
	}
	return Bulk{end, []any{keys, fences, owners, outcomes, untils, starts, reasons, errs}}
}

// writeSeeing is the transaction that reads what it changes. It may run more than once. All transactions lock in one
// order, so that none waits for one that waits for it: rows that are there, slots, rows that are new, cursors, and each of
// these by their names.
func (b *batch) writeSeeing(tx Tx) error {
	var ops []*op
	if !b.ended {
		ops = append(ops, b.ends...)
	}
	ops = append(ops, b.others...)
	if !b.granted {
		ops = append(ops, b.claims...)
	}
	ops = append(ops, b.fires...)
	if err := b.load(tx, ops); err != nil {
		return err
	}
	if err := b.lockSlots(tx, ops); err != nil {
		return err
	}
	now, err := tx.Now() // again: waiting for locks takes time
	if err != nil {
		return err
	}
	b.cursors = nil
	for _, o := range ops {
		b.decide(o, b.rows[string(o.key)], now)
	}
	return b.store(tx, now)
}

// load reads the rows of all ops.
func (b *batch) load(tx Tx, ops []*op) error {
	b.rows = make(map[string]*entry, len(ops))
	b.keys = b.keys[:0]
	for _, o := range ops {
		e := b.rows[string(o.key)]
		if e == nil {
			e = &entry{}
			b.rows[string(o.key)] = e
			b.keys = append(b.keys, o.key)
		}
		e.finishes = e.finishes || o.req.kind != claiming
	}
	slices.SortFunc(b.keys, bytes.Compare)
	return read(tx, b.keys, func(r *record) { b.rows[string(r.key)].r = r })
}

// decide answers an op and changes its row.
func (b *batch) decide(o *op, e *entry, now int64) {
	switch o.req.kind {
	case claiming:
		was := *e
		e.revive(o, now, b.window)
		if !o.claim(e.r, now) || !b.mayStart(o, &was, now) {
			*e = was
			return
		}
		o.grant(e.r, now, b.fences.next(now))
		e.changed = true
		if o.fire != nil {
			b.started(o, e, &was)
		}
	case renewing:
		r := e.present()
		if r != nil && len(r.slot) > 0 {
			if copied := *r; o.renew(&copied, now) && b.overlaps(o, r.slot, now) {
				return
			}
		}
		if o.renew(r, now) {
			e.changed = true
			b.hold(r)
		}
	case finishing:
		r := e.present()
		changed, gone := o.finish(r, now)
		e.changed, e.gone = e.changed || changed, e.gone || gone
		if changed {
			b.free(r)
		}
	}
}

// store writes what was decided.
func (b *batch) store(tx Tx, now int64) error {
	var removed, past [][]byte
	var added, changed []*record
	for _, key := range b.keys {
		switch e := b.rows[string(key)]; {
		case !e.changed:
		case e.gone:
			if !e.isNew {
				removed = append(removed, key)
			}
		case e.isNew:
			added = append(added, e.r)
		default:
			if changed = append(changed, e.r); e.keep {
				past = append(past, key)
			}
		}
	}
	if err := forget(tx, removed); err != nil {
		return err
	}
	if len(past) > 0 {
		if _, err := tx.Each(keep, []any{past}); err != nil {
			return err
		}
	}
	if ok, err := b.insert(tx, added, now); err != nil {
		return err
	} else if !ok {
		return ErrAgain
	}
	if err := update(tx, changed); err != nil {
		return err
	}
	if err := b.storeSlots(tx); err != nil {
		return err
	}
	return b.storeCursors(tx)
}

// present gives the row unless it was forgotten by an op before.
func (e *entry) present() *record {
	if e.gone {
		return nil
	}
	return e.r
}

// revive makes the row that a claim looks at: a new one where there is none, or where it is past its window.
func (e *entry) revive(o *op, now, window int64) {
	switch {
	case e.r == nil:
		e.r, e.isNew = o.fresh(), true
	case e.gone, now-e.r.until >= window:
		e.keep = !e.gone && e.r.live == ended && !e.isNew
		last := e.r.fence
		e.r, e.gone = o.fresh(), false
		e.r.fence = last
		e.r.last = store.Released
	}
}
