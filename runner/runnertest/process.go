package runnertest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/wall"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

var (
	errDead    = errors.New("runnertest: the process is dead")
	errRefused = errors.New("runnertest: refused")
	errBoom    = errors.New("runnertest: boom")
	errAway    = errors.New("runnertest: not there at the moment")
)

// process is one process of a rule: a runner's handles to broker and store, each under watch.
type process struct {
	b    *bench
	name string
	dies func(e *entry) bool // set before it listens: it is killed right behind the step for which this is true
	// refuse is asked about each event that is offered to a topic. Set before it listens; it may be called by many.
	refuse func(topic string, ev *eventflow.Event) error
	skew   time.Duration // of its wall clock

	storeAway, sourceAway atomic.Bool // calls fail that a while later would not

	died    chan struct{}
	killing sync.Once
	loud    loud

	mu   sync.Mutex // guards what follows
	subs []*watched
}

func (b *bench) process(name string) *process {
	return &process{b: b, name: name, died: make(chan struct{}), loud: loud{tell: b.log.poke}}
}

// kill ends the process as a crash does: nothing that it does from now on reaches broker or store.
func (p *process) kill() {
	p.killing.Do(func() {
		close(p.died)
		p.crash()
	})
}

// crash ends its consumers as a crash does; its store knows nothing of it. It does not wait, as it may be called from
// within a call of the consumer.
func (p *process) crash() {
	p.mu.Lock()
	subs := p.subs
	p.mu.Unlock()
	if p.b.f.Crash == nil {
		return
	}
	for _, s := range subs {
		p.b.spawn(func() { p.b.f.Crash(s.Subscriber) })
	}
}

func (p *process) dead() bool {
	select {
	case <-p.died:
		return true
	default:
		return false
	}
}

// note records a step, and kills the process if that is where it dies.
func (p *process) note(e entry) {
	e.process = p.name
	p.b.log.add(e)
	if p.dies != nil && p.dies(&e) {
		p.kill()
	}
}

// brake slows a process that goes round and round, or time would stand still in a bubble and the rule never end.
func (p *process) brake() {
	if p.b.log.flooded() {
		p.b.sleep(p.b.pause())
	}
}

// on opens a subscriber of the rule's first topic.
func (p *process) on() eventflow.Subscriber {
	p.b.Helper()
	return p.onTopic(p.b.topics[0], group)
}

func (p *process) onTopic(topic, group string) eventflow.Subscriber {
	p.b.Helper()
	w := &watched{Subscriber: p.b.subscriber(topic, group), p: p, outs: map[*eventflow.Delivery]*eventflow.Delivery{}, marked: map[*eventflow.Delivery]struct{}{}, perLane: map[string]int{}}
	p.mu.Lock()
	p.subs = append(p.subs, w)
	p.mu.Unlock()
	if plant := p.b.h.plant.subscriber; plant != nil {
		return plant(p, w)
	}
	return w
}

// publisher opens a publisher under watch.
func (p *process) publisher(topic string) eventflow.Publisher {
	p.b.Helper()
	var pub eventflow.Publisher = &watchedPublisher{to: p.b.publisher(topic), topic: topic, p: p}
	if plant := p.b.h.plant.publisher; plant != nil {
		pub = plant(p, pub)
	}
	return pub
}

// lose takes the lock of an event that the process holds.
func (p *process) lose(id string) {
	p.b.Helper()
	p.mu.Lock()
	subs := p.subs
	p.mu.Unlock()
	for _, s := range subs {
		if in := s.inner(id); in != nil {
			p.b.f.Lose(s.Subscriber, in)
			return
		}
	}
	p.b.Fatalf("%s does not hold %s. What happened:%s", p.name, id, p.b.log.tail())
}

// call is what a flow does: under record, and nothing in a process that is dead.
func (p *process) call(ctx context.Context, f func(run *eventflow.Run) error) error {
	run := eventflow.RunFrom(ctx)
	e := entry{step: began, id: idOf(run), attempt: run.Attempt}
	if p.dead() {
		return errDead
	}
	p.note(e)
	if p.dead() {
		return errDead
	}
	e.err = f(run)
	if p.dead() {
		return errDead
	}
	e.step = ended
	p.note(e)
	if plant := p.b.h.plant.run; plant != nil {
		return plant(ctx, e.err)
	}
	return e.err
}

func idOf(run *eventflow.Run) string {
	switch {
	case run.Event() != nil:
		return run.Event().ID
	case run.Fire != nil:
		return run.Key.ID
	}
	return ""
}

// flowName is the name of every flow of a rule, so that several processes run the same one.
const flowName = "runnertest"

// sink makes a flow of a function that takes the text of an event.
func (p *process) sink(f func(ctx context.Context, run *eventflow.Run) error) *eventflow.Flow {
	return eventflow.NewSink(flowName, func(ctx context.Context, _ string) error {
		return p.call(ctx, func(run *eventflow.Run) error { return f(ctx, run) })
	}, eventflow.Version("v1"))
}

// echo makes a flow whose result is the text of its event, behind what f says.
func (p *process) echo(f func(ctx context.Context, run *eventflow.Run) error) *eventflow.Flow {
	return eventflow.NewFlow(flowName, func(ctx context.Context, s string) (string, error) {
		return s, p.call(ctx, func(run *eventflow.Run) error {
			if f == nil {
				return nil
			}
			return f(ctx, run)
		})
	}, eventflow.Version("v1"))
}

// running is a runner that listens.
type running struct {
	*runner.FlowRunner
	p        *process
	cancel   context.CancelFunc
	returned <-chan struct{}
	err      error // once it has returned
}

// new makes a runner of the process, with what every rule wants.
func (p *process) new(f *eventflow.Flow, opts ...runner.Option) *runner.FlowRunner {
	p.b.Helper()
	var s store.Store = &watchedStore{Store: p.b.store, p: p}
	if plant := p.b.h.plant.store; plant != nil {
		s = plant(p, s)
	}
	all := []runner.Option{
		runner.Store(s), runner.Lease(p.b.lease), runner.Grace(p.b.grace()), runner.HardStop(p.b.grace()),
		runner.Backoff(fixed(p.b.pause())), runner.Logger(slog.New(&p.loud)),
	}
	r, err := runner.New(f, append(append(all, opts...), p.b.h.plant.options...)...)
	if err != nil {
		p.b.Fatalf("New: %v", err)
	}
	return r
}

// fixed is a backoff that is always the same.
func fixed(d time.Duration) func(int) time.Duration {
	return func(int) time.Duration { return d }
}

// start makes a runner and lets it listen; it may fail to.
func (p *process) start(f *eventflow.Flow, opts ...runner.Option) *running {
	p.b.Helper()
	ctx, cancel := context.WithCancel(p.b.Context())
	if p.skew != 0 {
		ctx = wall.With(ctx, func() time.Time { return time.Now().Add(p.skew) })
	}
	x := &running{FlowRunner: p.new(f, opts...), p: p, cancel: cancel}
	x.returned = p.b.spawn(func() { x.err = x.Listen(ctx) })
	return x
}

// listen is start, and waits until the runner listens.
func (p *process) listen(f *eventflow.Flow, opts ...runner.Option) *running {
	p.b.Helper()
	x := p.start(f, opts...)
	select {
	case <-x.returned:
		p.b.Fatalf("Listen of %s: %v", p.name, x.err)
	case <-x.Ready():
	}
	return x
}

// stop ends Listen's context and waits for its return, which must be without an error.
func (x *running) stop() {
	x.p.b.Helper()
	if err := x.stopped(); err != nil {
		x.p.b.Fatalf("Listen of %s: %v", x.p.name, err)
	}
}

func (x *running) stopped() error {
	x.p.b.Helper()
	x.cancel()
	x.p.b.await(x.returned, "Listen to return")
	return x.err
}

// balanced fails the rule when the counters do not balance.
func (x *running) balanced() runner.Counts {
	x.p.b.Helper()
	c := x.Counts()
	if sum := c.InFlight + sumOf(c.Outcomes); sum != c.Received {
		x.p.b.Errorf("%d were received, and in flight and outcomes are %d: %v", c.Received, sum, c)
	}
	if sum := c.Fires.InFlight + sumOf(c.Fires.Outcomes); sum != c.Fires.Received {
		x.p.b.Errorf("%d fires were received, and in flight and outcomes are %d", c.Fires.Received, sum)
	}
	return c
}

func sumOf(ns map[eventflow.Outcome]int64) (sum int64) {
	for _, n := range ns {
		sum += n
	}
	return sum
}

// loud counts what a runner says that somebody should read.
type loud struct {
	tell func()

	mu     sync.Mutex // guards errors
	errors int
}

func (l *loud) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }
func (l *loud) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *loud) WithGroup(string) slog.Handler                    { return l }

func (l *loud) Handle(context.Context, slog.Record) error {
	l.mu.Lock()
	l.errors++
	l.mu.Unlock()
	l.tell()
	return nil
}

func (l *loud) said() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errors > 0
}
