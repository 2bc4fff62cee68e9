package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/sqlstore"
	"github.com/eventflow-go/eventflow/store"
)

// applicationID marks a file as ours, in its header: "evfl".
const applicationID = 0x6576666c

// migrate makes the file a store of this version. It looks before it writes: a file that is not ours stays as it is.
func (e *engine) migrate(ctx context.Context) error {
	var version int
	err := e.patiently(ctx, func() (err error) {
		// In one transaction, or what another process is just making is half there.
		if _, err = e.conn.ExecContext(ctx, "BEGIN"); err != nil {
			return err
		}
		defer e.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") //nolint:errcheck // it only read
		version, err = e.version(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if version < sqlstore.Version {
		if err = e.patiently(ctx, func() error { return e.upgrade(ctx) }); err != nil {
			return e.final(err)
		}
	}
	// The mode stands in the file, so it is set after the check.
	var mode string
	err = e.patiently(ctx, func() error { return e.conn.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode) })
	if err == nil && mode != "wal" {
		return &eventflow.ConfigError{Field: "sqlite.Open path", Value: e.path, Allowed: "a file on a file system with shared memory: it cannot be written ahead"}
	}
	if err == nil { // a file that may not be written is found here, not by the first claim
		err = e.patiently(ctx, func() error {
			_, failed := e.conn.ExecContext(ctx, "BEGIN IMMEDIATE; ROLLBACK")
			return failed
		})
	}
	return e.final(err)
}

// final makes an error of opening one that is not tried again when waiting does not mend it.
func (e *engine) final(err error) error {
	if named := e.named(err); errors.Is(named, store.ErrReadOnly) {
		return fmt.Errorf("%w (%w)", named, eventflow.ErrFatal)
	}
	return err
}

// version gives the schema's, 0 of an empty file, and refuses what is not ours. It reads in the transaction of its caller.
func (e *engine) version(ctx context.Context) (version int, err error) {
	var id, objects int
	for query, to := range map[string]*int{
		"PRAGMA application_id": &id, "PRAGMA user_version": &version, "SELECT count(*) FROM sqlite_schema": &objects,
	} {
		if err = e.conn.QueryRowContext(ctx, query).Scan(to); err != nil {
			return 0, err
		}
	}
	switch {
	case id == applicationID:
		return version, sqlstore.CheckVersion("sqlite "+e.path, version)
	case id == 0 && version == 0 && objects == 0:
		return 0, nil
	}
	return 0, fmt.Errorf("%w: %s is another program's SQLite file: %w", store.ErrForeign, e.path, eventflow.ErrFatal)
}

// upgrade runs the migrations that the file has not seen, unless another process was faster.
func (e *engine) upgrade(ctx context.Context) (err error) {
	exec := func(ctx context.Context, query string) error {
		_, failed := e.conn.ExecContext(ctx, query)
		return failed
	}
	if err = exec(ctx, "BEGIN EXCLUSIVE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = exec(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	version, err := e.version(ctx)
	if err != nil {
		return err
	}
	if err = sqlstore.Migrate(ctx, version, nil, exec); err != nil {
		return err
	}
	for _, query := range []string{
		"PRAGMA application_id = " + strconv.Itoa(applicationID), "PRAGMA user_version = " + strconv.Itoa(sqlstore.Version), "COMMIT",
	} {
		if err = exec(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

// patiently tries again while other processes open the file too: some steps of that SQLite does not wait for itself.
func (e *engine) patiently(ctx context.Context, f func() error) error {
	for deadline := time.Now().Add(2 * busyTimeout); ; {
		err := f()
		if err == nil || !busy(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
