package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/eventflow-go/eventflow"
)

// The record of effects: what the wrappers of broker and store and the bodies of the flows saw. The runner writes none
// of it. It is guarded by world.mu.

// rule is a promise, as the package's comment tells it.
type rule string

const (
	nothingLost  rule = "nothing is lost"
	oneEnd       rule = "one end for each key"
	claimedFirst rule = "runs begin under a live claim"
	notAgain     rule = "what has run is not run again"
	laneOrder    rule = "order in each lane"
	resultOrder  rule = "results in the order of each lane"
	laneAlone    rule = "one run of a lane at a time"
	ackLast      rule = "acknowledged after the end is recorded"
	finishLast   rule = "ended after its results are taken"
	buryFirst    rule = "dead letter before the end"
	fenced       rule = "nothing from a fenced run"
	attemptsFail rule = "attempts are failed runs"
	exactly      rule = "dead-lettered after exactly its attempts"
	sameIDs      rule = "result IDs"
	cancelled    rule = "a lost lock cancels"
	graceful     rule = "grace"
	promptly     rule = "handed back at shutdown"
	bounded      rule = "bounds"
	balanced     rule = "counters balance"
	renewsOwn    rule = "only live claims are renewed"
	fireOnce     rule = "fires"
	fireTime     rule = "fires in time"
	cursorRight  rule = "cursor"
	skipOverlap  rule = "overlap"
	listenEnds   rule = "Listen ends well"
)

type breach struct {
	Rule rule
	Text string
	At   time.Duration
}

func (b breach) String() string { return fmt.Sprintf("%s: %s (at %v)", b.Rule, b.Text, b.At) }

// brokenf notes a broken promise.
func (w *world) brokenf(r rule, format string, args ...any) {
	if len(w.bad) < 20 {
		w.bad = append(w.bad, breach{Rule: r, Text: fmt.Sprintf(format, args...), At: w.now()})
	}
}

func (w *world) now() time.Duration { return time.Since(w.began) }

// topic is what a topic took.
type topic struct {
	byID  map[[2]string]*taken
	lanes map[string][]*taken
	all   []*taken
}

// taken is an event that a topic took, however often.
type taken struct {
	ev     eventflow.Event
	from   *origin
	place  int // in its lane
	begun  [flows]bool
	passed [flows]*node // whose flow was content with it last
	keys   [flows]*key
}

// origin travels with an event, as an attribute: what the script says of it, and which run made it.
type origin struct {
	n   int // of the input; -1: a fire's
	ord int // among the run's results
	run *run
	bad bool // its payload does not fit
}

const originAttribute = "sim"

func originOf(ev *eventflow.Event) *origin {
	for _, a := range ev.Attributes {
		if o, ok := a.Value.(*origin); ok && a.Name == originAttribute {
			return o
		}
	}
	return nil
}

// took notes that a topic took an event.
func (w *world) took(name string, ev *eventflow.Event) {
	t := w.topics[name]
	if t == nil {
		t = &topic{byID: map[[2]string]*taken{}, lanes: map[string][]*taken{}}
		w.topics[name] = t
	}
	id := [2]string{ev.Source, ev.ID}
	if t.byID[id] != nil {
		return
	}
	tk := &taken{ev: *ev, from: originOf(ev), place: len(t.lanes[ev.Key])}
	t.byID[id] = tk
	t.all = append(t.all, tk)
	if ev.Key != "" {
		t.lanes[ev.Key] = append(t.lanes[ev.Key], tk)
	}
}

// key is the record of a run key.
type key struct {
	key  eventflow.Key
	tk   *taken // nil: a fire
	flow int

	// What the store answered.
	node      *node // whose the newest grant is
	fence     int
	until     time.Time
	held      bool // granted and not ended
	toldFence int  // of the newest Finish that its runner was told of
	toldAt    time.Time
	keptBy    *node // its Finish failed: it may believe that it holds the claim
	ends      int
	endFence  int
	outcome   eventflow.Outcome
	lapsed    int // grants that nobody ended
	trouble   int // calls about it that failed, locks that went, hand-overs beyond the first

	// What the flow did.
	failures, failFence int
	busies, breaks      int
	success             map[*node]*run // the newest
	skipped, permanent  bool
	begun               time.Duration // the first run
	dead                int           // dead letters that were taken
}

func (w *world) key(k eventflow.Key) *key {
	r := w.keys[k]
	if r == nil {
		r = &key{key: k, flow: -1}
		for f, name := range flowNames {
			if name == k.Flow {
				r.flow = f
			}
		}
		w.keys[k] = r
	}
	return r
}

// live reports whether a node may believe that the claim is its own.
func (k *key) live(n *node, now time.Time) bool {
	return k.keptBy == n || k.node == n && k.held && k.ends == 0 && !now.After(k.until)
}

// over reports whether the event has reached its end.
func (k *key) over() bool { return k != nil && (k.ends > 0 || k.dead > 0) }

// granted notes a claim that the store granted.
func (w *world) granted(n *node, k eventflow.Key, fence int, until time.Time) {
	r := w.key(k)
	w.tellf(k.ID, "is granted to %v, fence %d", n, fence)
	if r.held {
		r.lapsed++
	}
	if r.ends > 0 {
		w.brokenf(oneEnd, "%v is granted after it ended as %v", k, r.outcome)
	}
	r.node, r.fence, r.until, r.held = n, fence, until, true
	if r.keptBy == n {
		r.keptBy = nil
	}
}

// ended notes a Finish that the store wrote.
func (w *world) ended(n *node, k eventflow.Key, fence int, terminal bool, o eventflow.Outcome) {
	r := w.key(k)
	w.tellf(k.ID, "is finished by %v, fence %d, terminal %v: %v", n, fence, terminal, o)
	if fence == r.fence {
		r.held = false
	}
	if !terminal {
		return
	}
	if r.ends++; r.ends > 1 && fence != r.endFence {
		w.brokenf(oneEnd, "%v ends as %v by %v, and ended as %v before", k, o, n, r.outcome)
	}
	r.outcome, r.endFence = o, fence
}

// ordered checks, at the first start of an event, that all before it in its lane are over, or ran well before it in the
// same runner, or are before it in the same batch.
func (w *world) ordered(n *node, batch []*handed, h *handed) {
	tk := h.tk
	if tk.begun[n.flow] || tk.ev.Key == "" {
		return
	}
	tk.begun[n.flow] = true
	lane := w.topics[h.sub.topic].lanes[tk.ev.Key]
	for _, before := range slices.Backward(lane[:tk.place]) {
		beside := slices.ContainsFunc(batch, func(o *handed) bool { return o.tk == before })
		if !before.keys[n.flow].over() && before.passed[n.flow] != n && !beside {
			w.brokenf(laneOrder, "%s of lane %s begins in %v before %s has ended", tk.ev.ID, tk.ev.Key, n, before.ev.ID)
			return
		}
	}
}

// offers notes that a run's results are offered in a call of Publish, and checks at the first time that those of the runs
// before it in its lane were taken, or are offered with them.
func (r *run) offers(call int) {
	if r.offered > 0 {
		return
	}
	r.offered = call
	if r.n.flow == third || len(r.hs) == 0 || r.hs[0].tk.ev.Key == "" {
		return
	}
	w, h := r.n.p.w, r.hs[0]
	for _, tk := range w.topics[h.sub.topic].lanes[h.tk.ev.Key][:h.tk.place] {
		k := tk.keys[r.n.flow]
		if k == nil || k.trouble > 0 {
			continue
		}
		if before := k.success[r.n]; before != nil && !before.taken() && before.offered != call {
			w.brokenf(resultOrder, "%v publishes for %s of lane %s before it has for %s", r.n, h.tk.ev.ID, h.tk.ev.Key, tk.ev.ID)
			return
		}
	}
}
