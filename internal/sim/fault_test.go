package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// kind of a fault.
type kind uint8

const (
	crash      kind = iota // the process dies at a step
	stall                  // the process stands still at a step
	storeFails             // a call of the store fails, and did nothing
	storeLies              // a call of the store fails, and did what it was asked
	refuse                 // some of a Publish are refused
	unconfirm              // some of a Publish are taken, and refused all the same
	failNext
	failDead  // a dead letter cannot be written
	lateAck   // a settlement reaches the broker late
	slowStore // a call of the store takes longer than usual

	// From here on at an instant.
	shutdown  // a process is told to stop, and started again
	blackout  // all of them are
	loseLock  // locks go
	loseRenew // locks are renewed no more
	duplicate // events are handed over twice
	delayed   // events are handed over late
	refuseAck // settlements are lost, and that is told
	storeDown
	brokerDown
	wallJump // the clock of a process is set
	pause
	kinds
)

var kindNames = [kinds]string{
	"crash", "stall", "store call fails", "store call fails after it worked", "publish refused", "publish unconfirmed", "next fails", "dead letter refused",
	"late ack", "slow store", "shutdown", "blackout", "lock lost", "renewal stopped", "duplicate delivery", "delayed delivery", "lost ack", "store down", "broker down",
	"wall clock set", "pause",
}

func (k kind) String() string { return kindNames[k] }

// step of an event's way through a process, at which it may die.
type step uint8

const (
	atStart step = iota
	atNext
	atReceived
	atClaim
	atClaimed
	atBegin
	atReturn
	atPublish
	atPublished
	atFinish
	atFinished
	atSettle
	atSettled
	atDead
	atBuried
	atRenew
	atRenewed
	atSweep
	atSwept
	steps
)

var stepNames = [steps]string{
	"start", "next", "received", "claim", "claimed", "flow begins", "flow returns", "publish", "published", "finish", "finished", "settle", "settled",
	"dead letter", "dead-lettered", "renew", "renewed", "sweep", "swept",
}

// often is about how many times a process passes a step.
var often = [steps]int{2, 40, 40, 80, 80, 90, 90, 60, 60, 80, 80, 80, 80, 3, 3, 8, 8, 10, 10}

func (s step) String() string { return stepNames[s] }

// fault is one thing that goes wrong: at the Nth time that the process of a slot passes a step, or at an instant.
type fault struct {
	Kind kind
	Slot int
	Step step          `json:"step,omitempty"`
	Nth  int           `json:"nth,omitempty"`
	At   time.Duration `json:"at,omitempty"`
	For  time.Duration `json:"for,omitempty"`
	N    int           `json:"n,omitempty"` // how many events
}

func (f fault) String() string {
	if f.Kind < shutdown {
		return fmt.Sprintf("%v at %v %d of slot %d for %v", f.Kind, f.Step, f.Nth, f.Slot, f.For)
	}
	return fmt.Sprintf("%v at %v of slot %d for %v, %d events", f.Kind, f.At, f.Slot, f.For, f.N)
}

func newFaults(rnd *rand.Rand, slots int) (fs []fault) {
	for range 2 + rnd.IntN(3) {
		fs = append(fs, atStep(rnd, slots, crash, step(rnd.IntN(int(steps)))))
	}
	for range rnd.IntN(3) {
		f := atStep(rnd, slots, stall, step(rnd.IntN(int(steps))))
		f.For = time.Duration(rnd.IntN(6000)) * time.Millisecond
		fs = append(fs, f)
	}
	for range rnd.IntN(4) {
		fails := atStep(rnd, slots, storeFails, []step{atClaim, atFinish, atRenew, atSweep}[rnd.IntN(4)])
		lies := atStep(rnd, slots, storeLies, []step{atClaim, atFinish, atRenew}[rnd.IntN(3)])
		slow := atStep(rnd, slots, slowStore, []step{atClaim, atFinish, atRenew}[rnd.IntN(3)])
		slow.For = time.Duration(rnd.IntN(3500)) * time.Millisecond
		fs = append(fs, fails, lies, slow)
	}
	for range rnd.IntN(5) {
		f := atStep(rnd, slots, []kind{refuse, refuse, unconfirm}[rnd.IntN(3)], atPublish)
		f.N = 1 + rnd.IntN(5)
		fs = append(fs, f)
	}
	for range rnd.IntN(3) {
		fs = append(fs, atStep(rnd, slots, failNext, atNext), atStep(rnd, slots, failDead, atDead))
		late := atStep(rnd, slots, lateAck, atSettle)
		late.For = time.Duration(rnd.IntN(2000)) * time.Millisecond
		fs = append(fs, late)
	}
	for range 2 + rnd.IntN(8) {
		f := fault{
			Kind: shutdown + kind(rnd.IntN(int(kinds-shutdown))), Slot: rnd.IntN(slots), At: time.Duration(rnd.Int64N(int64(stormTime))), N: 1 + rnd.IntN(6),
			For: time.Duration(rnd.IntN(2500)) * time.Millisecond,
		}
		switch f.Kind {
		case blackout:
			f.For *= 2
		case wallJump:
			f.For = 2*f.For - 2500*time.Millisecond
		case loseLock:
			f.For /= 10
		}
		fs = append(fs, f)
	}
	slices.SortStableFunc(fs, func(a, b fault) int { return cmp.Compare(a.At, b.At) })
	return fs
}

func atStep(rnd *rand.Rand, slots int, k kind, s step) fault {
	return fault{Kind: k, Slot: rnd.IntN(slots), Step: s, Nth: 1 + rnd.IntN(often[s])}
}

// hits counts how often each kind of fault has struck.
type hits map[string]int

func (h hits) add(o hits) {
	for k, n := range o {
		h[k] += n
	}
}

// allKinds names everything that a long run must have hit.
func allKinds() (names []string) {
	for k := stall; k < kinds; k++ {
		names = append(names, k.String())
	}
	for s := range steps {
		names = append(names, "crash at "+s.String())
	}
	for d := doSlowly; d < deeds; d++ {
		names = append(names, d.String())
	}
	return append(names, "burst", "published twice", "woke up fenced", "clock skewed", "successor started")
}
