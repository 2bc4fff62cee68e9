package runner

import (
	"strings"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
)

// decisions is a ring of the newest decisions. What simply succeeded is not in it, so a runner whose flow works spends
// nothing on it.
type decisions struct {
	mu   sync.Mutex // guards what follows
	most int        // 0: none are kept
	ring []entry    // grows up to most
	next int        // the oldest, once the ring is full
}

// entry is a decision in the log: 120 bytes, and its own copies of the event's ID and source.
type entry struct {
	at, first, after                   int64 // Unix ns, Unix ns, ns
	trigger, source, id, reason, class string
	redrive, attempt, fires            int32
	outcome                            eventflow.Outcome
}

// DecisionLog sets how many decisions the runner remembers for [FlowRunner.Decisions] and [FlowRunner.Why]: the newest
// n that are not the plain success of a first attempt; default 10,000, at most 1,000,000, 0 for none. One takes 120
// bytes, the event's ID and source, and, of a reason that a flow gave to eventflow.Skip, the first 256 bytes.
func DecisionLog(n int) Option {
	return option(func(c *config) { c.set("runner.DecisionLog", &c.decisionLog, n, 0, 1_000_000) })
}

func (ds *decisions) add(d *Decision) {
	if ds.most == 0 || d.Outcome == eventflow.Succeeded && d.Attempt <= 1 {
		return
	}
	e := entry{
		at: d.Time.UnixNano(), after: int64(d.After),
		// Either may be a part of something larger, which must not be kept for it.
		trigger: d.Key.Binding, source: strings.Clone(d.Key.Source), id: strings.Clone(d.Key.ID), reason: d.Reason, class: d.Class,
		redrive: int32(d.Key.Redrive), attempt: int32(d.Attempt), fires: int32(d.Fires), outcome: d.Outcome,
	}
	if !d.First.IsZero() {
		e.first = d.First.UnixNano()
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if len(ds.ring) < ds.most {
		ds.ring = append(ds.ring, e)
		return
	}
	ds.ring[ds.next] = e
	ds.next = (ds.next + 1) % ds.most
}

// each gives the entries that which chooses, the oldest first.
func (ds *decisions) each(flow string, which func(*entry) bool) (out []Decision) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for i := range ds.ring {
		if e := &ds.ring[(ds.next+i)%len(ds.ring)]; which(e) {
			out = append(out, e.decision(flow))
		}
	}
	return out
}

func (e *entry) decision(flow string) Decision {
	d := Decision{
		Time: time.Unix(0, e.at), Flow: flow, Trigger: e.trigger, Key: e.key(flow), Attempt: int(e.attempt), Outcome: e.outcome,
		Reason: e.reason, Class: e.class, After: time.Duration(e.after), Fires: int(e.fires),
	}
	if e.fires > 1 {
		d.First = time.Unix(0, e.first).UTC()
	}
	return d
}

func (e *entry) key(flow string) eventflow.Key {
	return eventflow.Key{Flow: flow, Binding: e.trigger, Source: e.source, ID: e.id, Redrive: int(e.redrive)}
}

// Decisions gives the decision log, the oldest first: the newest of all decisions but the plain success of a first
// attempt, as many as [DecisionLog] says. It is a copy.
func (r *FlowRunner) Decisions() []Decision {
	return r.decisions.each(r.flow.Name(), func(*entry) bool { return true })
}

// Why tells what became of an event, or why it has not run yet: the log's decisions about it, the oldest first, and then,
// when it is in flight, where it is. id is the event's ID, or the run's as eventflow.Run.ID gives it; of a fire the nominal
// time, RFC 3339 with nanoseconds in UTC, which also finds the decision about many missed fires that it is one of.
//
// An event of which nothing is told has not been received, or has succeeded at its first attempt, or its decisions are
// older than the log reaches back. One that a broker gave another ID is known by that.
func (r *FlowRunner) Why(id string) []Decision {
	flow := r.flow.Name()
	ofRun := strings.HasPrefix(id, strings.TrimRight(eventflow.Key{Flow: flow}.String(), "/")+"/")
	asked := func(k eventflow.Key) bool { return k.ID == id || ofRun && k.String() == id }
	nominal, isFire := eventflow.Key{ID: id}.Nominal()
	out := r.decisions.each(flow, func(e *entry) bool {
		if isFire && e.fires > 1 {
			last, _ := e.key(flow).Nominal()
			return nominal.UnixNano() >= e.first && !nominal.After(last)
		}
		return asked(e.key(flow))
	})
	r.mu.Lock()
	defer r.unlock()
	for _, t := range r.tasks {
		if asked(t.key) {
			out = append(out, r.whereabouts(t))
		}
	}
	return out
}

// whereabouts tells where a task is. It looks at what may be read under FlowRunner.mu: the rest is its worker's.
func (r *FlowRunner) whereabouts(t *task) Decision {
	d := Decision{Time: r.c.now(), Flow: r.flow.Name(), Trigger: t.key.Binding, Key: t.key, Reason: reasonWaiting}
	for i := range r.delays.items {
		if w := &r.delays.items[i]; w.task == t {
			d.After = time.Until(w.at)
			return d
		}
	}
	if t.leased.Load() != 0 {
		d.Reason = reasonHere
	}
	return d
}
