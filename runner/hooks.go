package runner

import (
	"time"

	"github.com/eventflow-go/eventflow"
)

// Decision is what a runner decided about one delivery or fire: its end, or that it is held for another try.
type Decision struct {
	Flow    string
	Trigger string
	Key     eventflow.Key
	Attempt int               // of the run that was decided on; 0: none ran
	Outcome eventflow.Outcome // 0: held, and tried again after After
	Reason  string
	Err     error // the flow's, the publisher's or the store's; nil on success
	After   time.Duration
}

// Hook is told every decision: metrics, traces and logs of the user's own.
type Hook interface {
	// Decided is called by many goroutines at once, between the run and the settlement's confirmation, and must not
	// block.
	Decided(d Decision)
}

// HookFunc is a function as a [Hook].
type HookFunc func(d Decision)

// Decided calls f.
func (f HookFunc) Decided(d Decision) { f(d) }

// tell tells the hooks what became of a task.
func (r *FlowRunner) tell(t *task) {
	v := &t.verdict
	switch v.turn {
	case turnUnrun, turnParked:
		return
	}
	d := Decision{Flow: r.flow.Name(), Trigger: t.trigger(), Key: t.key, Attempt: t.tried, Reason: v.reason, Err: v.err, After: v.after}
	if v.turn == turnEnd {
		if d.Outcome = v.outcome; d.Outcome == eventflow.Duplicate {
			d.Attempt = 0 // of an earlier turn
		}
	}
	for _, h := range r.c.hooks {
		h.Decided(d)
	}
}
