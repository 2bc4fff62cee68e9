package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
)

// A shareSession is what the member has with one broker: the partitions that it leads, one request after another, and the
// locks of what came of them. It has a goroutine of its own, and is guarded by its subscriber's mu.
type shareSession struct {
	s     *shareSubscriber
	node  int32
	epoch int32                  // of the next request; 0: there is no session
	parts map[sharePart]struct{} // that are ours to fetch
	known map[sharePart]struct{} // to the broker

	over     error // the broker has ended it, or will have
	pending  []shareAck
	poke     chan struct{}
	failures int       // in a row
	after    time.Time // nothing is asked before

	origins map[sharePart]*origin // of the goroutine's own
}

func (s *shareSubscriber) newSession(node int32) *shareSession {
	x := &shareSession{
		s: s, node: node, parts: map[sharePart]struct{}{}, known: map[sharePart]struct{}{},
		poke: make(chan struct{}, 1), origins: map[sharePart]*origin{},
	}
	s.sessions[node] = x
	s.talking.Go(x.talk)
	return x
}

// kick makes the session look again. The caller holds mu.
func (x *shareSession) kick() {
	select {
	case x.poke <- struct{}{}:
	default:
	}
}

// kickAll makes all sessions look again. The caller holds mu.
func (s *shareSubscriber) kickAll() {
	for _, x := range s.sessions {
		x.kick()
	}
}

// talk is the session's goroutine: what was settled goes first, then comes what is wanted. It ends with Close.
func (x *shareSession) talk() {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.end.Err() != nil {
			x.finish()
			return
		}
		if err := x.over; err != nil {
			x.over = nil
			x.reset(err)
			continue
		}
		wait := time.Until(x.after)
		if wait <= 0 {
			if acks := x.takeAcks(); len(acks) > 0 {
				if x.epoch > 0 {
					x.acknowledge(acks, false)
				} else {
					x.void(acks)
				}
				continue
			}
			if n := x.wanted(); n > 0 {
				x.fetch(n)
				continue
			}
		}
		s.mu.Unlock()
		x.sleep(wait)
		s.mu.Lock()
	}
}

// void ends acks that no session is there for: what they are about was lost with it. The caller holds mu.
func (x *shareSession) void(acks []shareAck) {
	for i := range acks {
		if acks[i].round != nil {
			acks[i].answer(eventflow.ErrLockLost)
		}
	}
}

// finish tells the broker the last of it and ends the session: it has back at once whatever it was not told of. The caller
// holds mu.
func (x *shareSession) finish() {
	const most = 20 // of what must be told alone, or once more
	for tries := 1; x.epoch > 0 && x.s.life.Err() == nil; tries++ {
		acks := x.takeAcks()
		final := len(x.pending) == 0 || tries == most
		x.acknowledge(acks, final)
		if final {
			return
		}
	}
}

// sleep waits until something is to be done; wait above zero is when it is at the latest.
func (x *shareSession) sleep(wait time.Duration) {
	var timer <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timer = t.C
		select { // what is new does not make a broker answer that did not
		case <-timer:
		case <-x.s.end.Done():
		}
		return
	}
	select {
	case <-x.poke:
	case <-x.s.end.Done():
	}
}

// wanted is how many records to ask for: a session's part of what a Next waits for. The caller holds mu.
func (x *shareSession) wanted() int {
	s := x.s
	want := s.want - len(s.ready)
	if want <= 0 || s.closed || len(x.parts) == 0 || s.bytes >= s.most || s.final != nil {
		return 0
	}
	busy := 0
	for _, x := range s.sessions {
		if len(x.parts) > 0 {
			busy++
		}
	}
	return (want + busy - 1) / busy
}

// request asks the broker, on the connection that the session is tied to. It is not repeated: a broker that has ended the
// session has given away what was locked.
func (x *shareSession) request(req kmsg.Request, waits time.Duration) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(x.s.life, waits+shareRequestTime)
	defer cancel()
	return x.s.cl.Broker(int(x.node)).Request(ctx, req)
}

func (x *shareSession) bump() {
	x.failures = 0
	if x.epoch++; x.epoch < 1 {
		x.epoch = 1
	}
}

// reset ends a session that the broker has ended, or may have: its locks are gone. The caller holds mu, which is not held
// while the runner is told.
func (x *shareSession) reset(err error) {
	s := x.s
	x.epoch = 0
	clear(x.known)
	x.failures++
	x.after = time.Now().Add(backoff(x.failures))
	var mine []*shareRecord
	for _, r := range s.records {
		if r != nil && r.x == x {
			mine = append(mine, r)
		}
	}
	lost, unsure := s.lose(mine)
	if !s.closed {
		if final := s.b.explain("receive", s.topic, err, false); !s.ended(err) {
			s.broken = final
			s.wakeUp()
		}
		s.lookAgain()
	}
	s.mu.Unlock()
	s.tellLost(lost, unsure, s.lostTo(err))
	s.mu.Lock()
}

// ended reports whether an error only says that the session is no more, which is mended by another one.
func (s *shareSubscriber) ended(err error) bool {
	return s.life.Err() != nil || errors.Is(err, kerr.ShareSessionNotFound) || errors.Is(err, kerr.InvalidShareSessionEpoch) ||
		errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.FencedMemberEpoch) || errors.Is(err, kerr.GroupIDNotFound) || shareMoved(err)
}

// lostTo is an error that says that locks are gone, and how.
func (s *shareSubscriber) lostTo(err error) error {
	return s.wrap(fmt.Errorf("the broker has ended the lock: %w: %w", eventflow.ErrLockLost, err))
}

// backoff is how long to wait after so many failures in a row.
func backoff(failures int) time.Duration {
	const first, most = 100 * time.Millisecond, 5 * time.Second
	return min(first<<min(failures-1, 10), most)
}

// fetch asks for records. The caller holds mu, which is not held meanwhile.
func (x *shareSession) fetch(n int) {
	s := x.s
	wait := s.traits.patience()
	req := x.fetchRequest(n, wait)
	cluster, room := s.cluster, s.most-s.bytes
	req.MaxBytes = int32(min(max(room, 1), 50<<20))
	s.mu.Unlock()
	sent := time.Now()
	var got []*shareRecord
	var gaps []shareAck
	var errs []partError
	var lock time.Duration
	var res *kmsg.ShareFetchResponse
	k, err := x.request(req, wait)
	if err == nil {
		res = k.(*kmsg.ShareFetchResponse) //nolint:forcetypeassert // the answer to its request
		err = kerr.ErrorForCode(res.ErrorCode)
	}
	if err == nil {
		lock = s.traits.lock
		if res.AcquisitionLockTimeoutMillis > 0 {
			lock = time.Duration(res.AcquisitionLockTimeoutMillis) * time.Millisecond
		}
		got, gaps, errs = x.decode(res, cluster)
	}
	s.mu.Lock()
	if err != nil {
		x.reset(err)
		return
	}
	x.known = shareParts(req, x.known)
	x.bump()
	s.traits.lock = lock
	x.pending = append(x.pending, gaps...)
	for _, r := range got {
		switch {
		case !s.hold(r, sent, lock): // its lock is as good as over
		case s.closed:
			r.quiet = true
			s.mark(r, shareRelease)
		}
	}
	for _, e := range errs {
		x.fault(e)
	}
}

// fetchRequest makes the request. The caller holds mu.
func (x *shareSession) fetchRequest(n int, wait time.Duration) *kmsg.ShareFetchRequest {
	req := kmsg.NewPtrShareFetchRequest()
	req.GroupID, req.MemberID, req.ShareSessionEpoch = &x.s.set.group, &x.s.member, x.epoch
	req.MaxWaitMillis, req.MinBytes = int32(wait/time.Millisecond), 1
	req.MaxRecords, req.BatchSize = int32(n), int32(n)
	req.ShareAcquireMode = 1 // no more than that, though it splits a batch
	topics := map[[16]byte]int{}
	for p := range x.parts {
		if _, known := x.known[p]; known {
			continue
		}
		i, ok := topics[p.topic]
		if !ok {
			i = len(req.Topics)
			topics[p.topic] = i
			t := kmsg.NewShareFetchRequestTopic()
			t.TopicID = p.topic
			req.Topics = append(req.Topics, t)
		}
		np := kmsg.NewShareFetchRequestTopicPartition()
		np.Partition, np.PartitionMaxBytes = p.partition, 1<<20
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, np)
	}
	for p := range x.known {
		if _, ours := x.parts[p]; !ours {
			f := kmsg.NewShareFetchRequestForgottenTopicsData()
			f.TopicID, f.Partitions = p.topic, []int32{p.partition}
			req.ForgottenTopicsData = append(req.ForgottenTopicsData, f)
		}
	}
	return req
}

// shareParts are the partitions that a broker knows of after a request.
func shareParts(req *kmsg.ShareFetchRequest, known map[sharePart]struct{}) map[sharePart]struct{} {
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			known[sharePart{req.Topics[i].TopicID, req.Topics[i].Partitions[j].Partition}] = struct{}{}
		}
	}
	for i := range req.ForgottenTopicsData {
		for _, p := range req.ForgottenTopicsData[i].Partitions {
			delete(known, sharePart{req.ForgottenTopicsData[i].TopicID, p})
		}
	}
	return known
}
