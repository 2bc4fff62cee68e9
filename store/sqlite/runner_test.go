package sqlite_test

import (
	"testing"
	"time"

	"github.com/eventflow-go/eventflow/internal/sqlstore/sqltest"
	"github.com/eventflow-go/eventflow/store"
)

func TestRedeliveredEventsCompleteOnce(t *testing.T) {
	t.Parallel()
	at := path(t)
	sqltest.CompletesDistinctEvents(t, func() store.Store { return open(t, at) })
}

func TestReplicasRunEachFireOnce(t *testing.T) {
	t.Parallel()
	sqltest.RunsEachFireOnce(t, path(t), sqltest.Fleet{Replicas: 8, Skew: 5 * time.Second, Kills: true, Stops: true, OneWriter: true})
}

func TestRunThatAnotherProcessHoldsIsNotDone(t *testing.T) {
	t.Parallel()
	sqltest.HeldByAnotherProcessIsNotDone(t, path(t))
}

func TestEveryFlowEventAndRedriveRuns(t *testing.T) {
	t.Parallel()
	sqltest.EveryFlowEventAndRedriveRuns(t, path(t))
}

func TestSkipHoldsAcrossProcesses(t *testing.T) {
	t.Parallel()
	sqltest.SkipHoldsAcrossProcesses(t, path(t))
}
