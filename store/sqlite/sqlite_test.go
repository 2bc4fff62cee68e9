package sqlite_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventflow-go/eventflow/internal/sqlstore/sqltest"
	"github.com/eventflow-go/eventflow/store"
	"github.com/eventflow-go/eventflow/store/sqlite"
	"github.com/eventflow-go/eventflow/store/storetest"
)

func TestMain(m *testing.M) {
	if sqltest.Scene(openAt) || sqltest.Worker(openAt) || sqltest.Replica(openAt) {
		return
	}
	goleak.VerifyTestMain(m)
}

func openAt(ctx context.Context, path string) (store.Store, error) { return sqlite.Open(ctx, path) }

func open(t *testing.T, path string, opts ...sqlite.Option) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func path(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "events.db")
}

func TestSuite(t *testing.T) {
	t.Parallel()
	h := harness()
	h.Excused = map[string]string{
		"FullStoreForgetsNoUnfinishedKey":   "bounded by the disk only",
		"FullStoreForgetsTheOldestEndFirst": "bounded by the disk only",
		"FullStoreRefuses":                  "bounded by the disk only",
	}
	storetest.Run(t, h)
}

func TestDurableSuite(t *testing.T) {
	t.Parallel()
	storetest.RunDurable(t, harness())
}

func harness() storetest.Harness {
	var paths sync.Map // of every store
	open := func(t storetest.T, path any, opts ...sqlite.Option) store.Store {
		s, err := sqlite.Open(t.Context(), path.(string), opts...)
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		t.Cleanup(func() { _ = s.Close() })
		paths.Store(s, path)
		return s
	}
	another := func(t storetest.T, s store.Store) store.Store {
		path, _ := paths.Load(s)
		return open(t, path)
	}
	brief := func(t storetest.T) store.Store {
		return open(t, filepath.Join(t.TempDir(), "events.db"), sqlite.Window(time.Hour))
	}
	return storetest.Harness{
		Open:    func(t storetest.T) store.Store { return open(t, filepath.Join(t.TempDir(), "events.db")) },
		Another: another,
		Reopen: func(t storetest.T, s store.Store) store.Store {
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			return another(t, s)
		},
		Virtual: true, // the file is written for real
		Window:  time.Hour,
		Brief:   brief,
	}
}
