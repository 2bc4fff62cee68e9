package sqltest

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
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
	replicaLease = 3 * time.Second
)

// Replica is [Worker] for a process that listens to a clock. What it runs it writes to its output: "began NOMINAL", and
// "effect NOMINAL" when its context is still alive at the end.
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
		at := strconv.FormatInt(eventflow.RunFrom(ctx).Fire.Nominal.UnixMilli(), 10)
		say("began", at)
		select {
		case <-time.After(replicaTick / 2):
		case <-ctx.Done():
			return ctx.Err()
		}
		say("effect", at)
		return nil
	}),
		runner.At(eventflow.Every(replicaTick), runner.Overlap(runner.OverlapAllowAll), runner.Missed(runner.MissedAll, 0, 0)),
		runner.Store(s), runner.Lease(replicaLease), runner.FireSlots(16), runner.Logger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))))
	if err != nil {
		return err
	}
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
	verb string
	at   int64 // milliseconds since 1970
	when time.Time
}

// fleet is the replicas of a test.
type fleet struct {
	t     *testing.T
	where string
	facts chan fact
	procs []*exec.Cmd
}

func (f *fleet) start(i int) {
	f.t.Helper()
	p := exec.Command(os.Args[0]) //nolint:gosec,noctx // it is this program, and it is killed at the end
	skew := time.Duration(i%3-1) * 5 * time.Second
	p.Env = append(os.Environ(), replicaEnv+"="+f.where, skewEnv+"="+skew.String())
	p.Stderr = os.Stderr
	out, err := p.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() { // ends with the process
		for s := bufio.NewScanner(out); s.Scan(); {
			verb, at, _ := strings.Cut(s.Text(), " ")
			if ms, err := strconv.ParseInt(at, 10, 64); err == nil {
				f.facts <- fact{verb, ms, time.Now()}
			}
		}
	}()
	f.procs[i] = p
}

func (f *fleet) kill(i int) {
	_ = f.procs[i].Process.Kill()
	_, _ = f.procs[i].Process.Wait()
}

// RunsEachFireOnce lets replicas with clocks five seconds apart share one clock of a tenth of a second, stops and kills
// them, and checks that no fire was missed and none was early, and that no more began twice than were disturbed.
func RunsEachFireOnce(t *testing.T, where string, replicas int) {
	t.Helper()
	f := &fleet{t: t, where: where, facts: make(chan fact, 1<<16), procs: make([]*exec.Cmd, replicas)}
	for i := range f.procs {
		f.start(i)
	}
	defer func() {
		for i := range f.procs {
			f.kill(i)
		}
	}()
	began, effects := make(map[int64]int), make(map[int64]int)
	disturb := time.NewTicker(1500 * time.Millisecond)
	defer disturb.Stop()
	disturbed, stopped := 0, -1
	// By now, and 5 seconds more, all clocks have begun to count.
	first := time.Now().Add(6 * time.Second).Truncate(replicaTick).UnixMilli()
	last := first + int64(Fires()-1)*replicaTick.Milliseconds()
	end := time.After(time.Minute + 3*time.Duration(Fires())*replicaTick)
	for !complete(effects, first, last) {
		select {
		case fc := <-f.facts:
			if early := time.UnixMilli(fc.at).Sub(fc.when); early > 5*time.Millisecond {
				t.Errorf("a fire was early by %v", early)
			}
			if fc.verb == "began" {
				began[fc.at]++
			} else {
				effects[fc.at]++
			}
		case <-disturb.C:
			if stopped >= 0 {
				_ = f.procs[stopped].Process.Signal(syscall.SIGCONT)
				stopped = -1
				continue
			}
			if time.Now().UnixMilli() > last {
				continue
			}
			disturbed++
			i := rand.IntN(replicas) //nolint:gosec // any
			if disturbed%2 == 0 {
				f.kill(i)
				f.start(i)
				continue
			}
			stopped = i
			_ = f.procs[i].Process.Signal(syscall.SIGSTOP)
		case <-end:
			var missing []int64
			for at := first; at <= last; at += replicaTick.Milliseconds() {
				if effects[at] == 0 {
					missing = append(missing, (at-first)/replicaTick.Milliseconds())
				}
			}
			t.Fatalf("of %d fires these are missing: %v", Fires(), missing)
		}
	}
	again := 0
	for at := range effects {
		again += max(began[at]-1, 0)
	}
	// A process that is stopped or killed has a fire in hand, or two.
	if again > 2*disturbed {
		t.Errorf("%d fires began again, and %d times a process was stopped or killed", again, disturbed)
	}
	t.Logf("%d fires, %d began again, %d processes stopped or killed", len(effects), again, disturbed)
}

// complete reports whether every fire of the clock between two is there.
func complete(effects map[int64]int, first, last int64) bool {
	for at := first; at <= last; at += replicaTick.Milliseconds() {
		if effects[at] == 0 {
			return false
		}
	}
	return true
}
