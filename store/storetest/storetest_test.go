package storetest

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eventflow-go/eventflow/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is the harness of the memory store; wrap is how a fault gets over it.
func memory(virtual bool, wrap func(store.Store) store.Store) Harness {
	return Harness{
		Open: func(T) store.Store { return wrap(store.NewMemory(store.Window(24 * time.Hour))) },
		Bounded: func(_ T, capacity int) store.Store {
			return wrap(store.NewMemory(store.Capacity(capacity)))
		},
		Virtual: virtual,
		Window:  24 * time.Hour,
		Excused: map[string]string{"ReopenedStoreRemembers": "it ends with its process"},
	}
}

func plain(s store.Store) store.Store { return s }

func TestMemoryInVirtualTime(t *testing.T) {
	t.Parallel()
	Run(t, memory(true, plain))
}

func TestMemoryInRealTime(t *testing.T) {
	t.Parallel()
	h := memory(false, plain)
	h.Lease = 50 * time.Millisecond
	h.Window = 0
	h.Excused["DoneIsRememberedForTheWindow"] = "a day is too long to wait for"
	Run(t, h)
}
