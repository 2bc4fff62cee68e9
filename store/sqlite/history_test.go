package sqlite_test

import (
	"crypto/sha256"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
	"github.com/eventflow-go/eventflow/store/sqlite"
)

// finish claims and ends n keys.
func finish(t *testing.T, s store.Store, prefix string, n int) {
	t.Helper()
	cs := keys(prefix, n)
	require.NoError(t, s.Claim(t.Context(), "alice", time.Minute, cs))
	fs := make([]store.Finish, n)
	for i := range cs {
		fs[i] = store.Finish{Claim: &cs[i], State: store.Terminal, Outcome: eventflow.Succeeded}
	}
	require.NoError(t, s.Finish(t.Context(), "alice", fs))
}

func runs(t *testing.T, s *sqlite.Store) int {
	t.Helper()
	n := 0
	for q := (store.RunQuery{Limit: 1000}); ; {
		rs, next, err := s.Runs(t.Context(), q)
		require.NoError(t, err)
		n += len(rs)
		if q.After = next; next == "" {
			return n
		}
	}
}

func TestHistoryKeepsToItsRows(t *testing.T) {
	t.Parallel()
	s := open(t, path(t), sqlite.Window(50*time.Millisecond), sqlite.History(time.Hour, 700))
	finish(t, s, "a", 1000)
	finish(t, s, "b", 1000)
	require.Eventually(t, func() bool { return runs(t, s) == 700 }, 20*time.Second, 20*time.Millisecond)
}

func TestHistoryKeepsToItsAge(t *testing.T) {
	t.Parallel()
	s := open(t, path(t), sqlite.Window(50*time.Millisecond), sqlite.History(500*time.Millisecond, 1000))
	finish(t, s, "a", 1000)
	require.Equal(t, 1000, runs(t, s))
	require.Eventually(t, func() bool { return runs(t, s) == 0 }, 20*time.Second, 20*time.Millisecond)
}

// A store that nobody asks is not written, although its janitor looks at it many times.
func TestIdleStoreIsNotWritten(t *testing.T) {
	t.Parallel()
	at := path(t)
	s := open(t, at, sqlite.Window(time.Second))
	finish(t, s, "a", 10)
	require.Eventually(t, func() bool { // the janitor has been
		cs := keys("a", 1)
		require.NoError(t, s.Claim(t.Context(), "bob", time.Hour, cs))
		return cs[0].Status == store.Granted
	}, 20*time.Second, 100*time.Millisecond)
	time.Sleep(time.Second) // to the end of what it does
	before := sum(t, at)
	time.Sleep(time.Second)
	require.Equal(t, before, sum(t, at))
}

func sum(t *testing.T, at string) (sums [2][32]byte) {
	t.Helper()
	for i, name := range []string{at, at + "-wal"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		sums[i] = sha256.Sum256(text)
	}
	return sums
}
