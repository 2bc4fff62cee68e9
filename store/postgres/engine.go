package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/puddle/v2"

	"github.com/eventflow-go/eventflow/internal/sqlstore"
)

// engine is one schema of a database. It leaves nothing in a session: a transaction sets for itself what it needs, and
// names its tables in full.
type engine struct {
	pool   *pgxpool.Pool
	owned  bool // the pool is ours to close
	schema string
	set    string // what a transaction sets for itself
	bound  string // the same for one that is sent at once
	limit  time.Duration
	lanes  int
	words  *strings.Replacer

	texts sync.Map // of *sqlstore.Statement, as many as there are
}

const clock = "CAST(extract(epoch FROM clock_timestamp()) * 1000000000 AS bigint)"

func newEngine(pool *pgxpool.Pool, c *config) *engine {
	ms := c.timeout.Milliseconds()
	// The planner takes it for cheap to read a whole table for a batch of keys, while the table is small, or has not been
	// analysed since it was.
	set := fmt.Sprintf(`SELECT set_config('statement_timeout', '%d', true), set_config('idle_in_transaction_session_timeout', '%d', true),
		set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
		set_config('jit', 'off', true), `, ms, max(ms/5, 1)) + clock
	bound := fmt.Sprintf("SELECT set_config('statement_timeout', '%d', true)", ms)
	return &engine{pool: pool, schema: c.schema, set: set, bound: bound, limit: 2 * c.timeout, lanes: c.lanes, words: words(c.schema)}
}

func (e *engine) Lanes() int  { return e.lanes }
func (e *engine) Base() int64 { return 0 }

// How often a transaction is tried, and how long the first pause is when the server is not there. Each pause is twice the
// one before: all are about three seconds, as long as a server needs that only starts again.
const (
	tries = 6
	pause = 100 * time.Millisecond
)

func (e *engine) Write(ctx context.Context, f func(sqlstore.Tx) error) error {
	return e.again(ctx, func(ctx context.Context, conn *pgx.Conn) error { return e.write(ctx, conn, f) })
}

// again tries again what another transaction was in the way of, and what was cut off: whether that was written is not
// known, but writing it again finds what was.
func (e *engine) again(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	wait := pause
	for n := 1; ; n++ {
		err := e.once(ctx, f)
		switch {
		case err == nil || n == tries || ctx.Err() != nil:
			return named(err)
		case conflict(err):
			continue
		case !cutOff(err):
			return named(err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait *= 2
	}
}

// once gives f a connection. One that comes back with an open transaction is closed.
func (e *engine) once(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, e.limit)
	defer cancel()
	conn, err := e.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return f(ctx, conn.Conn())
}

func (e *engine) write(ctx context.Context, conn *pgx.Conn, f func(sqlstore.Tx) error) error {
	t := &tx{ctx: ctx, conn: conn, engine: e}
	if err := t.start(); err != nil {
		return err
	}
	if err := f(t); err != nil {
		_, _ = conn.Exec(ctx, "ROLLBACK") // when it fails, the connection is closed
		return err
	}
	_, err := conn.Exec(ctx, "COMMIT")
	return err
}

// Query waits for an answer as long as for a transaction.
func (e *engine) Query(ctx context.Context, query string, args []any, scan sqlstore.Scan) error {
	return named(e.once(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		t := tx{ctx: ctx, conn: conn, engine: e}
		return t.Query(query, args, scan)
	}))
}

func (e *engine) Close() error {
	if e.owned {
		e.pool.Close()
	}
	return nil
}

type tx struct {
	ctx    context.Context
	conn   *pgx.Conn
	engine *engine

	now  int64     // the server's clock
	read time.Time // ours, when we had heard of it
}

// start begins the transaction and reads the server's clock in one round trip.
func (t *tx) start() error {
	var begin pgx.Batch
	begin.Queue("BEGIN")
	begin.Queue(t.engine.set).QueryRow(func(row pgx.Row) error { return row.Scan(nil, nil, nil, nil, nil, nil, &t.now) })
	err := t.conn.SendBatch(t.ctx, &begin).Close()
	t.read = time.Now()
	return err
}

// Now counts on from the server's clock at the transaction's beginning. It is behind by the way of one message, never
// ahead: no fire is early by it, and no lease is over that has not lapsed.
func (t *tx) Now() (int64, error) { return t.now + int64(time.Since(t.read)), nil }

func (t *tx) Exec(query string, args ...any) (int64, error) {
	return t.exec(t.engine.words.Replace(query), args)
}

func (t *tx) Query(query string, args []any, scan sqlstore.Scan) error {
	return t.query(t.engine.words.Replace(query), args, scan)
}

func (t *tx) Each(s *sqlstore.Statement, cols []any) (int64, error) {
	return t.exec(t.engine.text(s), cols)
}

func (t *tx) Select(s *sqlstore.Statement, cols []any, scan sqlstore.Scan) error {
	return t.query(t.engine.text(s), cols, scan)
}

func (t *tx) exec(query string, args []any) (int64, error) {
	tag, err := t.conn.Exec(t.ctx, query, args...)
	return tag.RowsAffected(), err
}

func (t *tx) query(query string, args []any, scan sqlstore.Scan) error {
	rows, err := t.conn.Query(t.ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// text writes a statement for rows that come as arrays, one for each column.
func (e *engine) text(s *sqlstore.Statement) string {
	if text, ok := e.texts.Load(s); ok {
		return text.(string)
	}
	var names, arrays []string
	for i, c := range s.Columns {
		names = append(names, c.Name)
		arrays = append(arrays, fmt.Sprintf("$%d::%s", i+1, kind(c)))
	}
	b := "b (" + strings.Join(names, ", ") + ") AS (SELECT * FROM unnest(" + strings.Join(arrays, ", ") + "))" //nolint:unqueryvet // its columns are those named
	text := strings.Replace(e.words.Replace(s.Text), "{b}", b, 1)
	e.texts.Store(s, text)
	return text
}

// words puts PostgreSQL's words for SQLite's, which package sqlstore uses, and the schema before the tables.
func words(schema string) *strings.Replacer {
	pairs := []string{ //nolint:prealloc // it is made once
		"{now}", clock,
		"{clock}", clock,
		"{lock}", "ORDER BY runs.key FOR UPDATE OF runs",
		"{skip}", "FOR UPDATE SKIP LOCKED",
		"{touch}", "DO UPDATE SET holder = slots.holder",
		"INTEGER PRIMARY KEY", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
		"INTEGER", "BIGINT",
		"BLOB", "BYTEA",
		"x''", "''",
		"INSERT{whole}", "INSERT",
		" WITHOUT ROWID", "",
	}
	for _, table := range sqlstore.Tables {
		for _, before := range []string{"FROM ", "INTO ", "JOIN ", "UPDATE ", "CREATE TABLE "} {
			pairs = append(pairs, before+table, before+schema+"."+table)
		}
		pairs = append(pairs, "UPDATE{whole} "+table, "UPDATE "+schema+"."+table, "ON "+table+" (", "ON "+schema+"."+table+" (")
	}
	return strings.NewReplacer(pairs...)
}

// conflict reports whether the same transaction may succeed at once.
func conflict(err error) bool {
	if errors.Is(err, sqlstore.ErrAgain) {
		return true
	}
	switch codeOf(err) {
	case "40001", "40P01": // a conflict of snapshots, a deadlock
		return true
	}
	return false
}

// cutOff reports whether the connection or the server went away.
func cutOff(err error) bool {
	switch code := codeOf(err); {
	case code == "":
		return !errors.Is(err, context.Canceled) && !errors.Is(err, puddle.ErrClosedPool)
	case strings.HasPrefix(code, "08"), strings.HasPrefix(code, "57P"),
		code == "25P03", // we were stopped in the middle of it
		code == "25006": // a standby that is being promoted
		return true
	}
	return false
}

func codeOf(err error) string {
	if failed, ok := errors.AsType[*pgconn.PgError](err); ok {
		return failed.Code
	}
	return ""
}
