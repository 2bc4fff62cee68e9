package sqlstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// Bounds of a page of the history.
const (
	defaultPage = 100
	maxPage     = 1000
)

// past is a row as the history tells it, with what it is sorted by.
type past struct {
	store.RunRecord
	until int64
	key   []byte
}

// place is where a page ends: the row behind it is older, or of the same instant with a smaller key.
type place struct {
	until int64
	key   []byte
}

func (p place) String() string {
	return base64.RawURLEncoding.EncodeToString(append(binary.BigEndian.AppendUint64(nil, uint64(p.until)), p.key...))
}

func placeOf(s string) (place, error) {
	if s == "" {
		return place{math.MaxInt64, noBytes}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) < 9 {
		return place{}, &eventflow.ConfigError{Field: "store.RunQuery.After", Value: s, Allowed: "the next that a page gave"}
	}
	return place{int64(binary.BigEndian.Uint64(b)), b[8:]}, nil
}

const runColumns = `key, rest, live, last, outcome, owner, fence, until, attempts, started, reason, err FROM runs WHERE live `

const historyColumns = `key, rest, 0, 1, outcome, owner, fence, until, attempts, started, reason, err FROM history WHERE true`

const page = ` AND flow = $1 AND until >= $2 AND until <= $3 AND (until < $4 OR key < $5) AND ($6 = 0 OR outcome = $6)
	ORDER BY until DESC, key DESC LIMIT $7`

// Runs implements store.History. Ended runs beyond the window come from the table of the history, the others from that
// of the claims.
func (s *Store) Runs(ctx context.Context, q store.RunQuery) (rs []store.RunRecord, next string, err error) {
	if q.Limit == 0 {
		q.Limit = defaultPage
	}
	after, err := placeOf(q.After)
	switch {
	case err != nil:
		return nil, "", err
	case q.Limit < 1 || q.Limit > maxPage:
		return nil, "", &eventflow.ConfigError{Field: "store.RunQuery.Limit", Value: strconv.Itoa(q.Limit), Allowed: "1 to " + strconv.Itoa(maxPage)}
	}
	flows := [][]byte{[]byte(q.Flow)}
	if q.Flow == "" {
		if flows, err = s.flows(ctx, "runs", "history"); err != nil {
			return nil, "", err
		}
	}
	var selects []string
	switch q.Phase {
	case store.Running:
		selects = []string{runColumns + "> 0 AND last = 0"}
	case store.Waiting:
		selects = []string{runColumns + "> 0 AND last > 0"}
	default:
		selects = []string{runColumns + "= 0", historyColumns}
	}
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if !q.From.IsZero() {
		from = nanos(q.From)
	}
	if !q.To.IsZero() {
		to = max(nanos(q.To), math.MinInt64+1) - 1
	}
	var found []past
	for _, flow := range flows {
		args := []any{flow, from, min(to, after.until), after.until, after.key, int64(q.Outcome), int64(q.Limit + 1)}
		for _, columns := range selects {
			if err = s.query(ctx, "SELECT "+columns+page, args, scanPast(&found)); err != nil {
				return nil, "", err
			}
		}
	}
	slices.SortFunc(found, func(a, b past) int { return cmp.Or(cmp.Compare(b.until, a.until), bytes.Compare(b.key, a.key)) })
	// A run that moved into the history between the two queries is in both.
	found = slices.CompactFunc(found, func(a, b past) bool { return a.until == b.until && bytes.Equal(a.key, b.key) })
	if len(found) > q.Limit {
		last := found[q.Limit-1]
		found, next = found[:q.Limit], place{last.until, last.key}.String()
	}
	for i := range found {
		rs = append(rs, found[i].RunRecord)
	}
	return rs, next, nil
}

func scanPast(to *[]past) Scan {
	return func(row func(...any) error) error {
		var p past
		var rest, owner, reason, errText []byte
		var alive, last, outcome, fence, attempts, started int64
		err := row(&p.key, &rest, &alive, &last, &outcome, &owner, &fence, &p.until, &attempts, &started, &reason, &errText)
		if err != nil {
			return err
		}
		if p.Key, err = restore(p.key, rest); err != nil {
			return err
		}
		switch {
		case alive == ended:
			p.Phase = store.Ended
		case last == 0:
			p.Phase = store.Running
		default:
			p.Phase = store.Waiting
		}
		p.Outcome, p.Attempts, p.Owner, p.Reason, p.Err = eventflow.Outcome(outcome), int(attempts), string(owner), string(reason), string(errText)
		p.Claimed, p.At = time.Unix(0, fence).UTC(), time.Unix(0, p.until).UTC()
		if started != 0 {
			p.Started = time.Unix(0, started).UTC()
		}
		*to = append(*to, p)
		return nil
	}
}

// flows gives the flows that tables know. It steps from one to the next in the index, however many rows each has.
func (s *Store) flows(ctx context.Context, tables ...string) (flows [][]byte, err error) {
	for _, table := range tables {
		err = s.query(ctx, `WITH RECURSIVE f (flow) AS (
				SELECT (SELECT flow FROM `+table+` ORDER BY flow LIMIT 1)
				UNION ALL
				SELECT (SELECT t.flow FROM `+table+` AS t WHERE t.flow > f.flow ORDER BY t.flow LIMIT 1) FROM f WHERE f.flow IS NOT NULL
			) SELECT flow FROM f WHERE flow IS NOT NULL`, nil, func(row func(...any) error) error {
			var flow []byte
			failed := row(&flow)
			flows = append(flows, flow)
			return failed
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(flows, bytes.Compare)
	return slices.CompactFunc(flows, bytes.Equal), nil
}
