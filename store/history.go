package store

import (
	"context"
	"time"

	"github.com/eventflow-go/eventflow"
)

// History is a [Store] that tells of the runs that it knows. A store need not be one; ask by type assertion. Memory is
// none.
type History interface {
	// Runs gives runs, newest first, at most q.Limit of them, and where the next page begins: "" when there is none. A run
	// that changes between two pages may be on both or on neither.
	Runs(ctx context.Context, q RunQuery) (rs []RunRecord, next string, err error)
}

// RunQuery selects runs. Its zero value is the first page of all that reached their end.
type RunQuery struct {
	Flow    string            // "": all flows
	Phase   Phase             // 0: Ended
	Outcome eventflow.Outcome // of those that ended; 0: any
	From    time.Time         // RunRecord.At is not before; zero: no bound
	To      time.Time         // RunRecord.At is before; zero: no bound
	Limit   int               // of a page: 1 to 1,000; 0: 100
	After   string            // the next that the page before gave
}

// Phase is how far a run has come.
type Phase uint8

const (
	// Ended runs reached their end: they have an outcome.
	Ended Phase = iota + 1
	// Running: claimed, and not given back. The lease may have lapsed, when the process died.
	Running
	// Waiting: the newest attempt failed or was given back, and nobody has claimed the key since.
	Waiting
)

// RunRecord is what a store knows of the run of a key. Texts are as they were given to Finish.
type RunRecord struct {
	Key      eventflow.Key
	Phase    Phase
	Outcome  eventflow.Outcome // of an ended one
	Attempts int               // runs that failed, or died with their process
	Owner    string            // of the newest attempt
	Claimed  time.Time         // about when the newest attempt was
	Started  time.Time         // the newest attempt that was finished, by its runner's clock; zero: there is none
	At       time.Time         // the end, by the store's clock; of an unfinished run the end of its lease
	Reason   string
	Err      string
}

// Listeners is a [Store] in which listeners say that they live. A store need not be one; ask by type assertion.
type Listeners interface {
	// Beat writes that l lives for the next lease, by the store's clock, with all that it says of itself. A generation
	// lower than the one that is stored changes nothing, and Fenced is true: another process has taken the listener over.
	Beat(ctx context.Context, lease time.Duration, l *Listener) error

	// Listeners gives the listeners of a flow, of all flows when it is empty, in the order of their IDs: at most limit,
	// those whose ID is greater than after.
	Listeners(ctx context.Context, flow, after string, limit int) ([]Listener, error)

	// Leave forgets a listener, unless a newer generation of it lives.
	Leave(ctx context.Context, id string, generation int) error
}

// Listener is a row in a store: something that listens for a flow, wherever it runs.
type Listener struct {
	ID         string // unique in the store
	Account    string
	Flow       string
	Version    string
	State      string
	Owner      string // the process
	Generation int    // grows with each take-over: a fence
	Revivals   int
	Spec       []byte // whatever a process needs to take it over

	Heartbeat time.Time // the newest, by the store's clock; an answer
	Until     time.Time // the lease's end; an answer
	Fenced    bool      // an answer of Beat
}
