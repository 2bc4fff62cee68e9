package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain makes the test's own program a replica, when the example starts it as one.
func TestMain(m *testing.M) {
	if os.Getenv(replicaEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestEachFireEndsOnceThoughOneReplicaIsKilled(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := watch(t.Context(), &out)
	t.Log(out.String())
	require.NoError(t, err)
	require.Contains(t, out.String(), "is killed.\n32 fires ended once each; ")
}
