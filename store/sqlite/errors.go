package sqlite

import (
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// named says which file an error is about, and gives those their names that a program may want to tell apart.
func (e *engine) named(err error) error {
	if err == nil || errors.Is(err, eventflow.ErrClosed) {
		return err
	}
	code, ok := codeOf(err)
	if !ok {
		return err
	}
	switch code & 0xff {
	case lib.SQLITE_FULL:
		return fmt.Errorf("%w: %s: %w", store.ErrDiskFull, e.path, err)
	case lib.SQLITE_READONLY:
		return fmt.Errorf("%w: %s: %w", store.ErrReadOnly, e.path, err)
	case lib.SQLITE_NOTADB:
		return fmt.Errorf("%w: %s is no SQLite file: %w", store.ErrForeign, e.path, eventflow.ErrFatal)
	}
	return fmt.Errorf("store: %s: %w", e.path, err)
}

// idle reports whether a ROLLBACK failed because there was no transaction: SQLite ends one by itself when the disk is full.
func idle(err error) bool {
	code, ok := codeOf(err)
	return ok && code == lib.SQLITE_ERROR
}

func codeOf(err error) (int, bool) {
	if failed, ok := errors.AsType[*driver.Error](err); ok {
		return failed.Code(), true
	}
	return 0, false
}

// busy reports whether another connection was in the way.
func busy(err error) bool {
	code, ok := codeOf(err)
	return ok && (code&0xff == lib.SQLITE_BUSY || code&0xff == lib.SQLITE_LOCKED)
}
