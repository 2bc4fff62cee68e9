// Durable remembers what it has done across restarts, crashes included:
//
//	go run ./examples/durable
//
// It takes the quickstart's week of earthquakes, one event each, and writes each quake's line to a ledger, as an effect that
// should happen once. Kill it on its way, with Ctrl-C or with kill -9, and start it again: all events are delivered again,
// as a broker would that had not heard of their ends, and the store says which are done. What the first process did is
// repeated by none after it, but for the few runs that were live when it was killed.
//
// The store and the ledger are files in -dir. When the week is over the program counts the ledger's lines and removes both, so
// that the next start begins anew.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store/sqlite"
)

// quake is the part of the payload that goes into the ledger.
type quake struct {
	ID    string  `json:"id"`
	Mag   float64 `json:"mag"`
	Place string  `json:"place"`
}

func main() {
	dir := flag.String("dir", filepath.Join(os.TempDir(), "eventflow-durable"), "where the store and the ledger are")
	week := flag.String("week", filepath.Join("examples", "quickstart", "earthquakes-2018-02.jsonl"), "the events, a line each")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *dir, *week)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "durable:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, dir, week string) error {
	events, err := read(week)
	if err != nil {
		return err
	}
	if err = os.MkdirAll(dir, 0o700); err != nil { //nolint:gosec // it is where the user said
		return err
	}
	l, err := openLedger(filepath.Join(dir, "ledger"), out)
	if err != nil {
		return err
	}
	defer l.file.Close() //nolint:errcheck // each line was synced
	known, err := sqlite.Open(ctx, filepath.Join(dir, "runs.db"))
	if err != nil {
		return err
	}
	defer known.Close() //nolint:errcheck // each call was durable
	before := l.lines
	sayf(out, "%d quakes, %d of them are in the ledger.\n", len(events), before)

	mem := broker.NewMemory()
	r, err := runner.New(eventflow.NewSink("ledger", l.write),
		runner.On(mem.Subscriber("quakes")),
		runner.Store(known),
		runner.MaxRuns(8),
		runner.Lease(5*time.Second), // a run that was killed is taken over so soon
		runner.Logger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		return err
	}
	listening, stop := context.WithCancel(ctx)
	defer stop()
	delivered := make(chan error, 1)
	go func() {
		defer stop()
		failed := mem.Publisher("quakes").Publish(listening, events...)
		if failed == nil {
			failed = mem.WaitSettled(listening)
		}
		delivered <- failed
	}()
	err = r.Listen(listening)
	stop()
	if failed := <-delivered; err == nil && ctx.Err() == nil {
		err = failed
	}
	if err != nil {
		return err
	}

	counts := r.Counts()
	sayf(out, "%d lines were written now, %d quakes were known to be done.\n",
		counts.Outcomes[eventflow.Succeeded], counts.Outcomes[eventflow.Duplicate])
	if ctx.Err() != nil {
		sayf(out, "Interrupted: start it again.\n")
		return nil
	}
	if missing := len(events) - len(l.written); missing > 0 {
		return fmt.Errorf("%d quakes are not in the ledger", missing)
	}
	sayf(out, "The ledger has %d lines for %d quakes.\n", l.lines, len(l.written))
	return os.RemoveAll(dir) //nolint:gosec // as above
}

// sayf prints; nothing depends on whether it is read.
func sayf(out io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }

// read gives the week's events.
func read(week string) ([]eventflow.Event, error) {
	text, err := os.ReadFile(week) //nolint:gosec // as the user said
	if err != nil {
		return nil, err
	}
	var events []eventflow.Event
	for line := range bytes.Lines(text) {
		var q quake
		if err := json.Unmarshal(line, &q); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", week, len(events)+1, err)
		}
		events = append(events, eventflow.Event{
			ID: q.ID, Source: "https://earthquake.usgs.gov", Type: "gov.usgs.quake", DataContentType: "application/json", Data: bytes.TrimSpace(line),
		})
	}
	if len(events) == 0 {
		return nil, errors.New(week + " is empty")
	}
	return events, nil
}

// ledger is where the effects go.
type ledger struct {
	out     io.Writer  // is told of its growth
	mu      sync.Mutex // guards what follows
	file    *os.File
	lines   int
	written map[string]bool
}

// openLedger reads what earlier processes wrote.
func openLedger(at string, out io.Writer) (*ledger, error) {
	file, err := os.OpenFile(at, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // as the user said
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(file)
	l := &ledger{out: out, file: file, written: make(map[string]bool)}
	for line := range bytes.Lines(text) {
		id, _, _ := bytes.Cut(line, []byte("\t"))
		l.written[string(id)] = true
		l.lines++
	}
	return l, err
}

// write is the flow. It takes its time, so that there is a middle to be killed in.
func (l *ledger) write(ctx context.Context, q quake) error {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
		return ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := fmt.Fprintf(l.file, "%s\tM %.1f\t%s\n", q.ID, q.Mag, q.Place); err != nil {
		return err
	}
	l.written[q.ID] = true
	if l.lines++; l.lines%100 == 0 {
		sayf(l.out, "  %d lines\n", l.lines)
	}
	return nil
}
