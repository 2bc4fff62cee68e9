package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/internal/sqlstore/sqltest"
	"github.com/eventflow-go/eventflow/store"
)

func TestRedeliveredEventsCompleteOnce(t *testing.T) {
	t.Parallel()
	at := where(t)
	sqltest.CompletesDistinctEvents(t, func() store.Store {
		s, err := openAt(t.Context(), at)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	})
}

func TestReplicasRunEachFireOnce(t *testing.T) {
	t.Parallel()
	sqltest.RunsEachFireOnce(t, where(t), 8)
}
