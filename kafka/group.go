package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
)

// What the group does to a subscriber. The client calls these functions one at a time, heartbeats meanwhile, and goes on
// when they return.

// commitment is what the group had committed of a partition.
type commitment struct {
	offset int64 // below 0: nothing
	epoch  int32
	text   string
}

// onFetched notes what the group has committed, with the texts, which the client does not keep.
func (s *subscriber) onFetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetched = commitments(resp)
	return nil
}

// commitments is what an answer says of the topic's partitions.
func commitments(resp *kmsg.OffsetFetchResponse) map[int32]commitment {
	all := map[int32]commitment{}
	for i := range resp.Groups {
		for j := range resp.Groups[i].Topics {
			for _, x := range resp.Groups[i].Topics[j].Partitions {
				c := commitment{offset: x.Offset, epoch: x.LeaderEpoch}
				if x.Metadata != nil {
					c.text = *x.Metadata
				}
				all[x.Partition] = c
			}
		}
	}
	return all
}

// onAssigned is called with where the client would begin to fetch the partitions that are new to it. It says where they
// begin, commits that they were begun, and only then lets them be.
func (s *subscriber) onAssigned(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	mine := offsets[s.topic]
	if len(mine) == 0 {
		return offsets, nil
	}
	if err := s.trustSession(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	fetched := s.fetched
	s.mu.Unlock()
	ps, err := s.begin(ctx, slices.Collect(maps.Keys(mine)), fetched)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, s.wrap(eventflow.ErrClosed)
	}
	s.barrier()
	if s.closed { // meanwhile
		s.mu.Unlock()
		return nil, s.wrap(eventflow.ErrClosed)
	}
	var lost []*eventflow.Delivery
	for _, p := range ps {
		if old := s.parts[p.number]; old != nil {
			lost = append(lost, s.fence(old)...)
		}
		s.parts[p.number] = p
		delete(s.kept, p.number)
	}
	s.mu.Unlock()
	s.tellLost(lost, s.lost("the partition was assigned again"))
	ctx, cancel := context.WithTimeout(ctx, commitWait)
	defer cancel()
	if err := s.commit(ctx, ps, false); err != nil {
		s.mu.Lock()
		s.fence(ps...) // nothing of them was handed over yet
		s.mu.Unlock()
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range ps {
		p.started = true
		mine[p.number] = kgo.NewOffset().At(p.position).WithEpoch(p.epoch)
	}
	return offsets, nil
}

// begin makes the partitions that were assigned, each where its group has left off, or at its first record.
func (s *subscriber) begin(ctx context.Context, ns []int32, fetched map[int32]commitment) ([]*partition, error) {
	member, _ := s.cl.GroupMetadata()
	adm := kadm.NewClient(s.cl)
	m, err := adm.Metadata(ctx, s.topic)
	if err == nil {
		err = m.Topics[s.topic].Err
	}
	if err != nil {
		return nil, err
	}
	id := [16]byte(m.Topics[s.topic].ID)
	var starts kadm.ListedOffsets
	ps := make([]*partition, 0, len(ns))
	for _, n := range ns {
		c, known := fetched[n]
		var before *progress
		if g, ok := decodeProgress(c.text); ok && known {
			if g.topic != id { // the topic was made again: what was committed is of another one
				known = false
			} else if g.base == c.offset {
				before = &g
			}
		}
		if !known || c.offset < 0 {
			if starts == nil {
				if starts, err = adm.ListStartOffsets(ctx, s.topic); err != nil {
					return nil, err
				}
			}
			o, ok := starts.Lookup(s.topic, n)
			if !ok || o.Err != nil {
				return nil, fmt.Errorf("kafka: the first offset of %s/%d is not known: %w", s.topic, n, errors.Join(o.Err, kerr.UnknownTopicOrPartition))
			}
			c, before = commitment{offset: o.Offset, epoch: -1}, nil
		}
		p := s.newPartition(n, c.offset, c.epoch, id, m.Cluster, before)
		p.member = member
		ps = append(ps, p)
	}
	return ps, nil
}

// onRevoked gives partitions away: it lets run what runs, for as long as the group can wait, then takes back what is
// left, commits, and from then on says nothing of them any more.
func (s *subscriber) onRevoked(_ context.Context, _ *kgo.Client, revoked map[string][]int32) {
	ps := s.leaving(revoked)
	if len(ps) == 0 {
		return
	}
	s.drain(s.end, ps, s.limits.grace)
	s.mu.Lock()
	var lost []*eventflow.Delivery
	for _, p := range ps {
		for _, d := range p.outstanding() {
			if d.Lose() {
				p.takeBack(d, 0)
				lost = append(lost, d)
			}
		}
	}
	s.mu.Unlock()
	s.tellLost(lost, s.lost("the partition was revoked"))
	s.drain(s.end, ps, time.Second) // settlements that won against the loss are on their way
	s.tx.leaving(ps)
	ctx, cancel := context.WithTimeout(s.end, lastCommit)
	defer cancel()
	if err := s.commit(ctx, ps, true); err != nil && s.end.Err() == nil {
		s.logger().Warn("kafka: the last commit of revoked partitions failed; what it held runs again", "subscriber", s.String(), "error", err)
	}
	s.mu.Lock()
	late := s.fence(ps...)
	s.mu.Unlock()
	s.tellLost(late, s.lost("the partition was revoked"))
}

// onLost is told when the group has gone on without us: somebody else may have the partitions already.
func (s *subscriber) onLost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	s.mu.Lock()
	var ps []*partition
	for _, n := range lost[s.topic] {
		if p := s.parts[n]; p != nil {
			ps = append(ps, p)
		}
	}
	ds := s.fence(ps...)
	s.dismiss(lost[s.topic])
	s.suspended = false // a new session begins
	s.mu.Unlock()
	s.tellLost(ds, s.lost("the group has gone on without this consumer"))
}

// leaving lets nothing more be handed over of partitions that are revoked, once what was polled of them is there.
func (s *subscriber) leaving(revoked map[string][]int32) (ps []*partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dismiss(revoked[s.topic])
	for _, n := range revoked[s.topic] {
		if p := s.parts[n]; p != nil && !p.fenced {
			ps = append(ps, p)
		}
	}
	if len(ps) > 0 {
		s.barrier()
	}
	for _, p := range ps {
		s.withdraw(p)
	}
	return ps
}

// withdraw takes a partition's lanes off the list. The caller holds mu.
func (s *subscriber) withdraw(p *partition) {
	p.leaving = true
	p.placeAll()
}

// drain waits until nothing of the partitions is held.
func (s *subscriber) drain(ctx context.Context, ps []*partition, most time.Duration) {
	t := time.NewTimer(most)
	defer t.Stop()
	for {
		held := 0
		s.mu.Lock()
		for _, p := range ps {
			held += p.held
		}
		closed := s.closed
		s.mu.Unlock()
		if held == 0 {
			return
		}
		closing := s.closing
		if closed {
			closing = nil
		}
		select {
		case <-s.drained:
		case <-closing:
			return
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// fence ends partitions: what is settled of them from now on is settled for nobody. It gives what was held and fences
// that as well; what was acknowledged and is not committed is told to be lost. The caller holds mu and tells the rest.
func (s *subscriber) fence(ps ...*partition) (lost []*eventflow.Delivery) {
	var unsure []*eventflow.Delivery
	for _, p := range ps {
		if p.fenced {
			continue
		}
		for _, d := range p.outstanding() {
			if d.Lose() {
				lost = append(lost, d)
			}
		}
		s.tx.fenced(p)
		s.open -= p.held
		s.unconfirmed -= len(p.pending)
		s.bytes -= p.bytes
		unsure = append(unsure, p.pending...)
		p.pending, p.held = nil, 0
		if p.over {
			s.over--
		}
		s.withdraw(p)
		p.fenced = true
		if s.parts[p.number] == p {
			delete(s.parts, p.number)
		}
		p.ring, p.past, p.failed, p.n = nil, nil, nil, 0
	}
	s.unsure = append(s.unsure, unsure...)
	s.wakeUp()
	return lost
}
