package runner

import (
	"context"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// The keeper is the goroutine of a listening runner that waits for time: retries that come due, batches that have waited
// long enough, leases to renew, workers whose run blocks others. One timer serves them all. Clocks have a goroutine of
// their own: see keepClocks.

// delayed is what waits for an instant: a task or a lane of a batch flow.
type delayed struct {
	at   time.Time
	task *task
	lane *lane
}

const (
	keeperLook = time.Minute      // no timer is trusted for longer: machines sleep, clocks step
	watchEvery = time.Millisecond // how often blocked workers are looked for while any has several tasks
	base0      = 1                // monotonic time is never 0, which means "not claimed"
	sweepLease = 6                // leases are looked at this many times each
	leaseLeft  = 10               // a claim that is not renewed is fenced when 1/10 of its lease is left
)

var start = time.Now()

// monotonic gives nanoseconds by the monotonic clock, from an arbitrary start that may lie ahead (in a test's bubble of
// virtual time). It is odd, so that it is never 0, which means "not claimed".
func monotonic() int64 { return int64(time.Since(start)) | 1 }

func monotonicAt(t time.Time) int64 { return int64(t.Sub(start)) | 1 }

// keep is the keeper's loop. It ends when the runner closes.
func (r *FlowRunner) keep() {
	timer := time.NewTimer(keeperLook)
	defer timer.Stop()
	for {
		r.mu.Lock()
		wait := r.tick()
		r.unlock()
		r.faults.rest(r.logger(), false)
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-r.poke:
		case <-r.closed:
			return
		}
	}
}

// pokeKeeper makes the keeper look at once. The caller holds FlowRunner.mu.
func (r *FlowRunner) pokeKeeper() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// tick does what is due and gives how long to wait for the next. The caller holds FlowRunner.mu.
func (r *FlowRunner) tick() time.Duration {
	now := time.Now()
	wait := keeperLook
	if r.watching {
		if r.relieve() {
			r.idleLooks = 0
		} else if r.idleLooks++; r.idleLooks > 16 { // a busy runner is watched on: starting it costs more than a look
			r.watching, r.idleLooks = false, 0
		}
		if r.watching {
			wait = watchEvery
		}
	}
	for r.delays.len() > 0 {
		d := r.delays.items[0]
		if left := d.at.Sub(now); left > 0 {
			wait = min(wait, left)
			break
		}
		r.delays.pop()
		switch {
		case d.lane != nil:
			d.lane.timed = false
			// Its batch may have filled up and gone: the wait of the next one is its own.
			d.lane.due = d.lane.head != nil && !now.Before(d.lane.head.came.Add(r.c.batchWait))
			r.offer(d.lane, false)
		default:
			if d.task.d != nil {
				r.delayedCount--
			}
			r.resume(d.task)
		}
	}
	wait = min(wait, r.renewDue())
	wait = min(wait, r.sweepDue())
	r.wake()
	return max(wait, 0)
}

// delay keeps a task, and its lane with it, for a while. The caller holds FlowRunner.mu.
func (r *FlowRunner) delay(t *task, after time.Duration) {
	r.holdLane(t)
	if t.d != nil {
		r.delayedCount++
	}
	d := delayed{at: time.Now().Add(max(after, 0)), task: t}
	r.delays.push(d)
	if r.delays.items[0].task == t {
		r.pokeKeeper()
	}
}

// renewDue renews the claims that are held for longer than a third of their lease, and fences those whose lease can no
// longer be confirmed. It gives when to look again.
func (r *FlowRunner) renewDue() time.Duration {
	if r.renewal = len(r.tasks) > 0 && r.c.store != nil; !r.renewal {
		return keeperLook
	}
	now := monotonic()
	if left := r.nextRenewal - now; left > 0 {
		return time.Duration(left)
	}
	wait := r.c.lease / sweepLease
	var due []*task
	var claims []store.Claim
	for _, t := range r.tasks {
		since := t.leased.Load()
		if since == 0 || t.fenced.Load() {
			continue
		}
		age := time.Duration(now - since)
		left := r.c.lease - r.c.lease/leaseLeft - age
		if left <= 0 {
			r.fenceOff(t, eventflow.ErrLockLost)
			continue
		}
		wait = min(wait, left)
		if age >= r.c.lease/3 {
			due, claims = append(due, t), append(claims, t.claim)
		}
	}
	r.nextRenewal = now + int64(wait)
	if len(due) > 0 && !r.renewing {
		r.renewing = true
		r.goroutines++
		go func() {
			r.renew(r.io, due, claims)
			r.mu.Lock()
			r.renewing = false
			r.goroutineEnds()
			r.unlock()
		}()
	}
	return wait
}

// fenceOff takes from a task the right to publish, finish and settle, and cancels its run. The caller holds
// FlowRunner.mu.
func (r *FlowRunner) fenceOff(t *task, cause error) {
	t.fenced.Store(true)
	if rc := t.context(); rc != nil {
		rc.cancel(cause)
	}
}

// renew asks the store for more time. It works on copies of the claims, as the runs' own goroutines read theirs.
func (r *FlowRunner) renew(ctx context.Context, due []*task, claims []store.Claim) {
	sent := monotonic()
	ptrs := make([]*store.Claim, len(claims))
	for i := range claims {
		ptrs[i] = &claims[i]
	}
	err := r.c.store.Renew(ctx, r.c.owner, r.c.lease, ptrs)
	if err != nil && ctx.Err() == nil {
		r.faults.say(r.logger(), "store", "the store does not renew leases; runs whose lease ends are cancelled", err)
	}
	r.mu.Lock()
	defer r.unlock()
	for i, t := range due {
		// Meanwhile the task may have ended, and its place may be another's.
		if err != nil || t.leased.Load() == 0 || t.key != claims[i].Key || t.claim.Fence != claims[i].Fence {
			continue
		}
		if claims[i].Status == store.Granted {
			t.leased.Store(sent)
			continue
		}
		r.fenceOff(t, eventflow.ErrLockLost)
	}
}
