package postgres_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/internal/sqlstore/sqltest"
	"github.com/eventflow-go/eventflow/store/postgres"
)

func BenchmarkClaimFinish(b *testing.B) {
	sqltest.ClaimFinish(b, openBench(b), openUngrouped(b).claimFinish)
}

func BenchmarkClaimLatencyAtHalfLoad(b *testing.B) { sqltest.ClaimLatency(b, openBench(b)) }

func BenchmarkClaimBesideHistory(b *testing.B) { sqltest.BesideHistory(b, openBench(b), openBench(b)) }

func openBench(b *testing.B) *postgres.Store {
	b.Helper()
	at := server(b)
	s, err := postgres.Open(b.Context(), at, postgres.Schema(schema(b, at)))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	return s
}

// ungrouped claims and finishes with a prepared statement each, which is a transaction by itself, on a pool.
type ungrouped struct{ pool *pgxpool.Pool }

func openUngrouped(b *testing.B) *ungrouped {
	b.Helper()
	at := server(b)
	name := schema(b, at)
	c, err := pgxpool.ParseConfig(at)
	require.NoError(b, err)
	c.MaxConns = 32
	c.ConnConfig.RuntimeParams["search_path"] = name
	pool, err := pgxpool.NewWithConfig(b.Context(), c)
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	_, err = pool.Exec(b.Context(), "CREATE SCHEMA "+name)
	require.NoError(b, err)
	_, err = pool.Exec(b.Context(), "CREATE TABLE runs (key bigint PRIMARY KEY, state int, owner text, fence int, until bigint, outcome int, pad text)")
	require.NoError(b, err)
	return &ungrouped{pool}
}

func (u *ungrouped) claimFinish(b *testing.B, n int64) { //nolint:thelper // Helper would be timed too
	now, fence := time.Now().UnixNano(), 0
	err := u.pool.QueryRow(b.Context(), `INSERT INTO runs (key, state, owner, fence, until) VALUES ($1, 1, $2, 1, $3)
		ON CONFLICT (key) DO UPDATE SET fence = runs.fence + 1, owner = excluded.owner, until = excluded.until
		WHERE runs.state = 2 OR (runs.state = 1 AND runs.until < $4) RETURNING fence`, n, "host-1/4711", now+30e9, now).Scan(&fence)
	if err != nil {
		b.Error(err)
		return
	}
	if _, err = u.pool.Exec(b.Context(), `UPDATE runs SET state = 3, until = $1, outcome = 1, pad = $2 WHERE key = $3 AND owner = $4 AND fence = $5 AND state = 1`,
		now, "", n, "host-1/4711", fence); err != nil {
		b.Error(err)
	}
}
