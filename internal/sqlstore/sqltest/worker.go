package sqltest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// A test binary runs itself again as a worker: a process that claims and finishes, until it is killed. TestMain calls
// [Worker] before anything else.
const (
	workerEnv  = "EVENTFLOW_TEST_WORKER" // where the store is
	ownerEnv   = "EVENTFLOW_TEST_WORKER_OWNER"
	keysEnv    = "EVENTFLOW_TEST_WORKER_KEYS"
	workerFlow = "work"
)

// Worker is the child's side. It gives false in a process that is no worker. What it has been told by the store it writes to
// its output, a line each: "claimed ID", "ended ID", "held ID".
func Worker(open func(ctx context.Context, where string) (store.Store, error)) bool {
	where := os.Getenv(workerEnv)
	if where == "" {
		return false
	}
	if err := work(where, open); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1) //nolint:forbidigo // it is a process of its own
	}
	return true
}

func work(where string, open func(ctx context.Context, where string) (store.Store, error)) error {
	ctx := context.Background()
	s, err := open(ctx, where)
	if err != nil {
		return err
	}
	owner := os.Getenv(ownerEnv)
	n, err := strconv.Atoi(os.Getenv(keysEnv))
	if err != nil {
		return err
	}
	lease := WorkerLease
	if n >= 0 {
		lease = time.Hour // nobody takes over what a slow worker has
	}
	say("opened")
	for i := 0; n < 0 || i < n; i++ {
		id := strconv.Itoa(i)
		if n < 0 {
			id = owner + "-" + id
		}
		cs := []store.Claim{{Key: WorkerKey(id)}}
		if err := s.Claim(ctx, owner, lease, cs); err != nil {
			return err
		}
		if cs[0].Status != store.Granted {
			say("held", id)
			continue
		}
		say("claimed", id)
		if err := s.Finish(ctx, owner, []store.Finish{{Claim: &cs[0], State: store.Terminal, Outcome: eventflow.Succeeded}}); err != nil {
			return err
		}
		say("ended", id)
	}
	return s.Close()
}

// say writes a line at once: a killed process flushes nothing.
func say(words ...string) { _, _ = os.Stdout.WriteString(strings.Join(words, " ") + "\n") }

// WorkerLease is the lease of what a worker claims that is killed.
const WorkerLease = 200 * time.Millisecond

// WorkerKey is the key of an ID that a worker tells.
func WorkerKey(id string) eventflow.Key { return eventflow.Key{Flow: workerFlow, ID: id} }

// Child is the parent's side of a worker.
type Child struct {
	cmd   *exec.Cmd
	lines *bufio.Reader
	errs  strings.Builder

	Claimed, Ended map[string]bool
}

// Start starts a worker: one that claims so many keys, the same as other workers do, or with -1 keys of its own until it is
// killed. It returns when the worker has opened the store.
func Start(t *testing.T, where, owner string, keys int) *Child {
	t.Helper()
	c := &Child{cmd: exec.CommandContext(t.Context(), os.Args[0]), Claimed: make(map[string]bool), Ended: make(map[string]bool)} //nolint:gosec // it is this program
	c.cmd.Env = append(os.Environ(), workerEnv+"="+where, ownerEnv+"="+owner, keysEnv+"="+strconv.Itoa(keys))
	c.cmd.Stderr = &c.errs
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.lines = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := c.lines.ReadString('\n'); err != nil || line != "opened\n" {
		_ = c.cmd.Wait()
		t.Fatalf("the worker said %q: %v: %s", line, err, c.errs.String())
	}
	return c
}

// Kill ends the worker as a crash does, after it has told that it ended so many keys.
func (c *Child) Kill(t *testing.T, after int) {
	t.Helper()
	for len(c.Ended) < after {
		if !c.hear() {
			_ = c.cmd.Wait()
			t.Fatalf("the worker ended by itself: %s", c.errs.String())
		}
	}
	_ = c.cmd.Process.Kill()
	for c.hear() { // what it said before
	}
	_ = c.cmd.Wait() // killed
}

// Wait waits for the end of a worker that has one.
func (c *Child) Wait(t *testing.T) {
	t.Helper()
	for c.hear() {
	}
	if err := c.cmd.Wait(); err != nil {
		t.Fatalf("the worker failed: %v: %s", err, c.errs.String())
	}
}

// hear reads a line, and gives false at the end. A line that was cut off was not said.
func (c *Child) hear() bool {
	line, err := c.lines.ReadString('\n')
	if err != nil {
		_, _ = io.Copy(io.Discard, c.lines)
		return false
	}
	verb, id, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	switch verb {
	case "claimed":
		c.Claimed[id] = true
	case "ended":
		c.Ended[id] = true
	}
	return true
}

// Kills is how often a test kills: EVENTFLOW_KILLS, 20 by default.
func Kills() int {
	if n, err := strconv.Atoi(os.Getenv("EVENTFLOW_KILLS")); err == nil {
		return n
	}
	return 20
}

// Survives kills a worker again and again while it claims and finishes, and checks after each time that the store opens,
// that it knows every end that it had acknowledged, and that every other claim is taken over when its lease is over.
func Survives(t *testing.T, where string, open func(ctx context.Context, where string) (store.Store, error)) {
	t.Helper()
	for round := range Kills() {
		c := Start(t, where, "worker-"+strconv.Itoa(round), -1)
		c.Kill(t, 1+round%17)
		s, err := open(t.Context(), where)
		if err != nil {
			t.Fatalf("the store does not open after kill %d: %v", round, err)
		}
		checkEnds(t, s, c)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func checkEnds(t *testing.T, s store.Store, c *Child) {
	t.Helper()
	cs := make([]store.Claim, 0, len(c.Ended))
	for id := range c.Ended {
		cs = append(cs, store.Claim{Key: WorkerKey(id)})
	}
	if err := s.Claim(t.Context(), "parent", time.Minute, cs); err != nil {
		t.Fatal(err)
	}
	for i := range cs {
		if cs[i].Status != store.Done || cs[i].Outcome != eventflow.Succeeded {
			t.Errorf("%v had ended, and is %v after a crash", cs[i].Key, cs[i].Status)
		}
	}
	for id := range c.Claimed {
		if c.Ended[id] {
			continue
		}
		cs = []store.Claim{{Key: WorkerKey(id)}}
		for deadline := time.Now().Add(50 * WorkerLease); ; time.Sleep(WorkerLease / 10) {
			if err := s.Claim(t.Context(), "parent", time.Minute, cs); err != nil {
				t.Fatal(err)
			}
			if cs[0].Status != store.Held {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%v is held by a process that is dead", cs[0].Key)
			}
		}
		// It may have ended without having been told.
		if granted := cs[0].Status == store.Granted; granted && cs[0].Attempts != 1 {
			t.Errorf("%v was taken over with %d attempts, want 1", cs[0].Key, cs[0].Attempts)
		}
	}
}

// Shared lets some processes open a new store at once and claim the same keys, and checks that each key has one winner.
func Shared(t *testing.T, where string, processes, keys int) {
	t.Helper()
	children := make([]*Child, processes)
	started := make(chan struct{})
	for i := range children {
		go func() {
			defer func() { started <- struct{}{} }()
			children[i] = Start(t, where, "worker-"+strconv.Itoa(i), keys)
		}()
	}
	for range children {
		<-started
	}
	winners := make(map[string]int)
	for _, c := range children {
		if c == nil {
			t.FailNow()
		}
		c.Wait(t)
		for id := range c.Claimed {
			winners[id]++
		}
	}
	for i := range keys {
		if n := winners[strconv.Itoa(i)]; n != 1 {
			t.Errorf("key %d was granted to %d processes", i, n)
		}
	}
}
