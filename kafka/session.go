package kafka

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
)

// A consumer's lock is its membership, and its broker ends that a session timeout after the last heartbeat. Heartbeats
// into a network that swallows packets keep nothing, so what counts is the time at which the last one was sent that was
// answered.

// pulse is a hook of the client that sees the group's answers.
type pulse struct {
	start     time.Time
	confirmed atomic.Int64 // when the last request was sent that the group has answered, in nanoseconds since start
	joining   atomic.Int64 // when a request to join was sent that is not answered; 0: none
}

var (
	_ kgo.HookBrokerE2E   = (*pulse)(nil)
	_ kgo.HookBrokerWrite = (*pulse)(nil)
)

var (
	joinGroup         = kmsg.NewPtrJoinGroupRequest().Key()
	syncGroup         = kmsg.NewPtrSyncGroupRequest().Key()
	heartbeat         = kmsg.NewPtrHeartbeatRequest().Key()
	consumerHeartbeat = kmsg.NewPtrConsumerGroupHeartbeatRequest().Key()
)

// sessionTimeout is what the options of the client say, or its default; only a client can tell, and one that is asked
// nothing does no I/O.
func sessionTimeout(opts []kgo.Opt) time.Duration {
	cl, err := kgo.NewClient(append(slices.Clip(opts), kgo.DisableClientMetrics())...)
	if err != nil {
		return 0
	}
	defer cl.Close()
	d, _ := cl.OptValue(kgo.SessionTimeout).(time.Duration)
	return d
}

func (p *pulse) reset() { p.start = time.Now() }

func (p *pulse) now() int64 { return int64(time.Since(p.start)) | 1 }

// OnBrokerWrite is the client's.
func (p *pulse) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key == joinGroup && err == nil {
		p.joining.Store(p.now())
	}
}

// OnBrokerE2E is the client's.
func (p *pulse) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if key == joinGroup {
		p.joining.Store(0)
	}
	if e2e.Err() != nil {
		return
	}
	switch key {
	case joinGroup, syncGroup: // answered when all members are there: the session begins anew then
		p.confirmed.Store(p.now())
	case heartbeat, consumerHeartbeat:
		p.confirmed.Store(p.now() - int64(e2e.DurationE2E()))
	}
}

// deadline is when the locks end, with a margin. While the group waits for its members to join it keeps them for the
// rebalance timeout.
func (p *pulse) deadline(l limits) time.Time {
	end := p.confirmed.Load() + int64(l.session)
	if j := p.joining.Load(); j != 0 {
		end = max(end, j+int64(l.rebalance))
	}
	return p.start.Add(time.Duration(end) - l.session/sessionMargin)
}

// sessionMargin is the part of a session that is kept for cancelled flows to return in.
const sessionMargin = 10

// left is how long the locks last.
func (p *pulse) left(l limits, now time.Time) time.Duration { return p.deadline(l).Sub(now) }

// lockedUntil is what deliveries are told.
func (s *subscriber) lockedUntil() time.Time { return s.pulse.deadline(s.limits) }

// keepWatching looks after the deadline until Close ends it. It does nothing else: a commit that is not answered must not
// keep it waiting. It looks more often than the deadline is due, because a join that is answered may bring that forward.
func (s *subscriber) keepWatching() {
	often := s.limits.session / (2 * sessionMargin)
	timer := time.NewTimer(often)
	defer timer.Stop()
	for {
		left := s.pulse.left(s.limits, time.Now())
		if left <= 0 {
			s.watch()
			left = often
		}
		timer.Reset(min(left, often))
		select {
		case <-timer.C:
		case <-s.end.Done():
			return
		}
	}
}

// watch takes all locks back when the group has not answered for as long as a session lasts: somebody else may have the
// partitions soon. If nobody has, when it answers again, their records are handed over again.
func (s *subscriber) watch() {
	s.mu.Lock()
	if s.suspended || s.closed || len(s.parts) == 0 {
		s.mu.Unlock()
		return
	}
	s.suspended = true
	var lost []*eventflow.Delivery
	for _, p := range s.parts {
		for _, d := range p.outstanding() {
			if d.Lose() {
				p.takeBack(d, 0)
				lost = append(lost, d)
			}
		}
		p.placeAll()
	}
	s.kickCommit() // it asks whether we are still a member
	s.mu.Unlock()
	s.logger().Error("kafka: the group does not answer; what is held is taken back before the session ends", "subscriber", s.String(), "held", len(lost))
	s.tellLost(lost, s.lost("the group has not answered within the session timeout"))
}
