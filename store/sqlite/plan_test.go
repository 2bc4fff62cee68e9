package sqlite

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/sqlstore"
	"github.com/eventflow-go/eventflow/store"
)

// planned notes how SQLite goes about each statement that runs for many rows.
type planned struct {
	*engine
	t     *testing.T
	plans map[string]string
}

func (p *planned) Write(ctx context.Context, f func(sqlstore.Tx) error) error {
	return p.engine.Write(ctx, func(sqlstore.Tx) error { return f(&plannedTx{&p.tx, p}) })
}

func (p *planned) Together(ctx context.Context, bs []sqlstore.Bulk) ([]int64, error) {
	_ = p.Write(ctx, func(tx sqlstore.Tx) error {
		for _, b := range bs {
			tx.(*plannedTx).explain(b.Statement)
		}
		return nil
	})
	return p.engine.Together(ctx, bs)
}

type plannedTx struct {
	*tx
	p *planned
}

func (t *plannedTx) Each(s *sqlstore.Statement, cols []any) (int64, error) {
	t.explain(s)
	return t.tx.Each(s, cols)
}

func (t *plannedTx) Select(s *sqlstore.Statement, cols []any, scan sqlstore.Scan) error {
	t.explain(s)
	return t.tx.Select(s, cols, scan)
}

func (t *plannedTx) explain(s *sqlstore.Statement) {
	text := (&chunk{s: s, rows: 2}).text()
	rows, err := t.conn.QueryContext(t.ctx, "EXPLAIN QUERY PLAN "+text, make([]any, 2*len(s.Columns))...)
	require.NoError(t.p.t, err)
	defer func() { require.NoError(t.p.t, rows.Close()) }()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		require.NoError(t.p.t, rows.Scan(&id, &parent, &unused, &detail))
		plan = append(plan, detail)
	}
	require.NoError(t.p.t, rows.Err())
	t.p.plans[s.Text] = strings.Join(plan, "; ")
}

// Whatever the table holds, no statement of a claim's way reads more of it than its own rows.
func TestNoStatementReadsATable(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "events.db"))
	require.NoError(t, err)
	p := &planned{engine: s.engine, t: t, plans: make(map[string]string)}
	over := sqlstore.New(p, sqlstore.Options{})
	claim := func(want store.Status) []store.Claim {
		cs := []store.Claim{{Key: eventflow.Key{Flow: "f", ID: "1"}}}
		require.NoError(t, over.Claim(t.Context(), "alice", time.Minute, cs))
		require.Equal(t, want, cs[0].Status)
		return cs
	}
	for _, state := range []store.State{store.Released, store.Failed, store.Terminal} {
		cs := claim(store.Granted)
		require.NoError(t, over.Renew(t.Context(), "alice", time.Minute, []*store.Claim{&cs[0]}))
		require.NoError(t, over.Finish(t.Context(), "alice", []store.Finish{{Claim: &cs[0], State: state, Outcome: eventflow.Succeeded}}))
	}
	claim(store.Done)
	require.NoError(t, over.Close())
	require.ErrorIs(t, s.Claim(t.Context(), "alice", time.Minute, []store.Claim{{}}), eventflow.ErrClosed)
	require.GreaterOrEqual(t, len(p.plans), 6)
	for text, plan := range p.plans {
		for _, table := range []string{"runs", "history"} {
			require.NotContains(t, plan, "SCAN "+table, text)
		}
	}
	require.NoError(t, s.Close())
}
