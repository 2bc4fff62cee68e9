package sqlite

import (
	"database/sql"
	"strconv"
	"strings"

	"github.com/eventflow-go/eventflow/internal/sqlstore"
)

// chunk names a prepared statement: it must be written out for the number of its rows. Columns that have one value in
// all of them, as owners and flows often have, are bound once: binding each for each row was a fifth of the work.
type chunk struct {
	s    *sqlstore.Statement
	rows int
	same uint32 // a bit for each column that has one value
}

const (
	maxRows = 128 // a power of two

	// Statements that are prepared for columns of one value. Which columns these are is the callers' to say, so there is a
	// limit; beyond it they are bound as the others.
	maxChunks = 256
)

func (t *tx) Each(s *sqlstore.Statement, cols []any) (total int64, err error) {
	err = t.split(s, cols, func(stmt *sql.Stmt, args []any) error {
		n, failed := affected(stmt.ExecContext(t.ctx, args...))
		total += n
		return failed
	})
	return total, err
}

func (t *tx) Select(s *sqlstore.Statement, cols []any, scan sqlstore.Scan) error {
	return t.split(s, cols, func(stmt *sql.Stmt, args []any) error {
		rows, err := stmt.QueryContext(t.ctx, args...)
		if err != nil {
			return err
		}
		return each(rows, scan)
	})
}

// split calls run with a prepared statement and its arguments for each chunk of the rows.
func (t *tx) split(s *sqlstore.Statement, cols []any, run func(*sql.Stmt, []any) error) error {
	same := constants(cols)
	for from, left := 0, length(cols); left > 0; {
		c := chunk{s, maxRows, same}
		for c.rows > left {
			c.rows /= 2
		}
		if c.rows == 1 {
			c.same = 0
		}
		stmt, err := t.prepare(&c)
		if err != nil {
			return err
		}
		if err := run(stmt, t.flat(&c, cols, from)); err != nil {
			return err
		}
		from, left = from+c.rows, left-c.rows
	}
	return nil
}

// prepare gives the chunk's statement. Where there are too many it changes the chunk to one that binds all columns.
func (t *tx) prepare(c *chunk) (*sql.Stmt, error) {
	stmt := t.chunks[*c]
	if stmt == nil && len(t.chunks) >= maxChunks && c.same != 0 {
		c.same = 0
		stmt = t.chunks[*c]
	}
	if stmt != nil {
		return stmt, nil
	}
	stmt, err := t.conn.PrepareContext(t.ctx, c.text())
	if err == nil {
		t.chunks[*c] = stmt
	}
	return stmt, err
}

// text writes the statement. Columns of one value come first, so that the first row numbers them, and the other rows name
// their numbers.
func (c *chunk) text() string {
	var names, first, next []string
	for i := range c.s.Columns {
		if c.same&(1<<i) != 0 {
			names, first, next = append(names, c.s.Columns[i].Name), append(first, "?"), append(next, "?"+strconv.Itoa(len(next)+1))
		}
	}
	for i := range c.s.Columns {
		if c.same&(1<<i) == 0 {
			names, first, next = append(names, c.s.Columns[i].Name), append(first, "?"), append(next, "?")
		}
	}
	rows := "(" + strings.Join(first, ", ") + ")" + strings.Repeat(", ("+strings.Join(next, ", ")+")", c.rows-1)
	return strings.Replace(words(c.s.Text), "{b}", "b ("+strings.Join(names, ", ")+") AS (VALUES "+rows+")", 1)
}

// flat gives the arguments of a chunk: what its rows have in common, then row by row.
func (t *tx) flat(c *chunk, cols []any, from int) []any {
	t.args = t.args[:0]
	for i, col := range cols {
		if c.same&(1<<i) != 0 {
			t.args = append(t.args, value(col, from))
		}
	}
	for row := from; row < from+c.rows; row++ {
		for i, col := range cols {
			if c.same&(1<<i) == 0 {
				t.args = append(t.args, value(col, row))
			}
		}
	}
	return t.args
}

func value(col any, row int) any {
	switch c := col.(type) {
	case []int64:
		return c[row]
	case [][]byte:
		if c[row] != nil {
			return c[row]
		}
	}
	return []byte{} // as nil came out of the database, where it is empty
}

// constants gives a bit for each column that has one value in all rows.
func constants(cols []any) (same uint32) {
	for i, col := range cols {
		if sqlstore.Same(col) {
			same |= 1 << i
		}
	}
	return same
}

func length(cols []any) int {
	switch c := cols[0].(type) {
	case []int64:
		return len(c)
	case [][]byte:
		return len(c)
	}
	return 0
}
