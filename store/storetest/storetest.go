// Package storetest states what any store must do, rule by rule. It runs against a store of your own as it runs against
// the project's:
//
//	func TestMyStore(t *testing.T) {
//		storetest.Run(t, storetest.Harness{
//			Open: func(t storetest.T) store.Store { return openMine(t, t.TempDir()) },
//			Reopen: func(t storetest.T, s store.Store) store.Store { … },
//			Excused: map[string]string{"FullStoreRefuses": "bounded by the disk only"},
//		})
//	}
//
// What several processes share is asked for by RunDurable, with the same harness.
//
// The log says which rules were asked. A rule that the harness gives no means to ask fails unless the harness excuses
// it by name, so that nobody passes by leaving something out.
package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow/internal/conform"
	"github.com/eventflow-go/eventflow/store"
)

// T is what a harness is given: the methods of *testing.T that rules use.
type T = conform.T

// Harness is how the suite gets at a store.
type Harness struct {
	// Open gives an empty store, one for each call. Whoever opens closes, with t.Cleanup if need be: a rule may have
	// closed it before.
	Open func(t T) store.Store

	// Reopen closes s as if its process ended, and opens the same data again. Nil: the store ends with its process.
	Reopen func(t T, s store.Store) store.Store

	// Another opens the data of s once more, as another process would, while s stays open. Nil: one process has it.
	Another func(t T, s store.Store) store.Store

	// Bounded gives an empty store that may hold that many keys. Nil: it is not bounded by count.
	Bounded func(t T, capacity int) store.Store

	// Virtual runs each rule in a bubble of testing/synctest, where waiting takes no time. The store must live in the
	// process; the rules open it inside the bubble.
	Virtual bool

	// Lease is what the rules wait for that let one lapse: 30 seconds when Virtual, else a second. No rule depends on a
	// call being faster than that. It is waited for two dozen times, in parallel.
	Lease time.Duration

	// Window is how long the stores of Brief remember what is done, when that is short enough to wait for. 0: it is not.
	// A few calls must not take half of it.
	Window time.Duration

	// Brief is Open for the rules that wait for Window, so that the others need not be done within it. Nil: Open.
	Brief func(t T) store.Store

	// Excused maps rules that the store need not follow to the reason why.
	Excused map[string]string
}

type rule = conform.Rule[Harness]

// rules is the suite, in the order in which it runs.
var rules = slices.Concat(claimRules, leaseRules, keyRules, callRules, fireRules, slotRules, orphanRules, boundRules)

// Rules lists the names of all rules, for a harness that excuses some.
func Rules() []string { return conform.Names(rules) }

// Run asks every rule of the store that h opens, each as a subtest; without Virtual they run in parallel.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if h.Open == nil {
		t.Fatal("storetest.Harness.Open is missing")
	}
	conform.Run(t, h.withDefaults(), rules, h.Excused, conform.Virtual(h.Virtual), conform.Parallel(!h.Virtual))
}

func (h Harness) withDefaults() Harness {
	if h.Lease == 0 {
		h.Lease = time.Second
		if h.Virtual {
			h.Lease = 30 * time.Second
		}
	}
	if h.Brief == nil {
		h.Brief = h.Open
	}
	return h
}
