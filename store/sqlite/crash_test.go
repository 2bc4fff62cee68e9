package sqlite_test

import (
	"testing"

	"github.com/eventflow-go/eventflow/internal/sqlstore/sqltest"
)

func TestKilledProcessLosesNoEndAndHoldsNoClaim(t *testing.T) {
	t.Parallel()
	sqltest.Survives(t, path(t), openAt)
}

func TestProcessesOnOneFileGrantEachKeyOnce(t *testing.T) {
	t.Parallel()
	sqltest.Shared(t, path(t), 4, 500)
}
