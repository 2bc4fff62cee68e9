package kafka

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

// reading is a record whose event is to be made.
type reading struct {
	rec    *kgo.Record
	offset int64
	origin *origin
	ev     *eventflow.Event
}

// shortKey is how long a key may be, in bytes, to share memory with its neighbours'.
const shortKey = 64

// read makes events of records, some at a time. Their keys, and the IDs of those that bring none, share one string, so
// that one that is kept keeps its neighbours', as a delivery does.
func (s *subscriber) read(rs []reading) {
	const together = 32
	var ends [together]struct{ key, id int }
	for len(rs) > 0 {
		n := min(len(rs), together)
		s.touched = touch(rs[:n])
		text := s.text[:0]
		for i := range rs[:n] {
			r := &rs[i]
			if key := r.rec.Key; len(key) <= shortKey {
				text = append(text, key...)
			} else {
				r.ev.Key = string(key)
			}
			ends[i].key = len(text)
			if !fromFields(r.rec, r.origin, r.ev) {
				text = r.origin.appendID(text, r.offset)
			}
			ends[i].id = len(text)
		}
		shared, start := string(text), 0
		for i := range rs[:n] {
			r, end := &rs[i], &ends[i]
			if end.key > start {
				r.ev.Key = shared[start:end.key]
			}
			if end.id > end.key {
				r.ev.Source, r.ev.ID = r.origin.source, shared[end.key:end.id]
			}
			start = end.id
		}
		s.text = text
		rs = rs[n:]
	}
}

// touch reads the ends of what read needs of each record, and the first byte of each key. What was fetched lies mostly in
// memory that no cache holds any more; read side by side, it is fetched together, while record by record each would be
// waited for.
func touch(rs []reading) (read byte) {
	for i := range rs {
		if !rs[i].rec.Timestamp.IsZero() {
			read++
		}
		if key := rs[i].rec.Key; len(key) > 0 {
			read |= key[0]
		}
	}
	return read
}
