package kafka

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// newUUID is a member's name, which it makes itself.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// shareMoment is how many failures in a row of a passing kind are kept quiet about.
const shareMoment = 7

// lookAgain makes the member ask where its partitions are. The caller holds mu.
func (s *shareSubscriber) lookAgain() {
	select {
	case s.rejoin <- struct{}{}:
	default:
	}
}

// keepMember joins the group, says that it lives, and gives each session its partitions. It ends with Close.
func (s *shareSubscriber) keepMember() {
	var (
		epoch    int32
		next     time.Time // the heartbeat
		find     bool      // where the partitions are
		failures int
	)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.rejoin:
			find = true
		case <-s.end.Done():
			return
		}
		var err error
		if !time.Now().Before(next) {
			var every time.Duration
			var assigned bool
			if epoch, every, assigned, err = s.beat(epoch); err == nil {
				next, find = time.Now().Add(every), find || assigned
			}
		}
		if err == nil && find {
			err = s.place()
			find = err != nil
		}
		wait := time.Until(next)
		if err == nil {
			failures = 0
		} else {
			failures++
			s.memberFailed(err, failures)
			s.pause(backoff(failures))
			wait = 0
		}
		timer.Reset(max(wait, 0))
	}
}

// pause waits, unless Close begins.
func (s *shareSubscriber) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.end.Done():
	}
}

// memberFailed makes what went wrong the error of a Next; it is tried again whether or not there is one. What the brokers
// themselves say is over in a moment is given that.
func (s *shareSubscriber) memberFailed(err error, failures int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || kerr.IsRetriable(err) && failures <= shareMoment {
		return
	}
	s.broken = s.b.explain("receive", s.topic, err, false)
	s.wakeUp()
}

// beat is one heartbeat. It gives the epoch of the next, when that is due, and whether the assignment is another one.
func (s *shareSubscriber) beat(epoch int32) (next int32, every time.Duration, assigned bool, err error) {
	req := kmsg.NewPtrShareGroupHeartbeatRequest()
	req.GroupID, req.MemberID, req.MemberEpoch = s.set.group, s.member, epoch
	if epoch == 0 {
		req.SubscribedTopicNames = []string{s.topic}
	}
	ctx, cancel := context.WithTimeout(s.end, shareRequestTime)
	defer cancel()
	res, err := req.RequestWith(ctx, s.cl)
	if err == nil {
		err = kerr.ErrorForCode(res.ErrorCode)
	}
	switch {
	case err == nil:
	case epoch > 0 && (errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.FencedMemberEpoch) || errors.Is(err, kerr.GroupIDNotFound)):
		s.expelled(err)
		return 0, 0, false, nil // it joins again at once
	default:
		return epoch, 0, false, err
	}
	every = max(time.Duration(res.HeartbeatIntervalMillis)*time.Millisecond, 50*time.Millisecond)
	if res.Assignment == nil {
		return res.MemberEpoch, every, false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.assigned)
	for _, t := range res.Assignment.TopicPartitions {
		for _, p := range t.Partitions {
			s.assigned[sharePart{t.TopicID, p}] = struct{}{}
		}
	}
	return res.MemberEpoch, every, true, nil
}

// expelled is heard by a member that the group has forgotten: its sessions are over, and so are its locks.
func (s *shareSubscriber) expelled(err error) {
	s.logger().Warn("kafka: the share group has forgotten this member, which joins again", "subscriber", s.String(), "error", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.assigned)
	for _, x := range s.sessions {
		clear(x.parts)
		x.over = err
		x.kick()
	}
}

// place gives each session the partitions that its broker leads.
func (s *shareSubscriber) place() error {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &s.topic
	req.Topics = append(req.Topics, t)
	ctx, cancel := context.WithTimeout(s.end, shareRequestTime)
	defer cancel()
	res, err := req.RequestWith(ctx, s.cl)
	switch {
	case err != nil:
		return err
	case len(res.Topics) != 1:
		return kerr.UnknownTopicOrPartition
	case res.Topics[0].ErrorCode != 0:
		return kerr.ErrorForCode(res.Topics[0].ErrorCode)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	if res.ClusterID != nil {
		s.cluster = *res.ClusterID
	}
	for _, x := range s.sessions {
		clear(x.parts)
	}
	left := len(s.assigned)
	for _, p := range res.Topics[0].Partitions {
		part := sharePart{res.Topics[0].TopicID, p.Partition}
		if _, ours := s.assigned[part]; !ours || p.ErrorCode != 0 || p.Leader < 0 {
			continue
		}
		x := s.sessions[p.Leader]
		if x == nil {
			x = s.newSession(p.Leader)
		}
		x.parts[part] = struct{}{}
		left--
	}
	s.kickAll()
	if left > 0 { // no leader yet, or a topic that was made anew a moment ago
		return fmt.Errorf("%d of its partitions have no leader: %w", left, kerr.LeaderNotAvailable)
	}
	return nil
}

// leave leaves the group, once the sessions have ended.
func (s *shareSubscriber) leave(ctx context.Context) {
	req := kmsg.NewPtrShareGroupHeartbeatRequest()
	req.GroupID, req.MemberID, req.MemberEpoch = s.set.group, s.member, -1
	ctx, cancel := context.WithTimeout(ctx, leaveWait)
	defer cancel()
	if s.life.Err() != nil {
		return // nobody would hear it
	}
	res, err := req.RequestWith(ctx, s.cl)
	if err == nil {
		err = kerr.ErrorForCode(res.ErrorCode)
	}
	switch {
	case err == nil, errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.GroupIDNotFound), errors.Is(err, kgo.ErrClientClosed):
	default:
		s.logger().Warn("kafka: the group was not left; it will notice when the session is over", "subscriber", s.String(), "error", err)
	}
}
