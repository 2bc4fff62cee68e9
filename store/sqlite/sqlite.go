// Package sqlite is a store in a file: one machine's memory of its runs, across restarts and crashes and for as many
// processes as open the file.
//
//	s, err := sqlite.Open(ctx, "events.db")
//
// It needs no server and no cgo. The file is written ahead (WAL mode), so two more files stand beside it, named as it is
// with -wal and -shm; they belong to it, and a copy of the store is a copy of all three, or VACUUM INTO. It must not lie
// on a network file system.
//
// Every call is on the disk before it returns (synchronous=FULL; [Relaxed] trades that), and what waits is written
// together: under load a transaction and a sync of the disk serve many calls. Leases and the times before which fires may
// not start are by the machine's clock, which all its processes share; setting it back by more than a lease lets a dead
// process's run be taken over that much later, setting it forward earlier.
//
// A full disk and a file that may not be written are errors of a call ([store.ErrDiskFull], [store.ErrReadOnly]) after
// which the store goes on when the cause is gone.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/sqlstore"
	"github.com/eventflow-go/eventflow/store"
)

// Store is a store in a file. It is a store.Store, a store.History and a store.Listeners. All methods may be called by
// many goroutines at once.
type Store struct {
	*sqlstore.Store

	engine *engine
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.History   = (*Store)(nil)
	_ store.Listeners = (*Store)(nil)
)

// Option is an option of [Open].
type Option func(*config) error

type config struct {
	sqlstore.Options
	synchronous string
}

// Window is how long a key is remembered after its run ended, and one whose run was left without an end; 14 days by
// default. An event that is delivered again later runs again.
func Window(d time.Duration) Option {
	return func(c *config) error { return c.SetWindow("sqlite", d) }
}

// History bounds what is kept of runs beyond the window: for so long from their ends, 90 days by default, and so many of
// them, 1,000,000 by default; 0 keeps none. Runs within the window are always there.
func History(age time.Duration, rows int) Option {
	return func(c *config) error { return c.SetHistory("sqlite", age, rows) }
}

// Relaxed lets calls return before the disk has what they wrote (synchronous=NORMAL). A crash of a process loses
// nothing; a power cut or a crash of the machine loses the calls of the last seconds: runs that had ended run again when
// their events are delivered again, and a claim may be granted twice.
func Relaxed() Option {
	return func(c *config) error { c.synchronous = "NORMAL"; return nil }
}

// How long SQLite waits for another process that writes.
const busyTimeout = 5 * time.Second

// Open opens the file, or makes it, and brings its schema up to date; many processes may do so at once. What is not a
// store is refused with store.ErrForeign, and a schema that a newer release made with a *eventflow.ConfigError, before
// anything is changed. ctx bounds the opening only.
func Open(ctx context.Context, path string, opts ...Option) (*Store, error) {
	c := config{synchronous: "FULL"}
	var errs []error
	if path == "" || path == ":memory:" || strings.ContainsRune(path, 0) {
		errs = append(errs, &eventflow.ConfigError{Field: "sqlite.Open path", Value: path, Allowed: "the path of a file"})
	}
	for _, o := range opts {
		errs = append(errs, o(&c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	e := &engine{path: path, turn: make(chan struct{}, 1)}
	e.turn <- struct{}{}
	if err := e.open(ctx, &c); err != nil {
		_ = e.Close()
		return nil, e.named(err)
	}
	return &Store{Store: sqlstore.New(e, c.Options), engine: e}, nil
}

// Scheme opens stores by URL: sqlite:events.db, sqlite:///var/lib/events.db. The parameters window (a duration, such as
// 336h) and synchronous (full or normal) are the options.
var Scheme = store.Scheme{Names: []string{"sqlite"}, Open: openURL}

func openURL(ctx context.Context, u *url.URL) (store.Store, error) {
	path := u.Path
	if u.Opaque != "" {
		var err error
		if path, err = url.PathUnescape(u.Opaque); err != nil {
			path = ""
		}
	}
	var errs []error
	refuse := func(what, value, allowed string) {
		errs = append(errs, &eventflow.ConfigError{Field: "sqlite URL " + what, Value: value, Allowed: allowed})
	}
	if u.Host != "" || u.User != nil {
		refuse("host", "(not shown)", "none: sqlite:events.db, or sqlite:///var/lib/events.db with three slashes")
	}
	var opts []Option
	for name, values := range u.Query() {
		value := values[len(values)-1]
		switch name {
		case "window":
			d, err := time.ParseDuration(value)
			if err != nil {
				refuse(name, value, "a duration such as 336h")
				continue
			}
			opts = append(opts, Window(d))
		case "synchronous":
			switch strings.ToLower(value) {
			case "full":
			case "normal":
				opts = append(opts, Relaxed())
			default:
				refuse(name, value, "full or normal")
			}
		default:
			refuse("parameter", name, "window or synchronous")
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s, err := Open(ctx, path, opts...)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// readers are the connections that read, beside the one that writes.
const readers = 4

func (e *engine) open(ctx context.Context, c *config) (err error) {
	name := "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(e.path)
	pragmas := fmt.Sprintf("?_pragma=busy_timeout(%d)&_pragma=synchronous(%s)&_pragma=cache_size(-16000)", busyTimeout.Milliseconds(), c.synchronous)
	if e.writer, err = sql.Open("sqlite", name+pragmas+"&_pragma=wal_autocheckpoint(4000)&_pragma=journal_size_limit(67108864)"); err != nil {
		return err
	}
	e.writer.SetMaxOpenConns(1)
	if e.reader, err = sql.Open("sqlite", name+pragmas+"&_pragma=query_only(1)"); err != nil {
		return err
	}
	e.reader.SetMaxOpenConns(readers)
	if e.conn, err = e.writer.Conn(ctx); err != nil {
		return err
	}
	if err = e.migrate(ctx); err != nil {
		return err
	}
	e.tx = tx{conn: e.conn, prepared: make(map[string]*sql.Stmt), chunks: make(map[chunk]*sql.Stmt)}
	return nil
}
