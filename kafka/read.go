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

// read makes events of records, some at a time. The IDs of those that bring none share one string, so that one that is
// kept keeps its neighbours', as a delivery does.
func (s *subscriber) read(rs []reading) {
	const together = 32
	var ends [together]int
	for len(rs) > 0 {
		n := min(len(rs), together)
		s.touched = touch(rs[:n])
		text := s.text[:0]
		for i := range rs[:n] {
			r := &rs[i]
			if !fromFields(r.rec, r.origin, r.ev) {
				text = r.origin.appendID(text, r.offset)
			}
			ends[i] = len(text)
		}
		ids, start := string(text), 0
		for i := range rs[:n] {
			if end := ends[i]; end > start {
				r := &rs[i]
				r.ev.Source, r.ev.ID = r.origin.source, ids[start:end]
				start = end
			}
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
