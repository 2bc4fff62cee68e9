package postgres_test

import (
	"sync"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow/store"
	"github.com/eventflow-go/eventflow/store/postgres"
	"github.com/eventflow-go/eventflow/store/storetest"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	h := harness(server(t))
	h.Excused = map[string]string{
		"FullStoreForgetsNoUnfinishedKey":   "bounded by the disk only",
		"FullStoreForgetsTheOldestEndFirst": "bounded by the disk only",
		"FullStoreRefuses":                  "bounded by the disk only",
	}
	storetest.Run(t, h)
}

func TestDurableSuite(t *testing.T) {
	t.Parallel()
	storetest.RunDurable(t, harness(server(t)))
}

func harness(at string) storetest.Harness {
	const window = 4 * time.Second
	var names sync.Map // of the schema of every store
	open := func(t storetest.T, name any, opts ...postgres.Option) store.Store {
		s, err := postgres.Open(t.Context(), at, append(opts, postgres.Schema(name.(string)))...)
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		t.Cleanup(func() { _ = s.Close() })
		names.Store(s, name)
		return s
	}
	another := func(t storetest.T, s store.Store) store.Store {
		name, _ := names.Load(s)
		return open(t, name)
	}
	return storetest.Harness{
		Open:    func(t storetest.T) store.Store { return open(t, schema(t, at)) },
		Another: another,
		Reopen: func(t storetest.T, s store.Store) store.Store {
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			return another(t, s)
		},
		Lease:  300 * time.Millisecond,
		Window: window,
		Brief:  func(t storetest.T) store.Store { return open(t, schema(t, at), postgres.Window(window)) },
	}
}
