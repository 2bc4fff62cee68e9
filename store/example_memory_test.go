package store_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// A store answers three ways: the run is yours, somebody else has it, it has been done.
func ExampleMemory() {
	ctx := context.Background()
	s := store.NewMemory()
	defer s.Close() //nolint:errcheck // a memory store has nothing to lose

	upload := eventflow.Key{Flow: "thumbnail", Binding: "uploads", Source: "topic://uploads", ID: "42"}
	mine, theirs := []store.Claim{{Key: upload}}, []store.Claim{{Key: upload}}

	_ = s.Claim(ctx, "host-1", 30*time.Second, mine)
	_ = s.Claim(ctx, "host-2", 30*time.Second, theirs)
	fmt.Println("host-1:", mine[0].Status)
	fmt.Println("host-2:", theirs[0].Status)

	_ = s.Finish(ctx, "host-1", []store.Finish{{Claim: &mine[0], State: store.Terminal, Outcome: eventflow.Succeeded}})
	_ = s.Claim(ctx, "host-2", 30*time.Second, theirs)
	fmt.Println("host-2:", theirs[0].Status, "as", theirs[0].Outcome)
	// Output:
	// host-1: granted
	// host-2: held
	// host-2: done as succeeded
}

// A failed run counts as an attempt; one that was given back does not.
func ExampleFinish() {
	ctx := context.Background()
	s := store.NewMemory()
	upload := []store.Claim{{Key: eventflow.Key{Flow: "thumbnail", ID: "42"}}}
	for _, state := range []store.State{store.Failed, store.Released, store.Failed} {
		_ = s.Claim(ctx, "host-1", 30*time.Second, upload)
		_ = s.Finish(ctx, "host-1", []store.Finish{{Claim: &upload[0], State: state}})
	}
	_ = s.Claim(ctx, "host-1", 30*time.Second, upload)
	fmt.Println("attempts so far:", upload[0].Attempts)
	// Output: attempts so far: 2
}

// The claim of a fire moves its clock's cursor and takes its overlap slot, both in one.
func ExampleFire() {
	ctx := context.Background()
	s := store.NewMemory()
	at := time.Date(2026, time.March, 1, 3, 0, 0, 0, time.UTC)
	nightly := func(at time.Time) store.Claim {
		return store.Claim{
			Key:  eventflow.FireKey("report", "nightly", at),
			Fire: &store.Fire{Definition: "0 3 * * * UTC", Nominal: at, Overlap: "nightly"},
		}
	}
	cs := []store.Claim{nightly(at), nightly(at.AddDate(0, 0, 1))}
	_ = s.Claim(ctx, "host-1", 30*time.Second, cs)
	fmt.Println(cs[0].Key, cs[0].Status)
	fmt.Println(cs[1].Key, cs[1].Status)

	cursor, _ := s.Cursor(ctx, "report", "nightly", "0 3 * * * UTC")
	fmt.Println("cursor:", cursor)
	// Output:
	// report/nightly@2026-03-01T03:00:00Z granted
	// report/nightly@2026-03-02T03:00:00Z overlapping
	// cursor: 2026-03-01 03:00:00 +0000 UTC
}

// A store that is full of unfinished runs forgets none of them.
func ExampleFullError() {
	s := store.NewMemory(store.Capacity(1), store.Window(time.Hour))
	for _, id := range []string{"1", "2"} {
		err := s.Claim(context.Background(), "host-1", 30*time.Second, []store.Claim{{Key: eventflow.Key{Flow: "thumbnail", ID: id}}})
		fmt.Println(err, errors.Is(err, store.ErrFull))
	}
	// Output:
	// <nil> false
	// store: full of unfinished keys: 1 more do not fit into a capacity of 1 true
}
