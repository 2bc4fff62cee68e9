package kafka

import (
	"context"
	"slices"
	"strconv"
	"sync"
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
	rebalance time.Duration // how long the group waits for a member to join
	session   atomic.Int64  // how long the membership lasts without an answer, a time.Duration
	confirmed atomic.Int64  // when the last request was sent that the group has answered, in nanoseconds since start
	rejoins   func()        // is told before a request to join is written
	joining   atomic.Int64  // when a request to join was sent that is not answered; 0: none

	// An answer may be that another broker is the coordinator, which keeps nothing alive there. The hooks do not see what
	// an answer says, but after such a one the client asks who the coordinator is, so the answer before a question is not
	// believed, nor one behind it until the client goes on without another.
	mu     sync.Mutex // guards what follows
	before int64      // confirmed, before the last answer
	maybe  int64      // what will be confirmed when the client goes on; 0: nothing
	asked  bool       // nothing was believed since a question
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
	findCoordinator   = kmsg.NewPtrFindCoordinatorRequest().Key()
)

// memberTimeouts are what the options of the client say, or its defaults; only a client can tell, and one that is asked
// nothing does no I/O.
func memberTimeouts(opts []kgo.Opt) (session, rebalance time.Duration) {
	cl, err := kgo.NewClient(append(slices.Clip(opts), kgo.DisableClientMetrics())...)
	if err != nil {
		return 0, 0
	}
	defer cl.Close()
	session, _ = cl.OptValue(kgo.SessionTimeout).(time.Duration)
	rebalance, _ = cl.OptValue(kgo.RebalanceTimeout).(time.Duration)
	return session, rebalance
}

func (p *pulse) reset(session, rebalance time.Duration) {
	p.start, p.rebalance = time.Now(), rebalance
	p.session.Store(int64(session))
}

// lasts is the session timeout.
func (p *pulse) lasts() time.Duration { return time.Duration(p.session.Load()) }

// isJoining reports whether the group has not answered a request to join.
func (p *pulse) isJoining() bool { return p.joining.Load() != 0 }

func (p *pulse) now() int64 { return int64(time.Since(p.start)) | 1 }

// OnBrokerWrite is the client's.
func (p *pulse) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	switch key {
	case findCoordinator:
		p.doubt()
	case joinGroup:
		if p.rejoins != nil {
			p.rejoins()
		}
		if err == nil {
			p.joining.Store(p.now())
		}
		p.goOn()
	case syncGroup, heartbeat, consumerHeartbeat:
		p.goOn()
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
		p.answered(p.now())
	case heartbeat, consumerHeartbeat:
		p.answered(p.now() - int64(e2e.DurationE2E()))
	}
}

func (p *pulse) answered(sent int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked {
		p.maybe = sent
		return
	}
	p.before = p.confirmed.Swap(sent)
}

// doubt takes the last answer back: the client asks for the coordinator.
func (p *pulse) doubt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.asked {
		p.confirmed.Store(p.before)
	}
	p.asked, p.maybe = true, 0
}

// goOn believes the last answer: the coordinator that gave it is asked again, or has taken a commit.
func (p *pulse) goOn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.maybe != 0 {
		p.before = p.confirmed.Swap(p.maybe)
		p.asked, p.maybe = false, 0
	}
}

// deadline is when the locks end, with a margin. While the group waits for its members to join it keeps them for the
// rebalance timeout.
func (p *pulse) deadline() time.Time {
	session := p.lasts()
	end := p.confirmed.Load() + int64(session)
	if j := p.joining.Load(); j != 0 {
		end = max(end, j+int64(p.rebalance))
	}
	return p.start.Add(time.Duration(end) - session/sessionMargin)
}

// sessionMargin is the part of a session that is kept for cancelled flows to return in.
const sessionMargin = 10

// left is how long the locks last.
func (p *pulse) left(now time.Time) time.Duration { return p.deadline().Sub(now) }

// lockedUntil is what deliveries are told.
func (s *subscriber) lockedUntil() time.Time { return s.pulse.deadline() }

// The names of what a group of KIP-848 may have set for itself; a broker answers with its own where it has not.
const (
	groupSession   = "consumer.session.timeout.ms"
	groupHeartbeat = "consumer.heartbeat.interval.ms"
)

// trustSession asks for the session timeout of a group of KIP-848, which its broker decides: what it says is believed
// where it is shorter than what we were told. It is asked before anything of a new partition is handed over, as the group's
// may have been changed since. A broker that does not say, or not to us, leaves it at what we were told.
func (s *subscriber) trustSession(ctx context.Context) error {
	if s.set.serverSide == 0 {
		return nil
	}
	session, heartbeat, err := groupTimeouts(ctx, s.cl, s.set.group)
	if err != nil {
		return err
	}
	if heartbeat > 0 && min(session, s.set.serverSide) < 2*heartbeat {
		s.logger().Warn("kafka: a session lasts for less than two heartbeats: one that is late ends it; lower the group's "+groupHeartbeat,
			"subscriber", s.String(), "session", min(session, s.set.serverSide), "heartbeat", heartbeat)
	}
	if session <= 0 || session >= s.pulse.lasts() {
		return nil
	}
	s.pulse.session.Store(int64(session))
	s.logger().Warn("kafka: the group's session timeout is shorter than kafka.ServerSideBalancer says; locks last as long as it says",
		"subscriber", s.String(), "group", session, "told", s.set.serverSide)
	return nil
}

// groupTimeouts are what the broker says of a group of KIP-848; 0 is what it does not say.
func groupTimeouts(ctx context.Context, cl *kgo.Client, group string) (session, heartbeat time.Duration, err error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeGroupConfig, group, []string{groupSession, groupHeartbeat}
	req.Resources = append(req.Resources, r)
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		return 0, 0, err
	}
	for i := range res.Resources {
		for _, c := range res.Resources[i].Configs { // none when it is refused
			if c.Value == nil {
				continue
			}
			ms, bad := strconv.Atoi(*c.Value)
			switch d := time.Duration(ms) * time.Millisecond; {
			case bad != nil:
			case c.Name == groupSession:
				session = d
			case c.Name == groupHeartbeat:
				heartbeat = d
			}
		}
	}
	return session, heartbeat, nil
}

// keepWatching looks after the deadline until Close ends it. It does nothing else: a commit that is not answered must not
// keep it waiting. It looks more often than the deadline is due, because a join that is answered may bring that forward.
func (s *subscriber) keepWatching() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		often := s.pulse.lasts() / (2 * sessionMargin)
		left := s.pulse.left(time.Now())
		if left <= 0 {
			s.watch()
			left = often
		}
		timer.Reset(min(left, often))
		select {
		case <-timer.C:
		case <-s.expelled:
			s.tellExpelled()
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
