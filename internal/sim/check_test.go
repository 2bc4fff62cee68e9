package sim

import (
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

// check asks of the whole record what no single effect shows. The caller holds world.mu; no process is left.
func (w *world) check(paused time.Duration) {
	if n := w.flows.Load(); n != 0 {
		w.brokenf(listenEnds, "%d flows run on when every process has ended", n)
	}
	for topic, fs := range map[string][]int{"in": {first}, "mid": {second, third}} {
		t := w.topics[topic]
		if t == nil {
			continue
		}
		for _, tk := range t.all {
			for _, f := range fs {
				w.checkEnd(topic, tk, f)
			}
		}
	}
	w.checkFires(paused)
}

// checkEnd checks that an event has ended for a flow, and as the script wants it.
func (w *world) checkEnd(topic string, tk *taken, flow int) {
	k := tk.keys[flow]
	if !k.over() {
		w.brokenf(nothingLost, "event %s of topic %s has not ended for flow %s", tk.ev.ID, topic, flowNames[flow])
		return
	}
	if k.ends == 0 {
		return // its dead letter was safe, and its runner died
	}
	want := eventflow.Succeeded
	do := doWell
	if in := w.inputs[tk.from.n]; in != nil {
		do = in.Do[flow].Do
	}
	switch {
	case tk.from.bad, do == doPoison, do == doPermanent:
		want = eventflow.DeadLettered
	case do == doSkip:
		want = eventflow.Skipped
	}
	if k.outcome != want && k.dead == 0 { // whether a dead letter was due was seen when it was written
		w.brokenf(nothingLost, "event %s of topic %s ended as %v for flow %s, and the script wants %v", tk.ev.ID, topic, k.outcome, flowNames[flow], want)
	}
	if k.outcome == eventflow.Succeeded && k.success == nil {
		w.brokenf(nothingLost, "event %s of topic %s ended as succeeded for flow %s, which never ran well", tk.ev.ID, topic, flowNames[flow])
	}
}

const (
	wellTime = 6 * time.Second // in which a fire that is due has ended, or is on its way
	lateTime = time.Second
)

// checkFires checks that every fire that was claimed has ended, that those in good times were, and that those in the calm
// began in time.
func (w *world) checkFires(paused time.Duration) {
	for _, k := range w.keys {
		if k.tk == nil && k.flow == second && k.key.Binding == clockName && k.ends == 0 {
			w.brokenf(fireOnce, "%v was claimed and has not ended", k.key)
		}
	}
	set := &w.s.Set
	calm := w.quietAt + 2*troubleTime - 4*time.Second
	for at := w.clock.Next(w.began); at.Sub(w.began) < paused-2*time.Second-set.Jitter; at = w.clock.Next(at) {
		nominal := at.Sub(w.began)
		k := w.keys[eventflow.FireKey(flowNames[second], clockName, at)]
		if k == nil && w.due(nominal) {
			w.brokenf(fireOnce, "nobody claimed the fire of %v, and a process was well", nominal)
			continue
		}
		if nominal < calm {
			continue
		}
		switch {
		case k == nil || k.ends == 0:
			w.brokenf(fireTime, "the fire of %v, in the calm, has not ended", nominal)
		case k.outcome == eventflow.Succeeded && k.begun > nominal+set.Jitter+lateTime:
			w.brokenf(fireTime, "the fire of %v, in the calm, began at %v", nominal, k.begun)
		}
	}
}

// due reports whether some process was well for long enough to have claimed a fire before the next one was due.
func (w *world) due(nominal time.Duration) bool {
	if w.s.Set.Overlap != runner.OverlapSkip {
		return false
	}
	for _, in := range w.well {
		from := max(in.from, nominal)
		if nominal < in.from && w.fired > in.from {
			continue // nobody knew the clock before: it starts with the next fire
		}
		if in.from < nominal+w.s.Set.Period && from+wellTime <= in.to && in.from > 0 {
			return true
		}
	}
	return false
}
