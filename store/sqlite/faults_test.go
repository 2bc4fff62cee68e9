package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
	"github.com/eventflow-go/eventflow/store/sqlite"
)

// refused opens a file that must not be opened, and checks that nothing of it changed.
func refused(t *testing.T, at string) error {
	t.Helper()
	before, err := os.ReadFile(at)
	require.NoError(t, err)
	s, refusal := sqlite.Open(t.Context(), at)
	require.Nil(t, s)
	require.ErrorIs(t, refusal, eventflow.ErrFatal)
	after, err := os.ReadFile(at)
	require.NoError(t, err)
	require.Equal(t, before, after)
	return refusal
}

func TestFileThatIsNoDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	at := path(t)
	require.NoError(t, os.WriteFile(at, []byte("Dear diary, today I learnt that files are not all the same. This one is no database."), 0o600))
	require.ErrorIs(t, refused(t, at), store.ErrForeign)
}

func TestAnotherProgramsDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	at := path(t)
	execute(t, at, "CREATE TABLE runs (what TEXT)")
	require.ErrorIs(t, refused(t, at), store.ErrForeign)
}

func TestNewerSchemaIsRefusedByName(t *testing.T) {
	t.Parallel()
	at := path(t)
	s, err := sqlite.Open(t.Context(), at)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	execute(t, at, "PRAGMA user_version = 1000")
	refusal := refused(t, at)
	require.ErrorContains(t, refusal, "version 1000")
	require.ErrorContains(t, refusal, at)
}

func execute(t *testing.T, at, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", at)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), query)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

func TestDirectoryThatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()
	at := t.TempDir() + "/none/events.db"
	_, err := sqlite.Open(t.Context(), at)
	require.ErrorContains(t, err, at)
}

func TestFileThatMayNotBeWrittenIsRefused(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may write any file")
	}
	at := path(t)
	s, err := sqlite.Open(t.Context(), at)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, os.Chmod(at, 0o400))
	require.ErrorIs(t, refused(t, at), store.ErrReadOnly)
}

func keys(prefix string, n int) []store.Claim {
	cs := make([]store.Claim, n)
	for i := range cs {
		cs[i].Key = eventflow.Key{Flow: "thumbnail", Source: "topic://uploads", ID: prefix + strconv.Itoa(i)}
	}
	return cs
}

// Whatever a fault is, claims fail with its name, what was known stays known, and when it is gone the store goes on.
func TestStoreOutlivesItsFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct {
		name, begins, ends string
		want               error
	}{
		{"disk full", "max_page_count = 1", "max_page_count = 1000000", store.ErrDiskFull},
		{"read-only", "query_only = 1", "query_only = 0", store.ErrReadOnly},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, path(t))
			known := keys("known", 1)
			require.NoError(t, s.Claim(t.Context(), "alice", time.Minute, known))

			sqlite.Pragma(t, s, fault.begins)
			failed := keys("new", 1000)
			err := s.Claim(t.Context(), "alice", time.Minute, failed)
			require.ErrorIs(t, err, fault.want)
			require.NotErrorIs(t, err, eventflow.ErrFatal)

			sqlite.Pragma(t, s, fault.ends)
			failed = keys("new", 1000)
			require.NoError(t, s.Claim(t.Context(), "bob", time.Minute, failed))
			for i := range failed {
				require.Equal(t, store.Granted, failed[i].Status)
			}
			fs := []store.Finish{{Claim: &known[0], State: store.Terminal, Outcome: eventflow.Succeeded}}
			require.NoError(t, s.Finish(t.Context(), "alice", fs))
			require.False(t, fs[0].Fenced)
		})
	}
}

func TestURLOpensTheFile(t *testing.T) {
	t.Parallel()
	at := path(t)
	s, err := store.Open(t.Context(), "sqlite://"+at+"?window=1h&synchronous=normal", sqlite.Scheme)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.FileExists(t, at)
	for _, u := range []string{"sqlite:", "sqlite::memory:", "sqlite://host/events.db", "sqlite:" + at + "?windw=1h", "sqlite:" + at + "?window=soon", "sqlite:" + at + "?synchronous=off"} {
		_, err := store.Open(t.Context(), u, sqlite.Scheme)
		require.ErrorIs(t, err, eventflow.ErrFatal, u)
	}
}

func TestPathIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	at := t.TempDir() + "/a b?c#d%20e.db"
	open(t, at)
	require.FileExists(t, at)
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	_, err := sqlite.Open(t.Context(), path(t), sqlite.Window(0), sqlite.History(0, -1))
	require.ErrorContains(t, err, "sqlite.Window")
	require.ErrorContains(t, err, "sqlite.History age")
	require.ErrorContains(t, err, "sqlite.History rows")
}

// One makes the schema while others look what the file is.
func TestManyOpenANewStoreAtOnce(t *testing.T) {
	t.Parallel()
	for range 20 {
		at := path(t)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				s, err := sqlite.Open(t.Context(), at)
				if err != nil {
					t.Errorf("Open: %v", err)
					return
				}
				_ = s.Close()
			})
		}
		all.Wait()
	}
}

// Whoever leaves in the middle of a transaction leaves nothing open behind him.
func TestCallsWhoseContextEndsLeaveNothingOpen(t *testing.T) {
	t.Parallel()
	s := open(t, path(t))
	for i := range 300 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*2*time.Microsecond)
		_ = s.Beat(ctx, time.Minute, &store.Listener{ID: strconv.Itoa(i), Flow: "f", Owner: "alice"})
		cancel()
		cs := keys(strconv.Itoa(i)+"/", 1)
		require.NoError(t, s.Claim(t.Context(), "alice", time.Minute, cs))
		require.Equal(t, store.Granted, cs[0].Status)
	}
}

// No instant is too far away to be asked for, or for a fire to wait for.
func TestFarInstantsAreNoOverflow(t *testing.T) {
	t.Parallel()
	s := open(t, path(t))
	finish(t, s, "a", 1)
	at := func(year int) time.Time { return time.Date(year, time.January, 1, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		from, to time.Time
		want     int
	}{{at(1000), at(9999), 1}, {at(1000), at(1001), 0}, {at(9998), at(9999), 0}, {time.Time{}, at(9999), 1}} {
		rs, _, err := s.Runs(t.Context(), store.RunQuery{From: c.from, To: c.to})
		require.NoError(t, err)
		require.Len(t, rs, c.want, "%v to %v", c.from, c.to)
	}
	cs := []store.Claim{{Key: eventflow.FireKey("thumbnail", "far", at(2300)), Fire: &store.Fire{Definition: "v1", Nominal: at(2300), NotBefore: at(2300)}}}
	require.NoError(t, s.Claim(t.Context(), "alice", time.Minute, cs))
	require.Equal(t, store.Early, cs[0].Status)
}
