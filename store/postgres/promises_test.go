package postgres_test

import (
	"testing"
	"time"

	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/runner/runnertest"
	"github.com/eventflow-go/eventflow/store"
	"github.com/eventflow-go/eventflow/store/postgres"
)

func TestRunnerKeepsItsPromises(t *testing.T) {
	t.Parallel()
	at := server(t)
	runnertest.Run(t, runnertest.Harness{
		// The rules run at the same time, on one server: nobody may take it for dead before it is.
		Broker: brokertest.Harness{Quiet: 100 * time.Millisecond, Lock: 6 * time.Second, Patience: time.Minute},
		Lease:  6 * time.Second,
		Late:   15 * time.Second,
		Store: func(t runnertest.T) store.Store {
			s, err := postgres.Open(t.Context(), at, postgres.Schema(schema(t, at)))
			if err != nil {
				t.Fatalf("Open: %v", err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		},
		Excused: map[string]string{
			"ReplicasRunEachFireOnce": "asked with skewed clocks, which take as long",
		},
	})
}
