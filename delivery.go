package eventflow

import (
	"context"
	"sync/atomic"
	"time"
)

// Delivery is one event to be settled exactly once. The first settlement wins; a second is a quiet no-op, and so is one
// after the lock was lost. A settlement is a mark, never a round trip: its subscriber writes the marks, and renews the
// lock until the broker has confirmed them.
//
// All methods may be called by several goroutines at once. A Delivery must not be copied.
type Delivery struct {
	Event       Event
	Lane        string    // events of one lane run one after another; "": a lane of its own
	Attempts    int       // failed attempts that the broker's own records know of; -1: unknown
	Receives    int       // the broker's count of hand-overs, this one included: hand-backs count too
	Redrive     int       // how often it came back from a dead-letter queue
	LockedUntil time.Time // at hand-over; zero: no lock
	Native      any       // the client's own message, such as *kgo.Record

	settler Settler
	token   uint64
	state   atomic.Uint32 // one of the states below, and the settlement's note in the upper half
	self    [1]*Delivery  // lets Ack pass a slice without an allocation
}

const (
	stateOpen uint32 = iota
	stateSettled
	stateLost
	stateMask uint32 = 0xffff
)

// Verb of a settlement.
type Verb uint8

const (
	// Ack: done, never hand it over again.
	Ack Verb = iota + 1
	// Nack: a failed attempt; hand it over again after the delay.
	Nack
	// Release: no attempt; hand it over again after the delay, to anybody.
	Release
	// Abandon: only stop renewing the lock, which lapses while the flow still runs. The delivery is fenced.
	Abandon
)

// String gives the verb's name in lower case.
func (v Verb) String() string {
	switch v {
	case Ack:
		return "ack"
	case Nack:
		return "nack"
	case Release:
		return "release"
	case Abandon:
		return "abandon"
	}
	return "no verb"
}

// Settlement is a verb and, for Nack and Release, the delay before redelivery. A broker without delays of that length
// (Features.MaxNack) uses its longest.
type Settlement struct {
	Verb  Verb
	Note  uint16 // the settler's own; Delivery.Note gives it back at the confirmation
	After time.Duration
}

// Failure is what a dead letter says.
type Failure struct {
	Reason        string // "decode", "permanent", "exhausted", "expired"
	Err           error  // its text is left out of the dead letter by default: it may hold what the payload held
	Flow, Version string
	Binding       string
	Attempts      int
	Note          uint16 // as Settlement.Note
}

// Settler is what a broker implements under its deliveries. It must be a comparable type; a pointer is.
type Settler interface {
	// Settle marks. It never blocks and never waits for the network; Listening.Settled follows, from any goroutine,
	// this one included. The deliveries are of this settler; the slice is the caller's and must not be kept.
	Settle(ds []*Delivery, s Settlement)
	// Attempted notes a failed run whose deliveries stay held for the next one. It never blocks.
	Attempted(ds []*Delivery)
	// DeadLetter returns when the dead letter is safe; the acknowledgement follows as a Settle with Ack. It returns
	// ErrNoDeadLetters when there is nowhere to write one.
	DeadLetter(ctx context.Context, d *Delivery, f Failure) error
}

// Bind is called by a broker, once, before it hands d over; token is the broker's own. Deliveries may be elements of one
// slice, of at most 32: one that is kept keeps its neighbours. A Delivery that was never bound, from an EventClock of
// the user's own, can be settled all the same: nobody is told.
func (d *Delivery) Bind(s Settler, token uint64) {
	d.settler, d.token, d.self[0] = s, token, d
}

// Bound reports whether a broker stands behind d: settling it tells somebody.
func (d *Delivery) Bound() bool { return d.settler != nil }

// Token gives what Bind was given.
func (d *Delivery) Token() uint64 { return d.token }

// Note gives the note of the settlement that won; 0 before.
func (d *Delivery) Note() uint16 { return uint16(d.state.Load() >> 16) }

// Ack settles d as done.
func (d *Delivery) Ack() { d.Settle(Settlement{Verb: Ack}) }

// Nack settles d as a failed attempt, to be handed over again after the delay.
func (d *Delivery) Nack(after time.Duration) { d.Settle(Settlement{Verb: Nack, After: after}) }

// Release gives d back untried, to be handed over again after the delay, to anybody. It is no attempt.
func (d *Delivery) Release(after time.Duration) { d.Settle(Settlement{Verb: Release, After: after}) }

// Settle settles d when it is still open.
func (d *Delivery) Settle(s Settlement) {
	if d.settle(s) && d.settler != nil {
		d.settler.Settle(d.self[:], s)
	}
}

func (d *Delivery) settle(s Settlement) bool {
	return d.state.CompareAndSwap(stateOpen, stateSettled|uint32(s.Note)<<16)
}

// Attempted notes that a run of d failed and that d stays held for the next one, so that the attempt survives this
// process. It is a mark; d stays open.
func (d *Delivery) Attempted() {
	if d.settler != nil && d.Open() {
		d.settler.Attempted(d.self[:])
	}
}

// Open reports whether d is neither settled nor lost: the fence before publish and finish.
func (d *Delivery) Open() bool { return d.state.Load()&stateMask == stateOpen }

// Lost reports whether the lock went before a settlement.
func (d *Delivery) Lost() bool { return d.state.Load()&stateMask == stateLost }

// Lose is called by the broker when the lock, the partition or the session is gone, before Listening.Lost. It is false
// when a settlement came first.
func (d *Delivery) Lose() bool { return d.state.CompareAndSwap(stateOpen, stateLost) }

// DeadLetter writes d to its broker's dead letters and then acknowledges it. On an error d is still open. A settled
// delivery is left alone; a lost one is ErrLockLost.
func (d *Delivery) DeadLetter(ctx context.Context, f Failure) error {
	switch {
	case d.Lost():
		return ErrLockLost
	case !d.Open():
		return nil
	case d.settler == nil:
		return ErrNoDeadLetters
	}
	if err := d.settler.DeadLetter(ctx, d, f); err != nil {
		return err
	}
	d.Settle(Settlement{Verb: Ack, Note: f.Note})
	return nil
}

// SettleAll settles those of ds that are still open, with one call for each run of neighbours of one broker. ds is not
// changed.
func SettleAll(ds []*Delivery, s Settlement) {
	for len(ds) > 0 {
		if !ds[0].settle(s) {
			ds = ds[1:]
			continue
		}
		n, settler := 1, ds[0].settler
		for n < len(ds) && ds[n].settler == settler && ds[n].settle(s) {
			n++
		}
		if settler != nil {
			settler.Settle(ds[:n], s)
		}
		ds = ds[n:]
	}
}
