package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

// GapError says that records are gone which the subscriber has not seen: retention has deleted them, the log was
// truncated, or their batch cannot be read. It is final: see [OnGap].
type GapError struct {
	Topic     string
	Partition int32
	From      int64 // the first offset that is lost
	To        int64 // the first that is there again; −1: unknown
	Err       error // what the client said
}

func (e *GapError) Error() string {
	return fmt.Sprintf("kafka: %s/%d: the records from offset %d to %d are lost: %v (kafka.OnGap(kafka.ContinueOnGap) goes on behind them)",
		e.Topic, e.Partition, e.From, e.To, e.Err)
}

// Unwrap gives the client's error and eventflow.ErrFatal: waiting does not bring records back.
func (e *GapError) Unwrap() []error { return []error{e.Err, eventflow.ErrFatal} }

// Gaps gives the records that are lost to the broker's open subscribers, which have gone on behind them: the latest 100
// gaps of each. To−From is how many offsets that were, of which compaction and transactions may have left fewer records.
func (b *Broker) Gaps() []GapError {
	b.mu.Lock()
	subscribers := make([]passer, 0, len(b.open))
	for c := range b.open {
		if s, ok := c.(passer); ok {
			subscribers = append(subscribers, s)
		}
	}
	b.mu.Unlock()
	var all []GapError
	for _, s := range subscribers {
		all = append(all, s.passed()...)
	}
	return all
}

// A passer can go on behind gaps. passed gives those that it went on behind.
type passer interface{ passed() []GapError }

func (s *subscriber) passed() []GapError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.gaps)
}

func (s *shareSubscriber) passed() []GapError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.gaps)
}

// gaps are the latest ones.
type gaps []GapError

func (gs *gaps) add(g GapError) {
	const most = 100
	if *gs = append(*gs, g); len(*gs) > most {
		*gs = (*gs)[1:]
	}
}

// seek is where the client has to go on with a partition.
type seek struct {
	p   *partition
	to  int64 // below 0: to be found out
	err error
}

// isGap reports whether a fetch's error means that records are gone, and deals with it. The caller holds mu.
func (s *subscriber) isGap(p *partition, err error) bool {
	var loss *kgo.ErrDataLoss
	var large *kgo.ErrDecompressTooLarge
	switch {
	case errors.As(err, &large):
		s.gap(p, seek{p: p, to: large.NextOffset, err: err})
	case errors.As(err, &loss):
		s.gap(p, seek{p: p, to: loss.ResetTo, err: err})
	case errors.Is(err, kerr.OffsetOutOfRange):
		s.gap(p, seek{p: p, to: -1, err: err})
	default:
		return false
	}
	return true
}

func (s *subscriber) gap(p *partition, x seek) {
	s.wantSeek(x)
	if s.set.onGap == StopOnGap {
		s.final = &GapError{Topic: s.topic, Partition: p.number, From: p.position, To: x.to, Err: x.err}
		s.gapSeeks = nil
	}
}

// wantSeek notes where the client has to go on with a partition, at the next poll. Until it does, it tells of the gap with
// each fetch. The caller holds mu.
func (s *subscriber) wantSeek(x seek) {
	if i := slices.IndexFunc(s.gapSeeks, func(y seek) bool { return y.p == x.p }); i >= 0 {
		s.gapSeeks[i] = x
		return
	}
	s.gapSeeks = append(s.gapSeeks, x)
}

// seek makes the client go on behind gaps. The caller, who polls, does not hold mu.
func (s *subscriber) seek(xs []seek) {
	for _, x := range xs {
		to := x.to
		if to < 0 {
			ctx, cancel := context.WithTimeout(s.end, startTimeout)
			starts, err := kadm.NewClient(s.cl).ListStartOffsets(ctx, s.topic)
			cancel()
			o, ok := starts.Lookup(s.topic, x.p.number)
			if err != nil || !ok || o.Err != nil { // asked again with the next poll
				s.mu.Lock()
				s.wantSeek(x)
				s.broken = s.b.explain("receive", s.topic, errors.Join(err, o.Err, x.err), false)
				s.mu.Unlock()
				continue
			}
			to = o.Offset
		}
		s.resume(x.p, to, x.err)
	}
}

// resume lets a partition go on at an offset. Behind its position, what is held of it stays valid; before it the log is
// another one, and so is the partition.
func (s *subscriber) resume(p *partition, to int64, cause error) {
	s.mu.Lock()
	if p.fenced || p.leaving {
		s.mu.Unlock()
		return
	}
	g := GapError{Topic: s.topic, Partition: p.number, From: p.position, To: to, Err: cause}
	var lost []*eventflow.Delivery
	if to >= p.position {
		p.position = to
		if p.n == 0 {
			p.prefix = to
			p.touch()
		}
	} else {
		next := s.newPartition(p.number, to, -1, p.topic, "", nil)
		next.origin, next.started, next.paused, next.member = p.origin, true, p.paused, p.member
		lost = s.fence(p)
		s.parts[p.number] = next
		next.touch()
	}
	s.mu.Unlock()
	s.logger().Error("kafka: records are lost; consuming goes on behind them", "subscriber", s.String(),
		"partition", g.Partition, "from", g.From, "to", g.To, "error", cause)
	s.tellLost(lost, s.lost("the log was truncated"))
	s.cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{s.topic: {p.number: {Epoch: -1, Offset: to}}})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps.add(g)
}
