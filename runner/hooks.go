package runner

import (
	"fmt"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
)

// Decision is what a runner decided about one delivery or fire: how it ended, or why it has not yet.
//
// Each end that [Counts] counts is told once, when it is decided; the broker's confirmation follows. Should the lock be lost
// in between, another decision says "lock lost", and that is what counts. A decision without an Outcome is about something
// that is held, and may be told many times.
type Decision struct {
	Time    time.Time // by the runner's wall clock
	Flow    string
	Trigger string
	Key     eventflow.Key
	Attempt int               // of the run that was decided on; 0: none ran
	Outcome eventflow.Outcome // 0: no end
	// Reason is what [Counts] has it under, or why it is held:
	//
	//	retry          its run failed, and another attempt follows
	//	busy           its flow said so
	//	publish        a publisher refuses its result, which is offered again
	//	dead letter    its dead letter cannot be written, which is tried again
	//	store          the store does not take its end, which is tried again
	//	running        a run of its key is live in this runner, and it waits behind
	//	held elsewhere another process runs it
	//	overlap        a fire that waits for the live run of its clock
	//	early          a fire that is not due by the store's clock
	//	abandoned      its run ignored its context beyond the hard stop
	//	unconfirmed    its broker did not confirm the settlement: it may be delivered again
	//
	// [FlowRunner.Why] gives two more, of what is in flight: "running", also of itself, and "waiting".
	Reason string
	Class  string // of Err: the type of its innermost error, which quotes no payload
	Err    error  // the flow's, the publisher's or the store's; nil on success, and in the decision log
	After  time.Duration
	// Fires is how many fires it is about, when they are several: missed ones, and those of a paused clock, are told
	// together. Key is that of the last, First the nominal time of the first.
	Fires int
	First time.Time
}

// String tells it in a line: "2026-03-01T03:00:00Z memory/orders order-7: attempt 2, dead-lettered: exhausted (*errors.errorString)".
// The error's text is not in it.
func (d Decision) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s ", d.Time.UTC().Format(time.RFC3339), d.Trigger)
	if d.Fires > 1 {
		fmt.Fprintf(&b, "%d fires from %s to ", d.Fires, d.First.Format(time.RFC3339Nano))
	}
	b.WriteString(d.Key.ID)
	if d.Key.Redrive > 0 {
		fmt.Fprintf(&b, "#%d", d.Key.Redrive)
	}
	sign := ": "
	if d.Attempt > 0 {
		fmt.Fprintf(&b, ": attempt %d", d.Attempt)
		sign = ", "
	}
	b.WriteString(sign)
	if d.Outcome != 0 {
		b.WriteString(d.Outcome.String())
		sign = ": "
	} else {
		b.WriteString("held")
		sign = ": "
	}
	if d.Reason != "" {
		b.WriteString(sign + d.Reason)
	}
	if d.After > 0 {
		fmt.Fprintf(&b, " for %v", d.After)
	}
	if d.Class != "" {
		fmt.Fprintf(&b, " (%s)", d.Class)
	}
	return b.String()
}

// Hook is told every decision: metrics, traces and logs of the user's own.
type Hook interface {
	// Decided is called by many goroutines at once, and must not block: the event waits for it.
	Decided(d Decision)
}

// HookFunc is a function as a [Hook].
type HookFunc func(d Decision)

// Decided calls f.
func (f HookFunc) Decided(d Decision) { f(d) }

// tellAll tells what became of the tasks of a chunk. What simply succeeded interests hooks alone.
func (r *FlowRunner) tellAll(ts []*task) {
	var now time.Time
	for _, t := range ts {
		if v := &t.verdict; v.outcome == eventflow.Succeeded && v.turn == turnEnd && t.tried <= 1 && len(r.c.hooks) == 0 {
			continue
		}
		if now.IsZero() {
			now = r.c.now()
		}
		r.tellAt(t, now)
	}
}

// tell tells what became of a task.
func (r *FlowRunner) tell(t *task) { r.tellAt(t, r.c.now()) }

// tellAt is tell at a time that is known. What only goes on is not told.
func (r *FlowRunner) tellAt(t *task, now time.Time) {
	v := &t.verdict
	if v.turn == turnUnrun || v.turn == turnParked {
		return
	}
	d := Decision{Time: now, Key: t.key, Attempt: t.tried, Reason: v.reason, Err: v.err, After: v.after}
	if v.turn == turnEnd {
		d.Outcome = v.outcome
	}
	switch {
	case d.Outcome == eventflow.Duplicate, d.Outcome == eventflow.Expired, t.fire != nil && t.fire.skip != "",
		d.Outcome == eventflow.Skipped && d.Reason == reasonFilter:
		d.Attempt = 0 // it was counted up for a run that did not begin
	}
	r.announce(d)
}

// announce logs a decision and tells the hooks.
func (r *FlowRunner) announce(d Decision) {
	d = r.complete(d)
	for _, h := range r.c.hooks {
		h.Decided(d)
	}
}

// complete fills in what every decision has, and logs it.
func (r *FlowRunner) complete(d Decision) Decision {
	if d.Time.IsZero() {
		d.Time = r.c.now()
	}
	d.Flow, d.Trigger = r.flow.Name(), d.Key.Binding
	if d.Err != nil {
		d.Class = errorClass(d.Err)
	}
	r.decisions.add(&d)
	return d
}

// decide is for decisions that are made under FlowRunner.mu, which the caller holds: the hooks are told by unlock.
func (r *FlowRunner) decide(d Decision) {
	if d = r.complete(d); len(r.c.hooks) > 0 {
		r.untold = append(r.untold, d)
	}
}

// decideHeld is decide for a task that is held.
func (r *FlowRunner) decideHeld(t *task, reason string, after time.Duration) {
	r.decide(Decision{Key: t.key, Attempt: t.tried, Reason: reason, After: after})
}
