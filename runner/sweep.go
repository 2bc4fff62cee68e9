package runner

import (
	"slices"
	"time"

	"github.com/eventflow-go/eventflow"
)

// A fire has no redelivery. One whose process died after its claim, or gave it back, is known to the store alone: every
// runner of the flow sweeps for such fires and takes them over.

// sweepDue starts a sweep when one is due, and gives how long to wait for the next. The caller holds FlowRunner.mu.
func (r *FlowRunner) sweepDue() time.Duration {
	if r.c.private || len(r.c.timers) == 0 || r.stopping || r.sweeping {
		return keeperLook
	}
	if left := r.nextSweep - monotonic(); left > 0 {
		return time.Duration(left)
	}
	r.nextSweep = monotonic() + int64(r.c.lease)
	r.sweeping = true
	r.goroutines++
	go r.sweep()
	return r.c.lease
}

func (r *FlowRunner) sweep() {
	err := r.sweepFires()
	if err != nil && r.asking.Err() == nil {
		r.faults.say(r.logger(), "store", "the store does not tell of fires that were left; they wait until it does", err)
	}
	r.mu.Lock()
	defer r.unlock()
	r.sweeping, r.swept = false, r.swept || err == nil
	r.goroutineEnds()
}

// sweepFires adopts as many fires as there are slots. The store tells of those of clocks that are paused, or not known
// here any more, too, the oldest first and always the same ones: it is asked for more when there was nothing else.
func (r *FlowRunner) sweepFires() error {
	for limit := r.c.fireSlots; ; limit *= 4 {
		keys, err := r.c.store.Orphans(r.asking, r.flow.Name(), limit)
		if err != nil {
			return err
		}
		adopted := false
		for _, key := range keys {
			if tm := r.timer(key.Binding); tm != nil && r.adopt(tm, key) {
				adopted = true
			}
		}
		if adopted || len(keys) < limit || limit >= scanMost {
			return nil
		}
	}
}

// unswept reports whether fires may have been left that nobody has looked for yet. The caller holds FlowRunner.mu.
func (r *FlowRunner) unswept() bool { return !r.c.private && len(r.c.timers) > 0 && !r.swept }

// adoptLast looks after the last fires of clocks that have ended: no later fire would see that whoever claimed one was
// about to die. What is done already is a duplicate here.
func (r *FlowRunner) adoptLast() {
	for _, tm := range r.c.timers {
		if tm.next.IsZero() && !tm.last.IsZero() {
			r.adopt(tm, eventflow.FireKey(r.flow.Name(), tm.name, tm.last))
		}
	}
}

// adopt takes over a fire that nobody runs, unless it is here already. One that is too old leaves its mark, so that no
// other sweep finds it. The caller does not hold FlowRunner.mu: jitter asks the clock.
func (r *FlowRunner) adopt(tm *timer, key eventflow.Key) bool {
	nominal, ok := key.Nominal()
	if !ok {
		return false
	}
	f := eventflow.Fire{Nominal: nominal, Due: tm.jittered(r.flow.Name(), nominal).UTC()}
	r.mu.Lock()
	defer r.unlock()
	switch {
	case r.stopping, r.closing, slices.ContainsFunc(r.tasks, func(t *task) bool { return t.key == key }):
		return false
	case r.c.now().Sub(nominal) > tm.missedAge:
		r.mark(r.newFire(tm, f, reasonMissed))
	case tm.paused: // another replica's, or a later sweep's
		return false
	default:
		r.begin(tm, f, true)
	}
	return true
}
