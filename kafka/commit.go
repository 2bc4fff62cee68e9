package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
)

// The committer is a goroutine of each subscriber. It writes what is marked at once when that is most of what the runner may
// hold, so that the runner does not wait for long, and not before: a commit costs both sides as much as dozens of events.
// It writes soon when as much is marked as is still held; and otherwise after a little while, so that slow flows share a
// commit.

const (
	commitLinger = 20 * time.Millisecond // at most, from the first mark to the commit
	commitSpace  = 2 * time.Millisecond  // from an answer to the next commit
	commitRetry  = 100 * time.Millisecond
	commitWait   = 10 * time.Second // for an answer, at most
)

// patience is how long a commit may wait for its answer: the client does not join again while one is under way, and the
// group waits for it no longer than a session.
func (s *subscriber) patience() time.Duration { return min(commitWait, s.pulse.lasts()/3) }

// kickCommit wakes the committer. The caller holds mu.
func (s *subscriber) kickCommit() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// keepCommitting is the committer's loop. It ends when Close ends it.
func (s *subscriber) keepCommitting() {
	timer := time.NewTimer(commitLinger)
	defer timer.Stop()
	var first, last time.Time // mark that is not committed, answer
	failing := false
	for {
		now := time.Now()
		s.mu.Lock()
		dirty, urgent, many, suspended := s.dirty, s.unconfirmed >= max(s.open, 1) || s.wanted(), s.many(), s.suspended
		s.mu.Unlock()
		if dirty && first.IsZero() {
			first = now
		}
		wait := time.Hour // until it is kicked
		switch {
		case suspended:
			wait = commitRetry
		case dirty && many && !failing: // no timer: those of an idle process are a millisecond late or two
			wait = 0
		case dirty && urgent:
			wait = min(wait, last.Add(commitSpace).Sub(now))
		case dirty:
			wait = min(wait, max(first.Add(commitLinger).Sub(now), last.Add(commitSpace).Sub(now)))
		}
		if (dirty && wait <= 0) || suspended && now.Sub(last) >= commitRetry {
			err := s.commitNow()
			first, last = time.Time{}, time.Now()
			if err != nil {
				last = last.Add(commitRetry)
				if !failing && s.end.Err() == nil && !errors.Is(err, context.Canceled) {
					s.logger().Warn("kafka: a commit failed; it is tried again until the partitions go", "subscriber", s.String(), "error", err)
				}
			}
			failing = err != nil
			if s.end.Err() == nil {
				continue
			}
		}
		timer.Reset(max(wait, 0))
		select {
		case <-s.kick:
		case <-timer.C:
		case <-s.end.Done():
			return
		}
	}
}

// commitNow is the committer's. Close can interrupt it.
func (s *subscriber) commitNow() error {
	ctx, cancel := context.WithTimeout(s.end, s.patience())
	defer cancel()
	s.mu.Lock()
	s.interrupt = cancel
	s.mu.Unlock()
	return s.commit(ctx, nil, false)
}

// many reports whether so much was marked since the last commit that a runner, which holds what is not confirmed, has to
// wait soon. Where nobody is told of confirmations, nobody waits for them. The caller holds mu.
func (s *subscriber) many() bool {
	most := s.room * 3 / 4
	if s.open > s.room/4 { // what still runs leaves no room for so much
		most = s.room / 2
	}
	return s.listening.Settled != nil && s.marked >= max(most, 1)
}

// wanted reports whether a record waits for its attempt to be committed. The caller holds mu.
func (s *subscriber) wanted() bool {
	for _, p := range s.parts {
		if p.prefix < p.until && p.n > 0 && p.at(p.head).sole == soleWanted {
			return true
		}
	}
	return false
}

// entryCommit is what one commit says of one partition.
type entryCommit struct {
	p       *partition
	at      kgo.EpochOffset
	text    string
	acked   []*eventflow.Delivery // what it confirms
	cleared uint64                // a record that may start alone after it
	err     error
}

// commit writes what is marked, of the partitions given or of all that have something, and tells the runner what is
// confirmed. A clean commit is the last of its partitions: who begins there next need not suspect anything.
func (s *subscriber) commit(ctx context.Context, ps []*partition, clean bool) error {
	return s.commitBy(ctx, ps, clean, s.send)
}

// sends is a way of a commit to the cluster. It fills each one's error.
type sends func(ctx context.Context, cs []entryCommit) error

func (s *subscriber) commitBy(ctx context.Context, ps []*partition, clean bool, send sends) error {
	select {
	case s.committing <- struct{}{}:
		defer func() { <-s.committing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		err := s.conclude(s.write(ctx, ps, clean, send))
		if !errors.Is(err, errShorter) {
			return err
		}
	}
}

var errUnanswered = errors.New("the commit was not answered")

// errShorter: the broker takes less metadata than was tried; less was not.
var errShorter = errors.New("the commit's metadata is too large for the broker")

func (s *subscriber) write(ctx context.Context, ps []*partition, clean bool, send sends) ([]entryCommit, error) {
	s.mu.Lock()
	if ps == nil {
		for _, p := range s.parts {
			if (p.dirty || s.suspended) && p.started {
				ps = append(ps, p)
			}
		}
		s.dirty, s.marked = false, 0
	}
	cs := make([]entryCommit, 0, len(ps))
	for _, p := range ps {
		if p.fenced {
			continue
		}
		if c, ok := s.snapshot(p, clean); ok {
			cs = append(cs, c)
		}
	}
	s.mu.Unlock()
	if len(cs) == 0 {
		return nil, nil
	}
	return cs, send(ctx, cs)
}

// snapshot is what there is to commit of a partition. It is false when that does not fit and what a transaction has
// settled would be run again. The caller holds mu.
func (s *subscriber) snapshot(p *partition, clean bool) (entryCommit, bool) {
	g := p.describe(&p.tracker, clean)
	text, whole := g.encode(s.limit)
	if !whole && s.tx != nil {
		text, whole = g.encodeDone(s.limit)
	}
	p.fill(!whole || len(text) > s.limit*3/4)
	if !whole && s.tx != nil {
		return entryCommit{}, false
	}
	c := entryCommit{p: p, at: kgo.EpochOffset{Epoch: p.epoch, Offset: p.prefix}, text: text, acked: p.pending}
	p.pending, p.spare, p.dirty = p.spare, nil, false
	if !whole { // what lies beyond the prefix is not in it
		c.acked, p.pending = p.split(c.acked)
	}
	if p.prefix < p.until && p.n > 0 {
		if e := p.at(p.head); e.sole == soleWanted {
			c.cleared = p.head
		}
	}
	return c, true
}

// describe is what a commit says of a partition whose records stand as t has them.
func (p *partition) describe(t *tracker, clean bool) progress {
	g := progress{topic: p.topic, base: t.prefix}
	g.done, g.attempts = t.progress(clean)
	if !clean {
		g.starts, g.until = 1, p.until
		if t.prefix == p.first {
			g.starts = p.starts
		}
	}
	return g
}

// fill notes whether the partition's commits can hardly tell more.
func (p *partition) fill(full bool) {
	if p.full == full {
		return
	}
	if p.full = full; !full {
		p.placeAll()
	}
}

// send writes the commit through the client, which knows whether it may.
func (s *subscriber) send(ctx context.Context, cs []entryCommit) error {
	offsets := make(map[int32]kgo.EpochOffset, len(cs))
	texts := make(map[int32]*string, len(cs))
	for i := range cs {
		offsets[cs[i].p.number] = cs[i].at
		texts[cs[i].p.number] = &cs[i].text
	}
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				x := &req.Topics[i].Partitions[j]
				x.Metadata = texts[x.Partition]
			}
		}
		return nil
	})
	var failed error
	s.cl.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{s.topic: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			if failed = err; err == nil {
				note(cs, resp)
			}
		})
	return failed
}

// note fills each one's error from the answer.
func note(cs []entryCommit, resp *kmsg.OffsetCommitResponse) {
	answers := make(map[int32]error, len(cs))
	for i := range resp.Topics {
		for _, x := range resp.Topics[i].Partitions {
			answers[x.Partition] = kerr.ErrorForCode(x.ErrorCode)
		}
	}
	for i := range cs {
		err, answered := answers[cs[i].p.number]
		if !answered {
			err = errUnanswered
		}
		cs[i].err = err
	}
}

// conclude notes what became of a commit.
func (s *subscriber) conclude(cs []entryCommit, failed error) error {
	var refused []*eventflow.Delivery
	confirmed := s.confirmed[:0] // by one commit at a time
	s.mu.Lock()
	for i := range cs {
		c := &cs[i]
		if failed != nil {
			c.err = failed
		}
		switch p := c.p; {
		case c.err == nil:
			confirmed = append(confirmed, c.acked...)
			s.unconfirmed -= len(c.acked)
			if p.spare == nil {
				clear(c.acked)
				p.spare = c.acked[:0]
			}
			if c.cleared != 0 && p.has(c.cleared) && p.at(c.cleared).sole == soleWanted {
				e := p.at(c.cleared)
				p.mark(e, soleCleared)
				s.place(e.lane)
			}
		case p.fenced:
			refused = append(refused, c.acked...)
			s.unconfirmed -= len(c.acked)
		default:
			p.pending = append(c.acked, p.pending...)
			p.dirty, s.dirty = true, true
			if errors.Is(c.err, kerr.OffsetMetadataTooLarge) && c.text != "" {
				s.limit, c.err = min(s.limit, shrink(len(c.text))), errShorter
			}
		}
	}
	var err error
	for i := range cs {
		if x := cs[i].err; x != nil && (err == nil || !errors.Is(x, errShorter)) {
			err = x
		}
	}
	if err == nil && len(cs) > 0 && s.suspended {
		s.suspended = false
		s.placeAll()
		s.wakeUp()
	}
	s.mu.Unlock()
	if err == nil && len(cs) > 0 {
		s.pulse.goOn()
	}
	s.tellSettled(confirmed, nil)
	clear(confirmed)
	s.confirmed = confirmed
	s.tellSettled(refused, s.lost("its offset was not committed"))
	return err
}

// shrink gives the next limit to try after a text of n bytes was too large for the broker.
func shrink(n int) int {
	const least = 16
	if n/2 < least {
		return 0
	}
	return n / 2
}

// split parts marks into those below the prefix and those beyond.
func (p *partition) split(ds []*eventflow.Delivery) (below, beyond []*eventflow.Delivery) {
	for _, d := range ds {
		if d.Token() < p.head {
			below = append(below, d)
		} else {
			beyond = append(beyond, d)
		}
	}
	return below, beyond
}
