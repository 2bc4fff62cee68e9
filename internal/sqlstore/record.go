package sqlstore

import (
	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// live says what a row is to whoever looks for what is left undone.
type live = int64

const (
	ended     live = 0
	liveEvent live = 1
	liveFire  live = 2
)

// record is a row of the table of runs.
type record struct {
	key  []byte
	flow []byte
	rest []byte // of a key that is only a hash

	live     live
	last     store.State // how the newest grant was finished; 0: it runs
	outcome  eventflow.Outcome
	owner    string // of the newest grant, as fence
	fence    int64  // the store's time of the grant, or one more than the fence before it
	until    int64  // the end of the lease; of an ended one its end
	attempts int64
	slot     []byte // the name of the overlap slot that it holds or held

	started     int64 // by the runner's clock
	reason, err []byte
}

func (r *record) running() bool { return r.live != ended && r.last == 0 }

// The statements that run for many rows.
var (
	// load locks rows in one order, so that two transactions that want the same ones do not wait for each other.
	load = &Statement{
		Text: `WITH {b} SELECT runs.key, runs.flow, runs.rest, runs.live, runs.last, runs.outcome, runs.owner, runs.fence, runs.until,
			runs.attempts, runs.slot, runs.started, runs.reason, runs.err
			FROM b CROSS JOIN runs WHERE runs.key = b.key {lock}`,
		Columns: []Column{bytesColumn("key")},
	}

	// add makes the rows of keys that are new. Those that another transaction made meanwhile it leaves alone.
	add = &Statement{
		Name: "add",
		Text: `WITH {b} INSERT{whole} INTO runs (key, flow, rest, live, owner, fence, until, slot)
			SELECT key, flow, rest, live, owner, fence, until + {clock}, slot FROM b WHERE true ON CONFLICT (key) DO NOTHING`,
		Columns: []Column{
			bytesColumn("key"), bytesColumn("flow"), bytesColumn("rest"), intColumn("live"), bytesColumn("owner"), intColumn("fence"), intColumn("until"),
			bytesColumn("slot"),
		},
	}

	// change writes rows that the transaction has loaded.
	change = &Statement{
		Text: `WITH {b} UPDATE{whole} runs SET live = b.live, last = b.last, outcome = b.outcome, owner = b.owner, fence = b.fence, until = b.until,
			attempts = b.attempts, slot = b.slot, started = b.started, reason = b.reason, err = b.err FROM b WHERE runs.key = b.key`,
		Columns: []Column{
			bytesColumn("key"), intColumn("live"), intColumn("last"), intColumn("outcome"), bytesColumn("owner"), intColumn("fence"), intColumn("until"),
			intColumn("attempts"), bytesColumn("slot"), intColumn("started"), bytesColumn("reason"), bytesColumn("err"),
		},
	}

	// end finishes claims that are still their owner's, without looking at them first. It names no column that an index
	// other than the key's begins with, or a planner may start from what is live.
	end = &Statement{
		Name: "finish",
		Text: `WITH {b} UPDATE{whole} runs SET live = 0, last = 1, outcome = b.outcome, until = {clock} + b.until, started = b.started, reason = b.reason, err = b.err
			FROM b WHERE runs.key = b.key AND runs.fence = b.fence AND runs.owner = b.owner AND runs.last = 0 AND length(runs.slot) = 0`,
		Columns: []Column{
			bytesColumn("key"), intColumn("fence"), bytesColumn("owner"), intColumn("outcome"), intColumn("until"), intColumn("started"),
			bytesColumn("reason"), bytesColumn("err"),
		},
	}

	// remove forgets rows.
	remove = &Statement{
		Text:    `WITH {b} DELETE FROM runs WHERE key IN (SELECT key FROM b)`,
		Columns: []Column{bytesColumn("key")},
	}

	// keep copies rows that are about to be forgotten into the history.
	keep = &Statement{
		Text: `WITH {b} INSERT INTO history (key, flow, rest, outcome, owner, fence, until, attempts, started, reason, err)
			SELECT key, flow, rest, outcome, owner, fence, until, attempts, started, reason, err FROM runs
			WHERE key IN (SELECT key FROM b) AND live = 0`,
		Columns: []Column{bytesColumn("key")},
	}
)

// Ready are the statements that nearly all transactions consist of. An engine may keep them in the schema: when one of them
// changes there has to be a new migration, if only an empty one.
var Ready = []*Statement{add, end}

// read loads the rows of keys.
func read(tx Tx, keys [][]byte, each func(*record)) error {
	if len(keys) == 0 {
		return nil
	}
	return tx.Select(load, []any{keys}, func(row func(...any) error) error {
		r := &record{}
		var owner []byte
		var last, outcome int64
		err := row(&r.key, &r.flow, &r.rest, &r.live, &last, &outcome, &owner, &r.fence, &r.until, &r.attempts, &r.slot, &r.started, &r.reason, &r.err)
		if err != nil {
			return err
		}
		r.last, r.outcome, r.owner = store.State(last), eventflow.Outcome(outcome), string(owner)
		each(r)
		return nil
	})
}

// additions gives what adds rows that were not there when the transaction looked. Their leases begin at base.
func additions(rs []*record, base int64) Bulk {
	n := len(rs)
	keys, flows, rests, owners, slots := column[[]byte](n), column[[]byte](n), column[[]byte](n), column[[]byte](n), column[[]byte](n)
	lives, fences, untils := column[int64](n), column[int64](n), column[int64](n)
	for i, r := range rs {
		keys[i], flows[i], rests[i], owners[i], slots[i] = r.key, r.flow, r.rest, []byte(r.owner), r.slot
		lives[i], fences[i], untils[i] = r.live, r.fence, r.until-base
	}
	return Bulk{add, []any{keys, flows, rests, lives, owners, fences, untils, slots}}
}

// insert adds rows that were not there when the transaction looked, and reports whether nobody was faster.
func (b *batch) insert(tx Tx, rs []*record, now int64) (bool, error) {
	if len(rs) == 0 {
		return true, nil
	}
	if b.base != 0 { // the statement adds nothing
		now = 0
	}
	bulk := additions(rs, now)
	added, err := tx.Each(bulk.Statement, bulk.Columns)
	return added == int64(len(rs)), err
}

// update writes rows that the transaction has loaded.
func update(tx Tx, rs []*record) error {
	if len(rs) == 0 {
		return nil
	}
	n := len(rs)
	keys, owners, slots, reasons, errs := column[[]byte](n), column[[]byte](n), column[[]byte](n), column[[]byte](n), column[[]byte](n)
	lives, lasts, outcomes, fences := column[int64](n), column[int64](n), column[int64](n), column[int64](n)
	untils, attempts, starts := column[int64](n), column[int64](n), column[int64](n)
	for i, r := range rs {
		keys[i], owners[i], slots[i], reasons[i], errs[i] = r.key, []byte(r.owner), r.slot, r.reason, r.err
		lives[i], lasts[i], outcomes[i], fences[i] = r.live, int64(r.last), int64(r.outcome), r.fence
		untils[i], attempts[i], starts[i] = r.until, r.attempts, r.started
	}
	_, err := tx.Each(change, []any{keys, lives, lasts, outcomes, owners, fences, untils, attempts, slots, starts, reasons, errs})
	return err
}

// forget removes rows; those that reached their end stay in the history.
func forget(tx Tx, keys [][]byte) error {
	if len(keys) == 0 {
		return nil
	}
	if _, err := tx.Each(keep, []any{keys}); err != nil {
		return err
	}
	_, err := tx.Each(remove, []any{keys})
	return err
}

func column[T any](n int) []T { return make([]T, n) }
