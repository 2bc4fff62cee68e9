package sqlite_test

import (
	"testing"

	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/runner/runnertest"
	"github.com/eventflow-go/eventflow/store"
)

// The file is written for real; time is virtual.
func TestRunnerKeepsItsPromises(t *testing.T) {
	t.Parallel()
	runnertest.Run(t, runnertest.Harness{
		Broker:  brokertest.Harness{Virtual: true},
		Backlog: 5_000,
		Store: func(t runnertest.T) store.Store {
			s, err := openAt(t.Context(), t.TempDir()+"/events.db")
			if err != nil {
				t.Fatalf("Open: %v", err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		},
	})
}
