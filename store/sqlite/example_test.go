package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
	"github.com/eventflow-go/eventflow/store/sqlite"
)

// temporary gives the path of a file that is not there yet, and what removes it.
func temporary() (path string, remove func()) {
	dir, err := os.MkdirTemp("", "eventflow")
	if err != nil {
		panic(err)
	}
	return filepath.Join(dir, "events.db"), func() { _ = os.RemoveAll(dir) }
}

// What one process has done, the next one knows.
func ExampleOpen() {
	path, remove := temporary()
	defer remove()
	ctx := context.Background()
	for process := range 2 {
		s, err := sqlite.Open(ctx, path, sqlite.Window(7*24*time.Hour))
		if err != nil {
			fmt.Println(err)
			return
		}
		cs := []store.Claim{{Key: eventflow.Key{Flow: "thumbnail", Source: "topic://uploads", ID: "42"}}}
		_ = s.Claim(ctx, fmt.Sprint("process-", process), 30*time.Second, cs)
		fmt.Println(cs[0].Status)
		if cs[0].Status == store.Granted {
			_ = s.Finish(ctx, fmt.Sprint("process-", process), []store.Finish{{Claim: &cs[0], State: store.Terminal, Outcome: eventflow.Succeeded}})
		}
		_ = s.Close()
	}
	// Output:
	// granted
	// done
}

// The history tells of the runs of a flow, newest first.
func ExampleHistory() {
	path, remove := temporary()
	defer remove()
	ctx := context.Background()
	s, err := sqlite.Open(ctx, path, sqlite.History(365*24*time.Hour, 10_000_000))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close() //nolint:errcheck // each call was durable
	for _, id := range []string{"1", "2"} {
		cs := []store.Claim{{Key: eventflow.Key{Flow: "thumbnail", Source: "topic://uploads", ID: id}}}
		_ = s.Claim(ctx, "host-1", 30*time.Second, cs)
		_ = s.Finish(ctx, "host-1", []store.Finish{{Claim: &cs[0], State: store.Terminal, Outcome: eventflow.Skipped, Reason: "too small"}})
	}
	page, next, err := s.Runs(ctx, store.RunQuery{Flow: "thumbnail", Outcome: eventflow.Skipped, Limit: 1})
	for _, r := range page {
		fmt.Println(r.Key, r.Outcome, r.Reason)
	}
	fmt.Println("more:", next != "", err)
	// Output:
	// thumbnail//topic:%2F%2Fuploads/2 skipped too small
	// more: true <nil>
}

// A program that reads its configuration opens its store by URL.
func Example_scheme() {
	path, remove := temporary()
	defer remove()
	s, err := store.Open(context.Background(), "sqlite://"+filepath.ToSlash(path)+"?window=24h", sqlite.Scheme)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Close())
	// Output: <nil>
}

// Relaxed is for events that may run again after a power cut.
func ExampleRelaxed() {
	path, remove := temporary()
	defer remove()
	s, err := sqlite.Open(context.Background(), path, sqlite.Relaxed())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Close())
	// Output: <nil>
}
