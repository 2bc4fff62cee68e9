// Package postgres is a store in PostgreSQL: the memory that many machines share, so that replicas run an event or a fire
// once between them.
//
//	s, err := postgres.Open(ctx, "postgres://eventflow:…@db.example.com/eventflow")
//
// It lives in a schema of its own, "eventflow" by default, which [Open] makes and brings up to date; many processes may do
// so at once. Leases, and the times before which fires may not start, are by the server's clock: those of the machines may
// differ.
//
// Every call is one transaction at the server's synchronous_commit, and what waits is written together. Nothing is left in
// a session, so a pooler may stand between that hands out a server's connection for one transaction (PgBouncer's
// pool_mode=transaction). A server that restarts or fails over is waited for; what was cut off is written again, and finds
// what was already there.
//
// # Rights
//
// Making and updating the schema takes a role that may create in the database, or that owns the empty schema. The role of the
// runners needs no more than
//
//	GRANT USAGE ON SCHEMA eventflow TO runners;
//	GRANT SELECT ON eventflow.version TO runners;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON eventflow.runs, eventflow.history, eventflow.cursors,
//		eventflow.slots, eventflow.listeners TO runners;
//
// when another role opened the store before, with the same release; and EXECUTE on the functions of the schema, where it was
// taken from PUBLIC.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/sqlstore"
	"github.com/eventflow-go/eventflow/store"
)

// Store is a store in PostgreSQL. It is a store.Store, a store.History and a store.Listeners. All methods may be called
// by many goroutines at once.
type Store struct{ *sqlstore.Store }

var (
	_ store.Store     = (*Store)(nil)
	_ store.History   = (*Store)(nil)
	_ store.Listeners = (*Store)(nil)
)

// Option is an option of [Open] and [New].
type Option func(*config) error

type config struct {
	sqlstore.Options
	schema  string
	timeout time.Duration
	lanes   int
}

// The defaults of the options.
const (
	DefaultSchema  = "eventflow"
	DefaultTimeout = 5 * time.Second
)

// The committer's transactions at once: one does not hold up all when it waits for a lock.
const lanes = 2

// Window is how long a key is remembered after its run ended, and one whose run was left without an end; 14 days by
// default. An event that is delivered again later runs again. All processes on one schema should agree.
func Window(d time.Duration) Option {
	return func(c *config) error { return c.SetWindow("postgres", d) }
}

// History bounds what is kept of runs beyond the window: for so long from their ends, 90 days by default, and so many of
// them, 1,000,000 by default; 0 keeps none. Runs within the window are always there.
func History(age time.Duration, rows int) Option {
	return func(c *config) error { return c.SetHistory("postgres", age, rows) }
}

// Schema names the schema that the store lives in, "eventflow" by default: lower-case letters, digits and _, at most 63.
// Two schemas of one database are two stores.
func Schema(name string) Option {
	return func(c *config) error {
		if !identifier(name) {
			return &eventflow.ConfigError{Field: "postgres.Schema", Value: name, Allowed: "1 to 63 lower-case letters, digits and _, no digit first, not pg_…"}
		}
		c.schema = name
		return nil
	}
}

// Timeout bounds a statement, 5 seconds by default, and by twice as much a transaction: a connection that does not answer
// for longer is given up. The server gives up a transaction of a process that has said nothing for a fifth of it, as one does
// that is stopped in the middle: others may wait for its locks.
func Timeout(d time.Duration) Option {
	return func(c *config) error {
		if d < time.Millisecond {
			return &eventflow.ConfigError{Field: "postgres.Timeout", Value: d.String(), Allowed: "a millisecond or more"}
		}
		c.timeout = d
		return nil
	}
}

func identifier(name string) bool {
	for i, r := range name {
		if r != '_' && (r < 'a' || r > 'z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != "" && len(name) <= 63 && !strings.HasPrefix(name, "pg_")
}

func configure(opts []Option) (*config, error) {
	c := &config{schema: DefaultSchema, timeout: DefaultTimeout, lanes: lanes}
	errs := make([]error, len(opts))
	for i, o := range opts {
		errs[i] = o(c)
	}
	return c, errors.Join(errs...)
}

// Open connects to the server of a URL or a keyword string (libpq's; its parameters, among them sslmode, apply, and those
// of pgxpool, such as pool_max_conns) with a pool of its own, and brings the schema up to date. A server that cannot be
// reached is waited for until ctx ends; a wrong password, a database that is not there and a missing right are final. ctx
// bounds the opening only.
func Open(ctx context.Context, connString string, opts ...Option) (*Store, error) {
	c, err := configure(opts)
	if err != nil {
		return nil, err
	}
	pc, err := pgxpool.ParseConfig(connString)
	if err != nil {
		// The cause is left out: it quotes what it stumbled over.
		return nil, &eventflow.ConfigError{Field: "postgres.Open", Value: "(not shown)", Allowed: "a URL or a keyword string of libpq, such as postgres://user@host/database"}
	}
	if pc.ConnConfig.ConnectTimeout == 0 {
		pc.ConnConfig.ConnectTimeout = c.timeout
	}
	if !strings.Contains(connString, "default_query_exec_mode") {
		pc.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // nothing stays in the session
	}
	pc.MaxConns = max(pc.MaxConns, lanes+1) // one is left for those who read
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), pc)
	if err != nil {
		return nil, named(err)
	}
	s, err := open(ctx, pool, c, true)
	if err != nil {
		pool.Close()
	}
	return s, err
}

// New is Open on a pool of the caller's, whose Close stays the caller's. The store takes up to five connections at once.
// Where a pooler stands between that hands out a server's connection for one transaction, the pool's
// DefaultQueryExecMode must be one that prepares nothing in a session, as pgx.QueryExecModeCacheDescribe.
func New(ctx context.Context, pool *pgxpool.Pool, opts ...Option) (*Store, error) {
	c, err := configure(opts)
	if err != nil {
		return nil, err
	}
	return open(ctx, pool, c, false)
}

func open(ctx context.Context, pool *pgxpool.Pool, c *config, owned bool) (*Store, error) {
	e := newEngine(pool, c)
	e.owned = owned
	wait := pause
	for {
		err := e.migrate(ctx, c.schema)
		if err == nil {
			return &Store{sqlstore.New(e, c.Options)}, nil
		}
		if final(err) {
			return nil, fmt.Errorf("store: postgres: %w (%w)", err, eventflow.ErrFatal)
		}
		if errors.Is(err, eventflow.ErrFatal) || errors.Is(err, eventflow.ErrClosed) || !cutOff(err) && !conflict(err) {
			return nil, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, fmt.Errorf("store: postgres did not answer: %w: %w", ctx.Err(), err)
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// Scheme opens stores by URL: postgres://user@host/database, or postgresql://…. Besides libpq's parameters it knows window
// (a duration, such as 336h) and schema, which are the options.
var Scheme = store.Scheme{Names: []string{"postgres", "postgresql"}, Open: openURL}

func openURL(ctx context.Context, u *url.URL) (store.Store, error) {
	q := u.Query()
	var opts []Option
	if v := q.Get("window"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			return nil, &eventflow.ConfigError{Field: "postgres URL window", Value: strconv.Quote(v), Allowed: "a duration such as 336h"}
		}
		opts = append(opts, Window(d))
	}
	if v := q.Get("schema"); v != "" {
		opts = append(opts, Schema(v))
	}
	q.Del("window")
	q.Del("schema")
	rest := *u
	rest.RawQuery = q.Encode()
	s, err := Open(ctx, rest.String(), opts...)
	if err != nil {
		return nil, err
	}
	return s, nil
}
