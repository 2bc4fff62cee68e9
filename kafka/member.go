package kafka

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
)

// Who is thrown out of a classic group while he wants to join it again, because he stood still for longer than a session,
// comes back as another member. The client says nothing of it when the group is cooperative: it goes on with what it had,
// from where it was, though others may have had it meanwhile. So each partition knows whose it was. It is fenced when
// somebody else asks to join, and begun anew, from what the group has committed, when he has and it is still here.

// rejoins is told when the client asks to join, as whom it is in the group then.
func (s *subscriber) rejoins() {
	s.mu.Lock()
	cl := s.cl
	s.mu.Unlock()
	if cl == nil {
		return
	}
	member, _ := cl.GroupMetadata()
	s.mu.Lock()
	defer s.mu.Unlock()
	var gone []*partition
	for n, p := range s.parts {
		if p.member != member {
			gone = append(gone, p)
			if s.kept == nil {
				s.kept = map[int32][16]byte{}
			}
			s.kept[n] = p.topic
		}
	}
	if len(gone) == 0 {
		return
	}
	s.strange = append(s.strange, s.fence(gone...)...)
	select {
	case s.expelled <- struct{}{}: // the client must not wait for the runner
	default:
	}
}

// tellExpelled tells the runner what rejoins has fenced.
func (s *subscriber) tellExpelled() {
	s.mu.Lock()
	lost := s.strange
	s.strange = nil
	s.mu.Unlock()
	s.logger().Error("kafka: the group has thrown this consumer out; it joins again, as another member", "subscriber", s.String(), "held", len(lost))
	s.tellLost(lost, s.lost("the group has thrown this consumer out"))
}

// dismiss notes that partitions are not the client's any more. The caller holds mu.
func (s *subscriber) dismiss(ns []int32) {
	for _, n := range ns {
		delete(s.kept, n)
	}
}

// onSynced is called when the group has settled, before the client goes on to revoke or to join: what it has kept of
// another member is begun anew.
func (s *subscriber) onSynced(ctx context.Context, cl *kgo.Client, _ map[string][]int32) {
	s.mu.Lock()
	kept := slices.Collect(maps.Keys(s.kept))
	var topic [16]byte
	for _, topic = range s.kept {
		break
	}
	s.mu.Unlock()
	if len(kept) == 0 {
		return
	}
	cl.PauseFetchPartitions(map[string][]int32{s.topic: kept}) // drops what it has fetched of them
	defer cl.ResumeFetchPartitions(map[string][]int32{s.topic: kept})
	s.mu.Lock()
	s.barrier() // what was polled of them is dropped too: they are nobody's
	s.mu.Unlock()
	for wait := leastPause; ; wait = min(2*wait, mostPause) {
		err := s.adopt(ctx, cl, topic, kept)
		switch {
		case err == nil:
			return
		case errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.RebalanceInProgress),
			errors.Is(err, kerr.FencedInstanceID): // until the group has settled again
			return
		case !s.pause(ctx, wait):
			return
		}
		s.logger().Warn("kafka: partitions that another member had cannot be begun; it is tried again", "subscriber", s.String(), "error", err)
	}
}

// adopt begins partitions at what the group has committed.
func (s *subscriber) adopt(ctx context.Context, cl *kgo.Client, topic [16]byte, ns []int32) error {
	fetched, err := s.fetchCommitted(ctx, cl, topic, ns)
	if err != nil {
		return err
	}
	ps, err := s.begin(ctx, ns, fetched)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return s.wrap(eventflow.ErrClosed)
	}
	for _, p := range ps {
		s.parts[p.number] = p
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, commitWait)
	defer cancel()
	if err = s.commit(ctx, ps, false); err != nil {
		s.mu.Lock()
		s.fence(ps...) // nothing of them was handed over yet
		s.mu.Unlock()
		return err
	}
	to := map[int32]kgo.EpochOffset{}
	s.mu.Lock()
	for _, p := range ps {
		p.started = true
		to[p.number] = kgo.EpochOffset{Epoch: p.epoch, Offset: p.position}
	}
	s.dismiss(ns)
	s.mu.Unlock()
	cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{s.topic: to})
	return nil
}

// fetchCommitted asks what the group has committed of partitions, once no transaction with them is open.
func (s *subscriber) fetchCommitted(ctx context.Context, cl *kgo.Client, topic [16]byte, ns []int32) (map[int32]commitment, error) {
	ctx, cancel := context.WithTimeout(ctx, commitWait)
	defer cancel()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = s.set.group
	t := kmsg.NewOffsetFetchRequestGroupTopic()
	t.Topic, t.TopicID, t.Partitions = s.topic, topic, ns
	g.Topics = append(g.Topics, t)
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = true
	req.Groups = append(req.Groups, g)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	for i := range resp.Groups {
		if err = kerr.ErrorForCode(resp.Groups[i].ErrorCode); err != nil {
			return nil, err
		}
		for j := range resp.Groups[i].Topics {
			for _, p := range resp.Groups[i].Topics[j].Partitions {
				if err = kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, err
				}
			}
		}
	}
	return commitments(resp), nil
}
