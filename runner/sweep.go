package runner

import (
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
	keys, err := r.c.store.Orphans(r.asking, r.flow.Name(), r.c.fireSlots)
	if err != nil && r.asking.Err() == nil {
		r.faults.say(r.logger(), "store", "the store does not tell of fires that were left; they wait until it does", err)
	}
	r.mu.Lock()
	defer r.unlock()
	for _, key := range keys {
		if !r.stopping {
			r.adopt(key)
		}
	}
	r.sweeping = false
	r.goroutineEnds()
}

// adopt takes over a fire that nobody runs, if its clock is one of ours and it is not here already. One that is too old
// leaves its mark, so that no other sweep finds it.
func (r *FlowRunner) adopt(key eventflow.Key) {
	nominal, ok := key.Nominal()
	if !ok {
		return
	}
	for _, t := range r.tasks {
		if t.key == key {
			return
		}
	}
	for _, tm := range r.c.timers {
		if tm.name != key.Binding {
			continue
		}
		f := eventflow.Fire{Nominal: nominal.UTC(), Due: tm.jittered(r.flow.Name(), nominal).UTC()}
		if r.c.now().Sub(nominal) > tm.missedAge {
			r.enqueue(r.newFire(tm, f, reasonMissed), false)
			return
		}
		r.begin(tm, f, true)
		return
	}
}
