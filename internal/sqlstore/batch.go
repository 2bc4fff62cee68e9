package sqlstore

import (
	"context"
	"errors"
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
	rows   map[string]*entry

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

// distinct reports whether there are claims, and no two of one key.
func (b *batch) distinct() bool {
	seen := make(map[string]struct{}, len(b.claims))
	for _, o := range b.claims {
		seen[string(o.key)] = struct{}{}
	}
	return len(seen) > 0 && len(seen) == len(b.claims)
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

// writeSeeing is the transaction that reads what it changes. It may run more than once.
func (b *batch) writeSeeing(tx Tx) error {
	var ops []*op
	if !b.ended {
		ops = append(ops, b.ends...)
	}
	ops = append(ops, b.others...)
	if !b.granted {
		ops = append(ops, b.claims...)
	}
	slotted, err := b.many(tx, ops)
	if err != nil {
		return err
	}
	for _, o := range append(slotted, b.fires...) {
		if err := b.one(tx, o); err != nil {
			return err
		}
	}
	return nil
}

// many decides on rows that hold no slot, all at once. Those it gives back hold one.
func (b *batch) many(tx Tx, ops []*op) (slotted []*op, err error) {
	if len(ops) == 0 {
		return nil, nil
	}
	b.rows = make(map[string]*entry, len(ops))
	keys := make([][]byte, 0, len(ops))
	for _, o := range ops {
		if b.rows[string(o.key)] == nil {
			b.rows[string(o.key)] = &entry{}
			keys = append(keys, o.key)
		}
	}
	if err = read(tx, keys, func(r *record) { b.rows[string(r.key)].r = r }); err != nil {
		return nil, err
	}
	now, err := tx.Now()
	if err != nil {
		return nil, err
	}
	for _, o := range ops {
		e := b.rows[string(o.key)]
		if o.req.kind != claiming && e.r != nil && len(e.r.slot) > 0 {
			slotted = append(slotted, o)
			continue
		}
		e.decide(o, now, b)
	}
	var removed, past [][]byte
	var added, changed []*record
	for _, key := range keys {
		switch e := b.rows[string(key)]; {
		case e.gone:
			if !e.isNew {
				removed = append(removed, key)
			}
		case e.isNew:
			added = append(added, e.r)
		case e.changed:
			if changed = append(changed, e.r); e.keep {
				past = append(past, key)
			}
		}
	}
	if err = forget(tx, removed); err != nil {
		return nil, err
	}
	if len(past) > 0 {
		if _, err = tx.Each(keep, []any{past}); err != nil {
			return nil, err
		}
	}
	if ok, err := b.insert(tx, added, now); err != nil {
		return nil, err
	} else if !ok {
		return nil, ErrAgain
	}
	return slotted, update(tx, changed)
}

// decide answers an op and changes the row, which holds no slot.
func (e *entry) decide(o *op, now int64, b *batch) {
	switch o.req.kind {
	case claiming:
		e.revive(o, now, b.window)
		if o.claim(e.r, now) {
			o.grant(e.r, now, b.fences.next(now))
			e.changed = true
		}
	case renewing:
		if o.renew(e.present(), now) {
			e.changed = true
		}
	case finishing:
		changed, gone := o.finish(e.present(), now)
		e.changed, e.gone = e.changed || changed, e.gone || gone
	}
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
