package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/wall"
	"github.com/eventflow-go/eventflow/runner"
)

// proc is a process: three runners, and their handles of broker and store. When it has died, nothing that it still does
// reaches either, nor the record; it is told to stop, so that its goroutines end. While it stands still all of that
// waits.
type proc struct {
	w      *world
	slot   *slot
	inc    int // which process of its slot
	nodes  [flows]*node
	cancel context.CancelFunc
	gone   chan struct{} // closed at its death
	ready  bool

	// Guarded by world.mu.
	dead      bool
	thaw      chan struct{} // while it stands still
	stalledAt time.Time
	stopped   bool
	stopAt    time.Time
	wellFrom  time.Duration // -1: it is not
	troubled  time.Time     // until then
}

// node is one runner of a process.
type node struct {
	p    *proc
	flow int
	r    *runner.FlowRunner
	sub  *sub

	// Guarded by world.mu.
	bodies    int
	bodyEnded time.Time
	received  int
	returned  bool
	storeErrs int // since the stop
}

func (n *node) String() string {
	return fmt.Sprintf("%s of process %d.%d", flowNames[n.flow], n.p.slot.n, n.p.inc)
}

var errDead = errors.New("sim: the process is dead")

// occupy runs one process after another in a slot.
func (w *world) occupy(sl *slot) {
	for inc := 1; ; inc++ {
		select {
		case <-w.ending:
			return
		default:
		}
		p := &proc{w: w, slot: sl, inc: inc, gone: make(chan struct{}), wellFrom: -1}
		p.run()
		w.mu.Lock()
		down := time.Duration(hash(w.s.Seed, sl.n, inc)%1500) * time.Millisecond
		if !p.dead {
			down = sl.down
		}
		if w.quiet {
			down = 10 * time.Millisecond
		}
		sl.proc = nil
		w.hits["successor started"]++
		w.mu.Unlock()
		select {
		case <-time.After(down):
		case <-w.ending:
			return
		}
	}
}

func hash(vs ...any) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, vs...)
	return h.Sum64()
}

// run lives the process's life.
func (p *proc) run() {
	w := p.w
	ctx, cancel := context.WithCancel(wall.With(w.ctx, func() time.Time { return time.Now().Add(time.Duration(p.slot.offset.Load())) }))
	defer cancel()
	p.cancel = cancel
	for f := range p.nodes {
		p.nodes[f] = &node{p: p, flow: f}
	}
	for _, n := range p.nodes {
		n.open()
	}
	w.mu.Lock()
	p.slot.proc = p
	select {
	case <-w.ending:
		p.stop()
	default:
	}
	w.mu.Unlock()
	var listening sync.WaitGroup
	for _, n := range p.nodes {
		listening.Go(func() {
			err := n.r.Listen(ctx)
			w.mu.Lock()
			n.listened(err)
			w.mu.Unlock()
		})
	}
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { p.watch(done) })
	listening.Wait()
	close(done)
	watching.Wait()
	w.mu.Lock()
	p.closeWell()
	w.mu.Unlock()
}

// watch samples the counters, and notes when all runners listen.
func (p *proc) watch(done <-chan struct{}) {
	for _, n := range p.nodes {
		select {
		case <-n.r.Ready():
		case <-done:
			return
		}
	}
	p.w.mu.Lock()
	p.ready = true
	if time.Now().After(p.troubled) && p.slot.offset.Load() == 0 { // one that began with a wrong clock finds other fires missed
		p.wellFrom = p.w.now()
	}
	p.w.mu.Unlock()
	tick := time.NewTicker(97 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, n := range p.nodes {
				n.balanced()
			}
		case <-done:
			return
		}
	}
}

// balanced checks the promise of Counts. The caller does not hold world.mu.
func (n *node) balanced() {
	c := n.r.Counts()
	sum, fires := c.InFlight, c.Fires.InFlight
	for _, k := range c.Outcomes {
		sum += k
	}
	for _, k := range c.Fires.Outcomes {
		fires += k
	}
	n.p.w.mu.Lock()
	defer n.p.w.mu.Unlock()
	n.p.w.samples++
	if sum != c.Received || fires != c.Fires.Received || c.InFlight < 0 {
		n.p.w.brokenf(balanced, "%v: %+v", n, c)
	}
}

// open makes the node's runner.
func (n *node) open() {
	w, set := n.p.w, &n.p.w.s.Set
	topic := "mid"
	if n.flow == first {
		topic = "in"
	}
	n.sub = &sub{n: n, topic: topic, group: flowNames[n.flow], byInner: map[*eventflow.Delivery]*handed{}, byEvent: map[*eventflow.Event]*handed{}, perLane: map[string]int{}}
	n.sub.inner = w.mem.Subscriber(topic, eventflow.Group(n.sub.group))
	opts := []runner.Option{
		runner.On(n.sub, runner.Named(topic)), runner.Store(&stored{n: n}), runner.Logger(slog.New(slog.DiscardHandler)),
		runner.MaxRuns(set.MaxRuns), runner.MaxInFlight(set.MaxInFlight), runner.MaxPerLane(set.MaxPerLane), runner.MaxHeldBytes(set.MaxHeldBytes),
		runner.MaxDelayed(set.MaxDelayed), runner.MaxAttempts(maxAttempts), runner.MaxHold(set.MaxHold), runner.Lease(set.Lease), runner.Grace(set.Grace),
		runner.HardStop(set.HardStop), runner.Backoff(func(int) time.Duration { return set.Backoff }), runner.PublishTo(n.publisher(map[int]string{first: "mid", second: "out", third: "sums"}[n.flow])),
	}
	if set.DeadTopic {
		opts = append(opts, runner.DeadLetterTo(n.publisher(deadTopic)))
	}
	switch n.flow {
	case second:
		opts = append(opts, runner.At(w.clock, runner.Named(clockName), runner.Overlap(set.Overlap), runner.Missed(set.Missed, 0, 0), runner.Jitter(set.Jitter)))
	case third:
		opts = append(opts, runner.BatchOf(set.Batch, set.BatchWait))
	}
	r, err := runner.New(n.definition(), opts...)
	if err != nil {
		panic(err) // a fault of the script's ranges
	}
	n.r = r
}

const (
	clockName = "clock"
	deadTopic = "dead"
)

// at is passed at each step. The Nth passing may be where the process dies or stands still; what else goes wrong there
// is returned. A dead process gets errDead.
func (p *proc) at(s step) (f fault, err error) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	f.Kind = kinds
	if !p.dead && p.thaw == nil && !w.quiet {
		p.slot.passed[s]++
		for _, one := range p.slot.faults[s] {
			switch {
			case one.Nth != p.slot.passed[s]:
			case one.Kind == crash:
				w.hits["crash at "+s.String()]++
				p.kill()
			case one.Kind == stall:
				w.hits[stall.String()]++
				p.stall(one.For)
			default:
				w.hits[one.Kind.String()]++
				p.trouble()
				w.tellf("", "%v", one)
				f = one
			}
		}
	}
	for p.thaw != nil && !p.dead {
		thaw := p.thaw
		w.mu.Unlock()
		select {
		case <-thaw:
		case <-p.gone:
		}
		w.mu.Lock()
	}
	if p.dead {
		return f, errDead
	}
	return f, nil
}

// kill is the process's death. The caller holds world.mu.
func (p *proc) kill() {
	if p.dead {
		return
	}
	p.closeWell()
	p.w.tellf("", "process %d.%d dies", p.slot.n, p.inc)
	p.dead = true
	close(p.gone)
	p.cancel()
	for _, n := range p.nodes {
		n.sub.crash()
	}
}

// stall makes the process stand still: as it renews nothing, its locks lapse if it does for long enough, and it is told
// so by its own clock before they have. The caller holds world.mu.
func (p *proc) stall(d time.Duration) {
	w := p.w
	p.trouble()
	w.tellf("", "process %d.%d stands still for %v", p.slot.n, p.inc, d)
	p.thaw = make(chan struct{})
	p.stalledAt = time.Now()
	if lapse := w.s.Set.Lock * 9 / 10; d >= lapse {
		for _, n := range p.nodes {
			n.sub.crash()
		}
		time.AfterFunc(lapse, func() {
			for _, n := range p.nodes {
				n.sub.lapse()
			}
		})
	}
	time.AfterFunc(d, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		p.wake()
	})
}

// wake ends a stall. The caller holds world.mu.
func (p *proc) wake() {
	if p.thaw == nil || p.dead {
		return
	}
	for _, n := range p.nodes {
		if n.bodies > 0 && n.sub.crashed && time.Since(p.stalledAt) > p.w.s.Set.Lease {
			p.w.hits["woke up fenced"]++
		}
		n.sub.reopen()
	}
	p.trouble()
	close(p.thaw)
	p.thaw = nil
}

// stop tells the process to stop. The caller holds world.mu.
func (p *proc) stop() {
	if p.stopped || p.dead {
		return
	}
	p.closeWell()
	p.w.tellf("", "process %d.%d is told to stop", p.slot.n, p.inc)
	p.stopped, p.stopAt = true, time.Now()
	p.cancel()
	if p.thaw == nil && p.ready {
		time.AfterFunc(handBackTime, p.handedBack)
	}
}

// handBackTime is what a process may take to hand back what has not begun, when broker and store are well.
const handBackTime = 250 * time.Millisecond

// handedBack checks that a process that was told to stop has given back what had not begun.
func (p *proc) handedBack() {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.dead || p.thaw != nil || p.stalledAt.After(p.stopAt) || time.Now().Before(p.troubled) {
		return
	}
	for _, n := range p.nodes {
		for _, h := range n.sub.handed {
			if !h.begun && !h.settled && h.lostAt.IsZero() && !n.runs(h) {
				p.w.brokenf(promptly, "%v later %v still holds %s, which it had not begun", handBackTime, n, h.d.Event.ID)
			}
		}
	}
}

// runs reports whether another delivery of the event runs, or of its batch. The caller holds world.mu.
func (n *node) runs(h *handed) bool {
	for _, r := range n.p.w.running {
		if r.n == n && (slices.Contains(r.keys, h.key) || n.flow == third && r.hs[0].d.Lane == h.d.Lane) {
			return true
		}
	}
	return false
}

// trouble notes that something went wrong for the process now: nothing is expected of its promptness for a while. The
// caller holds world.mu.
func (p *proc) trouble() {
	p.closeWell()
	p.troubled = time.Now().Add(troubleTime)
	p.w.alive.Go(func() {
		select {
		case <-time.After(troubleTime):
		case <-p.gone:
			return
		case <-p.w.ending:
			return
		}
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		if !p.dead && !p.stopped && p.ready && p.wellFrom < 0 && !time.Now().Before(p.troubled) && p.slot.offset.Load() == 0 {
			p.wellFrom = p.w.now()
		}
	})
}

// troubleTime is longer than the longest backoff of what a fire needs.
const troubleTime = 11 * time.Second

func (p *proc) closeWell() {
	if p.wellFrom >= 0 {
		p.w.well = append(p.w.well, interval{p.wellFrom, p.w.now()})
	}
	p.wellFrom = -1
}

// pause pauses one trigger for a while.
func (p *proc) pause(f fault) {
	n := p.nodes[f.N%flows]
	name := n.sub.topic
	if f.N > flows {
		n, name = p.nodes[second], clockName
	}
	p.w.alive.Go(func() {
		_ = n.r.Pause(name)
		time.Sleep(f.For)
		_ = n.r.Resume(name)
	})
}

const lastMoment = 50 * time.Millisecond

// listened checks what Listen left behind. The caller holds world.mu.
func (n *node) listened(err error) {
	p, w := n.p, n.p.w
	n.returned = true
	w.tellf("", "%v returns: %v", n, err)
	if p.dead {
		return
	}
	// One that ended in the last moment may have left its runner no time to publish and finish.
	deaf := n.bodies > 0 || time.Since(n.bodyEnded) < lastMoment
	switch {
	case err == nil && n.bodies > 0:
		w.brokenf(listenEnds, "%v returned nil and %d runs are going on", n, n.bodies)
	case err == nil, deaf && errors.Is(err, eventflow.ErrAbandoned), p.troubled.After(p.stopAt):
	default:
		w.brokenf(listenEnds, "%v: %v", n, err)
	}
	if !p.stopped {
		w.brokenf(listenEnds, "%v returned before it was told to stop: %v", n, err)
		return
	}
	stalled := p.stalledAt.After(p.stopAt.Add(-time.Minute))
	if took, most := time.Since(p.stopAt), w.s.Set.Grace+2*w.s.Set.HardStop+5*time.Second; took > most && !stalled {
		w.brokenf(promptly, "Listen of %v returned %v after it was told to stop, of at most %v", n, took, most)
	}
	if errors.Is(err, eventflow.ErrAbandoned) {
		return
	}
	left := 0
	for _, h := range n.sub.handed {
		if !h.settled && h.lostAt.IsZero() {
			left++
		}
	}
	if left > 0 && !stalled {
		w.brokenf(promptly, "%v returned and holds %d deliveries", n, left)
	}
	for _, k := range w.keys {
		if k.held && k.node == n && k.ends == 0 && n.storeErrs == 0 && !stalled && time.Now().Before(k.until) {
			w.brokenf(promptly, "%v returned and left the claim of %v to lapse", n, k.key)
			break
		}
	}
	n.counted()
}

// counted checks the counters of a runner that has returned. The caller holds world.mu.
func (n *node) counted() {
	w := n.p.w
	c := n.r.Counts()
	if c.InFlight != 0 {
		w.brokenf(balanced, "%v returned with %v", n, c)
	}
	if got := c.Received - c.Fires.Received; int(got) != n.received {
		w.brokenf(balanced, "%v counts %d deliveries and was handed %d", n, got, n.received)
	}
}

// crash is what the broker sees of a dead process, or one that stands still. The caller holds world.mu.
func (s *sub) crash() {
	s.crashed = true
	if err := s.n.p.w.mem.Crash(s.inner); err != nil {
		panic(err)
	}
}

// lapse takes from a process that stands still what it holds.
func (s *sub) lapse() {
	w := s.n.p.w
	w.mu.Lock()
	var lost []*eventflow.Delivery
	if !s.n.p.dead {
		for _, h := range s.handed {
			if h.deaf && h.lostAt.IsZero() && h.of != nil && h.of != s.live() {
				h.lostAt = time.Now()
			}
			if !h.settled && h.lostAt.IsZero() && h.of != nil && h.of != s.live() && h.d.Lose() {
				h.lose()
				lost = append(lost, &h.d)
			}
		}
	}
	tell := s.l.Lost
	w.mu.Unlock()
	if len(lost) > 0 && tell != nil {
		tell(lost, eventflow.ErrLockLost)
	}
}

// live is the consumer that is not crashed, if any. The caller holds world.mu.
func (s *sub) live() eventflow.Subscriber {
	if s.crashed {
		return nil
	}
	return s.inner
}

// reopen makes the process a consumer again. The caller holds world.mu.
func (s *sub) reopen() {
	if !s.crashed || s.closed {
		return
	}
	s.crashed = false
	s.inner = s.n.p.w.mem.Subscriber(s.topic, eventflow.Group(s.group))
	if !s.started {
		return
	}
	if err := s.inner.Start(s.n.p.w.ctx, s.listening()); err != nil {
		panic(err)
	}
}
