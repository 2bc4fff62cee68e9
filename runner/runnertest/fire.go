package runnertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
)

func fireRules() []rule {
	return []rule{
		{name: "ReplicasRunEachFireOnce", run: func(b *bench) { replicasRunEachFireOnce(b, 0) }},
		{name: "SkewedReplicasRunEachFireOnce", run: func(b *bench) { replicasRunEachFireOnce(b, 5*time.Second) }},
		{name: "FireOfADeadProcessIsTakenOver", short: true, run: func(b *bench) { fireOfADeadProcessIsTakenOver(b, b.soon()) }},
		{name: "LastFireOfAClockIsTakenOver", short: true, run: func(b *bench) { fireOfADeadProcessIsTakenOver(b, b.soon()[:1]) }},
		{name: "FireThatWasHandedBackIsTakenOver", short: true, run: fireThatWasHandedBackIsTakenOver},
	}
}

// fired is one run of a fire.
type fired struct {
	id         string
	nominal    time.Time
	missed     int
	begin, end time.Time
}

// replicas are three processes that run the same clock, the first with a clock that is right, the others with one that
// is ahead and one that is behind.
type replicas struct {
	b    *bench
	skew time.Duration

	mu   sync.Mutex // guards runs
	runs []fired
}

// listen starts them. The clock fires each second, and a run takes two and a half.
func (r *replicas) listen(generation string) []*running {
	var xs []*running
	for i := range 3 {
		p := r.b.process(fmt.Sprint(generation, "-", i))
		p.skew = []time.Duration{0, r.skew, -r.skew}[i]
		xs = append(xs, p.listen(p.job(func(ctx context.Context, run *eventflow.Run) error {
			f := fired{id: run.Key.ID, nominal: run.Fire.Nominal, missed: len(run.Fire.Missed), begin: time.Now()}
			r.b.sleep(2500 * time.Millisecond)
			f.end = time.Now()
			r.mu.Lock()
			defer r.mu.Unlock()
			r.runs = append(r.runs, f)
			return ctx.Err()
		}), runner.At(eventflow.Every(time.Second), runner.Named("second"))))
	}
	return xs
}

// Skip: no run overlaps another, whichever replica has it, none begins early by the store's clock, none twice. Of what a
// stop missed the latest is made up for, at once, and nothing older; the latest as a replica's own clock has it.
func replicasRunEachFireOnce(b *bench, skew time.Duration) {
	r := &replicas{b: b, skew: skew}
	xs := r.listen("before")
	b.sleepBetweenFires(10 * time.Second)
	stopAll(b, xs)
	before := len(r.runs)
	stop := 8 * time.Second
	if b.h.Broker.Virtual {
		stop = time.Hour
	}
	b.sleepBetweenFires(stop)
	again := time.Now()
	xs = r.listen("after")
	b.sleep(5 * time.Second)
	stopAll(b, xs)

	slices.SortFunc(r.runs, func(a, b fired) int { return a.begin.Compare(b.begin) })
	if before < 3 || len(r.runs) <= before {
		b.Fatalf("%d fires ran in 10 s, and %d in 5 s after the stop, want at least 3 and 1. What happened:%s", before, len(r.runs)-before, b.log.tail())
	}
	for i, run := range r.runs {
		if run.begin.Before(run.nominal) {
			b.Errorf("the fire of %v ran %v early", run.nominal, run.nominal.Sub(run.begin))
		}
		// One that was claimed when its process was told to stop was given back, and is taken over however late.
		if late := again.Sub(run.nominal); i >= before && late > skew+2*time.Second && !b.releasedFire(run.id) {
			b.Errorf("the fire of %v ran after the stop, %v late: it was not the latest that was missed", run.nominal, late)
		}
		for _, other := range r.runs[:i] {
			if run.begin.Before(other.end) {
				b.Errorf("the fires of %v and %v overlap", other.nominal, run.nominal)
			}
			if run.nominal.Equal(other.nominal) {
				b.Errorf("the fire of %v ran twice", run.nominal)
			}
		}
	}
	first := r.runs[before]
	if first.nominal.After(again) && first.missed == 0 {
		b.Errorf("after a stop of %v the first fire that ran is the next one, of %v; none was made up for. What happened:%s", stop, first.nominal, b.log.tail())
	}
	if skew != 0 {
		return
	}
	if first.missed < int(stop/time.Second)-3 {
		b.Errorf("the fire that made up for a stop of %v lists %d that were missed. What happened:%s", stop, first.missed, b.log.tail())
	}
	for _, run := range r.runs[before+1:] {
		if !run.nominal.After(again) && !b.releasedFire(run.id) {
			b.Errorf("the fire of %v was made up for too, and not only the latest that was missed", run.nominal)
		}
	}
}

func (b *bench) releasedFire(id string) bool {
	return b.log.count(entry{step: finished, id: id, text: freed}) > 0
}

// sleepBetweenFires sleeps for about that time, to where no clock that fires each second does.
func (b *bench) sleepBetweenFires(d time.Duration) {
	b.sleep(time.Until(time.Now().Add(d).Truncate(time.Second).Add(400 * time.Millisecond)))
}

// stopAll stops runners at once.
func stopAll(b *bench, xs []*running) {
	b.Helper()
	for _, x := range xs {
		x.cancel()
	}
	for _, x := range xs {
		x.stop()
		if c := x.balanced(); c.InFlight != 0 {
			b.Errorf("%d are in flight after Listen: %v", c.InFlight, c)
		}
	}
}

// soon gives the dates of a clock that fires when the runner listens, and then not while the rule lasts.
func (b *bench) soon() []time.Time {
	return []time.Time{time.Now().Add(2 * time.Second), time.Now().Add(1000 * time.Hour)}
}

// takenOver fails the rule unless another replica runs the very fire, although its clock is past it.
func (b *bench) takenOver(clock eventflow.TimeClock, attempt int) {
	b.Helper()
	nominal := b.log.find(entry{step: began})[0].id
	next := b.process("next")
	x := next.listen(next.job(nothing), runner.At(clock, runner.Named("once")))
	b.until(b.lapse(), "another process runs the fire", func() bool {
		return b.log.count(entry{step: finished, process: next.name, id: nominal, text: terminal}) == 1
	})
	x.stop()
	b.wantAttempts(nominal, 1, attempt)
}

// job makes a flow for clocks.
func (p *process) job(f func(ctx context.Context, run *eventflow.Run) error) *eventflow.Flow {
	return eventflow.NewJob(flowName, func(ctx context.Context) error {
		return p.call(ctx, func(run *eventflow.Run) error { return f(ctx, run) })
	})
}

// Nobody delivers a fire again: its process dies in the middle of it, and the store alone knows.
func fireOfADeadProcessIsTakenOver(b *bench, at []time.Time) {
	clock := eventflow.Dates(at...)
	first := b.process("first")
	first.dies = func(e *entry) bool { return e.step == began }
	first.listen(first.job(nothing), runner.At(clock, runner.Named("once")))
	b.await(first.died, "the fire")
	b.sleep(b.pause())
	b.takenOver(clock, 2) // it may be what killed its process
}

func fireThatWasHandedBackIsTakenOver(b *bench) {
	clock := eventflow.Dates(b.soon()...)
	first := b.process("first")
	x := first.listen(first.job(func(ctx context.Context, _ *eventflow.Run) error {
		<-ctx.Done()
		return ctx.Err()
	}), runner.At(clock, runner.Named("once")), runner.Grace(0))
	b.until(b.patience(), "the fire", func() bool { return b.log.count(entry{step: began}) == 1 })
	x.stop()
	b.takenOver(clock, 1)
}
