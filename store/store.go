// Package store remembers what outlives a run: who runs which key, which runs have reached their end, how often they
// failed, and how far each clock has come. A runner asks it before every run, so that the same event completes one run
// per flow and trigger, however often it is delivered.
//
// [Memory] reaches as far as its process. A store on disk or in a database is opened by URL with [Open]. Package
// storetest states what any store must do, as a suite.
package store

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/eventflow-go/eventflow"
)

// Store is what a runner needs. Calls take slices, so that one round trip or one transaction serves a whole chunk. A
// Store is used by many goroutines and several runners at once. What a store may offer besides are interfaces of their
// own, which are asked for by type assertion: [History] and [Listeners].
//
// An error of a call means that nothing of it is certain: the runner holds its events and asks again, with backoff. It
// never runs unclaimed.
type Store interface {
	// Claim asks for the right to run each key and answers in place: Status and the fields below it. A key that is held
	// is answered Held to its own owner too, and so is one that stands twice in a call, the second time. On an error
	// nothing was claimed, as far as the caller may rely on it.
	Claim(ctx context.Context, owner string, lease time.Duration, cs []Claim) error

	// Renew extends the leases of granted claims and answers in place: Granted with the new Until, anything else means
	// that the claim is lost and its run must be cancelled.
	Renew(ctx context.Context, owner string, lease time.Duration, cs []*Claim) error

	// Finish ends granted claims. One that was taken over meanwhile is left alone, and Fenced says so.
	Finish(ctx context.Context, owner string, fs []Finish) error

	// Orphans gives keys of fires of the flow, at most limit, that are claimed by nobody and have not reached their end:
	// released ones at once, others when their lease has lapsed, or would have. Nobody redelivers a fire, so every
	// listener sweeps for them and claims them.
	Orphans(ctx context.Context, flow string, limit int) ([]eventflow.Key, error)

	// Cursor gives the newest nominal time that was claimed of a clock; the zero time when there is none, or the clock's
	// definition has changed since.
	Cursor(ctx context.Context, flow, clock, definition string) (time.Time, error)

	// Close releases what the store holds. Whoever opened a store closes it; a runner never does.
	Close() error
}

// Claim is asked for by Key and answered in place.
type Claim struct {
	Key  eventflow.Key
	Fire *Fire // set for a fire

	Status   Status            // the answer
	Outcome  eventflow.Outcome // with Done: how the run ended
	slot     int32             // where Memory found or put the key: a hint that it verifies, so Finish need not hash
	Fence    int               // with Granted: grows with each grant of the key; with the owner it is the fencing token
	Attempts int               // with Granted: runs that failed, or died with their process
	Until    time.Time         // Granted: the lease's end; Held and Overlapping: the other's; Early: when to ask again
}

// Fire is what the claim of a fire needs in the same transaction.
type Fire struct {
	Definition string    // of the clock: its canonical text's hash; the cursor belongs to it; "": no cursor moves
	Nominal    time.Time // the cursor moves here when it is newer
	NotBefore  time.Time // by the store's clock; zero: at once
	Overlap    string    // the slot of its flow that one live run may hold; "": runs may overlap
}

// Status is a store's answer. Only Done may be acknowledged as a duplicate: a holder that dies never reaches its end.
type Status uint8

const (
	// Granted: the run is the owner's until the lease ends.
	Granted Status = iota + 1
	// Done: a run of the key reached its end; Outcome says which.
	Done
	// Held: the key is being run, and its lease ends at Until.
	Held
	// Early: the store's clock has not reached Fire.NotBefore. Only fires.
	Early
	// Overlapping: another run holds Fire.Overlap until Until. Nothing was recorded. Only fires.
	Overlapping
)

var statusNames = [...]string{"unanswered", "granted", "done", "held", "early", "overlapping"}

// String gives the status in lower case.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "unknown"
}

// State says what becomes of a claim.
type State uint8

const (
	// Terminal: Outcome is the end; later claims of the key are Done for the store's window.
	Terminal State = iota + 1
	// Failed: free at once, with one more attempt.
	Failed
	// Released: free at once, without one: shutdown, Busy, lost.
	Released
)

// Finish ends a claim.
type Finish struct {
	Claim     *Claim // as granted
	State     State
	Outcome   eventflow.Outcome // of a Terminal finish
	Reason    string
	Err       string // redacted by the runner, at most 1 KiB
	StartedAt time.Time

	Fenced bool // the answer: the claim had been taken over, and nothing was written
}

// ErrDiskFull is matched by the error of a store that has no room left on its disk. Nothing was written; it answers again
// when there is room.
var ErrDiskFull = errors.New("store: disk is full")

// ErrReadOnly is matched by the error of a store that may not be written.
var ErrReadOnly = errors.New("store: read-only")

// ErrForeign is matched by the error of opening a file or a database that holds something that is not a store. Nothing
// of it was changed. It is final: it comes with eventflow.ErrFatal.
var ErrForeign = errors.New("store: holds something else")

// ErrFull is matched by the error of a store that may forget nothing of what it holds and has room for no more.
var ErrFull = errors.New("store: full of unfinished keys")

// Scheme opens a store from a URL, as eventflow.Scheme opens a broker.
type Scheme struct {
	Names []string
	Open  func(ctx context.Context, u *url.URL) (Store, error)
}
