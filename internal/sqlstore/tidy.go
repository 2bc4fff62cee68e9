package sqlstore

import (
	"context"
	"time"
)

// tidyRows is how many rows one transaction forgets: few enough that a claim does not notice it wait.
const tidyRows = 500

// tidy forgets what is past its time, until ctx ends. An error is no one's to handle: the next round tries again.
func (s *Store) tidy(ctx context.Context) {
	every := time.NewTicker(min(max(s.opts.Window/8, 10*time.Millisecond), time.Minute))
	defer every.Stop()
	for {
		select {
		case <-every.C:
			_ = s.tidyOnce(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// tidyOnce forgets all that is past its time. It looks before it writes: an idle store is not written.
func (s *Store) tidyOnce(ctx context.Context) error {
	flows, err := s.flows(ctx, "runs")
	if err != nil {
		return err
	}
	for _, flow := range flows {
		for _, l := range []live{ended, liveEvent, liveFire} {
			err = s.tidyEach(ctx, `SELECT key FROM runs WHERE flow = $1 AND live = $2 AND until <= {now} - $3 ORDER BY until, key LIMIT $4`,
				[]any{flow, l, int64(s.opts.Window), int64(tidyRows)}, forget)
			if err != nil {
				return err
			}
		}
	}
	if flows, err = s.flows(ctx, "history"); err != nil {
		return err
	}
	for _, flow := range flows {
		if err = s.tidyHistory(ctx, `flow = $1 AND until <= {now} - $2`, flow, int64(s.opts.HistoryAge)); err != nil {
			return err
		}
	}
	return s.tidyHistory(ctx, `seq <= (SELECT max(seq) FROM history) - $1`, int64(s.opts.HistoryRows))
}

// tidyEach forgets in batches what a query selects, until that is little.
func (s *Store) tidyEach(ctx context.Context, query string, args []any, do func(Tx, [][]byte) error) error {
	for more := true; more; {
		some := false
		if err := s.query(ctx, query, args, func(func(...any) error) error { some = true; return nil }); err != nil || !some {
			return err
		}
		err := s.engine.Write(ctx, func(tx Tx) error {
			var keys [][]byte
			err := tx.Query(query+" {skip}", args, func(row func(...any) error) error {
				var key []byte
				err := row(&key)
				keys = append(keys, key)
				return err
			})
			more = len(keys) == tidyRows
			if err != nil {
				return err
			}
			return do(tx, keys)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) tidyHistory(ctx context.Context, where string, args ...any) error {
	for more := true; more; {
		some := false
		err := s.query(ctx, `SELECT seq FROM history WHERE `+where+` LIMIT 1`, args, func(func(...any) error) error { some = true; return nil })
		if err != nil || !some {
			return err
		}
		err = s.engine.Write(ctx, func(tx Tx) error {
			n, failed := tx.Exec(`DELETE FROM history WHERE seq IN (SELECT seq FROM history WHERE `+where+` ORDER BY seq LIMIT 500 {skip})`, args...)
			more = n >= tidyRows
			return failed
		})
		if err != nil {
			return err
		}
	}
	return nil
}
