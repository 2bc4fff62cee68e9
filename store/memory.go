package store

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
)

// What a [Memory] is made with when no option says otherwise.
const (
	DefaultCapacity = 100_000             // keys
	DefaultWindow   = 14 * 24 * time.Hour // the longest that SQS keeps a message
)

// maxCapacity keeps indexes in 32 bits; maxLease keeps sums of instants in 64.
const (
	maxCapacity = 1 << 28
	maxLease    = 100 * 365 * 24 * time.Hour
)

// Memory is the store of one process: what it remembers ends with the process, so a restart runs again what is
// delivered again. It is bounded by count and by time. When it is full, it forgets those keys first whose runs ended
// first, and never one that is unfinished; when all are unfinished, Claim fails with a [FullError].
//
// Leases end by the monotonic clock, so setting the machine's clock neither ends nor lengthens one. Fire.NotBefore is
// compared with the wall clock. It keeps no history: reasons, errors and start times of a [Finish] are dropped. It copies
// the IDs of the keys it is given, and keeps their other strings as they are, once for all keys that have them in common.
// The keys are memory that the garbage collector does not look through.
//
// All methods may be called by many goroutines at once. A call holds one lock for its whole slice.
type Memory struct {
	capacity int
	window   time.Duration
	epoch    time.Time // instants are kept as nanoseconds since
	invalid  error     // of the options

	mu      sync.Mutex // guards all that follows
	closed  bool
	fence   int // of the newest grant of any key: a key that was forgotten gets a higher one all the same
	keys    keys
	ended   ended
	hashes  [ahead]uint64  // of the IDs that are being claimed
	warmed  uint64         // what warm read: without a use the compiler would not read it
	fires   list           // fires that are not done, in the order of their claims
	reapAt  int64          // no unfinished key outlives the window before
	slots   map[slot]int32 // by the name, who holds it
	wanted  map[int32]slot // by the record of a fire that may not overlap, its slot
	cursors cursors
}

// MemoryOption is an option of [NewMemory].
type MemoryOption func(*Memory) error

// Capacity bounds the keys that a Memory holds, finished and unfinished; 100,000 by default. A key takes about 150 bytes,
// and 64 more for every 60 by which its ID exceeds 56; what was taken once is used again, and given up by Close. Capacity
// must exceed what the runners of the process hold at once by as much as duplicates are to be recognised: a duplicate
// that comes after Capacity other keys runs again.
func Capacity(n int) MemoryOption {
	return func(m *Memory) error {
		if n < 1 || n > maxCapacity {
			return &eventflow.ConfigError{Field: "store.Capacity", Value: strconv.Itoa(n), Allowed: "1 to " + strconv.Itoa(maxCapacity) + " keys"}
		}
		m.capacity = n
		return nil
	}
}

// Window is how long a Memory remembers a key after its run ended, and the attempts of one that nobody claims again; 14
// days by default. Older ones are forgotten, which only [Capacity] may do earlier.
func Window(d time.Duration) MemoryOption {
	return func(m *Memory) error {
		if d <= 0 {
			return &eventflow.ConfigError{Field: "store.Window", Value: d.String(), Allowed: "a duration above zero"}
		}
		m.window = d
		return nil
	}
}

// NewMemory makes an empty store. What is wrong with the options waits in [Memory.Err], and every call returns it.
func NewMemory(opts ...MemoryOption) *Memory {
	m := &Memory{capacity: DefaultCapacity, window: DefaultWindow, epoch: time.Now(), slots: make(map[slot]int32), wanted: make(map[int32]slot)}
	var errs []error
	for _, o := range opts {
		if err := o(m); err != nil {
			errs = append(errs, err)
		}
	}
	m.invalid = errors.Join(errs...)
	m.keys.init(m.capacity)
	m.cursors.limit = m.capacity
	return m
}

// Err gives what is wrong with the options of NewMemory, each a *eventflow.ConfigError; nil when nothing is.
func (m *Memory) Err() error { return m.invalid }

// Len gives the number of keys that are held, finished and unfinished, at most the capacity. Some may be past their
// window: those are forgotten when keys are claimed.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys.used
}

// instant is one reading of the clock, for a whole call.
type instant struct {
	wall time.Time
	ns   int64 // since the store's epoch, monotonic
}

// at gives the time of a stored instant. It is relative to this reading, so that it is right in a synctest bubble too,
// wherever the store was made.
func (now instant) at(ns int64) time.Time { return now.wall.Add(time.Duration(ns - now.ns)) }

// sinceEpoch is a reading without the wall clock, which costs half as much.
func (m *Memory) sinceEpoch() int64 { return int64(time.Since(m.epoch)) }

func (m *Memory) now() instant {
	t := time.Now()
	return instant{wall: t, ns: int64(t.Sub(m.epoch))}
}

// ready is asked under the lock, before anything is changed.
func (m *Memory) ready(ctx context.Context) error {
	switch {
	case m.invalid != nil:
		return m.invalid
	case m.closed:
		return eventflow.ErrClosed
	}
	return ctx.Err()
}

// Orphans implements [Store]: the fires of the flow that are not finished and have no live lease, in the order of their
// first claims. Fires that were released are among them at once, for nobody delivers those again either; failed ones
// when the lease they had is over.
func (m *Memory) Orphans(ctx context.Context, flow string, limit int) ([]eventflow.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	now := m.now()
	var orphans []eventflow.Key
	for i := m.fires.head; i != 0 && len(orphans) < limit; {
		r := m.keys.at(i)
		next := r.next
		switch {
		case now.ns < r.until || m.keys.byID[r.space].part.Flow != flow:
		case m.expired(r, now):
			m.forget(i)
		default:
			orphans = append(orphans, m.keys.key(i))
		}
		i = next
	}
	return orphans, nil
}

// Cursor implements [Store].
func (m *Memory) Cursor(ctx context.Context, flow, clock, definition string) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx); err != nil {
		return time.Time{}, err
	}
	return m.cursors.get(clockName{flow, clock}, definition), nil
}

// Close forgets everything. Calls after it return eventflow.ErrClosed; a second Close is a no-op.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.keys = keys{}
	m.ended, m.fires = ended{}, list{}
	m.slots, m.wanted, m.cursors = nil, nil, cursors{}
	return nil
}
