package sqlstore

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

type kind uint8

const (
	claiming kind = iota
	renewing
	finishing
)

// request is one call. The committer works on its copy of what was asked, so that a caller whose context ends can leave.
type request struct {
	kind  kind
	owner string
	lease int64
	ops   []op
	done  chan error  // the answer; it has room for one
	over  atomic.Bool // it was answered, or its caller has left: what comes first

	asked time.Time // when its transaction began, or a little before
}

// op is what is asked for one key, and the answer.
type op struct {
	req *request
	key []byte

	// Of a claim.
	rest  []byte
	flow  string
	clock string
	fire  *store.Fire

	// Of a finish.
	state       store.State
	reason, err string
	started     int64

	// Of a claim an answer; of the others what they were granted.
	fence int64

	// Of a finish asked, of the others an answer.
	outcome eventflow.Outcome

	status   store.Status
	attempts int64
	left     int64 // of a lease, from when it was decided
	fenced   bool
}

// nanos gives an instant as the store keeps it. What lies beyond the years 1678 to 2262 becomes their ends.
func nanos(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// until gives the end of a lease by this process's clock, which may differ from the store's. It may be early by what the
// transaction took, never late.
func (o *op) until() time.Time { return o.req.asked.Add(time.Duration(o.left)) }

// claim decides on a key whose row is r. It reports whether the key is free; then the caller grants it, or refuses a
// fire for another reason.
//
// A transaction that is written again, because nobody knows whether it was the first time, finds its own grants.
func (o *op) claim(r *record, now int64) bool {
	if o.status == store.Granted && r.running() && r.fence == o.fence && r.owner == o.req.owner {
		o.left = r.until - now
		return false
	}
	o.status, o.outcome, o.fence, o.attempts, o.left = 0, 0, 0, 0, 0
	switch {
	case r.live == ended:
		o.status, o.outcome = store.Done, r.outcome
	case r.running() && now < r.until:
		o.status, o.left = store.Held, r.until-now
	default:
		return true
	}
	return false
}

// grant makes the row the caller's.
func (o *op) grant(r *record, now, fence int64) {
	if r.running() && r.fence != 0 {
		r.attempts++ // its holder died with it
	}
	r.live, r.last = liveEvent, 0
	if o.fire != nil {
		r.live = liveFire
	}
	r.owner, r.fence, r.until = o.req.owner, max(fence, r.fence+1), now+o.req.lease
	o.status, o.fence, o.attempts, o.left = store.Granted, r.fence, r.attempts, o.req.lease
}

// fences gives each grant of a process a fence of its own, so that with the owner it names the grant: the store's time, or
// more.
type fences struct{ last atomic.Int64 }

func (f *fences) next(least int64) int64 {
	for {
		last := f.last.Load()
		if n := max(least, last+1); f.last.CompareAndSwap(last, n) {
			return n
		}
	}
}

// fresh is the row of a key that there is none of yet, or that was forgotten.
func (o *op) fresh() *record {
	return &record{key: o.key, flow: []byte(o.flow), rest: o.rest, slot: noBytes, reason: noBytes, err: noBytes, live: liveEvent}
}

// renew reports whether the lease was extended. A lease that lapsed is extended all the same while nobody took the key.
func (o *op) renew(r *record, now int64) bool {
	o.status, o.left = store.Held, 0
	switch {
	case r == nil:
	case r.live == ended:
		o.status, o.outcome = store.Done, r.outcome
	case r.last != 0:
	case r.fence != o.fence || r.owner != o.req.owner:
		o.left = r.until - now
	default:
		r.until = now + o.req.lease
		o.status, o.left = store.Granted, o.req.lease
		return true
	}
	return false
}

// finish reports whether the row changed, and whether it is to be forgotten. The same finish twice changes once and is
// answered alike.
func (o *op) finish(r *record, now int64) (changed, gone bool) {
	o.fenced = true
	switch {
	case r == nil, r.fence != o.fence, r.owner != o.req.owner:
		return false, false
	case r.live == ended:
		o.fenced = o.state != store.Terminal || o.outcome != r.outcome
		return false, false
	case r.last != 0:
		o.fenced = o.state != r.last
		return false, false
	}
	o.fenced = false
	r.last, r.started, r.reason, r.err = o.state, o.started, []byte(o.reason), []byte(o.err)
	switch o.state {
	case store.Terminal:
		r.live, r.outcome, r.until = ended, o.outcome, now
	case store.Failed:
		// Until stays: a failed fire is an orphan when its lease would have lapsed, not before its own process had the
		// chance to try again.
		r.attempts++
	case store.Released:
		if r.attempts == 0 && r.live == liveEvent {
			return true, true
		}
		r.until = min(r.until, now)
	}
	return true, false
}
