package sqlite

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/sqlstore"
)

// engine is one file. SQLite has one writer at a time, so the engine has one connection that writes, and whoever wants
// it waits for its turn; another process that writes is waited for by SQLite, for busyTimeout.
type engine struct {
	path   string
	writer *sql.DB
	reader *sql.DB

	turn  chan struct{} // holds one token: whoever has it has conn and what follows
	conn  *sql.Conn
	tx    tx
	begun bool // a transaction may have been, and not ended
	shut  bool
}

// tx is the transaction of whoever has the turn. Its statements stay prepared from one transaction to the next: they are
// as many as the package has texts, times the sizes of chunks, and at most maxChunks besides.
type tx struct {
	ctx      context.Context
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
	chunks   map[chunk]*sql.Stmt
	args     []any
}

func (e *engine) Lanes() int { return 1 }

func (e *engine) Write(ctx context.Context, f func(sqlstore.Tx) error) error {
	select {
	case <-e.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { e.turn <- struct{}{} }()
	if e.shut {
		return eventflow.ErrClosed
	}
	e.tx.ctx = ctx //nolint:fatcontext // whoever has the turn sets his
	err := e.write(ctx, f)
	return e.named(err)
}

func (e *engine) write(ctx context.Context, f func(sqlstore.Tx) error) error {
	if e.begun { // the last one could not be rolled back
		if _, err := e.conn.ExecContext(ctx, "ROLLBACK"); err != nil && !idle(err) {
			return err
		}
		e.begun = false
	}
	_, err := e.tx.Exec("BEGIN IMMEDIATE")
	if err == nil {
		if err = f(&e.tx); err == nil {
			_, err = e.tx.Exec("COMMIT")
		}
	}
	if err != nil { // also when it did not begin: where ctx ends in that moment, it did
		_, failed := e.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		e.begun = failed != nil && !idle(failed)
	}
	return err
}

func (e *engine) Together(ctx context.Context, bs []sqlstore.Bulk) ([]int64, error) {
	counts := make([]int64, len(bs))
	err := e.Write(ctx, func(tx sqlstore.Tx) (err error) {
		for i := range bs {
			if counts[i], err = tx.Each(bs[i].Statement, bs[i].Columns); err != nil {
				return err
			}
		}
		return nil
	})
	return counts, err
}

// Base is the machine's clock, which all processes on one file share.
func (e *engine) Base() int64 { return time.Now().UnixNano() }

func (e *engine) Query(ctx context.Context, query string, args []any, scan sqlstore.Scan) error {
	rows, err := e.reader.QueryContext(ctx, words(query), args...)
	if err != nil {
		return e.named(err)
	}
	return e.named(each(rows, scan))
}

func (e *engine) Close() error {
	<-e.turn
	defer func() { e.turn <- struct{}{} }()
	e.shut = true
	err := e.reader.Close()
	if e.conn != nil {
		e.tx.close()
		_ = e.conn.Close() // it goes back to writer, which closes it
	}
	if failed := e.writer.Close(); err == nil {
		err = failed
	}
	return e.named(err)
}

func (t *tx) close() {
	for _, s := range t.prepared {
		_ = s.Close()
	}
	for _, s := range t.chunks {
		_ = s.Close()
	}
}

// Now is as Base.
func (t *tx) Now() (int64, error) { return time.Now().UnixNano(), nil }

func (t *tx) Exec(query string, args ...any) (int64, error) {
	if strings.Contains(query, "{now}") { // it is another text each time
		return affected(t.conn.ExecContext(t.ctx, words(query), args...))
	}
	s := t.prepared[query]
	if s == nil {
		var err error
		if s, err = t.conn.PrepareContext(t.ctx, words(query)); err != nil {
			return 0, err
		}
		t.prepared[query] = s
	}
	return affected(s.ExecContext(t.ctx, args...))
}

func (t *tx) Query(query string, args []any, scan sqlstore.Scan) error {
	rows, err := t.conn.QueryContext(t.ctx, words(query), args...)
	if err != nil {
		return err
	}
	return each(rows, scan)
}

// words puts SQLite's words for those of package sqlstore. Its own clock counts milliseconds, too coarse for a lease
// that has just ended.
func words(query string) string {
	if strings.Contains(query, "{now}") {
		query = strings.ReplaceAll(query, "{now}", strconv.FormatInt(time.Now().UnixNano(), 10))
	}
	return dialect.Replace(query)
}

var dialect = strings.NewReplacer("$", "?", "{lock}", "", "{skip}", "", "{touch}", "DO NOTHING", "{clock}", "0",
	"{whole}", " OR ROLLBACK")

func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func each(rows *sql.Rows, scan sqlstore.Scan) error {
	defer rows.Close() //nolint:errcheck // Err tells
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
