package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/internal/sqlstore"
)

// Whichever columns have one value and however many rows there are, a statement sees the rows as they are, and the
// statements that stay prepared have a limit.
func TestStatementSeesItsRows(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "events.db"))
	require.NoError(t, err)
	const columns = 6
	echo := &sqlstore.Statement{Text: "WITH {b} SELECT a, b, c, d, e, f FROM b"}
	for i := range columns {
		echo.Columns = append(echo.Columns, sqlstore.Column{Name: string(rune('a' + i)), Int: i%2 == 0})
	}
	for mask := range 1 << columns {
		rows := 2*maxRows - 1 - mask%2 // of each size one
		cols := make([]any, columns)
		want := make([]string, rows)
		for i := range cols {
			ints, texts := make([]int64, rows), make([][]byte, rows)
			for row := range rows {
				if mask&(1<<i) == 0 {
					ints[row] = int64(i*1000 + row)
				}
				if texts[row] = fmt.Appendf(nil, "%d", ints[row]); ints[row] == 0 {
					texts[row] = nil
				}
			}
			if cols[i] = texts; i%2 == 0 {
				cols[i] = ints
			}
			for row := range rows {
				if i%2 == 0 {
					want[row] += fmt.Sprintf("%d ", ints[row])
				} else {
					want[row] += fmt.Sprintf("%s ", texts[row])
				}
			}
		}
		var got []string
		require.NoError(t, s.engine.Write(t.Context(), func(tx sqlstore.Tx) error {
			return tx.Select(echo, cols, func(row func(...any) error) error {
				var ints [columns / 2]int64
				var texts [columns / 2][]byte
				err := row(&ints[0], &texts[0], &ints[1], &texts[1], &ints[2], &texts[2])
				line := ""
				for i := range ints {
					line += fmt.Sprintf("%d %s ", ints[i], texts[i])
				}
				got = append(got, line)
				return err
			})
		}))
		require.Equal(t, want, got, "columns %08b, %d rows", mask, rows)
	}
	require.LessOrEqual(t, len(s.engine.tx.chunks), maxChunks+8)
	require.GreaterOrEqual(t, len(s.engine.tx.chunks), maxChunks, "the limit was reached")
	require.NoError(t, s.Close())
}
