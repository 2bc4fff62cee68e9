package runner

import (
	"sync/atomic"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// task is one delivery or one fire on its way: claim → flow → publish → finish → settle. Tasks are pooled by their
// runner; no flow ever sees one.
//
// A task is owned by the goroutine that works on its chunk; between chunks by the runner, under FlowRunner.mu. The
// atomic fields may be read by anybody.
type task struct {
	d    *eventflow.Delivery // nil: a fire
	fire *fire               // nil: a delivery
	src  *source             // nil: a fire, or a delivery of the user's own loop
	lane *lane               // nil: a lane of its own
	key  eventflow.Key

	holds bool      // it waits, and its lane with it
	came  time.Time // of a batch flow that waits: when it was received
	seq   int64     // grows with each delivery of the runner: the order within its lane
	index int       // in FlowRunner.tasks
	next  *task     // behind it in its lane

	stage    stage
	claim    store.Claim
	rc       *runContext // of a delivery's run, or the last; guarded by FlowRunner.mu, and the worker's who set it
	attempts int         // failed runs that this process saw
	tried    int         // number of the attempt that ran last; 0: none
	faults   int         // failures in a row of a step after the run, for its backoff
	kept     bool        // its claim was not given up: the store did not answer
	unsure   bool        // or it was, and the answer was lost: the store is asked before the next turn
	direct   bool        // Handle's or Run's: Listen has no part in it
	solo     bool        // died with a process before: it is claimed alone, right before it runs
	split    int         // of a batch that failed as a whole: the size of the next one; 0: any

	verdict verdict
	ended   verdict           // with stageBury and stageFinish: how it ends once that step is done
	out     []eventflow.Event // results, until they are published
	pubs    []pendingPublish  // results that some publisher refused

	cancel atomic.Bool  // a fire's: its clock fired again, and cancels it
	fenced atomic.Bool  // its claim or lock is gone: nothing may be published, finished or settled
	leased atomic.Int64 // monotonic ns of the last claim or renewal that was confirmed; 0: not claimed

	buried bool // its broker took it as a dead letter, and settled it with that
}

// stage is the step at which a task's next turn begins: a step that failed is tried again without those before it.
type stage uint8

const (
	stageRun stage = iota
	stagePublish
	stageBury
	stageFinish
)

// turn says what becomes of a task after a chunk.
type turn uint8

const (
	turnEnd     turn = iota // outcome and settlement are known
	turnWait                // held, and tried again after verdict.after
	turnPublish             // ran; results wait for their publisher
	turnBury                // ran; a dead letter has to be written first
	turnFinish              // published; the store has not taken the end yet
	turnUnrun               // not started: back to the front of its lane
	turnParked              // a run of the same key is live in this process: behind it
)

// verdict is how one turn of a task went.
type verdict struct {
	turn    turn
	outcome eventflow.Outcome
	reason  string
	err     error
	after   time.Duration
	verb    eventflow.Verb
	counted bool // a failed run: an attempt
	started time.Time
}

// pendingPublish is what one publisher has yet to take of a task's results.
type pendingPublish struct {
	publisher int // its index among the runner's
	events    []eventflow.Event
}

// lane is the unit of order: its tasks run one after another. It is guarded by FlowRunner.mu.
//
// The receiver and a worker, on cores of their own, hand its record to each other with every event: what they write is in
// its first 64 bytes, and its size makes the allocator begin it on a multiple of 64.
type lane struct {
	head, tail *task
	src        *source
	n          int          // tasks between head and tail
	busy       int          // chunks that have it and tasks of it that wait: above 0 nothing of it may start
	cut        atomic.Int64 // the newest task that there was when its head was last handed back: all up to it follow
	back       int64        // the source's hand-back that emptied it last
	queued     bool         // it stands in its source's ready queue
	timed, due bool         // of a batch flow: waits for more events, and has waited long enough
	used       bool         // since the last sweep of idle lanes; its receiver's

	name string
	_    [48]byte
}

func (l *lane) pushBack(t *task) {
	t.next = nil
	if l.tail == nil {
		l.head = t
	} else {
		l.tail.next = t
	}
	l.tail = t
	l.n++
}

// putBack puts a task where it was taken from. Another may have come back before it, so its number decides. The events
// of a batch flow that are lanes of their own are in no order.
func (l *lane) putBack(t *task) {
	at := &l.head
	for *at != nil && (*at).seq < t.seq && l.name != "" {
		at = &(*at).next
	}
	t.next = *at
	*at = t
	if t.next == nil {
		l.tail = t
	}
	l.n++
}

// follows reports whether something ahead of the task in its lane was handed back while it was not in the lane's queue.
func (t *task) follows() bool { return t.lane != nil && t.seq <= t.lane.cut.Load() }

func (l *lane) popFront() *task {
	t := l.head
	l.head = t.next
	if l.head == nil {
		l.tail = nil
	}
	t.next = nil
	l.n--
	return t
}

// reset makes t free for another delivery. What the next use overwrites stays: the key and the claim. The
// caller holds FlowRunner.mu, so that no renewal reads the claim.
func (t *task) reset() {
	t.d, t.fire, t.src, t.lane, t.next = nil, nil, nil, nil, nil
	t.stage, t.attempts, t.tried, t.faults, t.split = stageRun, 0, 0, 0, 0
	t.solo, t.holds, t.buried, t.direct, t.kept, t.unsure = false, false, false, false, false, false
	t.claim.Fire, t.ended.err, t.verdict = nil, nil, verdict{}
	t.out, t.pubs = nil, nil
	t.rc = nil
	if t.fenced.Load() { // storing costs more than to look
		t.fenced.Store(false)
	}
	if t.cancel.Load() {
		t.cancel.Store(false)
	}
	t.leased.Store(0)
}

// context is that of the task's run, or of its last; nil when there was none. The caller holds FlowRunner.mu.
func (t *task) context() *runContext {
	if t.fire != nil {
		return t.fire.rc.Load()
	}
	return t.rc
}

// failed is how many runs of the task failed, as far as anybody knows.
func (t *task) failed() int { return max(t.claim.Attempts, t.attempts) }

// event is the event of the task, nil of a fire's.
func (t *task) event() *eventflow.Event {
	if t.d == nil {
		return nil
	}
	return &t.d.Event
}

// open reports whether the task may still publish, finish and settle.
func (t *task) open() bool {
	return !t.fenced.Load() && (t.d == nil || t.d.Open())
}
