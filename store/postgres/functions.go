package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/eventflow-go/eventflow/internal/sqlstore"
)

// The statements of sqlstore.Ready are functions in the schema. A statement that is sent is parsed and planned each time,
// as nothing may be prepared in a session, and that takes as long as writing twenty keys; what stands in a function each
// connection of the server plans once.

// function writes a statement as one. Its arguments are the columns, as arrays; one of a single element is for all rows.
// The plan is for any number of rows, and reads no table: it is kept, however large the tables become.
func (e *engine) function(s *sqlstore.Statement) string {
	var kinds, arrays, names, first, values []string //nolint:prealloc // it is made once
	for i, c := range s.Columns {
		n := strconv.Itoa(i + 1)
		kinds, arrays, names, first = append(kinds, kind(c)), append(arrays, "$"+n), append(names, c.Name), append(first, "c"+n)
		if i == 0 {
			values = append(values, "c1")
		} else {
			values = append(values, "coalesce(c"+n+", $"+n+"[1])")
		}
	}
	b := "b (" + strings.Join(names, ", ") + ") AS (SELECT " + strings.Join(values, ", ") +
		" FROM unnest(" + strings.Join(arrays, ", ") + ") AS c (" + strings.Join(first, ", ") + "))"
	text := e.words.Replace(strings.ReplaceAll(s.Text, "{clock}", "instant"))
	return "CREATE OR REPLACE FUNCTION " + e.schema + "." + s.Name + "(" + strings.Join(kinds, ", ") + `) RETURNS bigint LANGUAGE plpgsql
		SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
		AS $function$ DECLARE instant bigint := ` + clock + `; changed bigint; BEGIN ` +
		strings.Replace(text, "{b}", b, 1) + `; GET DIAGNOSTICS changed = ROW_COUNT; RETURN changed; END $function$`
}

func kind(c sqlstore.Column) string {
	if c.Int {
		return "bigint[]"
	}
	return "bytea[]"
}

// Together sends the whole transaction at once, which ends where the server has read all of it: one round trip.
func (e *engine) Together(ctx context.Context, bs []sqlstore.Bulk) (counts []int64, err error) {
	var text strings.Builder
	var values [][]byte
	var types []uint32
	for i, b := range bs {
		fmt.Fprintf(&text, "%s%s.%s(", [...]string{"SELECT ", ", "}[min(i, 1)], e.schema, b.Statement.Name)
		for j, col := range b.Columns {
			value, of := array(col, j > 0)
			values, types = append(values, value), append(types, of)
			fmt.Fprintf(&text, "%s$%d", [...]string{"", ", "}[min(j, 1)], len(values))
		}
		text.WriteByte(')')
	}
	formats := []int16{pgx.BinaryFormatCode} // of all
	err = e.again(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var all pgconn.Batch
		all.ExecParams(e.bound, nil, nil, nil, nil)
		all.ExecParams(text.String(), values, types, formats, formats)
		results := conn.PgConn().ExecBatch(ctx, &all)
		counts = counts[:0]
		for results.NextResult() {
			for r := results.ResultReader(); r.NextRow(); {
				counts = counts[:0]
				for _, n := range r.Values() {
					if len(n) == 8 {
						counts = append(counts, int64(binary.BigEndian.Uint64(n)))
					}
				}
			}
		}
		return results.Close()
	})
	if err == nil && len(counts) != len(bs) {
		return nil, errCounts
	}
	return counts, err
}

var errCounts = errors.New("store: postgres did not say what it changed")

// array encodes a column, and gives its type. One that has the same value in all rows becomes shorter, where it may.
func array(col any, shorten bool) ([]byte, uint32) {
	shorten = shorten && sqlstore.Same(col)
	switch c := col.(type) {
	case []int64:
		if shorten {
			c = c[:1]
		}
		a := header(len(c), pgtype.Int8OID, 12*len(c))
		for _, n := range c {
			a = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(a, 8), uint64(n))
		}
		return a, pgtype.Int8ArrayOID
	case [][]byte:
		if shorten {
			c = c[:1]
		}
		size := 0
		for _, b := range c {
			size += 4 + len(b)
		}
		a := header(len(c), pgtype.ByteaOID, size)
		for _, b := range c {
			a = append(binary.BigEndian.AppendUint32(a, uint32(len(b))), b...)
		}
		return a, pgtype.ByteaArrayOID
	}
	return nil, 0
}

// header begins an array of one dimension, whose first index is 1, without NULLs.
func header(n int, of uint32, size int) []byte {
	a := make([]byte, 0, 20+size)
	for _, field := range [...]uint32{1, 0, of, uint32(n), 1} {
		a = binary.BigEndian.AppendUint32(a, field)
	}
	return a
}
