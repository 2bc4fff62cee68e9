package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

// Next hands over what waits in the partitions, and polls the client when that is less than was asked for.
func (s *subscriber) Next(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	want.Events, want.PerLane = max(want.Events, 1), max(want.PerLane, 0)
	s.mu.Lock()
	started, closed := s.started, s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return nil, s.wrap(eventflow.ErrClosed)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !started:
		if err := s.Start(ctx, eventflow.Listening{}); err != nil && !errors.Is(err, errTwoStarts) {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.calling:
		return nil, errTwoCallers
	case s.cl == nil:
		return nil, s.wrap(eventflow.ErrClosed)
	}
	s.calling = true
	ds, err := s.next(ctx, want)
	if len(s.fresh) > 0 {
		s.mu.Unlock() // the others need not wait
		s.read(s.fresh)
		s.mu.Lock()
		clear(s.fresh)
		s.fresh = s.fresh[:0]
	}
	s.calling = false
	return ds, err
}

// next waits for something to hand over. The caller holds mu.
func (s *subscriber) next(ctx context.Context, want eventflow.Want) ([]*eventflow.Delivery, error) {
	s.room = max(s.room, want.Events)
	if s.perLane != want.PerLane {
		s.perLane = want.PerLane
		s.placeAll()
	}
	for asked := false; ; {
		if s.closed {
			return nil, s.wrap(eventflow.ErrClosed)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		due := s.expire()
		if !asked && s.low() && s.hungry() {
			asked = true
			s.poll(nil) //nolint:staticcheck // the client's way of saying: what is there already
			continue
		}
		if ds := s.take(want); len(ds) > 0 {
			return ds, nil
		}
		if err := s.failure(); err != nil {
			return nil, err
		}
		s.wait(ctx, due)
		asked = false
	}
}

// failure is what went wrong since it was asked last.
func (s *subscriber) failure() error {
	if s.final != nil {
		return s.final
	}
	err := s.broken
	s.broken = nil
	return err
}

// low reports whether some partition has little left to hand over, or is to be resumed. What is taken from the client
// sooner than it is needed only grows cold.
func (s *subscriber) low() bool {
	for _, p := range s.parts {
		if p.queued < max(s.room/4, 1) || p.paused && !p.over {
			return true
		}
	}
	return len(s.parts) == 0 || s.ready.n == 0 && s.set.mode != PartitionLanes // other keys may be behind those that wait
}

// wait polls, or sleeps where nothing more is needed or there is no room for it, until something happens or the next delay is over.
func (s *subscriber) wait(ctx context.Context, due time.Duration) {
	poll := s.low() && s.hungry()
	if left := s.holding(); !poll && left > 0 && (due < 0 || left < due) {
		due = left
	}
	if due >= 0 {
		t := time.AfterFunc(due, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.wakeUp()
		})
		defer t.Stop()
	}
	if poll {
		polling, cancel := context.WithCancel(ctx)
		s.cancelPoll = cancel
		s.poll(polling)
		s.cancelPoll = nil
		cancel()
		return
	}
	select {
	case <-s.wake: // of a sleep that is over
	default:
	}
	s.mu.Unlock()
	select {
	case <-s.wake:
	case <-ctx.Done():
	}
	s.mu.Lock()
}

// wakeUp makes a Next that waits look again. The caller holds mu.
func (s *subscriber) wakeUp() {
	if s.cancelPoll != nil {
		s.cancelPoll()
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// poll asks the client and puts what it gives into the partitions. The caller holds mu, which is not held meanwhile.
func (s *subscriber) poll(ctx context.Context) {
	pause, resume := s.throttle()
	seeks := s.gapSeeks
	s.gapSeeks = nil
	s.polling = true
	s.mu.Unlock()
	if len(pause) > 0 {
		s.cl.PauseFetchPartitions(map[string][]int32{s.topic: pause})
	}
	if len(resume) > 0 {
		s.cl.ResumeFetchPartitions(map[string][]int32{s.topic: resume})
	}
	s.seek(seeks)
	fetches := s.cl.PollFetches(ctx) // nil: what is there already
	s.mu.Lock()
	s.absorb(ctx, fetches)
	s.polling = false
	s.polled.Broadcast()
}

// barrier waits until whatever was polled before the call is in its partitions. The caller holds mu.
func (s *subscriber) barrier() {
	s.barriers++
	s.wakeUp()
	for s.polling {
		s.polled.Wait()
	}
	s.barriers--
	s.wakeUp()
}

// hungry reports whether there is room for more in any partition.
func (s *subscriber) hungry() bool {
	return s.barriers == 0 && !s.closed && s.final == nil && s.bytes < s.limits.bytes && (len(s.parts) == 0 || s.over < len(s.parts)) &&
		s.holding() <= 0
}

// holding is for how long nothing is to be polled, because a partition has all that it may and is not paused yet. A client
// that is asked for the others alone waits for them for as long as a fetch may wait, if they have nothing: one that is
// paused must be so slow that what it has lasts for that.
func (s *subscriber) holding() (left time.Duration) {
	if s.over == 0 {
		return 0
	}
	for _, p := range s.parts {
		if p.over && !p.paused {
			left = max(left, pauseAfter-time.Since(p.since))
		}
	}
	return left
}

// throttle gives the partitions that are to be paused, because they have all that they may, and those to be resumed.
func (s *subscriber) throttle() (pause, resume []int32) {
	if s.over == 0 && len(s.parts) == 0 {
		return nil, nil
	}
	for n, p := range s.parts {
		switch {
		case p.over && !p.paused && time.Since(p.since) >= pauseAfter:
			p.paused = true
			pause = append(pause, n)
		case !p.over && p.paused:
			p.paused = false
			resume = append(resume, n)
		}
	}
	return pause, resume
}

// absorb puts records into their partitions. Those of a partition that is not ours any more are another's.
func (s *subscriber) absorb(ctx context.Context, fetches kgo.Fetches) {
	for i := range fetches {
		for j := range fetches[i].Topics {
			t := &fetches[i].Topics[j]
			for k := range t.Partitions {
				f := &t.Partitions[k]
				p := s.parts[f.Partition]
				if p != nil && t.Topic == s.topic {
					p.absorb(f.Records)
				}
				if f.Err != nil {
					s.fault(ctx, p, f)
				}
			}
		}
	}
}

// fault deals with what a fetch says went wrong.
func (s *subscriber) fault(ctx context.Context, p *partition, f *kgo.FetchPartition) {
	switch err := f.Err; {
	case ctx != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()): // it was woken
	case errors.Is(err, kgo.ErrClientClosed):
		s.broken = s.wrap(eventflow.ErrClosed)
	case p != nil && s.isGap(p, err):
	default:
		s.broken = s.b.explain("receive", s.topic, err, false)
	}
}

// farBehind is how far a lane may fall behind what was handed over of others, as one with many records does when all give the
// same part: the prefix stands still meanwhile, and what is run lies far apart. From there on it gives all that PerLane allows.
const farBehind = 2 * keyLanes

// take hands over what is ready, within the bounds: from each lane a part, so that none takes all.
func (s *subscriber) take(want eventflow.Want) []*eventflow.Delivery {
	if s.ready.n == 0 {
		return nil
	}
	var (
		out   []*eventflow.Delivery
		bytes int
		until = s.lockedUntil()
	)
	for len(out) < want.Events && s.ready.n > 0 {
		l := s.ready.first
		most := max(1, (want.Events-len(out)+s.ready.n-1)/s.ready.n)
		s.ready.remove(l)
		for i := 0; len(out) < want.Events; i++ {
			seq := l.head()
			if i >= most && (l.name == "" || s.perLane == 0 || seq+farBehind >= l.p.handed) || seq == 0 || !s.admits(l, seq) {
				break
			}
			e := l.p.at(seq)
			size := int(e.value) // its record lies mostly in memory that no cache holds: see touch
			if want.Bytes > 0 && bytes+size > want.Bytes && len(out) > 0 {
				s.place(l)
				return out
			}
			l.pop()
			bytes += size
			if out == nil {
				out = make([]*eventflow.Delivery, 0, min(want.Events, l.p.n+s.ready.n*most))
			}
			out = append(out, l.p.handOver(l, seq, e, until))
		}
		s.place(l)
	}
	return out
}

// place puts a lane on the list of those that have something for Next, or takes it off.
func (s *subscriber) place(l *lane) {
	if seq := l.head(); seq == 0 || !s.admits(l, seq) {
		s.ready.remove(l)
		return
	}
	if !l.listed {
		s.ready.push(l)
		s.wakeUp()
	}
}

func (s *subscriber) placeAll() {
	for _, p := range s.parts {
		p.placeAll()
	}
}

// admits reports whether the head of a lane may be handed over now.
func (s *subscriber) admits(l *lane, seq uint64) bool {
	p := l.p
	switch {
	case !p.started, p.leaving, p.fenced, s.suspended:
		return false
	case len(l.back) > 0 && p.at(seq).state != entryQueued: // what was never handed over is queued, and need not be looked at
		return false
	case l.name != "" && (s.perLane > 0 && l.held >= s.perLane || !l.deaf.IsZero() && time.Now().Before(l.deaf)):
		return false
	case p.full && seq > p.handed: // no more out of order than its commits can tell
		return false
	case p.prefix < p.until:
		return p.alone(seq, p.at(seq))
	}
	return true
}

// expire queues what has waited long enough, and gives when the next has; below zero: none.
func (s *subscriber) expire() time.Duration {
	for s.delays.Len() > 0 {
		d := s.delays[0]
		if left := time.Until(d.at); left > 0 {
			return left
		}
		s.delays.pop()
		if e := d.p.at(d.seq); !d.p.fenced && d.p.has(d.seq) && e.state == entryDelayed {
			e.state = entryQueued
			d.p.queued++
			if e.lane.name == "" {
				e.lane.giveBack(d.seq)
			}
			s.place(e.lane)
		}
	}
	return -1
}

// delivery gives a new one. One allocation makes several, and one that is kept keeps its neighbours.
func (s *subscriber) delivery() *eventflow.Delivery {
	const slab = 32
	if len(s.slab) == 0 {
		s.slab = make([]eventflow.Delivery, slab)
	}
	d := &s.slab[0]
	s.slab = s.slab[1:]
	return d
}
