package kafka

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/renew"
)

// shareKind is what a broker is told of a record, by the protocol's numbers.
type shareKind int8

const (
	shareGap     shareKind = iota // there is no record at this offset
	shareAccept                   // done
	shareRelease                  // to be handed over again
	shareReject                   // never to be handed over again
	shareRenew                    // keeps its lock for another of its durations
)

// shareAck is one thing to tell a broker: of a record, or of offsets that have none.
type shareAck struct {
	r           *shareRecord // nil: of offsets
	part        sharePart
	first, last int64
	kind        shareKind
	round       *shareRound // of a renewal
	index       int         // in its round
	alone       bool        // told without others of its partition: the broker refuses them all for one
}

// shareRound is a call of the tracker. Who waits for it may have gone.
type shareRound struct {
	errs []error // guarded by the subscriber's mu
	left int
	done chan struct{} // closed when nothing is left
}

var (
	errSuperseded  = errors.New("its settlement is on its way")
	errNoRenewals  = errors.New("the cluster cannot renew the locks of share groups, which takes Kafka 4.2")
	errShareSilent = errors.New("the broker did not say what became of it")
)

// answer ends a renewal. The caller holds mu.
func (a *shareAck) answer(err error) {
	a.round.errs[a.index] = err
	if a.round.left--; a.round.left == 0 {
		close(a.round.done)
	}
}

// mark notes how a record ends; its session writes it. The caller holds mu.
func (s *shareSubscriber) mark(r *shareRecord, kind shareKind) {
	r.state = shareSettled
	r.x.add(shareAck{r: r, part: r.part, first: r.offset, last: r.offset, kind: kind})
}

// renew is the tracker's way to ask for more time.
func (s *shareSubscriber) renew(ctx context.Context, rs []renew.Renewal[*shareRecord]) error {
	if !s.traits.renews {
		return errNoRenewals
	}
	round := &shareRound{errs: make([]error, len(rs)), left: len(rs), done: make(chan struct{})}
	s.mu.Lock()
	for i := range rs {
		a := shareAck{r: rs[i].Lock, part: rs[i].Lock.part, first: rs[i].Lock.offset, last: rs[i].Lock.offset, kind: shareRenew, round: round, index: i}
		if a.r.state == shareGone || s.closed {
			a.answer(errSuperseded)
			continue
		}
		a.r.x.add(a)
	}
	s.mu.Unlock()
	select {
	case <-round.done:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range rs {
		rs[i].Err = round.errs[i]
	}
	if round.left > 0 { // those without an error may be unanswered
		for _, x := range s.sessions {
			x.pending = slices.DeleteFunc(x.pending, func(a shareAck) bool { return a.round == round })
		}
		return context.Cause(ctx)
	}
	return nil
}

// add takes in an ack. The caller holds mu.
func (x *shareSession) add(a shareAck) {
	x.pending = append(x.pending, a)
	x.kick()
}

// takeAcks gives what is to be told now, in the order of the offsets: of each offset one thing, the end of a record before
// its renewal. The caller holds mu.
func (x *shareSession) takeAcks() []shareAck {
	slices.SortStableFunc(x.pending, func(a, b shareAck) int {
		return cmp.Or(bytes.Compare(a.part.topic[:], b.part.topic[:]), cmp.Compare(a.part.partition, b.part.partition),
			cmp.Compare(a.first, b.first), cmp.Compare(a.kind, b.kind))
	})
	var out []shareAck
	kept := x.pending[:0]
	for _, a := range x.pending {
		var last *shareAck
		if n := len(out); n > 0 && out[n-1].part == a.part {
			last = &out[n-1]
		}
		switch {
		case a.r != nil && a.r.state == shareGone:
			if a.round != nil {
				a.answer(errSuperseded)
			}
		case last != nil && a.first <= last.last && a.round != nil:
			a.answer(errSuperseded)
		case last != nil && a.first <= last.last: // the broker cannot be told two things of one offset
		case last != nil && (a.alone || last.alone):
			kept = append(kept, a)
		default:
			out = append(out, a)
		}
	}
	clear(x.pending[len(kept):])
	x.pending = kept
	return out
}

// acknowledgement makes the request. final ends the session. The caller holds mu.
func (x *shareSession) acknowledgement(acks []shareAck, final bool) *kmsg.ShareAcknowledgeRequest {
	req := kmsg.NewPtrShareAcknowledgeRequest()
	req.GroupID, req.MemberID, req.ShareSessionEpoch = &x.s.set.group, &x.s.member, x.epoch
	if final {
		req.ShareSessionEpoch = -1
	}
	var part sharePart
	var p *kmsg.ShareAcknowledgeRequestTopicPartition
	for i := range acks {
		a := &acks[i]
		req.IsRenewAck = req.IsRenewAck || a.kind == shareRenew
		if p == nil || a.part != part {
			if len(req.Topics) == 0 || part.topic != a.part.topic {
				t := kmsg.NewShareAcknowledgeRequestTopic()
				t.TopicID = a.part.topic
				req.Topics = append(req.Topics, t)
			}
			part = a.part
			t := &req.Topics[len(req.Topics)-1]
			np := kmsg.NewShareAcknowledgeRequestTopicPartition()
			np.Partition = part.partition
			t.Partitions = append(t.Partitions, np)
			p = &t.Partitions[len(t.Partitions)-1]
		}
		if n := len(p.AcknowledgementBatches); n > 0 {
			b := &p.AcknowledgementBatches[n-1]
			if b.LastOffset+1 == a.first && b.AcknowledgeTypes[0] == int8(a.kind) {
				b.LastOffset = a.last
				continue
			}
		}
		b := kmsg.NewShareAcknowledgeRequestTopicPartitionAcknowledgementBatch()
		b.FirstOffset, b.LastOffset, b.AcknowledgeTypes = a.first, a.last, []int8{int8(a.kind)}
		p.AcknowledgementBatches = append(p.AcknowledgementBatches, b)
	}
	return req
}

// acknowledge tells the broker. The caller holds mu, which is not held meanwhile.
func (x *shareSession) acknowledge(acks []shareAck, final bool) {
	s := x.s
	req := x.acknowledgement(acks, final)
	s.mu.Unlock()
	var res *kmsg.ShareAcknowledgeResponse
	k, err := x.request(req, 0)
	if err == nil {
		res = k.(*kmsg.ShareAcknowledgeResponse) //nolint:forcetypeassert // the answer to its request
		err = kerr.ErrorForCode(res.ErrorCode)
	}
	s.mu.Lock()
	if err != nil {
		for i := range acks {
			if acks[i].round != nil {
				acks[i].answer(err)
			}
		}
		x.reset(err)
		return
	}
	x.bump()
	said := make(map[sharePart]error, len(acks))
	for i := range res.Topics {
		for j := range res.Topics[i].Partitions {
			p := &res.Topics[i].Partitions[j]
			said[sharePart{res.Topics[i].TopicID, p.Partition}] = kerr.ErrorForCode(p.ErrorCode)
		}
	}
	var told, refused []*eventflow.Delivery
	var why error
	for len(acks) > 0 {
		n := 1
		for n < len(acks) && acks[n].part == acks[0].part {
			n++
		}
		err, ok := said[acks[0].part]
		if !ok {
			err = errShareSilent
		}
		t, r := x.answered(acks[:n], err, final)
		told, acks = append(told, t...), acks[n:]
		if len(r) > 0 {
			refused, why = append(refused, r...), err
		}
	}
	s.mu.Unlock()
	s.tellSettled(told, nil)
	if len(refused) > 0 {
		s.tellLost(nil, refused, s.lostTo(why))
	}
	s.mu.Lock()
}

// answered deals with what a broker said of one partition. It gives the deliveries whose settlement is confirmed, and those
// whose settlement came too late. The caller holds mu.
func (x *shareSession) answered(acks []shareAck, err error, final bool) (told, refused []*eventflow.Delivery) {
	lost := shareLost(err)
	if err != nil && !lost {
		x.failures++
		x.after = time.Now().Add(backoff(x.failures))
	}
	for _, a := range acks {
		r := a.r
		again := err != nil && !final && (!lost || len(acks) > 1)
		switch {
		case a.round != nil && lost && len(acks) > 1: // which of them it was is asked of each
			a.alone = true
			x.add(a)
		case a.round != nil && lost:
			a.answer(eventflow.ErrLockLost)
		case a.round != nil:
			a.answer(err)
		case r == nil: // gaps are not worth another try
		case r.state != shareSettled: // lost meanwhile, and told
		case again:
			a.alone = a.alone || lost
			x.add(a)
		case err == nil || a.kind != shareAccept: // given back, or gone to others already
			if !r.quiet {
				told = append(told, r.d)
			}
			x.s.drop(r)
		default:
			if !r.quiet {
				refused = append(refused, r.d)
			}
			x.s.drop(r)
		}
	}
	if gone := shareMoved(err); gone {
		x.s.lookAgain()
	}
	return told, refused
}

// shareLost reports whether an error says that the lock of at least one of the records is gone.
func shareLost(err error) bool {
	return errors.Is(err, kerr.InvalidRecordState) || errors.Is(err, kerr.InvalidRequest) || shareMoved(err)
}

// shareMoved reports whether the partition is not the broker's any more. The locks are no more either: its new leader
// begins without.
func shareMoved(err error) bool {
	return errors.Is(err, kerr.NotLeaderForPartition) || errors.Is(err, kerr.FencedLeaderEpoch) ||
		errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID)
}
