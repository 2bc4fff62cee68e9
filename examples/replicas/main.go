// Replicas starts three processes that listen to one clock and share one store:
//
//	go run ./examples/replicas
//
// Each fire is run by one of them. In the middle the program kills one, with a run on its hands, and the others take over what
// it left: no fire is missed. At the end it counts, and fails when a number is not what it must be.
//
// The store is the PostgreSQL that EVENTFLOW_POSTGRES names, as it would be with replicas on several machines; without one it is
// a SQLite file, which processes of one machine can share.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
	"github.com/eventflow-go/eventflow/store/postgres"
	"github.com/eventflow-go/eventflow/store/sqlite"
)

const (
	replicas = 3
	every    = 250 * time.Millisecond
	run      = every * 3 / 2   // how long a run takes: when one begins, no other ends
	lease    = 2 * time.Second // what a dead replica left is taken over after it
	fires    = 32              // then the program is content

	replicaEnv = "REPLICA" // the name of a process that is one
	storeEnv   = "REPLICA_STORE"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := start(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "replicas:", err)
		os.Exit(1)
	}
}

// start is a replica where the environment says so, else what watches over them.
func start(ctx context.Context, out io.Writer) error {
	if name := os.Getenv(replicaEnv); name != "" {
		return replica(ctx, out, name)
	}
	return watch(ctx, out)
}

// replica listens to the clock and tells of each run.
func replica(ctx context.Context, out io.Writer, name string) error {
	s, err := store.Open(ctx, os.Getenv(storeEnv), postgres.Scheme, sqlite.Scheme)
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // each call was durable
	tick := eventflow.NewJob("tick", func(ctx context.Context) error {
		at := eventflow.RunFrom(ctx).Fire.Nominal.Format("15:04:05.000")
		sayf(out, "began %s %s\n", at, name)
		select {
		case <-time.After(run):
		case <-ctx.Done():
			return ctx.Err()
		}
		sayf(out, "ended %s %s\n", at, name)
		return nil
	})
	r, err := runner.New(tick,
		runner.At(eventflow.Every(every), runner.Overlap(runner.OverlapAllowAll)), // also what is taken over, beside what is due
		runner.Store(s), runner.Lease(lease), runner.FireSlots(8),
		runner.Logger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		return err
	}
	return r.Listen(ctx)
}

// line is what a replica told.
type line struct {
	verb, at, name string
}

// watch starts the replicas, kills one and counts.
func watch(ctx context.Context, out io.Writer) (err error) {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	at, clean, err := place()
	if err != nil {
		return err
	}
	defer clean()
	lines := make(chan line)
	running := make(map[string]*exec.Cmd, replicas)
	defer func() {
		for _, p := range running {
			_ = p.Process.Signal(os.Interrupt)
		}
		stop() // of those that do not hear
		go func() {
			for range lines { // what they still say
			}
		}()
		for _, p := range running {
			_ = p.Wait()
		}
	}()
	for i := range replicas {
		name := fmt.Sprintf("replica-%d", i+1)
		if running[name], err = spawn(ctx, at, name, lines); err != nil {
			return err
		}
	}

	began, ended := make(map[string]int), make(map[string]int)
	var victim string
	for len(ended) < fires {
		select {
		case l := <-lines:
			switch l.verb {
			case "began":
				if began[l.at]++; victim == "" && len(ended) >= fires/3 {
					victim = l.name
					sayf(out, "%s runs the fire of %s, and is killed.\n", l.name, l.at)
					_ = running[l.name].Process.Kill()
				}
			case "ended":
				ended[l.at]++
			}
		case <-ctx.Done():
			return errors.New("the fires did not all end")
		}
	}
	return count(out, began, ended)
}

// count says what came of it. The last fires may be on their way.
func count(out io.Writer, began, ended map[string]int) error {
	again, twice := 0, 0
	for at := range ended {
		again += began[at] - 1
		twice += ended[at] - 1
	}
	sayf(out, "%d fires ended once each", len(ended)-twice)
	if twice > 0 || again == 0 {
		sayf(out, "\n")
		return fmt.Errorf("%d fires ended twice, and %d began again, though one was killed on its way", twice, again)
	}
	sayf(out, "; %d began again on another replica.\n", again)
	return nil
}

// sayf prints; nothing depends on whether it is read.
func sayf(out io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }

// place gives the URL of the store, and what removes it.
func place() (at string, clean func(), err error) {
	if at := os.Getenv("EVENTFLOW_POSTGRES"); at != "" {
		return at, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "eventflow-replicas")
	return "sqlite://" + filepath.ToSlash(dir) + "/runs.db", func() { _ = os.RemoveAll(dir) }, err
}

// spawn starts this program again, as a replica, and passes on what it says.
func spawn(ctx context.Context, at, name string, lines chan<- line) (*exec.Cmd, error) {
	p := exec.CommandContext(ctx, os.Args[0]) //nolint:gosec // it is this program
	p.Env = append(os.Environ(), replicaEnv+"="+name, storeEnv+"="+at)
	p.Stderr = os.Stderr
	said, err := p.StdoutPipe()
	if err != nil {
		return nil, err
	}
	go func() { // ends with the process
		for s := bufio.NewScanner(said); s.Scan(); {
			if f := strings.Fields(s.Text()); len(f) == 3 {
				lines <- line{f[0], f[1], f[2]}
			}
		}
	}()
	err = p.Start()
	return p, err
}
