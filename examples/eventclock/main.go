// Eventclock starts a flow for each file of a directory, with an event clock of its own: the type [Dir] in clock.go,
// which is all that it takes.
//
//	go run ./examples/eventclock
//
// The program drops three files into a temporary directory and counts their words. Then it pretends to be restarted:
// another Dir finds every file again, and the store, which remembers the events by their IDs, lets only those run that
// are new or were changed. With a store in memory, as here, that works within one process; a durable one remembers
// longer. The program ends by itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "eventclock:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "eventclock")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := store.NewMemory()
	defer func() { err = errors.Join(err, s.Close()) }()

	if err := drop(dir, map[string]string{"a.txt": "one", "b.txt": "one two", "c.txt": "one two three"}); err != nil {
		return err
	}
	if err := listen(ctx, out, "Three files", dir, s, 3); err != nil {
		return err
	}
	if err := drop(dir, map[string]string{"b.txt": "one two, and more", "d.txt": "one two three four"}); err != nil {
		return err
	}
	return listen(ctx, out, "\nAfter a restart, with b.txt changed and d.txt new", dir, s, 4)
}

// listen does what a process would: it listens to the directory, until n files are decided on.
func listen(ctx context.Context, out io.Writer, title, dir string, s store.Store, n int) error {
	if _, err := fmt.Fprintf(out, "%s\n\n", title); err != nil {
		return err
	}
	var words atomic.Int64
	count := eventflow.NewSink("count", func(_ context.Context, ev eventflow.Event) error {
		text, err := os.ReadFile(ev.Subject)
		words.Add(int64(len(strings.Fields(string(text)))))
		return err
	})
	decided := make(chan runner.Decision, n)
	r, err := runner.New(count,
		runner.On(&Dir{Path: dir, Every: 100 * time.Millisecond}, runner.Named("inbox")),
		runner.Store(s),
		runner.MaxRuns(1), // one file after another
		runner.Hooks(runner.HookFunc(func(d runner.Decision) {
			if d.Outcome == 0 {
				return // held, and tried again
			}
			select {
			case decided <- d:
			default: // more than n: a hook must not block
			}
		})),
		runner.Logger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		return err
	}

	listening, stop := context.WithCancel(ctx)
	defer stop()
	told := make(chan error, 1)
	go func() {
		defer stop()
		told <- tell(listening, out, decided, n)
	}()
	err = r.Listen(listening)
	stop()
	if err = errors.Join(err, <-told); err != nil || ctx.Err() != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "  %d words\n", words.Load())
	return err
}

// tell prints what was decided on n files, and returns.
func tell(ctx context.Context, out io.Writer, decided <-chan runner.Decision, n int) error {
	for range n {
		select {
		case d := <-decided:
			name, _, _ := strings.Cut(d.Key.ID, "/")
			if _, err := fmt.Fprintf(out, "  %s  %v\n", name, d.Outcome); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// drop writes files while nobody listens, so that none is seen half.
func drop(dir string, files map[string]string) error {
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
