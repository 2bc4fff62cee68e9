package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/eventflow-go/eventflow"
)

// Version is the newest schema that this code knows: the number of its migrations.
var Version = len(migrations)

// migrations are run in order, each once, and never changed after a release: a new one goes to the end. INTEGER, BLOB
// and the rest are written as SQLite has them; [Dialect] gives another engine's words.
//
// Rows of runs stand in the order in which they came, and not in that of their keys, which may be random: then a claim
// touches a page of its own in one index only, and an end in none. The other index of runs serves all that is not asked by
// key: what is unfinished (fires that were left), what is past its window, and the history of a flow, newest first.
var migrations = [][]string{{
	`CREATE TABLE runs (
		key BLOB NOT NULL PRIMARY KEY,
		flow BLOB NOT NULL,
		rest BLOB NOT NULL,
		live INTEGER NOT NULL,
		last INTEGER NOT NULL DEFAULT 0,
		outcome INTEGER NOT NULL DEFAULT 0,
		owner BLOB NOT NULL,
		fence INTEGER NOT NULL,
		until INTEGER NOT NULL,
		attempts INTEGER NOT NULL DEFAULT 0,
		slot BLOB NOT NULL,
		started INTEGER NOT NULL DEFAULT 0,
		reason BLOB NOT NULL DEFAULT x'',
		err BLOB NOT NULL DEFAULT x''
	)`,
	`CREATE INDEX runs_flow ON runs (flow, live, until)`,
	`CREATE TABLE history (
		seq INTEGER PRIMARY KEY,
		key BLOB NOT NULL,
		flow BLOB NOT NULL,
		rest BLOB NOT NULL,
		outcome INTEGER NOT NULL,
		owner BLOB NOT NULL,
		fence INTEGER NOT NULL,
		until INTEGER NOT NULL,
		attempts INTEGER NOT NULL,
		started INTEGER NOT NULL,
		reason BLOB NOT NULL,
		err BLOB NOT NULL
	)`,
	`CREATE INDEX history_flow ON history (flow, until, key)`,
	`CREATE TABLE cursors (
		name BLOB NOT NULL PRIMARY KEY,
		definition BLOB NOT NULL,
		nominal INTEGER NOT NULL
	) WITHOUT ROWID`,
	`CREATE TABLE slots (
		name BLOB NOT NULL PRIMARY KEY,
		holder BLOB NOT NULL
	) WITHOUT ROWID`,
	`CREATE TABLE listeners (
		id BLOB NOT NULL PRIMARY KEY,
		account BLOB NOT NULL,
		flow BLOB NOT NULL,
		version BLOB NOT NULL,
		state BLOB NOT NULL,
		owner BLOB NOT NULL,
		generation INTEGER NOT NULL,
		heartbeat INTEGER NOT NULL,
		until INTEGER NOT NULL,
		revivals INTEGER NOT NULL,
		spec BLOB NOT NULL
	) WITHOUT ROWID`,
}}

// Tables lists the tables of the schema, for grants.
var Tables = []string{"runs", "history", "cursors", "slots", "listeners"}

// Dialect writes the statements of this package in an engine's words. A nil one changes nothing.
type Dialect = *strings.Replacer

// Migrate runs the migrations behind version, inside the transaction of exec. Whoever calls it holds a lock that no
// other process can hold, and notes the new version in the same transaction.
func Migrate(ctx context.Context, version int, d Dialect, exec func(ctx context.Context, query string) error) error {
	for _, m := range migrations[version:] {
		for _, q := range m {
			if d != nil {
				q = d.Replace(q)
			}
			if err := exec(ctx, q); err != nil {
				return fmt.Errorf("store: migrating the schema from version %d: %w", version, err)
			}
		}
	}
	return nil
}

// CheckVersion refuses a schema that a newer release made: what it means by its columns is not known here.
func CheckVersion(where string, found int) error {
	if found < 0 || found > Version {
		return &eventflow.ConfigError{
			Field: where + " schema", Value: fmt.Sprintf("version %d", found),
			Allowed: fmt.Sprintf("up to version %d: a newer release of eventflow has been here; run that one", Version),
		}
	}
	return nil
}
