package storetest_test

import (
	"fmt"
	"testing"

	"github.com/eventflow-go/eventflow/store"
	"github.com/eventflow-go/eventflow/store/storetest"
)

// In a test of your own: here for the memory store, with virtual time, so that leases of half a minute cost none.
func ExampleRun() {
	_ = func(t *testing.T) { // TestMyStore
		storetest.Run(t, storetest.Harness{
			Open:    func(storetest.T) store.Store { return store.NewMemory() },
			Bounded: func(_ storetest.T, n int) store.Store { return store.NewMemory(store.Capacity(n)) },
			Virtual: true,
			Excused: map[string]string{
				"ReopenedStoreRemembers":       "it ends with its process",
				"DoneIsRememberedForTheWindow": "asked elsewhere",
			},
		})
	}
}

// The names of the rules say what a store promises.
func ExampleRules() {
	for _, name := range storetest.Rules()[:3] {
		fmt.Println(name)
	}
	// Output:
	// NewKeyIsGranted
	// HeldIsNotDone
	// HeldBySameOwnerIsHeld
}
