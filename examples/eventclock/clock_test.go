package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// An event clock of one's own must be a small thing to write.
func TestDirTakesAtMostFortyLines(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("clock.go")
	if err != nil {
		t.Fatal(err)
	}
	_, clock, ok := strings.Cut(string(file), "\n)\n") // what follows the imports
	if n := strings.Count(strings.TrimSpace(clock), "\n") + 1; !ok || n < 10 || n > 40 {
		t.Errorf("%d lines, and must be 40 at most", n)
	}
}

func write(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("text of "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// look gives the names that one Next hands over.
func look(t *testing.T, d *Dir, want int) (names []string) {
	t.Helper()
	ds, err := d.Next(t.Context(), eventflow.Want{Events: want})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range ds {
		names = append(names, filepath.Base(d.Event.Subject))
	}
	return names
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("handed over %v, want %v", got, want)
	}
}

func TestEachFileIsHandedOverOnceAndEachChangeOfIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := &Dir{Path: dir, Every: time.Millisecond}
	write(t, dir, "a", "b")
	if err := os.Mkdir(filepath.Join(dir, "c"), 0o700); err != nil {
		t.Fatal(err)
	}
	same(t, look(t, d, 10), "a", "b")
	write(t, dir, "d")
	same(t, look(t, d, 10), "d")
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	same(t, look(t, d, 10), "a")
	same(t, look(t, &Dir{Path: dir}, 10), "a", "b", "d") // another process
}

func TestNextKeepsWithinWhatIsWanted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a", "b", "c", "d", "e")
	d := &Dir{Path: dir}
	same(t, look(t, d, 2), "a", "b")
	same(t, look(t, d, 2), "c", "d")
	same(t, look(t, d, 0), "e") // below 1 is 1
	write(t, dir, "1", "2")
	same(t, look(t, d, 1), "1")
	same(t, look(t, d, 10), "2") // what lay behind the limit was not forgotten
}

func TestWhatHasGoneIsForgotten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := &Dir{Path: dir}
	for i := range 100 {
		name := fmt.Sprint("file", i)
		write(t, dir, name)
		same(t, look(t, d, 10), name)
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.given) != 1 {
		t.Errorf("it remembers %d files, want the 1 of the last look", len(d.given))
	}
}

func TestNextEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ds, err := (&Dir{Path: t.TempDir(), Every: time.Second}).Next(ctx, eventflow.Want{Events: 1})
		if ds != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v, want only %v", ds, err, context.DeadlineExceeded)
		}
	})
}

func TestDirectoryThatIsNotThereIsATemporaryError(t *testing.T) {
	t.Parallel()
	_, err := (&Dir{Path: filepath.Join(t.TempDir(), "later")}).Next(t.Context(), eventflow.Want{Events: 1})
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, eventflow.ErrFatal) || errors.Is(err, eventflow.ErrEnd) {
		t.Errorf("got %v, want an error that the runner waits out", err)
	}
}

// A run that its process did not finish is not lost: the next process finds the file, and the store does not call it
// done.
func TestFileThatWasNotFinishedRunsInTheNextProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, s := t.TempDir(), store.NewMemory()
		write(t, dir, "a", "b")
		var finished []string
		process := func(lives time.Duration, blocks string) {
			ctx, cancel := context.WithTimeout(t.Context(), lives)
			defer cancel()
			r, err := runner.New(eventflow.NewSink("import", func(ctx context.Context, ev eventflow.Event) error {
				name := filepath.Base(ev.Subject)
				if name == blocks {
					<-ctx.Done()
					return ctx.Err()
				}
				finished = append(finished, name)
				return nil
			}),
				runner.On(&Dir{Path: dir, Every: time.Second}, runner.Named("inbox")),
				runner.Store(s), runner.MaxRuns(1), runner.Grace(time.Second),
			)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Listen(ctx); err != nil {
				t.Fatal(err)
			}
		}
		process(time.Minute, "b")
		same(t, finished, "a")
		process(time.Minute, "")
		same(t, finished, "a", "b")
		process(time.Minute, "")
		same(t, finished, "a", "b")
	})
}
