package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// settleDown waits for settlements that are on their way and commits.
func (s *subscriber) settleDown(ctx context.Context, ps []*partition) error {
	s.mu.Lock()
	suspended := s.suspended
	s.mu.Unlock()
	if len(ps) == 0 || suspended { // nobody would hear the commit
		return nil
	}
	s.drain(ctx, ps, time.Second)
	s.tx.leaving(ps)
	err := s.commitLast(ctx, ps)
	if err != nil {
		err = s.b.explain("commit", s.topic, err, false)
	}
	return err
}

// commitLast writes the marks for the last time. While the group waits for its members to join, which one that has died
// holds up for a session, the client commits nothing, but the group's coordinator takes what a member says of its last
// generation.
func (s *subscriber) commitLast(ctx context.Context, ps []*partition) error {
	ctx, cancel := context.WithTimeout(ctx, lastCommit)
	defer cancel()
	if !s.pulse.isJoining() {
		if err := s.commit(ctx, ps, true); err == nil || !s.pulse.isJoining() {
			return err
		}
	}
	s.mu.Lock()
	if s.interrupt != nil {
		s.interrupt() // the committer waits as well
	}
	s.mu.Unlock()
	beside, done := context.WithTimeout(context.WithoutCancel(ctx), leaveWait)
	defer done()
	err := s.commitBy(beside, ps, true, s.sendBeside)
	if err != nil && !s.pulse.isJoining() { // the generation was over
		err = s.commit(ctx, ps, true)
	}
	return err
}

// sendBeside is send beside the client, which waits.
func (s *subscriber) sendBeside(ctx context.Context, cs []entryCommit) error {
	cl, err := s.b.client()
	if err != nil {
		return err
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = s.set.group
	req.MemberID, req.Generation = s.cl.GroupMetadata()
	if s.set.instance != "" {
		req.InstanceID = &s.set.instance
	}
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = s.topic, cs[0].p.topic
	for i := range cs {
		x := kmsg.NewOffsetCommitRequestTopicPartition()
		x.Partition, x.Offset, x.LeaderEpoch, x.Metadata = cs[i].p.number, cs[i].at.Offset, cs[i].at.Epoch, &cs[i].text
		topic.Partitions = append(topic.Partitions, x)
	}
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	note(cs, resp)
	return nil
}

const (
	lastCommit = 5 * time.Second // the commit of a Close or of a revoked partition
	leaveWait  = 3 * time.Second // for the group to hear that we go
)

// leave leaves the group, unless a flow that was abandoned still runs: nobody else may have its event before the session
// is over.
func (s *subscriber) leave(ctx context.Context, abandoned bool) {
	ctx, cancel := context.WithTimeout(ctx, leaveWait)
	defer cancel()
	if abandoned {
		cancel()
	}
	member, _ := s.cl.GroupMetadata()
	err := s.cl.LeaveGroupContext(ctx)
	s.kill() // what still waits for other members to join
	if err != nil && !abandoned {
		if err = s.quit(member); err != nil {
			s.logger().Warn("kafka: the group was not left; it will notice when the session is over", "subscriber", s.String(), "error", err)
		}
	}
	s.cl.CloseAllowingRebalance()
}

// quit leaves the group for a member whose own client waits for a rebalance, which others may hold up for long.
func (s *subscriber) quit(member string) error {
	if member == "" || s.set.instance != "" || s.set.serverSide > 0 {
		return nil
	}
	cl, err := s.b.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveWait)
	defer cancel()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = s.set.group, member // the second until version 2, the list from 3 on
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = member
	req.Members = append(req.Members, m)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}
