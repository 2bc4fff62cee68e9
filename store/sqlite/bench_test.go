package sqlite_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/internal/sqlstore/sqltest"
	"github.com/eventflow-go/eventflow/store/sqlite"
)

func BenchmarkClaimFinish(b *testing.B) {
	sqltest.ClaimFinish(b, openBench(b), openUngrouped(b).claimFinish)
}

func BenchmarkClaimLatencyAtHalfLoad(b *testing.B) { sqltest.ClaimLatency(b, openBench(b)) }

func BenchmarkClaimBesideHistory(b *testing.B) { sqltest.BesideHistory(b, openBench(b), openBench(b)) }

func openBench(b *testing.B) *sqlite.Store {
	b.Helper()
	s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "events.db"))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	return s
}

// ungrouped claims and finishes with a statement each, prepared, which is a transaction by itself.
type ungrouped struct{ claim, finish *sql.Stmt }

func openUngrouped(b *testing.B) *ungrouped {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "plain.db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=busy_timeout(5000)")
	require.NoError(b, err)
	b.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(b.Context(), `CREATE TABLE runs (key TEXT PRIMARY KEY, state INTEGER, owner TEXT, fence INTEGER, until INTEGER, outcome INTEGER, pad TEXT) WITHOUT ROWID;
		CREATE INDEX ended ON runs (state, until)`)
	require.NoError(b, err)
	u := &ungrouped{}
	u.claim, err = db.PrepareContext(b.Context(), `INSERT INTO runs (key, state, owner, fence, until) VALUES (?, 1, ?, 1, ?)
		ON CONFLICT (key) DO UPDATE SET fence = fence + 1, owner = excluded.owner, until = excluded.until WHERE state = 2 OR (state = 1 AND until < ?) RETURNING fence`)
	require.NoError(b, err)
	u.finish, err = db.PrepareContext(b.Context(), `UPDATE runs SET state = 3, until = ?, outcome = 1, pad = ? WHERE key = ? AND owner = ? AND fence = ? AND state = 1`)
	require.NoError(b, err)
	return u
}

func (u *ungrouped) claimFinish(b *testing.B, n int64) { //nolint:thelper // Helper would be timed too
	key, now, fence := fmt.Sprintf("thumbnail/uploads/kafka://uploads/cluster/topic/3/%012d", n), time.Now().UnixNano(), 0
	if err := u.claim.QueryRowContext(b.Context(), key, "host-1/4711", now+30e9, now).Scan(&fence); err != nil {
		b.Error(err)
		return
	}
	if _, err := u.finish.ExecContext(b.Context(), now, "", key, "host-1/4711", fence); err != nil {
		b.Error(err)
	}
}
