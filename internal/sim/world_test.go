package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// world is one run of a script, in a bubble of virtual time.
type world struct {
	s      *script
	t      *testing.T
	ctx    context.Context
	began  time.Time
	mem    *broker.Memory
	store  *store.Memory
	clock  *eventflow.IntervalClock
	inputs map[int]*input
	slots  []*slot
	ending chan struct{} // closed when no process starts any more
	alive  sync.WaitGroup
	flows  atomic.Int64 // bodies that run

	// mu guards what follows. It is held across calls of the store and Publish, so that the record has them in their order;
	// never across what waits.
	mu      sync.Mutex
	quiet   bool // nothing goes wrong any more
	quietAt time.Duration
	topics  map[string]*topic
	keys    map[eventflow.Key]*key
	ids     map[string]string // of results, by run and ordinal
	byID    map[string]string // the other way round
	running []*run
	noStore time.Time // the store is down until then
	noMQ    time.Time // the broker is
	well    []interval
	fired   time.Duration // when the first fire was claimed
	cursor  time.Time
	events  int
	runs    int
	calls   int // of Publish
	samples int
	hits    hits
	bad     []breach
	trace   []string
}

// interval of a process in which nothing went wrong.
type interval struct{ from, to time.Duration }

// slot is a place for one process after another.
type slot struct {
	n      int
	offset atomic.Int64 // of its wall clock
	passed [steps]int   // guarded by world.mu
	faults [steps][]fault
	proc   *proc // guarded by world.mu
	down   time.Duration
}

// result of a script.
type result struct {
	bad           []breach
	trace         []string
	events, runs  int
	samples, ends int
	hits          hits
	took          time.Duration
}

// play runs a script. What the bubble itself finds, goroutines that are left or all that wait for ever, is a broken
// promise too.
func play(t *testing.T, s *script) (res result) {
	t.Helper()
	start := time.Now()
	var w *world
	defer func() {
		if p := recover(); p != nil {
			res.bad = append(res.bad, breach{Rule: listenEnds, Text: fmt.Sprint(p)})
			if w != nil {
				res.bad = append(res.bad, w.bad...)
			}
		}
		res.took = time.Since(start)
	}()
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, s)
		w.run()
		res = w.result()
	})
	return res
}

func (w *world) result() result {
	w.mu.Lock()
	defer w.mu.Unlock()
	ends := 0
	for _, k := range w.keys {
		if k.over() {
			ends++
		}
	}
	return result{bad: w.bad, trace: w.trace, events: w.events, runs: w.runs, samples: w.samples, ends: ends, hits: w.hits}
}

func newWorld(t *testing.T, s *script) *world {
	t.Helper()
	w := &world{
		s: s, t: t, ctx: t.Context(), began: time.Now(), inputs: map[int]*input{}, ending: make(chan struct{}), topics: map[string]*topic{},
		keys: map[eventflow.Key]*key{}, ids: map[string]string{}, byID: map[string]string{}, hits: hits{},
		mem: broker.NewMemory(broker.Lease(s.Set.Lock)), store: store.NewMemory(), clock: eventflow.Every(s.Set.Period),
	}
	for i := range s.Events {
		w.inputs[s.Events[i].N] = &s.Events[i]
	}
	for i := range s.Slots {
		w.slots = append(w.slots, &slot{n: i})
	}
	for _, f := range s.Faults {
		if f.Kind < shutdown {
			sl := w.slots[f.Slot]
			sl.faults[f.Step] = append(sl.faults[f.Step], f)
		}
	}
	for group, name := range map[string]string{"first": "in", "second": "mid", "third": "mid"} { // before anything is published
		_ = w.mem.Subscriber(name, eventflow.Group(group)).Close(w.ctx)
	}
	return w
}

const (
	quietTime = stormTime + 3*time.Second
	calmTime  = 22 * time.Second // beyond the longest backoff of the store's calls, and a few fires
	patience  = 4 * time.Minute
)

// run plays the storm, then the calm in which everything must come to its end.
func (w *world) run() {
	for _, sl := range w.slots {
		w.alive.Go(func() { w.occupy(sl) })
	}
	w.alive.Go(w.publishInputs)
	w.direct()
	w.sleepUntil(quietTime)
	w.calm()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	if err := w.mem.WaitSettled(ctx, "in", "mid"); err != nil {
		w.mu.Lock()
		w.brokenf(nothingLost, "%v later: %v", patience, err)
		w.mu.Unlock()
	}
	w.sleepUntil(max(w.now(), quietTime+calmTime))
	paused := w.now()
	w.pauseClocks()
	time.Sleep(3 * w.s.Set.Lease) // fires that were left are swept up
	if err := w.mem.WaitSettled(ctx, "in", "mid"); err != nil {
		w.mu.Lock()
		w.brokenf(nothingLost, "in the end: %v", err)
		w.mu.Unlock()
	}
	close(w.ending)
	w.mu.Lock()
	for _, sl := range w.slots {
		if sl.proc != nil {
			sl.proc.stop()
		}
	}
	w.mu.Unlock()
	w.alive.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.check(paused)
}

func (w *world) sleepUntil(at time.Duration) { time.Sleep(at - w.now()) }

// publishInputs publishes what the script says, each burst in one call.
func (w *world) publishInputs() {
	in := w.mem.Publisher("in")
	evs := w.s.Events
	for i := 0; i < len(evs); {
		w.sleepUntil(evs[i].At)
		var burst []eventflow.Event
		from := i
		for ; i < len(evs) && evs[i].At == evs[from].At; i++ {
			ev := w.input(&evs[i])
			burst = append(burst, ev)
			if evs[i].Twice {
				burst = append(burst, ev)
			}
		}
		w.mu.Lock()
		for j := range burst {
			w.took("in", &burst[j])
		}
		w.events += len(burst)
		if len(burst) > 10 {
			w.hits["burst"]++
		}
		if len(burst) > i-from {
			w.hits["published twice"]++
		}
		if err := in.Publish(w.ctx, burst...); err != nil {
			w.brokenf(nothingLost, "the script cannot publish: %v", err)
		}
		w.mu.Unlock()
	}
}

// item is the payload of the simulation's events.
type item struct {
	N   int `json:"n"`
	Ord int `json:"o"`
}

func (w *world) input(in *input) eventflow.Event {
	o := &origin{n: in.N, bad: in.Do[first].Do == doUndecodable}
	return eventflow.Event{
		ID: fmt.Sprintf("e%d", in.N), Source: "sim", Key: in.Lane, Data: o.payload(), Attributes: eventflow.Attributes{{Name: originAttribute, Value: o}},
	}
}

func (o *origin) payload() []byte {
	if o.bad {
		return []byte("{")
	}
	b, err := json.Marshal(item{N: o.n, Ord: o.ord})
	if err != nil {
		panic(err)
	}
	return b
}

// direct does what goes wrong at an instant.
func (w *world) direct() {
	for _, f := range w.s.Faults {
		if f.Kind < shutdown {
			continue
		}
		w.sleepUntil(max(f.At, w.now()))
		w.strike(f)
	}
}

// planted maps what the broker can do by itself.
var planted = map[kind]broker.FaultKind{
	loseLock: broker.LoseLock, loseRenew: broker.StopRenewing, duplicate: broker.DuplicateDelivery, delayed: broker.DelayDelivery, refuseAck: broker.LoseSettlement,
}

func (w *world) strike(f fault) {
	if k, ok := planted[f.Kind]; ok {
		withdraw := w.mem.Inject(broker.Fault{Kind: k, Topics: []string{"in", "mid"}, Times: f.N, After: f.For, Err: eventflow.ErrLockLost})
		name := f.Kind.String()
		w.alive.Go(func() {
			w.sleepUntil(max(w.now(), quietTime))
			n := withdraw()
			w.mu.Lock()
			w.hits[name] += n
			w.mu.Unlock()
		})
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.slots[f.Slot].proc
	switch until := time.Now().Add(f.For); f.Kind {
	case storeDown:
		w.noStore = until
		w.troubleAll()
	case brokerDown:
		w.noMQ = until
		w.troubleAll()
	case blackout:
		for _, sl := range w.slots {
			if sl.proc != nil {
				sl.down = f.For
				sl.proc.stop()
			}
		}
	case wallJump:
		w.slots[f.Slot].offset.Store(int64(f.For))
		if p != nil {
			p.trouble()
		}
	case shutdown:
		if p == nil {
			return
		}
		w.slots[f.Slot].down = f.For
		p.stop()
	case pause:
		if p == nil || p.dead {
			return
		}
		p.trouble()
		p.pause(f)
	}
	w.hits[f.Kind.String()]++
	w.tellf("", "%v", f)
}

// calm ends everything that goes wrong.
func (w *world) calm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.quiet, w.quietAt = true, w.now()
	w.noStore, w.noMQ = time.Time{}, time.Time{}
	for _, sl := range w.slots {
		if sl.offset.Swap(0) != 0 {
			w.hits["clock skewed"]++
		}
		if sl.proc != nil {
			sl.proc.trouble()
			sl.proc.wake()
		}
	}
}

func (w *world) pauseClocks() {
	w.mu.Lock()
	var rs []*runner.FlowRunner
	for _, sl := range w.slots {
		if sl.proc != nil && !sl.proc.dead {
			rs = append(rs, sl.proc.nodes[second].r)
		}
	}
	w.mu.Unlock()
	for _, r := range rs {
		_ = r.Pause(clockName)
	}
}

func (w *world) troubleAll() {
	for _, sl := range w.slots {
		if sl.proc != nil {
			sl.proc.trouble()
		}
	}
}
