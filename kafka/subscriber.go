package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

// A subscriber is one consumer of a group, with a client of its own. Its records wait in their partitions, from where
// Next hands them over; Next also polls the client, so that nothing is fetched that nobody asks for.
//
// Whoever holds mu calls neither the client nor the runner.
type subscriber struct {
	b     *Broker
	topic string
	set   subscription
	err   error // what was wrong when it was opened
	pulse pulse

	// committing holds a token from the making of a commit to its answer, so that an older one never follows a newer one.
	// It is taken before mu.
	committing chan struct{}
	confirmed  []*eventflow.Delivery // by the commit that has the token

	mu        sync.Mutex // guards what follows
	listening eventflow.Listening
	started   bool
	calling   bool // a Next is under way
	closed    bool
	abandoned bool // something was abandoned: its flow still runs
	cl        *kgo.Client
	limits    limits

	parts   map[int32]*partition
	fetched map[int32]commitment // what the group had committed, by the last answer
	ready   laneList

	// Of a member that the group has thrown out: see member.go.
	kept     map[int32][16]byte    // partitions that the client still has, with their topic's ID
	strange  []*eventflow.Delivery // lost with it, and not told yet
	expelled chan struct{}

	delays  delayHeap
	slab    []eventflow.Delivery
	fresh   []reading // what Next hands over for the first time
	text    []byte    // of read
	touched byte      // what touch read: without a use the compiler would not read it
	perLane int
	room    int // the most that a Next has asked for: a runner holds no more that is not confirmed
	bytes   int // fetched and not settled
	over    int // partitions that hold as much as they may

	// suspended: the group has not answered for as long as a session lasts. Nothing is handed over until it does.
	suspended bool

	// Of Next: how it is woken, and who waits for it.
	cancelPoll context.CancelFunc // it polls and waits
	wake       chan struct{}      // it sleeps
	polling    bool               // what it has polled is not in the partitions yet
	barriers   int                // callbacks that wait for that
	polled     sync.Cond
	broken     error // what the next Next returns, once
	final      error // what every Next returns
	gaps       gaps
	gapSeeks   []seek // where the client has to go on behind gaps

	// Of the committer: see commit.go.
	kick        chan struct{}
	dirty       bool
	open        int                   // handed over and not settled
	unconfirmed int                   // acknowledged and not committed
	marked      int                   // acknowledged since the last commit was made
	unsure      []*eventflow.Delivery // acknowledged of partitions that were fenced before the commit
	limit       int                   // of a commit's metadata
	interrupt   context.CancelFunc    // of its last commit
	drained     chan struct{}

	tx *transactor // nil: not exactly once

	end      context.Context // of the committer and of drains
	stop     context.CancelFunc
	kill     context.CancelFunc // of all that the client does
	workers  sync.WaitGroup
	closing  chan struct{} // closed when Close begins
	released chan struct{} // closed when Close has done its work
}

var _ eventflow.Subscriber = (*subscriber)(nil)

// limits are what a subscriber may hold, from Listening.
type limits struct {
	bytes   int           // in all
	records int           // of one partition
	grace   time.Duration // how long a revoked partition may take to be drained
}

const (
	defaultHeld  = 64 << 20
	leastHeld    = 1 << 20
	startTimeout = 10 * time.Second
	fetchWait    = 500 * time.Millisecond // of a fetch, for its first record
	pauseAfter   = fetchWait / 5          // a partition that is full for so long is paused: see holding
	aheadRecords = 16 << 10               // of one partition: 2 bits of metadata each at worst, within its limit
	// leaveRoom is what is kept of the rebalance timeout for the commit and for joining again.
	leaveRoom = 10 * time.Second
)

// Misuse of a subscriber does not go away by waiting.
var (
	errTwoCallers = fmt.Errorf("kafka: Next was called by two goroutines at once: %w", eventflow.ErrFatal)
	errTwoStarts  = fmt.Errorf("kafka: Start was called twice, or after Next: %w", eventflow.ErrFatal)
)

func newSubscriber(b *Broker, topic string, set subscription) *subscriber {
	s := &subscriber{b: b, topic: topic, set: set, parts: map[int32]*partition{}, limit: metadataLimit, committing: make(chan struct{}, 1)}
	s.polled.L = &s.mu
	if set.exactlyOnce > 0 {
		s.tx = newTransactor(s)
	}
	return s
}

// String names the topic and the group.
func (s *subscriber) String() string { return trigger(s.topic, s.set.group) }

// Err is what was wrong when it was opened.
func (s *subscriber) Err() error { return s.err }

func (s *subscriber) wrap(err error) error { return fmt.Errorf("kafka: %v: %w", s, err) }

func (s *subscriber) logger() *slog.Logger { return s.b.log(s.listening.Logger) }

func (s *subscriber) Start(ctx context.Context, l eventflow.Listening) error {
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
	err := s.check(ctx, &l)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.closed {
		err = s.wrap(eventflow.ErrClosed)
	}
	if err == nil {
		s.listening = l
		err = s.connect()
	}
	if err != nil {
		s.started = false
	}
	return err
}

// check asks for what only the cluster knows. A cluster that does not answer is waited for, later. A runner without a
// publisher for its dead letters relies on the topic of ours.
func (s *subscriber) check(ctx context.Context, l *eventflow.Listening) error {
	if err := s.tx.check(ctx, l); err != nil {
		return err
	}
	return s.b.check(ctx, s.topic, &s.set, l.MaxAttempts > 0 && !l.DeadLetters, s.b.log(l.Logger))
}

// connect makes the client, which joins the group. The caller holds mu.
func (s *subscriber) connect() error {
	held := s.listening.MaxHeldBytes
	if held <= 0 {
		held = defaultHeld
	}
	held = max(held, leastHeld)
	s.limits = limits{bytes: held, records: aheadRecords}
	fetch := int32(min(held/8, 50<<20))
	// A partition that is new waits for a fetch that is under way: the client's own 5 s would keep what another consumer
	// has handed back that long.
	opts := append([]kgo.Opt{kgo.FetchMaxWait(fetchWait)}, s.b.options(s.listening.Logger)...)
	opts = append(opts,
		kgo.ConsumerGroup(s.set.group), kgo.ConsumeTopics(s.topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.OnPartitionsAssigned(s.onSynced), kgo.OnPartitionsRevoked(s.onRevoked), kgo.OnPartitionsLost(s.onLost),
		kgo.OnOffsetsFetched(s.onFetched), kgo.AdjustFetchOffsetsFn(s.onAssigned),
		kgo.FetchMaxBytes(fetch), kgo.FetchMaxPartitionBytes(min(fetch, 1<<20)), kgo.MaxConcurrentFetches(4),
		kgo.MaxDecompressBatchBytes(held/2), kgo.WithHooks(&s.pulse),
	)
	if s.set.serverSide > 0 {
		opts = append(opts, kgo.ServerSideBalancer())
	}
	if s.set.instance != "" {
		opts = append(opts, kgo.InstanceID(s.set.instance))
	}
	if s.set.committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	s.kick, s.wake, s.drained = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	s.expelled = make(chan struct{}, 1)
	s.pulse.rejoins = s.rejoins
	s.closing, s.released = make(chan struct{}), make(chan struct{})
	s.end, s.stop = context.WithCancel(context.Background())
	session := s.b.session
	if s.set.serverSide > 0 { // the client joins by the classic protocol where the broker does not know the other
		session = min(session, s.set.serverSide)
	}
	s.pulse.reset(session, s.b.rebalance)
	var life context.Context
	life, s.kill = context.WithCancel(context.Background())
	cl, err := kgo.NewClient(append(opts, kgo.WithContext(life), kgo.WithLogger(hushed{logger{s.logger()}}))...)
	if err != nil {
		s.stop()
		s.kill()
		return &eventflow.ConfigError{Field: "kafka.Config.Client", Value: "the options of a subscriber", Allowed: err.Error()}
	}
	s.cl = cl
	s.limits.grace = max(min(s.listening.Grace, s.b.rebalance-leaveRoom), 0)
	s.workers.Go(s.keepCommitting)
	s.workers.Go(s.keepWatching)
	return nil
}

// hushed keeps back what the client warns of whenever a commit is made before the first fetch of a partition, as ours are.
type hushed struct{ logger }

// Log is the client's.
func (h hushed) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	if !strings.HasPrefix(msg, "received an OffsetCommitResponse after our group session has ended") {
		h.logger.Log(level, msg, keyvals...)
	}
}

// Close gives back what is unsettled, writes the marks and leaves the group, in that order: whoever gets the partitions
// finds the marks there.
func (s *subscriber) Close(ctx context.Context) error {
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
		s.tx.close(ctx)
		s.b.forget(s)
		return nil
	}
	close(s.closing)
	s.wakeUp()
	var ps []*partition
	for _, p := range s.parts {
		ps = append(ps, p)
		s.withdraw(p)
		for _, d := range p.outstanding() {
			if d.Lose() {
				p.takeBack(d, 0)
			}
		}
	}
	s.mu.Unlock()
	defer close(s.released)
	defer s.b.forget(s)
	err := s.settleDown(ctx, ps)
	s.mu.Lock()
	lost := s.fence(ps...)
	left := s.abandoned
	s.mu.Unlock()
	s.tellLost(lost, eventflow.ErrLockLost)
	s.tx.close(ctx)
	s.stop()
	s.leave(ctx, left)
	s.workers.Wait()
	return err
}
