package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/renew"
)

// A shareSubscriber is one member of a share group (KIP-932), and the settler of what it was handed. The broker locks
// each record by itself and counts its deliveries; there are no partitions of ours, no offsets and no order.
//
// The client's own share consumer is not used: it accepts, at its next poll, whatever was not settled until then. Here a
// record is accepted when its delivery was acknowledged and never otherwise, and only as many are locked as a Next has
// asked for. Its parts are told in files of their own: the membership, the sessions with the brokers, the records.
//
// Whoever holds mu calls neither the client nor the runner.
type shareSubscriber struct {
	b     *Broker
	topic string
	set   subscription
	err   error // what was wrong when it was opened

	locks *renew.Tracker[*shareRecord]

	mu        sync.Mutex // guards what follows; the tracker may be called under it
	listening eventflow.Listening
	started   bool
	calling   bool // a Next is under way
	closed    bool
	cl        *kgo.Client
	traits    shareTraits
	decoder   kgo.Decompressor
	most      int // bytes that may be held

	member   string
	cluster  string
	assigned map[sharePart]struct{}
	sessions map[int32]*shareSession // by broker
	rejoin   chan struct{}           // the member looks again

	records []*shareRecord // by the token of their delivery
	free    []uint64
	ready   []*shareRecord // received, and not yet handed over
	bytes   int            // of all records
	due     shareDueHeap
	timer   *time.Timer // of the first of due
	want    int         // what a Next waits for
	wake    chan struct{}
	broken  error // what the next Next returns, once
	final   error // what every Next returns
	gaps    gaps

	end      context.Context // of the member and of what the sessions ask for: it ends with Close
	stop     context.CancelFunc
	life     context.Context // of all requests
	kill     context.CancelFunc
	released chan struct{}  // closed when Close has done its work
	talking  sync.WaitGroup // the sessions
	workers  sync.WaitGroup // the member
}

var _ eventflow.Subscriber = (*shareSubscriber)(nil)

const (
	shareMargin      = time.Second      // before a lock's end it is given up; less for short locks
	shareBatch       = 500              // renewals in a call
	shareCalls       = 4                // calls at once
	shareRequestTime = 5 * time.Second  // of a request, beyond what it waits for by itself
	shareIdle        = 15 * time.Minute // the longest that the client takes; a broker releases what is held when the connection ends, and renewals keep it
	shareCloseTime   = 10 * time.Second // of Close, when its context allows more
	shareUncollected = 2 * time.Second  // that a record waits for a Next before others may have it
)

func newShareSubscriber(b *Broker, topic string, set subscription) *shareSubscriber {
	s := &shareSubscriber{
		b: b, topic: topic, set: set, assigned: map[sharePart]struct{}{}, sessions: map[int32]*shareSession{},
		rejoin: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
	if set.serverSide > 0 || set.instance != "" || set.exactlyOnce > 0 {
		s.err = &eventflow.ConfigError{
			Field: "kafka.ShareGroup", Value: "with kafka.ServerSideBalancer, kafka.StaticMember or kafka.ExactlyOnce",
			Allowed: "none of them: a share group has another protocol, and its settlements are in no transaction",
		}
	}
	return s
}

// String names the topic and the group.
func (s *shareSubscriber) String() string { return trigger(s.topic, s.set.group) }

// public gives the subscriber with the methods that its options promise.
func (s *shareSubscriber) public() eventflow.Subscriber { return s }

// Err is what was wrong when it was opened.
func (s *shareSubscriber) Err() error { return s.err }

func (s *shareSubscriber) wrap(err error) error { return fmt.Errorf("kafka: %v: %w", s, err) }

func (s *shareSubscriber) logger() *slog.Logger { return s.b.log(s.listening.Logger) }

func (s *shareSubscriber) Start(ctx context.Context, l eventflow.Listening) error {
	if s.err != nil {
		return s.err
	}
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return s.wrap(eventflow.ErrClosed)
	case s.started:
		s.mu.Unlock()
		return errTwoStarts
	}
	s.started = true
	s.mu.Unlock()
	traits, err := s.check(ctx, &l)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.closed {
		err = s.wrap(eventflow.ErrClosed)
	}
	if err == nil {
		s.listening, s.traits = l, traits
		err = s.connect()
	}
	if err != nil {
		s.started = false
	}
	return err
}

// connect makes the client and joins the group. The caller holds mu.
func (s *shareSubscriber) connect() error {
	s.most = s.listening.MaxHeldBytes
	if s.most <= 0 {
		s.most = defaultHeld
	}
	s.most = max(s.most, leastHeld)
	var life context.Context
	life, s.kill = context.WithCancel(context.Background())
	opts := append(s.b.options(s.listening.Logger),
		kgo.ConnIdleTimeout(shareIdle), kgo.MaxDecompressBatchBytes(s.most/2), kgo.WithContext(life))
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		s.kill()
		return &eventflow.ConfigError{Field: "kafka.Config.Client", Value: "the options of a subscriber", Allowed: err.Error()}
	}
	decoder, ok := cl.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
	if !ok {
		decoder = kgo.DefaultDecompressor()
	}
	s.cl, s.life, s.member, s.decoder = cl, life, newUUID(), decoder
	s.end, s.stop = context.WithCancel(life)
	s.released = make(chan struct{})
	s.locks = renew.New(renew.Config[*shareRecord]{
		Renew: s.renew, Lost: s.lapsed, Batch: shareBatch, Calls: shareCalls, Margin: min(shareMargin, s.traits.lock/8),
	})
	s.workers.Go(s.keepMember)
	return nil
}

// Close releases what is unsettled, writes the marks, ends the sessions and leaves the group. Nothing is accepted that was
// not acknowledged.
func (s *shareSubscriber) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		released := s.released
		s.mu.Unlock()
		if released == nil {
			return nil
		}
		select {
		case <-released:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.closed = true
	if s.cl == nil {
		s.mu.Unlock()
		s.b.forget(s)
		return nil
	}
	doomed := s.withdraw()
	s.wakeUp()
	s.mu.Unlock()
	defer close(s.released)
	defer s.b.forget(s)
	ctx, cancel := context.WithTimeout(ctx, shareCloseTime)
	defer cancel()
	done := context.AfterFunc(ctx, s.kill)
	defer done()
	s.bury(ctx, doomed)
	s.locks.Close()
	s.stop()
	s.talking.Wait() // each ends with the request that it has under way and one more
	s.workers.Wait()
	s.mu.Lock()
	left := s.unwritten()
	s.mu.Unlock()
	s.leave(ctx)
	s.kill()
	s.cl.Close()
	if len(left) == 0 {
		return nil
	}
	s.tellSettled(left, s.wrap(eventflow.ErrClosed))
	return s.wrap(fmt.Errorf("the group was closed before it had taken %d settlements: %w", len(left), context.Cause(ctx)))
}

// withdraw takes back whatever is unsettled, and gives the records that the group would hand to nobody again. The caller
// holds mu.
func (s *shareSubscriber) withdraw() (doomed []*shareRecord) {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.due, s.ready = nil, nil
	for _, r := range s.records {
		if r == nil || r.state == shareSettled || r.state == shareHanded && !r.d.Lose() {
			continue // its settlement is on its way, or about to come: see Settle
		}
		r.quiet = true
		if s.isLast(r) {
			r.state = shareSettled
			doomed = append(doomed, r)
			continue
		}
		s.mark(r, shareRelease)
	}
	return doomed
}

// bury writes dead letters of records that are given back at their last delivery: the group would drop them. Where they
// cannot be written, that is said.
func (s *shareSubscriber) bury(ctx context.Context, doomed []*shareRecord) {
	for _, r := range doomed {
		err := eventflow.ErrNoDeadLetters
		if !s.set.noDeadLetters {
			err = s.b.deadLetter(ctx, r.rec, s.set.deadLetterTopic, &eventflow.Failure{
				Reason: "exhausted", Flow: s.listening.Flow, Binding: s.listening.Binding, Attempts: r.d.Receives,
			})
		}
		kind := shareAccept
		if err != nil {
			kind = shareRelease
			s.logger().Error("kafka: a record is given back at its last delivery: the group hands it to nobody again",
				"subscriber", s.String(), "partition", r.part.partition, "offset", r.offset, "deliveries", r.d.Receives, "error", err)
		}
		s.mu.Lock()
		if r.state == shareSettled {
			s.mark(r, kind)
		}
		s.mu.Unlock()
	}
}

// unwritten gives the acknowledgements that no broker has confirmed. The caller holds mu.
func (s *shareSubscriber) unwritten() []*eventflow.Delivery {
	var left []*eventflow.Delivery
	for _, r := range s.records {
		if r != nil && r.state == shareSettled && !r.quiet {
			left = append(left, r.d)
			s.drop(r)
		}
	}
	return left
}

// wakeUp makes a Next that waits look again. The caller holds mu.
func (s *shareSubscriber) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
