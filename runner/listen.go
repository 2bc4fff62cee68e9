package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/wall"
)

// Listen starts runs until ctx ends, every clock has ended, or a source fails for good. It may be called once.
//
// When ctx ends it stops receiving at once, gives back what has not started, lets runs finish within the grace period,
// cancels the others with ErrShutdown, and returns nil when its goroutines have ended. Runs that ignore their context
// are fenced, and named in an *[eventflow.AbandonedError]. When every clock has ended by itself, it waits for the runs
// and returns nil. Subscribers given to On are closed in any case; publishers and stores are not.
func (r *FlowRunner) Listen(ctx context.Context) error {
	r.mu.Lock()
	switch {
	case r.state != Scheduled:
		r.unlock()
		return &eventflow.ConfigError{Field: "runner.Listen of flow " + r.flow.Name(), Value: "called again", Allowed: "once: make another runner"}
	case len(r.c.sources)+len(r.c.timers) == 0:
		r.unlock()
		return &eventflow.ConfigError{Field: "runner.Listen of flow " + r.flow.Name(), Value: "no trigger", Allowed: "at least one runner.On or runner.At; Handle and Run need no Listen"}
	}
	r.state = Starting
	if now := wall.From(ctx); now != nil {
		r.c.now = now
	}
	lasting := context.WithoutCancel(ctx)
	cancelIO := r.prepare(lasting)
	r.unlock()
	defer cancelIO()
	defer r.cancelRuns(eventflow.ErrRunEnded)
	defer r.stopAsking()
	receiving, stopReceiving := context.WithCancel(ctx)
	defer stopReceiving()
	r.mu.Lock()
	r.stopReceiving = stopReceiving
	r.unlock()
	unhook := context.AfterFunc(ctx, func() { r.beginStop() })
	defer unhook()
	err := r.start(ctx)
	if err == nil {
		err = r.listen(receiving, cancelIO)
	} else {
		r.beginStop()
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = nil // it was told to stop while it started: cancellation is not failure
		}
	}
	err = errors.Join(err, r.closeSources(lasting))
	r.faults.rest(r.logger(), true)
	r.mu.Lock()
	if r.state = Stopped; err != nil {
		r.state = Failed
	}
	r.unlock()
	return err
}

// prepare makes what Listen's goroutines share. It is made here and not by New, so that a runner that was made outside a
// bubble of virtual time can listen inside. The caller holds FlowRunner.mu.
func (r *FlowRunner) prepare(lasting context.Context) (cancelIO context.CancelFunc) {
	r.base, r.cancelRuns = context.WithCancelCause(lasting)
	r.io, cancelIO = context.WithCancel(lasting)
	r.asking, r.stopAsking = context.WithCancel(lasting)
	r.stop, r.over, r.closed, r.gone = make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	r.failed, r.poke = make(chan error, 1), make(chan struct{}, 1)
	for _, s := range r.c.sources {
		s.room = make(chan struct{}, 1)
		s.lanes = map[string]*lane{}
		s.group = runGroup{r: r, src: s, parent: r.base}
		if r.flow.IsBatch() {
			s.loose = &lane{src: s}
		}
		_, s.confirms = s.clock.(eventflow.Subscriber)
	}
	return cancelIO
}

// start starts the subscribers and asks the store where the clocks were. Nothing is received before all of it worked.
func (r *FlowRunner) start(ctx context.Context) error {
	for _, s := range r.c.sources {
		sub, ok := s.clock.(eventflow.Subscriber)
		if !ok {
			continue
		}
		err := sub.Start(ctx, eventflow.Listening{
			Flow: r.flow.Name(), Binding: s.name, MaxAttempts: r.c.maxAttempts, Slack: r.c.slack, DeadLetters: r.c.dead != nil,
			Timeout: r.c.timeout, Grace: r.c.grace, MaxHold: r.c.maxHold, MaxHeldBytes: r.c.maxHeldBytes / len(r.c.sources), Logger: r.logger(),
			Settled: func(ds []*eventflow.Delivery, err error) { r.settled(s, ds, err) },
			Lost:    r.lost,
		})
		if err != nil {
			return fmt.Errorf("runner: trigger %q of flow %q: %w", s.name, r.flow.Name(), err)
		}
	}
	if !r.setTimers(&chunk{io: ctx, stop: r.stop}) {
		return ctx.Err()
	}
	return nil
}

// listen is Listen once everything has started.
func (r *FlowRunner) listen(receiving context.Context, cancelIO context.CancelFunc) error {
	r.mu.Lock()
	if !r.stopping {
		r.state = Listening
	}
	close(r.ready)
	r.nextRenewal, r.nextSweep = monotonic(), monotonic()
	r.receivers = len(r.c.sources)
	for _, s := range r.c.sources {
		go r.receive(receiving, s)
	}
	r.unlock()
	r.adoptLast()
	r.mu.Lock()
	r.settleDown()
	r.unlock()
	var keeper sync.WaitGroup
	keeper.Go(r.keep)
	if r.timers.len() > 0 {
		keeper.Go(r.keepClocks)
	}

	var err error
	select {
	case <-r.over: // every clock has ended, and every run
	case err = <-r.failed:
		r.beginStop()
	case <-r.stop:
	}
	abandoned := r.finish(cancelIO)
	select { // a source may have failed while the others stopped
	case late := <-r.failed:
		err = errors.Join(err, late)
	default:
	}
	r.mu.Lock()
	r.closing = true
	for _, w := range r.idle {
		r.waking++
		w.wake <- struct{}{}
	}
	r.idle = nil
	r.goroutinesLeft()
	r.unlock()
	close(r.closed)
	keeper.Wait()
	if abandoned == nil {
		cancelIO() // nothing is in flight: what still asks the store, a renewal, asks for nothing
		<-r.gone
		return err
	}
	return errors.Join(err, abandoned)
}

// finish waits for what is left, for at most the grace period and then the hard stop when the runner was told to stop.
func (r *FlowRunner) finish(cancelIO context.CancelFunc) error {
	select {
	case <-r.over:
		return nil
	case <-r.stop:
	}
	grace := time.NewTimer(r.c.grace)
	defer grace.Stop()
	select {
	case <-r.over:
		return nil
	case <-grace.C:
	}
	r.cancelRuns(eventflow.ErrShutdown)
	// What publishes or finishes gets half of the hard stop; the other half is for it to return.
	io := time.AfterFunc(r.c.hardStop/2, cancelIO)
	defer io.Stop()
	hard := time.NewTimer(r.c.hardStop)
	defer hard.Stop()
	select {
	case <-r.over:
		return nil
	case <-hard.C:
	}
	cancelIO()
	return r.abandon()
}

// abandon fences what still runs and names it. It is not given back: its locks and leases lapse, as the flow may still
// be at work.
func (r *FlowRunner) abandon() error {
	const most = 100
	e := &eventflow.AbandonedError{Flow: r.flow.Name()}
	var ds []*eventflow.Delivery
	r.mu.Lock()
	for _, t := range r.tasks {
		if t.direct {
			continue
		}
		if e.More++; len(e.Runs) < most {
			e.Runs, e.More = append(e.Runs, t.key.String()), e.More-1
		}
		r.decide(Decision{Key: t.key, Reason: reasonAbandoned})
		t.fenced.Store(true)
		t.leased.Store(0)
		if t.d != nil {
			ds = append(ds, t.d)
		}
	}
	r.unlock()
	if len(e.Runs) == 0 {
		return nil
	}
	eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Abandon, Note: abandonedNote})
	return e
}

// abandonedNote marks a delivery that stays in flight for ever in this runner's counts.
const abandonedNote = 0xf

// beginStop gives back everything that has not started. It may be called twice.
func (r *FlowRunner) beginStop() {
	r.mu.Lock()
	if r.stopping {
		r.unlock()
		return
	}
	r.stopping, r.stopped = true, time.Now()
	r.halted.Store(true)
	r.stopReceiving() // first, or a source may hand over again what is handed back below
	r.stopAsking()
	if r.state <= Listening {
		r.state = Stopping
	}
	close(r.stop)
	var out []*task
	take := func(t *task) {
		t.verdict.reason = reasonShutdown
		out = append(out, t)
	}
	for _, s := range r.c.sources {
		out = append(out, r.takeBack(s, reasonShutdown)...)
		s.signal()
	}
	for r.delays.len() > 0 {
		if d := r.delays.pop(); d.task != nil {
			take(d.task)
		}
	}
	r.delayedCount = 0
	for key, ts := range r.parked {
		delete(r.parked, key)
		for _, t := range ts {
			take(t)
		}
	}
	for r.fires.len() > 0 {
		take(r.fires.popFront())
	}
	for r.marks.len() > 0 {
		take(r.marks.popFront())
	}
	for _, tm := range r.c.timers {
		for _, t := range tm.buffered {
			take(t)
		}
		tm.buffered = nil
	}
	r.unlock()
	r.giveBack(&chunk{io: r.io, stop: r.stop}, out)
	r.mu.Lock()
	r.settleDown()
	r.unlock()
}

// settleDown closes over when nothing is in flight and nothing will come. The caller holds FlowRunner.mu.
func (r *FlowRunner) settleDown() {
	if r.overDone || r.over == nil || r.receivers > 0 || len(r.tasks) > r.directs || r.state < Listening || !r.stopping && (r.liveTimers > 0 || r.sweeping || r.unswept()) {
		return
	}
	r.overDone = true
	close(r.over)
}

// goroutineEnds counts the end of a goroutine. The caller holds FlowRunner.mu.
func (r *FlowRunner) goroutineEnds() {
	r.goroutines--
	r.settleDown()
	r.goroutinesLeft()
}

func (r *FlowRunner) goroutinesLeft() {
	if r.closing && r.goroutines == 0 && !r.goneDone {
		r.goneDone = true
		close(r.gone)
	}
}

// closeSources closes the subscribers: marks are written, what is unsettled is handed back. What the runs have left of
// the grace period is theirs: a long poll that is cut off takes the messages with it that were on their way.
func (r *FlowRunner) closeSources(ctx context.Context) error {
	r.mu.Lock()
	left := max(r.c.grace-time.Since(r.stopped), 0)
	r.unlock()
	ctx, cancel := context.WithTimeout(ctx, max(left+r.c.hardStop, time.Second))
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(r.c.sources))
	for i, s := range r.c.sources {
		if sub, ok := s.clock.(eventflow.Subscriber); ok {
			wg.Go(func() {
				if err := sub.Close(ctx); err != nil {
					errs[i] = fmt.Errorf("runner: closing trigger %q of flow %q: %w", s.name, r.flow.Name(), err)
				}
			})
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Listen listens with several runners. When one of them fails the others are stopped; it returns when all have, with
// every error.
func Listen(ctx context.Context, rs ...*FlowRunner) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(rs))
	var wg sync.WaitGroup
	for i, r := range rs {
		wg.Go(func() {
			if errs[i] = r.Listen(ctx); errs[i] != nil {
				stop()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
