package postgres_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
	"github.com/eventflow-go/eventflow/store/postgres"
)

// Whatever the tables hold, no claim and no end reads more of them than its own rows: neither while they are empty, nor
// later, when the server may have kept a plan from then.
func TestNoClaimReadsATable(t *testing.T) {
	t.Parallel()
	at := server(t)
	name := schema(t, at)
	conn, err := pgx.Connect(t.Context(), at)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // it only reads
	scans := func() (whole, byIndex int) {
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT sum(seq_scan), sum(idx_scan) FROM pg_stat_all_tables
			WHERE schemaname = $1 AND relname IN ('runs', 'slots', 'cursors')`, name).Scan(&whole, &byIndex))
		return whole, byIndex
	}
	s, err := postgres.Open(t.Context(), at, postgres.Schema(name))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	// A session tells what it counted when its process at the server ends, of which no client hears; too short a wait
	// makes the test fail, never pass.
	time.Sleep(100 * time.Millisecond)
	before, _ := scans() // making an index reads the table
	const keys = 200
	for round := range 3 {
		s, err = postgres.Open(t.Context(), at, postgres.Schema(name))
		require.NoError(t, err)
		for i := range keys {
			cs := []store.Claim{{Key: eventflow.Key{Flow: "f", ID: strconv.Itoa(keys*round + i)}}, {Key: eventflow.Key{Flow: "g", ID: strconv.Itoa(keys*round + i)}}}
			require.NoError(t, s.Claim(t.Context(), "alice", time.Minute, cs))
			require.NoError(t, s.Renew(t.Context(), "alice", time.Minute, []*store.Claim{&cs[0]}))
			state := [...]store.State{store.Terminal, store.Released, store.Failed}[i%3]
			fs := []store.Finish{{Claim: &cs[0], State: state}, {Claim: &cs[1], State: store.Terminal, Outcome: eventflow.Succeeded}}
			if state == store.Terminal {
				fs[0].Outcome = eventflow.Failed
			}
			require.NoError(t, s.Finish(t.Context(), "alice", fs))
			require.False(t, fs[0].Fenced || fs[1].Fenced)
		}
		require.NoError(t, s.Close())
	}
	var after, byIndex int
	require.Eventually(t, func() bool { // the counts of all sessions came
		after, byIndex = scans()
		return byIndex >= 3*keys
	}, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, before, after)
}
