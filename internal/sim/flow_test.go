package sim

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

// run is one call of a flow. Its fields are guarded by world.mu.
type run struct {
	n     *node
	name  string // of what it is a run of, the same for each attempt
	key   *key   // of a batch: its first event's
	hs    []*handed
	keys  []*key
	fence int
	done  bool
	acked []bool // results that the publisher said it took

	offered int // the call of Publish that had its results first; 0: none
}

var (
	errBoom = errors.New("sim: the flow failed")
	errBad  = eventflow.Permanent(errors.New("sim: the flow will never succeed"))
)

// definition is the flow of a node.
func (n *node) definition() *eventflow.Flow {
	switch n.flow {
	case first:
		return eventflow.NewFlow(flowNames[first], func(ctx context.Context, _ item) (eventflow.Many[eventflow.Event], error) {
			return n.call(ctx)
		})
	case second:
		return eventflow.NewFlow(flowNames[second], func(ctx context.Context, _ struct {
			Item eventflow.EventParameter[item]
		},
		) (eventflow.Many[eventflow.Event], error) {
			return n.call(ctx)
		})
	default:
		return eventflow.NewFlow(flowNames[third], func(ctx context.Context, b eventflow.Batch[item]) (eventflow.Many[eventflow.Event], error) {
			return n.callBatch(ctx, b)
		})
	}
}

// begin notes that a run begins and checks that it may.
func (n *node) begin(ctx context.Context, evs []*eventflow.Event) (*run, error) {
	w, p, info := n.p.w, n.p, eventflow.RunFrom(ctx)
	w.mu.Lock()
	if p.dead {
		w.mu.Unlock()
		return nil, errDead
	}
	now := time.Now()
	r := &run{n: n, key: w.key(info.Key), fence: info.Fence}
	r.name = r.key.key.String()
	w.runs++
	n.bodies++
	w.flows.Add(1)
	if most := w.s.Set.MaxRuns + 1; n.bodies > most {
		w.brokenf(bounded, "%d runs at a time of %v, of at most %d", n.bodies, n, most)
	}
	if p.stopped && now.After(p.stopAt) || n.returned {
		w.brokenf(promptly, "a run of %v begins in %v, which was told to stop", r.key.key, n)
	}
	var names []string
	var batch []*handed // with those that cannot be decoded, which the flow does not see
	for _, ev := range info.Events() {
		h := n.sub.byEvent[ev]
		h.begun = true
		batch = append(batch, h)
		names = append(names, h.key.key.String())
	}
	for _, ev := range evs {
		h := n.sub.byEvent[ev]
		r.hs, r.keys = append(r.hs, h), append(r.keys, h.key)
		if h.ok {
			w.brokenf(notAgain, "%v runs again in %v, whose flow was content with this delivery of it", h.key.key, n)
		}
		if !h.lostAt.IsZero() && h.lostAt.Before(now) {
			w.brokenf(claimedFirst, "%v begins in %v, which has lost its lock", h.key.key, n)
		}
		w.tellf(ev.ID, "begins in %v, attempt %d, fence %d, of %d", n, info.Attempt, info.Fence, len(evs))
		w.ordered(n, batch, h)
		if h.key.begun == 0 {
			h.key.begun = w.now()
		}
	}
	if len(evs) == 0 {
		r.keys = []*key{r.key}
		r.fire(info)
	} else {
		r.name = strings.Join(names, "+")
	}
	for _, k := range r.keys {
		if !k.live(n, now) {
			w.brokenf(claimedFirst, "%v begins in %v, which has no claim of it: it is %s's until %v, ended %d times", k.key, n, k.node, k.until.Sub(w.began), k.ends)
		}
	}
	r.alone(now)
	w.running = append(w.running, r)
	w.mu.Unlock()
	if n.p.inc%3 == 0 || w.flows.Load()%8 == 0 {
		n.balanced()
	}
	if _, err := p.at(atBegin); err != nil {
		r.leave()
		return nil, err
	}
	return r, nil
}

// alone checks that no other run of the lane, or of the clock, is going on that has not lost its right to.
func (r *run) alone(now time.Time) {
	w := r.n.p.w
	for _, o := range w.running {
		if o.n.flow != r.n.flow || o.n.p.dead || len(o.hs) == 0 != (len(r.hs) == 0) {
			continue
		}
		if len(r.hs) == 0 {
			switch w.s.Set.Overlap {
			case runner.OverlapAllowAll:
				continue
			default:
			}
			if o.key.live(o.n, now) && o.key.keptBy != o.n && now.Before(o.key.until) {
				w.brokenf(skipOverlap, "%v begins in %v while %v runs in %v", r.key.key, r.n, o.key.key, o.n)
			}
			continue
		}
		lane := r.hs[0].d.Lane
		if lane == "" || o.hs[0].d.Lane != lane {
			continue
		}
		if o.n == r.n || o.open() && o.key.keptBy != o.n && now.Before(o.key.until) {
			w.brokenf(laneAlone, "%v begins in %v while %v runs in %v", r.key.key, r.n, o.key.key, o.n)
		}
	}
}

// open reports whether the run, or the rest of its batch, still has its locks and claims.
func (r *run) open() bool {
	now := time.Now()
	for i, k := range r.keys {
		if k.live(r.n, now) && (len(r.hs) == 0 || r.hs[i].lostAt.IsZero() || !r.hs[i].lostAt.Before(now)) {
			return true
		}
	}
	return false
}

// taken reports whether the publisher said that it took every result.
func (r *run) taken() bool { return !slices.Contains(r.acked, false) }

// fire checks a fire at its start.
func (r *run) fire(info *eventflow.Run) {
	w := r.n.p.w
	if info.Fire == nil {
		w.brokenf(fireOnce, "a run of %v has neither event nor fire", r.key.key)
		return
	}
	if time.Now().Before(info.Fire.Due) || info.Fire.Due.Before(info.Fire.Nominal) {
		w.brokenf(fireTime, "%v begins at %v and is due at %v", r.key.key, w.now(), info.Fire.Due.Sub(w.began))
	}
	if r.key.begun == 0 {
		r.key.begun = w.now()
	}
}

// leave notes that the body has gone.
func (r *run) leave() {
	w := r.n.p.w
	w.flows.Add(-1)
	w.mu.Lock()
	defer w.mu.Unlock()
	r.n.bodies--
	r.n.bodyEnded = time.Now()
	w.running = slices.DeleteFunc(w.running, func(o *run) bool { return o == r })
}

// act gives what the script wants done in a run, and a number that tells runs apart.
func (w *world) act(r *run) act {
	if len(r.hs) > 0 {
		return w.actOf(r.hs[0], r.n.flow)
	}
	nominal, _ := r.key.key.Nominal()
	h := hash(w.s.Seed, nominal.UnixNano())
	if nominal.Sub(w.began) > quietTime-time.Second {
		return act{Results: 1}
	}
	switch span := time.Duration(h>>8) % (2500 * time.Millisecond); h % 8 {
	case 0, 1:
		return act{Do: doSlowly, For: span, Results: 1}
	case 2:
		return act{Do: doDeafly, For: span / 2}
	case 3:
		return act{Do: doFail, Times: 1 + int(span)%(maxAttempts-1), Results: 1}
	case 4:
		return act{Do: doPoison}
	}
	return act{Results: 2}
}

func (w *world) actOf(h *handed, flow int) act {
	if in := w.inputs[h.tk.from.n]; in != nil {
		return in.Do[flow]
	}
	return act{Results: 1}
}

// call is the body of a flow that takes one event or a fire.
func (n *node) call(ctx context.Context) (eventflow.Many[eventflow.Event], error) {
	r, err := n.begin(ctx, eventflow.RunFrom(ctx).Events())
	if err != nil {
		return nil, err
	}
	defer r.leave()
	a := n.p.w.act(r)
	r.spend(ctx, a)
	if _, err = n.p.at(atReturn); err != nil {
		return nil, err
	}
	w := n.p.w
	w.mu.Lock()
	if a.Do != doWell {
		w.hits[a.Do.String()]++
	}
	if err = r.cancelled(ctx, a); err != nil {
		w.mu.Unlock()
		return nil, err
	}
	do, k := doWell, r.key
	switch a.Do {
	case doFail, doPanic, doGoexit:
		if k.failures < a.Times {
			do, err = a.Do, errBoom
		}
	case doPoison:
		err = errBoom
		do = []deed{doFail, doPanic, doGoexit}[k.failures%3]
	case doBusy:
		if k.busies < a.Times {
			k.busies++
			err = eventflow.Busy(a.For)
		}
	case doPermanent:
		k.permanent = true
		err = errBad
	case doSkip:
		k.skipped = true
		err = eventflow.Skip("script")
	}
	switch {
	case errors.Is(err, errBoom), errors.Is(err, errBad):
		k.failed(r)
	case err == nil || k.skipped:
		r.content(0, false)
	}
	var out eventflow.Many[eventflow.Event]
	if err == nil {
		out = r.results(a.Results, r.n.from(r))
	}
	w.mu.Unlock()
	switch do {
	case doPanic:
		panic(errBoom)
	case doGoexit:
		runtime.Goexit()
	}
	return out, err
}

// from is the number of the input that a run's results descend from.
func (n *node) from(r *run) int {
	if len(r.hs) == 0 {
		return -1
	}
	return r.hs[0].tk.from.n
}

// failed notes a run that failed. The caller holds world.mu.
func (k *key) failed(r *run) {
	k.failures++
	r.n.p.w.tellf(k.key.ID, "fails in %v", r.n)
	if k.node == r.n {
		k.failFence = k.fence
	}
}

// content notes that the flow was content with an item of a run, which may all the same run again.
func (r *run) content(i int, again bool) {
	r.done = true
	if r.keys[i].success == nil {
		r.keys[i].success = map[*node]*run{}
	}
	r.keys[i].success[r.n] = r
	r.n.p.w.tellf(r.keys[i].key.ID, "is well in %v, again %v", r.n, again)
	if i < len(r.hs) {
		h := r.hs[i]
		h.ok = !again
		h.tk.passed[r.n.flow] = r.n
	}
}

// spend takes the time that the script wants.
func (r *run) spend(ctx context.Context, a act) {
	if a.Do != doSlowly && a.Do != doDeafly {
		return
	}
	t := time.NewTimer(a.For)
	defer t.Stop()
	done := ctx.Done()
	if a.Do == doDeafly {
		done = nil
	}
	select {
	case <-t.C:
	case <-done:
	case <-r.n.p.gone:
	}
}

// cancelled gives the cause when the run's context has ended, and checks it; and that it has, when lock or claim are
// gone. The caller holds world.mu.
func (r *run) cancelled(ctx context.Context, a act) error {
	w, p, now := r.n.p.w, r.n.p, time.Now()
	if ctx.Err() == nil {
		for _, h := range r.hs {
			if !h.lostAt.IsZero() && h.lostAt.Before(now) {
				w.brokenf(cancelled, "%v goes on in %v, %v after its lock was lost", h.key.key, r.n, now.Sub(h.lostAt))
			}
		}
		for _, k := range r.keys {
			if k.keptBy != r.n && (k.node != r.n || now.After(k.until)) {
				w.brokenf(cancelled, "%v goes on in %v after its claim has lapsed", k.key, r.n)
			}
		}
		return nil
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, eventflow.ErrShutdown):
		if !p.stopped || now.Before(p.stopAt.Add(w.s.Set.Grace)) {
			w.brokenf(graceful, "%v is cancelled in %v before its grace of %v is over", r.key.key, r.n, w.s.Set.Grace)
		}
	case errors.Is(cause, eventflow.ErrLockLost), errors.Is(cause, eventflow.ErrOverlap), errors.Is(cause, eventflow.ErrRunEnded):
	default:
		w.brokenf(cancelled, "%v is cancelled in %v for %v", r.key.key, r.n, cause)
	}
	if a.Do == doDeafly {
		return nil
	}
	return context.Cause(ctx)
}

// results makes the results of a run that the flow is content with. The caller holds world.mu.
func (r *run) results(count, from int) eventflow.Many[eventflow.Event] {
	out := make(eventflow.Many[eventflow.Event], count)
	r.acked = make([]bool, count)
	for i := range out {
		o := &origin{n: from, ord: i, run: r}
		if in := r.n.p.w.inputs[from]; in != nil && r.n.flow == first {
			o.bad = in.Do[second].Do == doUndecodable || in.Do[third].Do == doUndecodable
		}
		out[i] = eventflow.Event{Data: o.payload(), Attributes: eventflow.Attributes{{Name: originAttribute, Value: o}}}
	}
	return out
}

// callBatch is the body of the flow that takes batches.
func (n *node) callBatch(ctx context.Context, b eventflow.Batch[item]) (eventflow.Many[eventflow.Event], error) {
	evs := make([]*eventflow.Event, len(b))
	for i := range b {
		evs[i] = b[i].Event
	}
	r, err := n.begin(ctx, evs)
	if err != nil {
		return nil, err
	}
	defer r.leave()
	w := n.p.w
	acts := make([]act, len(r.hs))
	longest := act{}
	for i, h := range r.hs {
		acts[i] = w.actOf(h, third)
		if d := acts[i]; (d.Do == doSlowly || d.Do == doDeafly) && d.For > longest.For {
			longest = d
		}
	}
	r.spend(ctx, longest)
	if _, err = n.p.at(atReturn); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range acts {
		if a.Do != doWell {
			w.hits[a.Do.String()]++
		}
	}
	if err = r.cancelled(ctx, longest); err != nil {
		return nil, err
	}
	return r.judge(acts)
}

// judge decides on each item of a batch. The caller holds world.mu.
func (r *run) judge(acts []act) (eventflow.Many[eventflow.Event], error) {
	var bad eventflow.BatchError
	for i, a := range acts {
		if k := r.keys[i]; a.Do == doBreak && k.breaks < a.Times {
			k.breaks++
			if len(acts) == 1 {
				k.failed(r)
			}
			return nil, fmt.Errorf("%w: and nobody knows why", errBoom)
		}
	}
	// In a lane the runner may run again what is behind a failure; it need not, when that was the last attempt.
	lanes, stopped := r.hs[0].d.Lane != "", false
	for i, a := range acts {
		k := r.keys[i]
		switch {
		case a.Do == doPoison, (a.Do == doFail || a.Do == doPanic || a.Do == doGoexit) && k.failures < a.Times:
			bad.Add(i, errBoom)
			k.failed(r)
			stopped = true
		case a.Do == doBusy && k.busies < a.Times && !stopped:
			k.busies++
			bad.Add(i, eventflow.Busy(a.For))
			stopped = true
		case a.Do == doPermanent:
			k.permanent = true
			k.failed(r)
			bad.Add(i, errBad)
		case a.Do == doSkip:
			k.skipped = true
			bad.Add(i, eventflow.Skip("script"))
			r.content(i, lanes && stopped)
		default:
			r.content(i, lanes && stopped)
		}
	}
	r.done = true
	if len(bad.Items) == len(acts) {
		return nil, bad.Err()
	}
	return r.results(1, -1), bad.Err()
}
