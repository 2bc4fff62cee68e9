package sqlstore

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// Options are what all stores on SQL databases have in common. The zero value is the default.
type Options struct {
	Window      time.Duration // how long a key is remembered after its run ended; 14 days
	HistoryAge  time.Duration // how long ended runs stay in the history, from their end; 90 days
	HistoryRows int           // how many stay there beyond the window; 1,000,000
}

// DefaultHistoryAge and DefaultHistoryRows bound the history when no option says otherwise.
const (
	DefaultHistoryAge  = 90 * 24 * time.Hour
	DefaultHistoryRows = 1_000_000
)

// maxLease keeps sums of instants in 64 bits.
const maxLease = 100 * 365 * 24 * time.Hour

// SetWindow checks and sets Options.Window for the package pkg's option.
func (o *Options) SetWindow(pkg string, d time.Duration) error {
	if d <= 0 {
		return &eventflow.ConfigError{Field: pkg + ".Window", Value: d.String(), Allowed: "a duration above zero"}
	}
	o.Window = d
	return nil
}

// SetHistory checks and sets the bounds of the history for the package pkg's option.
func (o *Options) SetHistory(pkg string, age time.Duration, rows int) error {
	var errs []error
	if age <= 0 {
		errs = append(errs, &eventflow.ConfigError{Field: pkg + ".History age", Value: age.String(), Allowed: "a duration above zero"})
	}
	if rows < 0 {
		errs = append(errs, &eventflow.ConfigError{Field: pkg + ".History rows", Value: strconv.Itoa(rows), Allowed: "0 or more rows"})
	}
	o.HistoryAge, o.HistoryRows = age, rows
	return errors.Join(errs...)
}

// Store is a store on an engine. It implements all interfaces of package store.
type Store struct {
	engine    Engine
	committer *committer
	opts      Options

	stop    context.CancelFunc // ends the janitor
	janitor sync.WaitGroup
	closing sync.Once
	closed  chan struct{} // from the beginning of Close on
	failed  error         // of the engine's Close
}

// New starts a store on an engine whose schema is up to date. The store closes the engine.
func New(e Engine, o Options) *Store {
	if o.Window == 0 {
		o.Window = store.DefaultWindow
	}
	if o.HistoryAge == 0 {
		o.HistoryAge, o.HistoryRows = DefaultHistoryAge, DefaultHistoryRows
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Store{engine: e, committer: newCommitter(e, int64(o.Window)), opts: o, stop: stop, closed: make(chan struct{})}
	s.janitor.Go(func() { s.tidy(ctx) })
	return s
}

// Claim implements store.Store.
func (s *Store) Claim(ctx context.Context, owner string, lease time.Duration, cs []store.Claim) error {
	if err := store.CheckHolder(owner, lease); err != nil {
		return err
	}
	q := newRequest(claiming, owner, lease, len(cs))
	for i := range cs {
		o, k := &q.ops[i], &cs[i].Key
		o.key, o.rest = identify(k)
		o.flow, o.clock, o.fire = k.Flow, k.Binding, cs[i].Fire
	}
	if err := s.call(ctx, q); err != nil {
		return err
	}
	for i := range cs {
		c, o := &cs[i], &q.ops[i]
		c.Status, c.Outcome, c.Fence, c.Attempts, c.Until = o.status, o.outcome, int(o.fence), int(o.attempts), time.Time{}
		switch o.status {
		case store.Early:
			c.Until = c.Fire.NotBefore
		case store.Granted, store.Held, store.Overlapping:
			c.Until = o.until()
		}
	}
	return nil
}

// Renew implements store.Store.
func (s *Store) Renew(ctx context.Context, owner string, lease time.Duration, cs []*store.Claim) error {
	if err := store.CheckHolder(owner, lease); err != nil {
		return err
	}
	q := newRequest(renewing, owner, lease, len(cs))
	for i, c := range cs {
		o := &q.ops[i]
		o.key, _ = identify(&c.Key)
		o.fence = int64(c.Fence)
	}
	if err := s.call(ctx, q); err != nil {
		return err
	}
	for i, c := range cs {
		o := &q.ops[i]
		c.Status, c.Until = o.status, time.Time{}
		if o.status == store.Done {
			c.Outcome = o.outcome
		} else {
			c.Until = o.until()
		}
	}
	return nil
}

// Finish implements store.Store.
func (s *Store) Finish(ctx context.Context, owner string, fs []store.Finish) error {
	for i := range fs {
		if err := fs[i].Check(); err != nil {
			return err
		}
	}
	q := newRequest(finishing, owner, 0, len(fs))
	for i := range fs {
		o, f := &q.ops[i], &fs[i]
		o.key, _ = identify(&f.Claim.Key)
		o.fence, o.state, o.outcome, o.reason, o.err = int64(f.Claim.Fence), f.State, f.Outcome, f.Reason, f.Err
		if !f.StartedAt.IsZero() {
			o.started = nanos(f.StartedAt)
		}
	}
	if err := s.call(ctx, q); err != nil {
		return err
	}
	for i := range fs {
		fs[i].Fenced = q.ops[i].fenced
	}
	return nil
}

func newRequest(k kind, owner string, lease time.Duration, n int) *request {
	q := &request{kind: k, owner: owner, lease: int64(min(lease, maxLease)), ops: make([]op, n)}
	for i := range q.ops {
		q.ops[i].req = q
	}
	return q
}

func (s *Store) call(ctx context.Context, q *request) error {
	if len(q.ops) == 0 {
		return s.ready(ctx)
	}
	return s.committer.do(ctx, q)
}

func (s *Store) ready(ctx context.Context) error {
	select {
	case <-s.closed:
		return eventflow.ErrClosed
	default:
		return ctx.Err()
	}
}

// query reads, unless the store is closed.
func (s *Store) query(ctx context.Context, query string, args []any, scan Scan) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	err := s.engine.Query(ctx, query, args, scan)
	if err != nil {
		if closed := s.ready(ctx); closed != nil {
			return closed
		}
	}
	return err
}

// Orphans implements store.Store: those first whose leases ended first. It reads the clock of the database, as the
// leases are by it.
func (s *Store) Orphans(ctx context.Context, flow string, limit int) (ks []eventflow.Key, err error) {
	if limit <= 0 {
		return nil, s.ready(ctx)
	}
	err = s.query(ctx, `SELECT key, rest FROM runs WHERE flow = $1 AND live = 2 AND until <= {now} ORDER BY until, key LIMIT $2`,
		[]any{[]byte(flow), int64(limit)}, func(row func(...any) error) error {
			var key, rest []byte
			if failed := row(&key, &rest); failed != nil {
				return failed
			}
			k, failed := restore(key, rest)
			ks = append(ks, k)
			return failed
		})
	return ks, err
}

// Cursor implements store.Store.
func (s *Store) Cursor(ctx context.Context, flow, clock, definition string) (at time.Time, err error) {
	err = s.query(ctx, `SELECT nominal FROM cursors WHERE name = $1 AND definition = $2`, []any{name(flow, clock), []byte(definition)},
		func(row func(...any) error) error {
			var ns int64
			failed := row(&ns)
			at = time.Unix(0, ns).UTC()
			return failed
		})
	return at, err
}

// Close implements store.Store. It waits for the calls that are being written.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.closed)
		s.stop()
		s.committer.close()
		s.janitor.Wait()
		s.failed = s.engine.Close()
	})
	return s.failed
}
