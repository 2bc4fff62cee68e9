// Package sqlstore is what the stores on SQL databases have in common: one schema, one family of statements, the rules
// of a claim, and a committer that writes what waits in one transaction. What differs is an [Engine].
package sqlstore

import (
	"bytes"
	"context"
	"slices"
)

// Engine is a database. Its methods are called by many goroutines at once.
type Engine interface {
	// Write runs f in one transaction of at most the engine's own time limit and returns when it is durable. It may run
	// f again, from its beginning, when the database asks for that. On an error nothing was written, as far as one may
	// rely on it.
	Write(ctx context.Context, f func(Tx) error) error

	// Together runs statements of Ready in one transaction and gives the rows that each changed. It may run them again after
	// it was cut off.
	Together(ctx context.Context, bs []Bulk) ([]int64, error)

	// Base is what {clock} leaves out: an instant is written as b.until + {clock}, and either {clock} is the database's own
	// and Base is 0, or {clock} is 0 and Base is now.
	Base() int64

	// Query reads what is committed, and calls scan for each row.
	Query(ctx context.Context, query string, args []any, scan Scan) error

	// Lanes is how many transactions of the committer may be open at once.
	Lanes() int

	// Close ends what the engine opened.
	Close() error
}

// Statements are written once for all engines: $1 is the first argument, a value is an int64 or a []byte, never NULL. An
// engine puts its own words for what stands in braces: {now} is its clock in nanoseconds, {lock} is what stands behind a
// SELECT whose rows the transaction is going to change, {skip} the same when it need not have those that another
// transaction has, and {touch} is what locks the row that an INSERT is in conflict with; where one writes at a time all
// three lock nothing. {whole} tells an engine that has to know before that an error undoes the whole transaction, so that it
// need not be ready to undo one statement. {clock} is what [Engine].Base leaves to it.

// Tx is an open transaction.
type Tx interface {
	// Now is the database's clock, in nanoseconds since 1970, read after what the transaction did so far.
	Now() (int64, error)

	// Exec gives how many rows changed.
	Exec(query string, args ...any) (rows int64, err error)
	// Query calls scan for each row.
	Query(query string, args []any, scan Scan) error

	// Each runs a statement once for many rows, which it names b. cols holds one slice for each of its columns, []int64 or
	// [][]byte, all of one length.
	Each(s *Statement, cols []any) (rows int64, err error)
	// Select is Each of a statement that gives rows.
	Select(s *Statement, cols []any, scan Scan) error
}

// Scan reads a row by giving it where its columns go: *int64 or *[]byte. The bytes are the receiver's to keep.
type Scan func(row func(dest ...any) error) error

// Statement is one that runs for many rows at once. {b} in its text stands for the table of the rows.
type Statement struct {
	Name    string // of one of Ready
	Text    string
	Columns []Column
}

// Bulk is a statement with its rows.
type Bulk struct {
	Statement *Statement
	Columns   []any // as for Tx.Each
}

// Column is a column of a statement's rows.
type Column struct {
	Name string
	Int  bool // else bytes
}

func (s *Statement) String() string { return s.Text }

// Same reports whether a column has one value in all rows.
func Same(col any) bool {
	switch c := col.(type) {
	case []int64:
		return !slices.ContainsFunc(c, func(n int64) bool { return n != c[0] })
	case [][]byte:
		return !slices.ContainsFunc(c, func(b []byte) bool { return !bytes.Equal(b, c[0]) })
	}
	return false
}

func bytesColumn(name string) Column { return Column{Name: name} }
func intColumn(name string) Column   { return Column{Name: name, Int: true} }
