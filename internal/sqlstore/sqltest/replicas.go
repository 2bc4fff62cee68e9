package sqltest

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/wall"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

const (
	replicaEnv = "EVENTFLOW_TEST_REPLICA" // where the store is
	skewEnv    = "EVENTFLOW_TEST_REPLICA_SKEW"

	replicaTick  = 100 * time.Millisecond
	replicaLease = 4 * time.Second
)

// Replica is [Worker] for a process that listens to a clock. What it runs it writes to its output: "began NOMINAL FENCE", and
// at the end "effect NOMINAL FENCE", or "lost NOMINAL FENCE" when its context has ended.
func Replica(open func(ctx context.Context, where string) (store.Store, error)) bool {
	where := os.Getenv(replicaEnv)
	if where == "" {
		return false
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := listen(ctx, where, open); err != nil {
		fmt.Fprintln(os.Stderr, "replica:", err)
		os.Exit(1) //nolint:forbidigo,gocritic // it is a process of its own, and ends here
	}
	return true
}

func listen(ctx context.Context, where string, open func(ctx context.Context, where string) (store.Store, error)) error {
	s, err := open(ctx, where)
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // each call was durable
	skew, err := time.ParseDuration(os.Getenv(skewEnv))
	if err != nil {
		return err
	}
	r, err := runner.New(eventflow.NewJob("tick", func(ctx context.Context) error {
		run := eventflow.RunFrom(ctx)
		what := fmt.Sprintf("%d %d", run.Fire.Nominal.UnixMilli(), run.Fence)
		say("began", what)
		select {
		case <-time.After(replicaTick / 2):
		case <-ctx.Done():
			say("lost", what)
			return ctx.Err()
		}
		say("effect", what)
		return nil
	}),
		runner.At(eventflow.Every(replicaTick), runner.Overlap(runner.OverlapAllowAll), runner.Missed(runner.MissedAll, 0, 0)),
		runner.Store(s), runner.Lease(replicaLease), runner.FireSlots(16), runner.Logger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))))
	if err != nil {
		return err
	}
	go func() { // ends with the process
		<-r.Ready()
		say("listens", "0 0")
	}()
	return r.Listen(wall.With(ctx, func() time.Time { return time.Now().Add(skew) }))
}

// Fires is how many a test waits for: EVENTFLOW_FIRES, 60 by default.
func Fires() int {
	if n, err := strconv.Atoi(os.Getenv("EVENTFLOW_FIRES")); err == nil {
		return n
	}
	return 60
}

// fact is a line of a replica, and when it was heard.
type fact struct {
	by    *replica
	verb  string
	at    int64 // milliseconds since 1970
	fence int
	when  time.Time
}

// replica is a process of a fleet.
type replica struct {
	cmd       *exec.Cmd
	skew      time.Duration
	disturbed []time.Time // it was stopped, went on or was killed, or the store did not answer it
}

// disturbance reports whether something happened to the process between what it did and what another did.
func (p *replica) disturbance(mine, theirs time.Time) bool {
	return slices.ContainsFunc(p.disturbed, func(at time.Time) bool {
		return at.After(mine.Add(-time.Second)) && at.Before(theirs) // lines take their time to be heard
	})
}

// Fleet is the replicas of a test, and what happens to them.
type Fleet struct {
	Replicas int
	Skew     time.Duration // of their wall clocks: a third are ahead by it, a third are behind

	// Each one and a half seconds a process that has just begun a run is killed and replaced, or stopped for longer than
	// its lease.
	Kills, Stops bool
	// OneWriter says that a process that is stopped in the middle of a transaction stops all others that want to write.
	OneWriter bool
	// Stall holds back all that the store and the processes say to each other, until it is called with false. It is
	// called by turns.
	Stall func(on bool)
}

// fleet is a Fleet under way.
type fleet struct {
	Fleet
	t     *testing.T
	where string
	facts chan fact
	procs map[*replica]bool

	first, last    int64 // the fires that are waited for
	began, effects map[int64][]fact
	pending        string   // what happens to the process that begins a run next
	stopped        *replica // for some turns
	stoppedFor     int
	turns          int
	kills, stops   int
}

func (f *fleet) start(skew time.Duration) {
	f.t.Helper()
	p := &replica{cmd: exec.Command(os.Args[0]), skew: skew} //nolint:gosec,noctx // it is this program, and it is killed at the end
	p.cmd.Env = append(os.Environ(), replicaEnv+"="+f.where, skewEnv+"="+skew.String())
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() { // ends with the process
		for s := bufio.NewScanner(out); s.Scan(); {
			fc := fact{by: p, when: time.Now()}
			if n, _ := fmt.Sscan(s.Text(), &fc.verb, &fc.at, &fc.fence); n == 3 {
				f.facts <- fc
			}
		}
	}()
	f.procs[p] = true
}

func (f *fleet) kill(p *replica) {
	_ = p.cmd.Process.Kill()
	_, _ = p.cmd.Process.Wait()
	delete(f.procs, p)
}

// RunsEachFireOnce lets replicas share one clock of a tenth of a second, disturbs them, and checks what they say that they did:
// no fire is missed, none is early, no two runs of a fire have one fence, and none begins again whose process was not
// disturbed and had not been told to stop. An effect that carries an older fence than what began since is refused, and of
// those that are not, none is there twice, unless its process was disturbed between the effect and the claim's end.
func RunsEachFireOnce(t *testing.T, where string, fl Fleet) {
	t.Helper()
	f := &fleet{
		Fleet: fl, t: t, where: where, facts: make(chan fact, 1<<16), procs: make(map[*replica]bool),
		began: make(map[int64][]fact), effects: make(map[int64][]fact),
	}
	for i := range f.Replicas {
		f.start(time.Duration(i%3-1) * f.Skew)
	}
	defer func() {
		for p := range f.procs {
			f.kill(p)
		}
	}()
	f.first = math.MaxInt64
	for n := 0; n < f.Replicas; {
		select {
		case fc := <-f.facts:
			if fc.verb == "listens" {
				n++
			} else {
				f.hear(fc)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%d of %d replicas listen", n, f.Replicas)
		}
	}
	disturb := time.NewTicker(1500 * time.Millisecond)
	defer disturb.Stop()
	// By then all clocks have begun to count.
	f.first = time.Now().Add(f.Skew + time.Second).Truncate(replicaTick).UnixMilli()
	f.last = f.first + int64(Fires()-1)*replicaTick.Milliseconds()
	end := time.After(time.Minute + 3*time.Duration(Fires())*replicaTick)
	for len(f.missing()) > 0 {
		select {
		case fc := <-f.facts:
			f.hear(fc)
		case <-disturb.C:
			f.disturb()
		case <-end:
			t.Fatalf("of %d fires these are missing: %v; that many began: %v", Fires(), f.missing(), f.begun())
		}
	}
	f.judge()
}

// missing gives the fires that had no effect, by their numbers.
func (f *fleet) missing() (ns []int64) {
	for at := f.first; at <= f.last; at += replicaTick.Milliseconds() {
		if len(f.effects[at]) == 0 {
			ns = append(ns, (at-f.first)/replicaTick.Milliseconds())
		}
	}
	return ns
}

// begun gives how often the missing fires began.
func (f *fleet) begun() (ns []int) {
	for _, n := range f.missing() {
		ns = append(ns, len(f.began[f.first+n*replicaTick.Milliseconds()]))
	}
	return ns
}

func (f *fleet) hear(fc fact) {
	if early := time.UnixMilli(fc.at).Sub(fc.when); early > 5*time.Millisecond {
		f.t.Errorf("a fire was early by %v", early)
	}
	switch fc.verb {
	case "began":
		f.began[fc.at] = append(f.began[fc.at], fc)
		switch f.pending {
		case "kill":
			f.kills++
			fc.by.disturbed = append(fc.by.disturbed, time.Now())
			f.kill(fc.by)
			f.start(fc.by.skew)
		case "stop":
			f.stops++
			fc.by.disturbed = append(fc.by.disturbed, time.Now())
			f.stopped, f.stoppedFor = fc.by, 0
			_ = fc.by.cmd.Process.Signal(syscall.SIGSTOP)
		}
		f.pending = ""
	case "lost":
		for i := range f.began[fc.at] {
			if b := &f.began[fc.at][i]; b.fence == fc.fence {
				b.verb = fc.verb
			}
		}
	case "effect":
		f.effects[fc.at] = append(f.effects[fc.at], fc)
	}
}

// disturb is the next turn of what happens to the fleet.
func (f *fleet) disturb() {
	f.turns++
	if f.Stall != nil {
		f.Stall(f.turns%5 < 3 && time.Now().UnixMilli() < f.last) // for longer than a lease
		for p := range f.procs {
			p.disturbed = append(p.disturbed, time.Now())
		}
	}
	if f.stopped != nil {
		for p := range f.procs {
			if f.OneWriter {
				p.disturbed = append(p.disturbed, time.Now())
			}
		}
		if f.stoppedFor++; f.stoppedFor == 3 { // longer than a lease
			// Its effect may come before it has heard that its lease is over, and before the next run begins: then the
			// fence of neither is older than what was seen, and nobody can refuse it.
			f.stopped.disturbed = append(f.stopped.disturbed, time.Now())
			_ = f.stopped.cmd.Process.Signal(syscall.SIGCONT)
			f.stopped = nil
			return
		}
	}
	if time.Now().UnixMilli() > f.last {
		return
	}
	if f.Kills && (f.kills < f.stops || !f.Stops || f.stopped != nil) {
		f.pending = "kill"
	} else if f.Stops {
		f.pending = "stop"
	}
}

func (f *fleet) judge() {
	again, refused := 0, 0
	for at, runs := range f.began {
		again += len(runs) - 1
		fences := make(map[int]bool)
		for i, run := range runs {
			if fences[run.fence] {
				f.t.Errorf("two runs of fire %d have the fence %d", at, run.fence)
			}
			if fences[run.fence] = true; i > 0 && !runs[i-1].by.disturbance(runs[i-1].when, run.when) && runs[i-1].verb != "lost" {
				f.t.Errorf("fire %d began again after %v, and nothing had happened to the process that ran it", at, run.when.Sub(runs[i-1].when))
			}
		}
		var taken []fact
		for _, e := range f.effects[at] {
			if slices.ContainsFunc(runs, func(b fact) bool { return b.fence > e.fence && b.when.Before(e.when) }) {
				refused++
				continue
			}
			if n := len(taken); n > 0 && !taken[n-1].by.disturbance(taken[n-1].when, e.when) {
				f.t.Errorf("fire %d has two effects, by the fences %d and %d", at, taken[n-1].fence, e.fence)
			}
			taken = append(taken, e)
		}
	}
	f.t.Logf("%d fires, %d began again, %d effects were refused; %d kills, %d stops", len(f.effects), again, refused, f.kills, f.stops)
}
