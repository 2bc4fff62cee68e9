package postgres_test

import (
	"net/url"
	"testing"
	"time"

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
	sqltest.RunsEachFireOnce(t, where(t), sqltest.Fleet{Replicas: 8, Skew: 5 * time.Second, Kills: true, Stops: true})
}

// Claims are answered later than their leases last, again and again.
func TestStalledServerMissesNoFire(t *testing.T) {
	t.Parallel()
	at := where(t)
	u, err := url.Parse(at)
	require.NoError(t, err)
	p := sqltest.NewProxy(t, u.Host)
	u.Host = p.Addr
	sqltest.RunsEachFireOnce(t, u.String(), sqltest.Fleet{Replicas: 3, Stall: p.Hold})
}

func TestRunThatAnotherProcessHoldsIsNotDone(t *testing.T) {
	t.Parallel()
	sqltest.HeldByAnotherProcessIsNotDone(t, where(t))
}

func TestEveryFlowEventAndRedriveRuns(t *testing.T) {
	t.Parallel()
	sqltest.EveryFlowEventAndRedriveRuns(t, where(t))
}

func TestSkipHoldsAcrossProcesses(t *testing.T) {
	t.Parallel()
	sqltest.SkipHoldsAcrossProcesses(t, where(t))
}
