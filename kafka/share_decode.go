package kafka

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
)

// partError is what went wrong with one partition of a fetch. from and to are the offsets of what cannot be read; equal: it
// is about none.
type partError struct {
	part     sharePart
	from, to int64
	err      error
}

// unreadable are the offsets of a batch, from up to but not to, that cannot be read, and why.
type unreadable struct {
	from, to int64
	err      error
}

// errTruncated: the answer ended in the middle of a batch. The next one may have the whole of it.
var errTruncated = errors.New("the batch is not there as a whole")

// decode makes records of an answer. What is locked and is no record (a gap that compaction left, a transaction's marker)
// is told back at once.
func (x *shareSession) decode(res *kmsg.ShareFetchResponse, cluster string) (got []*shareRecord, gaps []shareAck, errs []partError) {
	for i := range res.Topics {
		for j := range res.Topics[i].Partitions {
			p := &res.Topics[i].Partitions[j]
			part := sharePart{res.Topics[i].TopicID, p.Partition}
			if p.ErrorCode != 0 {
				errs = append(errs, partError{part: part, err: kerr.ErrorForCode(p.ErrorCode)})
				continue
			}
			if len(p.AcquiredRecords) == 0 {
				continue
			}
			o := x.origins[part]
			if o == nil {
				o = newOrigin(cluster, x.s.topic, part.topic, part.partition)
				x.origins[part] = o
			}
			records, bad := x.unpack(p)
			absent := func(from, to int64) {
				for _, b := range bad {
					if lo, hi := max(from, b.from), min(to, b.to); lo < hi {
						if from < lo {
							gaps = append(gaps, shareAck{part: part, first: from, last: lo - 1, kind: shareGap})
						}
						errs = append(errs, partError{part: part, from: lo, to: hi, err: b.err})
						from = hi
					}
				}
				if from < to {
					gaps = append(gaps, shareAck{part: part, first: from, last: to - 1, kind: shareGap})
				}
			}
			slab := []eventflow.Delivery(nil)
			for _, a := range p.AcquiredRecords {
				next := a.FirstOffset
				for len(records) > 0 && records[0].Offset <= a.LastOffset {
					if records[0].Offset < next { // somebody else's, or out of order
						records = records[1:]
						continue
					}
					if len(slab) == 0 {
						slab = make([]eventflow.Delivery, min(len(records), 32))
					}
					r := &shareRecord{d: &slab[0], rec: records[0], x: x, part: part, offset: records[0].Offset}
					slab, records = slab[1:], records[1:]
					fromRecord(r.rec, o, &r.d.Event)
					r.d.Attempts, r.d.Receives, r.d.Native = -1, max(int(a.DeliveryCount), 1), r.rec
					absent(next, r.offset)
					got, next = append(got, r), r.offset+1
				}
				absent(next, a.LastOffset+1)
			}
		}
	}
	return got, gaps, errs
}

// unpack gives the records of a partition's batches, and which batches cannot be read. The client's function is asked for
// one batch at a time: of several it gives those before a bad one without a word about it, and none behind.
func (x *shareSession) unpack(p *kmsg.ShareFetchResponseTopicPartition) (records []*kgo.Record, bad []unreadable) {
	opts := kgo.ProcessFetchPartitionOpts{Topic: x.s.topic, Partition: p.Partition}
	whole := kmsg.NewFetchResponseTopicPartition()
	whole.Partition = p.Partition
	for rest := p.Records; len(rest) > 0; {
		var at unreadable
		whole.RecordBatches, rest, at = nextBatch(rest)
		if at.err == nil {
			f, _ := kgo.ProcessFetchPartition(opts, &whole, x.s.decoder, nil)
			records, at.err = append(records, f.Records...), f.Err
		}
		if at.err != nil {
			bad = append(bad, at)
		}
	}
	return records, bad
}

// nextBatch gives the first batch of an answer, what is behind it, and the offsets that the batch says it has.
// (https://kafka.apache.org/documentation/#recordbatch)
func nextBatch(b []byte) (batch, rest []byte, at unreadable) {
	const (
		length = 8  // of what follows the length itself
		last   = 23 // the offset of the last record, less that of the first
		header = 61
	)
	at.to = math.MaxInt64
	if len(b) < header {
		at.err = errTruncated
		return b, nil, at
	}
	n := int64(binary.BigEndian.Uint32(b[length:])) + length + 4
	at.from = int64(binary.BigEndian.Uint64(b))
	if n < header || n > int64(len(b)) {
		at.err = errTruncated
		return b, nil, at
	}
	if to := at.from + int64(binary.BigEndian.Uint32(b[last:])) + 1; to > at.from {
		at.to = to
	}
	return b[:n], b[n:], at
}

// fault deals with what went wrong with a partition. The caller holds mu.
func (x *shareSession) fault(e partError) {
	s := x.s
	switch {
	case e.from < e.to && !errors.Is(e.err, errTruncated): // what cannot be read now cannot be read later
		gap := GapError{Topic: s.topic, Partition: e.part.partition, From: e.from, To: e.to, Err: e.err}
		if s.set.onGap == StopOnGap {
			if s.final == nil {
				s.final = &gap
			}
			x.add(shareAck{part: e.part, first: e.from, last: e.to - 1, kind: shareRelease})
			s.wakeUp()
			return
		}
		s.logger().Error("kafka: records are lost; consuming goes on behind them", "subscriber", s.String(),
			"partition", gap.Partition, "from", gap.From, "to", gap.To, "error", gap.Err)
		s.gaps.add(gap)
		x.add(shareAck{part: e.part, first: e.from, last: e.to - 1, kind: shareReject})
	case shareMoved(e.err):
		delete(x.parts, e.part)
		x.failures++
		x.after = time.Now().Add(backoff(x.failures))
		s.lookAgain()
	default:
		if e.from < e.to {
			x.add(shareAck{part: e.part, first: e.from, last: e.to - 1, kind: shareRelease})
		}
		s.broken = s.b.explain("receive", s.topic, e.err, false)
		s.wakeUp()
		x.failures++
		x.after = time.Now().Add(backoff(x.failures))
	}
}
