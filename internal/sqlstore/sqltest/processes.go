package sqltest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/internal/wall"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// A process of a scene has a memory broker of its own, and shares the store with the others: an event that two of them
// publish is one that was delivered twice.
const (
	sceneEnv = "EVENTFLOW_TEST_SCENE"
	hangEnv  = "EVENTFLOW_TEST_SCENE_HANGS"

	sceneLease = 2 * time.Second
)

var scenes = map[string]func(ctx context.Context, s store.Store) error{
	"one event": oneEvent, "two flows": twoFlows, "recreated": recreated, "redriven": redriven, "skip": skip,
}

// Scene is [Worker] for a process of a scene. What happens it writes to its output, a line each.
func Scene(open func(ctx context.Context, where string) (store.Store, error)) bool {
	scene := scenes[os.Getenv(sceneEnv)]
	if scene == nil {
		return false
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s, err := open(ctx, os.Getenv(workerEnv))
	if err == nil {
		err = errors.Join(scene(ctx, s), s.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scene:", err)
		os.Exit(1) //nolint:forbidigo,gocritic // it is a process of its own, and ends here
	}
	return true
}

func newRunner(f *eventflow.Flow, s store.Store, opts ...runner.Option) (*runner.FlowRunner, error) {
	return runner.New(f, append([]runner.Option{runner.Store(s), runner.Lease(sceneLease), runner.Logger(slog.New(slog.DiscardHandler))}, opts...)...)
}

// settle listens until the broker has heard of the end of all that was published.
func settle(ctx context.Context, mem *broker.Memory, rs ...*runner.FlowRunner) error {
	listening, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, len(rs))
	for _, r := range rs {
		go func() { ended <- r.Listen(listening) }()
	}
	err := mem.WaitSettled(listening)
	stop()
	for range rs {
		err = errors.Join(err, <-ended)
	}
	for _, r := range rs {
		c := r.Counts()
		say("counts", strconv.FormatInt(c.Outcomes[eventflow.Succeeded], 10), strconv.FormatInt(c.Outcomes[eventflow.Duplicate], 10))
	}
	return err
}

// telling is a flow that tells of its runs.
func telling(name string) *eventflow.Flow {
	return eventflow.NewSink(name, func(ctx context.Context, _ string) error {
		say("began", name, eventflow.RunFrom(ctx).Event().ID)
		if os.Getenv(hangEnv) != "" {
			select {} // until it is killed
		}
		return nil
	})
}

func oneEvent(ctx context.Context, s store.Store) error {
	mem := broker.NewMemory(broker.Declare("in"))
	r, err := newRunner(telling("one"), s, runner.On(mem.Subscriber("in"), runner.Named("in")))
	if err != nil {
		return err
	}
	if err := mem.Publisher("in").Publish(ctx, eventflow.Event{ID: "1", Source: "scene", Data: []byte("x")}); err != nil {
		return err
	}
	return settle(ctx, mem, r)
}

func twoFlows(ctx context.Context, s store.Store) error {
	mem := broker.NewMemory(broker.Declare("in"))
	var rs []*runner.FlowRunner
	for _, name := range []string{"bill", "ship"} {
		r, err := newRunner(telling(name), s, runner.On(mem.Subscriber("in", eventflow.Group(name)), runner.Named("in")))
		if err != nil {
			return err
		}
		rs = append(rs, r)
	}
	if err := mem.Publisher("in").Publish(ctx, sceneEvents("scene")...); err != nil {
		return err
	}
	return settle(ctx, mem, rs...)
}

func sceneEvents(source string) (evs []eventflow.Event) {
	for i := range 5 {
		ev := eventflow.Event{Source: source, Data: []byte("x")}
		if source != "" {
			ev.ID = strconv.Itoa(i)
		}
		evs = append(evs, ev)
	}
	return evs
}

// recreated is a topic that counts from the beginning, of events that bring no ID of their own.
func recreated(ctx context.Context, s store.Store) error {
	mem := broker.NewMemory(broker.Declare("in"))
	r, err := newRunner(telling("one"), s, runner.On(mem.Subscriber("in"), runner.Named("in")))
	if err != nil {
		return err
	}
	if err := mem.Publisher("in").Publish(ctx, sceneEvents("")...); err != nil {
		return err
	}
	return settle(ctx, mem, r)
}

var errNotYet = errors.New("not yet")

// redriven fails for good, and runs again after a redrive; what is delivered twice of either is a duplicate.
func redriven(ctx context.Context, s store.Store) error {
	mem := broker.NewMemory(broker.Declare("in"))
	for round := range 2 {
		r, err := newRunner(eventflow.NewSink("one", func(ctx context.Context, _ string) error {
			say("began", strconv.Itoa(round), eventflow.RunFrom(ctx).Event().ID)
			if round == 0 {
				return eventflow.Permanent(errNotYet)
			}
			return nil
		}), s, runner.On(mem.Subscriber("in"), runner.Named("in")))
		if err != nil {
			return err
		}
		if round == 0 {
			err = mem.Publisher("in").Publish(ctx, sceneEvents("scene")...)
		} else {
			_, err = mem.Redrive("in")
		}
		if err = errors.Join(err, settle(ctx, mem, r)); err != nil {
			return err
		}
	}
	return nil
}

// skip listens to a clock of a second whose runs take two and a half.
func skip(ctx context.Context, s store.Store) error {
	skew, err := time.ParseDuration(os.Getenv(skewEnv))
	if err != nil {
		return err
	}
	r, err := newRunner(eventflow.NewJob("tick", func(ctx context.Context) error {
		f := eventflow.RunFrom(ctx).Fire
		at := strconv.FormatInt(f.Nominal.UnixMilli(), 10)
		say("began", at, strconv.Itoa(len(f.Missed)))
		select {
		case <-time.After(2500 * time.Millisecond):
			say("ended", at, "done")
		case <-ctx.Done():
			say("ended", at, "lost")
		}
		return ctx.Err()
	}), s, runner.At(eventflow.Every(time.Second)), runner.Grace(10*time.Second))
	if err != nil {
		return err
	}
	return r.Listen(wall.With(ctx, func() time.Time { return time.Now().Add(skew) }))
}

// told is a line of a process: three words.
type told struct {
	what, first, second string
	when                time.Time
}

// actor is the parent's side of a process of a scene.
type actor struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan told // closed when the process has ended
}

func act(t *testing.T, where, scene string, env ...string) *actor {
	t.Helper()
	a := &actor{t: t, cmd: exec.CommandContext(t.Context(), os.Args[0]), lines: make(chan told, 1000)} //nolint:gosec // it is this program
	a.cmd.Env = append(append(os.Environ(), sceneEnv+"="+scene, workerEnv+"="+where), env...)
	a.cmd.Stderr = os.Stderr
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		defer close(a.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			if f := strings.Fields(s.Text()); len(f) == 3 {
				a.lines <- told{f[0], f[1], f[2], time.Now()}
			}
		}
	}()
	return a
}

// next waits for a line.
func (a *actor) next() told {
	a.t.Helper()
	select {
	case l, ok := <-a.lines:
		if !ok {
			a.t.Fatal("the process ended")
		}
		return l
	case <-time.After(time.Minute):
		a.t.Fatal("the process has said nothing for a minute")
		return told{}
	}
}

// kill ends the process as a crash does.
func (a *actor) kill() {
	_ = a.cmd.Process.Kill()
	for range a.lines { // what it said before
	}
	_ = a.cmd.Wait()
}

// rest waits for the end of the process and gives what it still said.
func (a *actor) rest() (all []told) {
	a.t.Helper()
	for l := range a.lines {
		all = append(all, l)
	}
	if err := a.cmd.Wait(); err != nil {
		a.t.Errorf("a process failed: %v", err)
	}
	return all
}

// HeldByAnotherProcessIsNotDone lets a process be killed in the middle of a run, while another has been delivered the same
// event. That one does not take it for a duplicate: it runs it when the lease of the dead one is over.
func HeldByAnotherProcessIsNotDone(t *testing.T, where string) {
	t.Helper()
	dead := act(t, where, "one event", hangEnv+"=1")
	if l := dead.next(); l.what != "began" {
		t.Fatalf("the first process said %v", l)
	}
	second := act(t, where, "one event")
	select {
	case l := <-second.lines:
		t.Fatalf("the second process said %v while the first was running the event", l)
	case <-time.After(sceneLease / 2):
	}
	dead.kill()
	killed := time.Now()
	got := second.rest()
	if len(got) != 2 || got[0].what != "began" || got[1].what != "counts" || got[1].first != "1" || got[1].second != "0" {
		t.Fatalf("the second process said %v, want that it began, and one success and no duplicate", got)
	}
	if late := got[0].when.Sub(killed); late > 10*sceneLease {
		t.Errorf("the event was taken over %v after its process was killed, with a lease of %v", late, sceneLease)
	}
}

// EveryFlowEventAndRedriveRuns lets processes deliver events again: to two flows, from a topic that was made anew, after a
// redrive. What is another flow's, another topic's or another redrive's runs, and what was done before does not.
func EveryFlowEventAndRedriveRuns(t *testing.T, where string) {
	t.Helper()
	for _, c := range []struct {
		scene  string
		ran    int
		counts []string // successes and duplicates of each runner
	}{
		{"two flows", 10, []string{"5 0", "5 0"}},
		{"two flows", 0, []string{"0 5", "0 5"}},
		{"recreated", 5, []string{"5 0"}},
		{"recreated", 5, []string{"5 0"}},
		{"redriven", 10, []string{"0 0", "5 0"}},
		{"redriven", 0, []string{"0 5"}},
	} {
		ran := make(map[string]int)
		var counts []string
		for _, l := range act(t, where, c.scene).rest() {
			if l.what == "began" {
				ran[l.first+" "+l.second]++
			} else {
				counts = append(counts, l.first+" "+l.second)
			}
		}
		for what, n := range ran {
			if n != 1 {
				t.Errorf("%s: %s ran %d times", c.scene, what, n)
			}
		}
		if len(ran) != c.ran || !slices.Equal(counts[:min(len(counts), len(c.counts))], c.counts) {
			t.Errorf("%s: %d runs, and successes and duplicates were %q, want %d and %q", c.scene, len(ran), counts, c.ran, c.counts)
		}
	}
}

// SkipHoldsAcrossProcesses lets three processes with clocks five seconds apart share one clock of a second whose runs take
// longer, stops them all for a while, and starts them again: no run overlaps another, none is early, none is there twice, and
// of what the stop missed the latest runs, once. What was cancelled, or claimed in the moment of the stop, is given back, and
// is taken over however late.
func SkipHoldsAcrossProcesses(t *testing.T, where string) {
	t.Helper()
	listen := func(d time.Duration) (runs []told) {
		t.Helper()
		all := make([]*actor, 3)
		for i, skew := range []string{"0s", "5s", "-5s"} {
			all[i] = act(t, where, "skip", skewEnv+"="+skew)
		}
		time.Sleep(d) // the processes live on real clocks, which differ
		for _, a := range all {
			_ = a.cmd.Process.Signal(os.Interrupt)
		}
		for _, a := range all {
			runs = append(runs, a.rest()...)
		}
		return runs
	}
	before := listen(10 * time.Second)
	stopped := time.Now()
	time.Sleep(12 * time.Second) // the stop, long enough to miss fires
	again := time.Now()
	after := listen(6 * time.Second)

	all := slices.Concat(before, after)
	slices.SortFunc(all, func(a, b told) int { return a.when.Compare(b.when) })
	ran := make(map[string]bool)
	running := ""
	made := 0
	for _, l := range all {
		ms, _ := strconv.ParseInt(l.first, 10, 64)
		nominal := time.UnixMilli(ms)
		switch {
		case l.what == "ended":
			running = ""
			if l.second == "lost" {
				delete(ran, l.first)
			}
			continue
		case running != "":
			t.Errorf("the fire of %v began while that of %s ran", nominal, running)
		case ran[l.first]:
			t.Errorf("the fire of %v ran twice", nominal)
		}
		if early := nominal.Sub(l.when); early > 5*time.Millisecond {
			t.Errorf("the fire of %v was early by %v", nominal, early)
		}
		if l.when.After(again) && nominal.Before(again) {
			made++
			if late := again.Sub(nominal); late > 7*time.Second && stopped.Sub(nominal) < -time.Second { // by the clock that is behind
				t.Errorf("the fire of %v ran after the stop, %v late: it was not the latest that was missed", nominal, late)
			}
		}
		running, ran[l.first] = l.first, true
	}
	if len(before) < 4 || len(after) < 2 || made == 0 {
		t.Errorf("%d lines before the stop and %d after, and %d fires were made up for", len(before), len(after), made)
	}
	t.Logf("%d runs, %d of them made up for", len(ran), made)
}
