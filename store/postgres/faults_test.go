package postgres_test

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
	"github.com/eventflow-go/eventflow/store/postgres"
)

func TestWrongPasswordIsFinalAndNotShown(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(server(t))
	require.NoError(t, err)
	u.User = url.UserPassword(u.User.Username(), "hunter2")
	_, err = postgres.Open(t.Context(), u.String())
	require.ErrorIs(t, err, eventflow.ErrFatal)
	require.NotContains(t, err.Error(), "hunter2")
}

func TestUnreadableURLIsNotShown(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"postgres://me:hunter2@host:port/db", "postgres://me:hunter2%zz@host/db", "postgres://me:hunter2@host/db?sslmode=maybe"} {
		_, err := postgres.Open(t.Context(), at)
		require.ErrorIs(t, err, eventflow.ErrFatal, at)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestServerThatIsNotThereIsWaitedFor(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := postgres.Open(ctx, "postgres://me:hunter2@127.0.0.1:1/db")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, eventflow.ErrFatal)
	require.NotContains(t, err.Error(), "hunter2")
}

func TestDatabaseThatIsNotThereIsFinal(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(server(t))
	require.NoError(t, err)
	u.Path = "/no_such_database"
	_, err = postgres.Open(t.Context(), u.String())
	require.ErrorIs(t, err, eventflow.ErrFatal)
}

func TestSomebodyElsesSchemaIsRefused(t *testing.T) {
	t.Parallel()
	at := server(t)
	name := schema(t, at)
	require.NoError(t, execute(at, "CREATE SCHEMA "+name+"; CREATE TABLE "+name+".runs (what text)"))
	_, err := postgres.Open(t.Context(), at, postgres.Schema(name))
	require.ErrorIs(t, err, store.ErrForeign)
	require.ErrorIs(t, err, eventflow.ErrFatal)
	require.NoError(t, execute(at, "INSERT INTO "+name+".runs VALUES ('as it was')"))
}

func TestNewerSchemaIsRefusedByName(t *testing.T) {
	t.Parallel()
	at := server(t)
	name := schema(t, at)
	s, err := postgres.Open(t.Context(), at, postgres.Schema(name))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, execute(at, "UPDATE "+name+".version SET version = 1000"))
	_, err = postgres.Open(t.Context(), at, postgres.Schema(name))
	require.ErrorIs(t, err, eventflow.ErrFatal)
	require.ErrorContains(t, err, "version 1000")
}

func TestManyOpenANewStoreAtOnce(t *testing.T) {
	t.Parallel()
	at := server(t)
	name := schema(t, at)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			s, err := postgres.Open(t.Context(), at, postgres.Schema(name))
			if err != nil {
				t.Errorf("Open: %v", err)
				return
			}
			_ = s.Close()
		})
	}
	all.Wait()
}

// What the package's documentation grants is enough, and a role without the right to create is told so.
func TestGrantedRightsSuffice(t *testing.T) {
	t.Parallel()
	at := server(t)
	name := schema(t, at)
	role := name + "_role"
	require.NoError(t, execute(at, "CREATE ROLE "+role+" LOGIN PASSWORD 'runners'"))
	t.Cleanup(func() { require.NoError(t, execute(at, "DROP OWNED BY "+role+"; DROP ROLE "+role)) })
	u, err := url.Parse(at)
	require.NoError(t, err)
	u.User = url.UserPassword(role, "runners")

	_, err = postgres.Open(t.Context(), u.String(), postgres.Schema(name))
	require.ErrorIs(t, err, eventflow.ErrFatal, "it may not create the schema")

	owner, err := postgres.Open(t.Context(), at, postgres.Schema(name))
	require.NoError(t, err)
	require.NoError(t, owner.Close())
	given := strings.NewReplacer("eventflow.", name+".", "SCHEMA eventflow", "SCHEMA "+name, "TO runners", "TO "+role).Replace(grants)
	require.NoError(t, execute(at, given))

	s, err := postgres.Open(t.Context(), u.String(), postgres.Schema(name), postgres.Window(300*time.Millisecond))
	require.NoError(t, err)
	defer s.Close() //nolint:errcheck // what it answered is checked
	everything(t, s)
}

const grants = `GRANT USAGE ON SCHEMA eventflow TO runners;
	GRANT SELECT ON eventflow.version TO runners;
	GRANT SELECT, INSERT, UPDATE, DELETE ON eventflow.runs, eventflow.history, eventflow.cursors,
		eventflow.slots, eventflow.listeners TO runners;`

// everything uses each statement once, also those of the janitor: the store's window must be short.
func everything(t *testing.T, s *postgres.Store) {
	t.Helper()
	ctx := t.Context()
	nominal := time.Date(2026, time.March, 1, 3, 0, 0, 0, time.UTC)
	cs := []store.Claim{
		{Key: eventflow.Key{Flow: "report", Source: "topic://reports", ID: "1"}},
		{Key: eventflow.FireKey("report", "nightly", nominal), Fire: &store.Fire{Definition: "v1", Nominal: nominal, Overlap: "nightly"}},
	}
	require.NoError(t, s.Claim(ctx, "alice", time.Minute, cs))
	require.NoError(t, s.Renew(ctx, "alice", time.Minute, []*store.Claim{&cs[0], &cs[1]}))
	for i := range cs {
		require.Equal(t, store.Granted, cs[i].Status)
		fs := []store.Finish{{Claim: &cs[i], State: store.Terminal, Outcome: eventflow.Succeeded}}
		require.NoError(t, s.Finish(ctx, "alice", fs))
		require.False(t, fs[0].Fenced)
	}
	_, err := s.Orphans(ctx, "report", 10)
	require.NoError(t, err)
	at, err := s.Cursor(ctx, "report", "nightly", "v1")
	require.NoError(t, err)
	require.Equal(t, nominal, at)
	l := store.Listener{ID: "1", Flow: "report", Owner: "alice", Generation: 1}
	require.NoError(t, s.Beat(ctx, time.Minute, &l))
	require.NoError(t, s.Leave(ctx, "1", 1))
	rs, _, err := s.Runs(ctx, store.RunQuery{})
	require.NoError(t, err)
	require.Len(t, rs, 2)
	require.Eventually(t, func() bool { // forgotten, and in the history
		again := []store.Claim{{Key: cs[0].Key}}
		require.NoError(t, s.Claim(ctx, "bob", time.Millisecond, again))
		return again[0].Status == store.Granted
	}, 10*time.Second, 20*time.Millisecond)
	rs, _, err = s.Runs(ctx, store.RunQuery{Flow: "report"})
	require.NoError(t, err)
	require.Len(t, rs, 2)
}

// A pooler gives each transaction the connection of another client's session. What is left in a session is thrown away
// here after each, so that whatever relied on it would fail.
func TestNothingIsLeftInASession(t *testing.T) {
	t.Parallel()
	at := server(t)
	c, err := pgxpool.ParseConfig(at)
	require.NoError(t, err)
	c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	ctx := context.WithoutCancel(t.Context())
	c.AfterRelease = func(conn *pgx.Conn) bool {
		_, failed := conn.PgConn().Exec(ctx, "DISCARD ALL; SET search_path = pg_catalog; SET default_transaction_read_only = off").ReadAll()
		return failed == nil
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), c)
	require.NoError(t, err)
	defer pool.Close()
	s, err := postgres.New(t.Context(), pool, postgres.Schema(schema(t, at)), postgres.Window(300*time.Millisecond))
	require.NoError(t, err)
	everything(t, s)
	require.NoError(t, s.Close())
	require.NoError(t, pool.Ping(t.Context()), "the caller's pool was closed")
}

func TestClaimEndsWithItsContextWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	at := server(t)
	c, err := pgxpool.ParseConfig(at)
	require.NoError(t, err)
	c.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), c)
	require.NoError(t, err)
	defer pool.Close()
	s, err := postgres.New(t.Context(), pool, postgres.Schema(schema(t, at)))
	require.NoError(t, err)
	defer s.Close() //nolint:errcheck // what it answered is checked
	taken, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	cs := []store.Claim{{Key: eventflow.Key{Flow: "report", ID: "1"}}}
	require.ErrorIs(t, s.Claim(ctx, "alice", time.Minute, cs), context.DeadlineExceeded)
	taken.Release()
	require.Eventually(t, func() bool { // what was granted behind its back was given back
		require.NoError(t, s.Claim(t.Context(), "bob", time.Minute, cs))
		return cs[0].Status == store.Granted && cs[0].Attempts == 0
	}, 10*time.Second, time.Millisecond)
}
