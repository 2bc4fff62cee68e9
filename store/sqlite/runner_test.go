package sqlite_test

import (
	"testing"

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
	sqltest.RunsEachFireOnce(t, path(t), 8)
}
