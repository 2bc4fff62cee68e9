package sqlstore

import (
	"context"
	"time"

	"github.com/eventflow-go/eventflow/store"
)

// Beat implements store.Listeners.
func (s *Store) Beat(ctx context.Context, lease time.Duration, l *store.Listener) error {
	if err := store.CheckHolder(l.Owner, lease); err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	var now int64
	var written int64
	err := s.engine.Write(ctx, func(tx Tx) (err error) {
		if now, err = tx.Now(); err != nil {
			return err
		}
		spec := l.Spec
		if spec == nil {
			spec = noBytes
		}
		written, err = tx.Exec(`INSERT INTO listeners (id, account, flow, version, state, owner, generation, heartbeat, until, revivals, spec)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (id) DO UPDATE SET account = excluded.account, flow = excluded.flow, version = excluded.version, state = excluded.state,
				owner = excluded.owner, generation = excluded.generation, heartbeat = excluded.heartbeat, until = excluded.until,
				revivals = excluded.revivals, spec = excluded.spec
			WHERE listeners.generation < excluded.generation
				OR (listeners.generation = excluded.generation AND listeners.owner = excluded.owner)`,
			[]byte(l.ID), []byte(l.Account), []byte(l.Flow), []byte(l.Version), []byte(l.State), []byte(l.Owner),
			int64(l.Generation), now, now+int64(min(lease, maxLease)), int64(l.Revivals), spec)
		return err
	})
	if err != nil {
		return err
	}
	if l.Fenced = written == 0; !l.Fenced {
		l.Heartbeat = time.Unix(0, now).UTC()
		l.Until = l.Heartbeat.Add(min(lease, maxLease))
	}
	return nil
}

// Listeners implements store.Listeners.
func (s *Store) Listeners(ctx context.Context, flow, after string, limit int) (ls []store.Listener, err error) {
	if limit <= 0 {
		return nil, s.ready(ctx)
	}
	err = s.query(ctx, `SELECT id, account, flow, version, state, owner, generation, heartbeat, until, revivals, spec FROM listeners
		WHERE id > $1 AND (length(CAST($2 AS BLOB)) = 0 OR flow = $2) ORDER BY id LIMIT $3`, []any{[]byte(after), []byte(flow), int64(limit)},
		func(row func(...any) error) error {
			var id, account, flow, version, state, owner, spec []byte
			var generation, heartbeat, until, revivals int64
			failed := row(&id, &account, &flow, &version, &state, &owner, &generation, &heartbeat, &until, &revivals, &spec)
			ls = append(ls, store.Listener{
				ID: string(id), Account: string(account), Flow: string(flow), Version: string(version), State: string(state), Owner: string(owner),
				Generation: int(generation), Revivals: int(revivals), Spec: spec,
				Heartbeat: time.Unix(0, heartbeat).UTC(), Until: time.Unix(0, until).UTC(),
			})
			return failed
		})
	return ls, err
}

// Leave implements store.Listeners.
func (s *Store) Leave(ctx context.Context, id string, generation int) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	return s.engine.Write(ctx, func(tx Tx) error {
		_, err := tx.Exec(`DELETE FROM listeners WHERE id = $1 AND generation <= $2`, []byte(id), int64(generation))
		return err
	})
}
