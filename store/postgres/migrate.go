package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/sqlstore"
	"github.com/eventflow-go/eventflow/store"
)

// absent is the version of a schema that is not there.
const absent = -1

// migrate makes the schema a store of this version. It looks before it writes, so a role that may not create anything
// can open a store that is up to date.
func (e *engine) migrate(ctx context.Context, schema string) error {
	ctx, cancel := context.WithTimeout(ctx, 6*e.limit) // a process that migrates before us is waited for
	defer cancel()
	conn, err := e.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	version, err := versionOf(ctx, conn.Conn(), schema)
	if err != nil || version == sqlstore.Version {
		return err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // after Commit it does nothing
	exec := func(ctx context.Context, query string, args ...any) error {
		_, failed := tx.Exec(ctx, query, append([]any{pgx.QueryExecModeExec}, args...)...)
		return failed
	}
	// The lock ends with the transaction. Whoever had it before may have done what is to do.
	if err = exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended('eventflow schema ' || $1, 0))", schema); err != nil {
		return err
	}
	if version, err = versionOf(ctx, tx.Conn(), schema); err != nil || version == sqlstore.Version {
		return err
	}
	if version == absent {
		version = 0
		queries := []string{"CREATE TABLE " + schema + ".version (version bigint NOT NULL)", "INSERT INTO " + schema + ".version VALUES (0)"}
		var there bool
		err = tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", pgx.QueryExecModeExec, schema).Scan(&there)
		if err != nil {
			return err
		}
		if !there { // or it was made for a role that may not make one
			queries = slices.Insert(queries, 0, "CREATE SCHEMA "+schema)
		}
		for _, query := range queries {
			if err = exec(ctx, query); err != nil {
				return err
			}
		}
	}
	if err = sqlstore.Migrate(ctx, version, e.words, func(ctx context.Context, query string) error { return exec(ctx, query) }); err != nil {
		return err
	}
	for _, statement := range sqlstore.Ready {
		if err = exec(ctx, e.function(statement)); err != nil {
			return err
		}
	}
	if err = exec(ctx, "UPDATE "+schema+".version SET version = $1", int64(sqlstore.Version)); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// versionOf gives the schema's, and refuses one that is not ours.
func versionOf(ctx context.Context, conn *pgx.Conn, schema string) (int, error) {
	var tables, versions int
	err := conn.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE c.relname = 'version')
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`, pgx.QueryExecModeExec, schema).Scan(&tables, &versions)
	switch {
	case err != nil:
		return 0, err
	case tables == 0:
		return absent, nil
	case versions == 0:
		return 0, fmt.Errorf("%w: the schema %s is something else's: %w", store.ErrForeign, schema, eventflow.ErrFatal)
	}
	var version int
	if err := conn.QueryRow(ctx, "SELECT version FROM "+schema+".version", pgx.QueryExecModeExec).Scan(&version); err != nil {
		return 0, err
	}
	return version, sqlstore.CheckVersion("postgres "+schema, version)
}
