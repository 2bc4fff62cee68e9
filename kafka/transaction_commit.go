package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// share is what a transaction commits of one partition.
type share struct {
	p    *partition
	at   kgo.EpochOffset
	text string
}

// commit sends the offsets of the transaction and ends it. An error means that it was not committed, or, if it is
// errOpenEnd, that nobody here needs to know any more.
func (x *transactor) commit(ctx context.Context, cl *kgo.Client, us []*unit) error {
	select {
	case x.s.committing <- struct{}{}: // no other commit from the offsets to the end
		defer func() { <-x.s.committing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	shares, err := x.sendOffsets(ctx, cl)
	if err != nil {
		return err
	}
	ending, cancel := context.WithTimeout(x.life, commitWait)
	defer cancel()
	if err = cl.EndTransaction(ending, kgo.TryCommit); err != nil {
		err = x.resolve(shares, err)
	}
	if err == nil {
		x.committed(us)
	}
	return err
}

// abort ends a transaction that is not to be committed. What cannot be ended now ends with the next beginning, or with
// the timeout.
func (x *transactor) abort() {
	ctx, cancel := context.WithTimeout(x.life, commitWait)
	defer cancel()
	_ = x.renew(ctx)
}

// offsetsPause is between two tries to send the offsets of one transaction.
const offsetsPause = 50 * time.Millisecond

// sendOffsets makes the offsets part of the transaction. While the group is between two generations, or the coordinator
// moves, it tries again: what is still ours then, has been ours all the time.
func (x *transactor) sendOffsets(ctx context.Context, cl *kgo.Client) ([]share, error) {
	s := x.s
	if err := x.addOffsets(ctx, cl); err != nil {
		return nil, err
	}
	for {
		// Before the look at the partitions: whoever loses one is fenced from it before there is a new generation.
		member, generation := s.cl.GroupMetadata()
		s.mu.Lock()
		shares, err := x.plan()
		s.mu.Unlock()
		if err != nil || len(shares) == 0 {
			return shares, err
		}
		err = x.sendShares(ctx, cl, shares, member, generation)
		switch {
		case err == nil:
			return shares, nil
		case errors.Is(err, kerr.OffsetMetadataTooLarge):
			if !x.learn(shares) {
				return nil, err
			}
			continue
		case !passes(err):
			return nil, err
		}
		t := time.NewTimer(offsetsPause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, errors.Join(context.Cause(ctx), err)
		}
	}
}

// passes reports whether an error is of a group or a coordinator that is changing.
func passes(err error) bool {
	for _, e := range []error{
		kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.StaleMemberEpoch, kerr.RebalanceInProgress, kerr.ConcurrentTransactions,
		kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return kgo.IsRetryableBrokerErr(err)
}

// plan gives what the group's offsets will be once the transaction is committed. The caller holds mu.
func (x *transactor) plan() ([]share, error) {
	s := x.s
	shares := make([]share, 0, len(x.in))
	for p, seqs := range x.in {
		if p.fenced {
			return nil, s.lost("the partition went before its transaction was committed")
		}
		t := p.tracker // as it will be: the real one learns of it when the transaction has ended
		x.scratch = append(x.scratch[:0], p.ring...)
		t.ring, t.bits = x.scratch, slices.Clone(p.bits)
		for _, seq := range seqs {
			t.settle(seq, t.at(seq))
		}
		g := p.describe(&t, false)
		clear(x.scratch)
		text, whole := g.encodeDone(s.limit)
		p.fill(!whole || len(text) > s.limit*3/4)
		if !whole {
			return nil, errAhead
		}
		shares = append(shares, share{p: p, at: kgo.EpochOffset{Epoch: t.epoch, Offset: t.prefix}, text: text})
	}
	return shares, nil
}

// encodeDone is encode that leaves out the attempts before the spans: what a transaction has settled must not be run again.
func (p *progress) encodeDone(limit int) (text string, whole bool) {
	if text, whole = p.encode(limit); whole {
		return text, true
	}
	p.attempts = nil
	return p.encode(limit)
}

// learn notes that the broker takes less metadata than was sent. It is false when nothing was.
func (x *transactor) learn(shares []share) bool {
	longest := 0
	for i := range shares {
		longest = max(longest, len(shares[i].text))
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.limit = min(x.s.limit, shrink(longest))
	return longest > 0
}

// addOffsets tells the transaction's coordinator that the group will be part of it.
func (x *transactor) addOffsets(ctx context.Context, cl *kgo.Client) error {
	for {
		id, epoch, err := cl.ProducerID(ctx)
		if err != nil {
			return err
		}
		req := kmsg.NewPtrAddOffsetsToTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = x.id, id, epoch, x.s.set.group
		resp, err := req.RequestWith(ctx, cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if !errors.Is(err, kerr.ConcurrentTransactions) || !x.s.pause(ctx, offsetsPause) {
			return err
		}
	}
}

// fencesByGroup is the first version of TxnOffsetCommit that does (KIP-447).
const fencesByGroup = 3

// sendShares sends the offsets once.
func (x *transactor) sendShares(ctx context.Context, cl *kgo.Client, shares []share, member string, generation int32) error {
	s := x.s
	id, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		return err
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch = x.id, s.set.group, id, epoch
	req.MemberID, req.Generation = member, generation
	if s.set.instance != "" {
		req.InstanceID = &s.set.instance
	}
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic, t.TopicID = s.topic, shares[0].p.topic
	for i := range shares {
		c := &shares[i]
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = c.p.number, c.at.Offset, c.at.Epoch, &c.text
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	if resp.Version < fencesByGroup {
		return errOld
	}
	answered := 0
	for i := range resp.Topics {
		for _, p := range resp.Topics[i].Partitions {
			answered++
			if err == nil {
				err = kerr.ErrorForCode(p.ErrorCode)
			}
		}
	}
	if err == nil && answered < len(shares) {
		err = errUnanswered
	}
	return err
}

// resolve finds out whether a transaction was committed whose end was sent and not answered with a yes. It returns nil
// when it was, else why not. It tries until it knows, or until nothing of it is ours any more.
func (x *transactor) resolve(shares []share, cause error) error {
	for wait := leastPause; ; wait = min(2*wait, mostPause) {
		ctx, cancel := context.WithTimeout(x.life, commitWait)
		done, err := false, x.renew(ctx) // from here on it has ended
		if err == nil {
			done, err = x.was(ctx, shares)
		}
		cancel()
		switch {
		case err == nil && done:
			return nil
		case err == nil:
			return cause
		case errors.Is(err, errOpenEnd), x.life.Err() != nil, !x.s.pause(x.life, wait):
			return fmt.Errorf("%w: %w", errOpenEnd, cause)
		}
	}
}

// was asks the group whether it has the offsets of a transaction that has ended.
func (x *transactor) was(ctx context.Context, shares []share) (bool, error) {
	s := x.s
	ns := make([]int32, len(shares))
	for i := range shares {
		ns[i] = shares[i].p.number
	}
	got, err := s.fetchCommitted(ctx, s.cl, shares[0].p.topic, ns)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range shares {
		c := &shares[i]
		p, ok := got[c.p.number]
		switch {
		case c.p.fenced: // what is there may be another's
		case !ok:
			return false, errUnanswered
		default: // all or nothing: one of ours tells
			return p.offset == c.at.Offset && p.text == c.text, nil
		}
	}
	return false, errOpenEnd
}
