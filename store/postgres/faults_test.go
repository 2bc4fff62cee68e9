package postgres_test

import (
	"context"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/sqlstore/sqltest"
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

// An administrator makes the schema, and gives it to a role that may make none.
func TestEmptySchemaOfTheRoleIsFilled(t *testing.T) {
	t.Parallel()
	at := server(t)
	name := schema(t, at)
	role := name + "_owner"
	require.NoError(t, execute(at, "CREATE ROLE "+role+" LOGIN PASSWORD 'runners'; CREATE SCHEMA "+name+" AUTHORIZATION "+role))
	t.Cleanup(func() { require.NoError(t, execute(at, "DROP OWNED BY "+role+"; DROP ROLE "+role)) })
	u, err := url.Parse(at)
	require.NoError(t, err)
	u.User = url.UserPassword(role, "runners")
	s, err := postgres.Open(t.Context(), u.String(), postgres.Schema(name), postgres.Window(300*time.Millisecond))
	require.NoError(t, err)
	everything(t, s)
	require.NoError(t, s.Close())
}

func TestPoolThatIsClosedUnderTheStoreIsTheEnd(t *testing.T) {
	t.Parallel()
	at := server(t)
	pool, err := pgxpool.New(t.Context(), at)
	require.NoError(t, err)
	s, err := postgres.New(t.Context(), pool, postgres.Schema(schema(t, at)))
	require.NoError(t, err)
	pool.Close()
	cs := []store.Claim{{Key: eventflow.Key{Flow: "report", ID: "1"}}}
	require.ErrorIs(t, s.Claim(t.Context(), "alice", time.Minute, cs), eventflow.ErrClosed)
	_, err = s.Orphans(t.Context(), "report", 1)
	require.ErrorIs(t, err, eventflow.ErrClosed)
	require.NoError(t, s.Close())
}

// A process that is stopped in the middle of a transaction has locks. Others wait for them, but not for its end.
func TestLocksOfAStoppedProcessAreGivenUp(t *testing.T) {
	t.Parallel()
	at := server(t)
	name := schema(t, at)
	u, err := url.Parse(at)
	require.NoError(t, err)
	p := sqltest.NewProxy(t, u.Host)
	u.Host = p.Addr
	stopped, err := postgres.Open(t.Context(), u.String(), postgres.Schema(name), postgres.Timeout(time.Second))
	require.NoError(t, err)
	other, err := postgres.Open(t.Context(), at, postgres.Schema(name), postgres.Timeout(10*time.Second))
	require.NoError(t, err)
	defer other.Close() //nolint:errcheck // what it answered is checked
	nominal := time.Date(2026, time.March, 1, 3, 0, 0, 0, time.UTC)
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			at := nominal.Add(time.Duration(i) * time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_ = stopped.Claim(ctx, "alice", time.Minute, []store.Claim{{Key: eventflow.FireKey("report", "nightly", at), Fire: &store.Fire{Definition: "v1", Nominal: at, Overlap: "x"}}})
			cancel()
		}
	})
	for range 5 {
		p.Hold(false)
		time.Sleep(100 * time.Millisecond)
		p.Hold(true)
		cs := []store.Claim{{Key: eventflow.FireKey("report", "nightly", nominal), Fire: &store.Fire{Definition: "v1", Nominal: nominal, Overlap: "x"}}}
		require.NoError(t, other.Claim(t.Context(), "bob", time.Minute, cs))
	}
	close(stop)
	p.Hold(false)
	all.Wait()
	require.NoError(t, stopped.Close())
}

// Many handles want the same fires, slots and cursors, each in another order. Not parallel: the server counts for all.
func TestNoTwoTransactionsWaitForEachOther(t *testing.T) { //nolint:paralleltest // see above
	at := server(t)
	name := schema(t, at)
	conn, err := pgx.Connect(t.Context(), at)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // it only reads
	deadlocks := func() (n int) {
		time.Sleep(1500 * time.Millisecond) // a session tells what it counted once a second
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&n))
		return n
	}
	before := deadlocks()
	nominal := time.Date(2026, time.March, 1, 3, 0, 0, 0, time.UTC)
	var all sync.WaitGroup
	granted := make(chan eventflow.Key, 10000)
	const handles, fires = 6, 40
	var rounds [20]sync.WaitGroup
	for i := range rounds {
		rounds[i].Add(handles)
	}
	for w := range handles {
		s, err := postgres.Open(t.Context(), at, postgres.Schema(name))
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.Close() })
		owner := "worker-" + strconv.Itoa(w)
		all.Go(func() {
			for round := range rounds {
				cs := make([]store.Claim, 0, 2*fires)
				for i := range fires {
					at, clock := nominal.Add(time.Duration(fires*round+i)*time.Minute), "clock-"+strconv.Itoa(i%5)
					f := &store.Fire{Definition: "v1", Nominal: at}
					if i%2 == 0 {
						f.Overlap = clock
					}
					cs = append(cs, store.Claim{Key: eventflow.FireKey("report", clock, at), Fire: f},
						store.Claim{Key: eventflow.Key{Flow: "report", ID: strconv.Itoa(fires*round + i)}})
				}
				rand.Shuffle(len(cs), func(i, j int) { cs[i], cs[j] = cs[j], cs[i] })
				rounds[round].Done()
				rounds[round].Wait() // all at once
				if err := s.Claim(t.Context(), owner, time.Minute, cs); err != nil {
					t.Errorf("Claim: %v", err)
				}
				var mine []*store.Claim
				var fs []store.Finish
				for i := range cs {
					if cs[i].Status == store.Granted {
						granted <- cs[i].Key
						mine = append(mine, &cs[i])
						fs = append(fs, store.Finish{Claim: &cs[i], State: store.Terminal, Outcome: eventflow.Succeeded})
					}
				}
				if err := s.Renew(t.Context(), owner, time.Minute, mine); err != nil {
					t.Errorf("Renew: %v", err)
				}
				if err := s.Finish(t.Context(), owner, fs); err != nil {
					t.Errorf("Finish: %v", err)
				}
				for i := range fs {
					if fs[i].Fenced {
						t.Errorf("the end of %v was fenced", fs[i].Claim.Key)
					}
				}
			}
		})
	}
	all.Wait()
	close(granted)
	seen := make(map[eventflow.Key]int)
	for k := range granted {
		seen[k]++
	}
	for k, n := range seen {
		require.Equal(t, 1, n, k)
	}
	require.Greater(t, len(seen), 20*fires)
	require.Equal(t, before, deadlocks())
}

// The bound is the server's, which gives up what waits for a lock: a connection that is only closed may wait on, and write.
func TestStatementThatTakesTooLongIsGivenUpByTheServer(t *testing.T) {
	t.Parallel()
	at := server(t)
	name := schema(t, at)
	const timeout = 200 * time.Millisecond
	s, err := postgres.Open(t.Context(), at, postgres.Schema(name), postgres.Timeout(timeout))
	require.NoError(t, err)
	defer s.Close() //nolint:errcheck // what it answered is checked
	conn, err := pgx.Connect(t.Context(), at)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // it is rolled back
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE "+name+".runs IN EXCLUSIVE MODE")
	require.NoError(t, err)
	cs := []store.Claim{{Key: eventflow.Key{Flow: "report", ID: "1"}}}
	var failed *pgconn.PgError
	require.ErrorAs(t, s.Claim(t.Context(), "alice", time.Minute, cs), &failed)
	require.Equal(t, "57014", failed.Code)
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, s.Claim(t.Context(), "bob", time.Minute, cs))
	require.Equal(t, store.Granted, cs[0].Status)
	require.Zero(t, cs[0].Attempts, "nothing of the first call was written")
}
