package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/kafka"
)

// wire is the network of one client: it can be cut, and it can swallow packets.
type wire struct {
	mu      sync.Mutex // guards conns
	conns   map[net.Conn]struct{}
	cut     atomic.Bool
	swallow atomic.Bool
}

var errCut = errors.New("the wire is cut")

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if w.cut.Load() {
		return nil, errCut
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut.Load() {
		_ = c.Close()
		return nil, errCut
	}
	if w.conns == nil {
		w.conns = map[net.Conn]struct{}{}
	}
	w.conns[c] = struct{}{}
	return &wired{Conn: c, w: w}, nil
}

func (w *wire) sever() {
	w.cut.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Close()
	}
}

// wired is a connection through a wire.
type wired struct {
	net.Conn
	w *wire
}

func (c *wired) Write(b []byte) (int, error) {
	if c.w.swallow.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *wired) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.w.swallow.Load() {
			return n, err
		}
	}
}

func (c *wired) Close() error {
	c.w.mu.Lock()
	delete(c.w.conns, c.Conn)
	c.w.mu.Unlock()
	return c.Conn.Close()
}

// each gives every subscriber a broker, and so a network, of its own. It says the mode's features: a mode is an option of
// a subscriber, and the suite asks the broker.
type each struct {
	*kafka.Broker
	cfg      kafka.Config
	features eventflow.Features

	mu      sync.Mutex // guards what follows
	brokers []*kafka.Broker
	wires   map[eventflow.Subscriber]*wire
}

func (b *each) Features() eventflow.Features { return b.features }

func (b *each) OpenSubscriber(topic string, opts ...eventflow.SubscriberOption) (eventflow.Subscriber, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &wire{}
	cfg := b.cfg
	cfg.Client = append(slices.Clip(cfg.Client), kgo.Dialer(w.dial))
	own, err := kafka.New(cfg)
	if err != nil {
		return nil, err
	}
	sub, err := own.OpenSubscriber(topic, opts...)
	if err != nil {
		return nil, err
	}
	s := &alone{sub, own, w}
	b.brokers = append(b.brokers, own)
	b.wires[s] = w
	return s, nil
}

// alone is a subscriber whose broker is its own.
type alone struct {
	eventflow.Subscriber
	b *kafka.Broker
	w *wire
}

// Close of one whose wire is cut waits for nothing: there is nobody to hear it.
func (s *alone) Close(ctx context.Context) error {
	if s.w.cut.Load() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		cancel()
	}
	return errors.Join(s.Subscriber.Close(ctx), s.b.Close(ctx))
}

func (b *each) wire(s eventflow.Subscriber) *wire {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wires[s]
}

func (b *each) Close(ctx context.Context) error {
	b.mu.Lock()
	brokers := b.brokers
	b.mu.Unlock()
	errs := make([]error, len(brokers)+1)
	var wg sync.WaitGroup
	for i, own := range brokers {
		wg.Go(func() { errs[i] = own.Close(ctx) })
	}
	wg.Wait()
	errs[len(brokers)] = b.Broker.Close(ctx)
	return errors.Join(errs...)
}

// setting is one way to run the suites.
type setting struct {
	mode    kafka.Mode
	kip848  bool
	options []eventflow.SubscriberOption
}

const harnessPartitions = 6

var quietLog = slog.New(slog.DiscardHandler)

// opens gives the harness's Open.
func (x setting) opens() func(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
	var names atomic.Int64
	return func(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
		t.Helper()
		f := &brokertest.Fixture{Missing: "missing"}
		session := s.Lock
		var topics []string
		for range s.Topics {
			name := fmt.Sprintf("topic-%d", names.Add(1))
			f.Topics = append(f.Topics, name)
			topics = append(topics, name, name+".dlq")
		}
		beat := min(session/10, 300*time.Millisecond)
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(harnessPartitions, topics...), kfake.BrokerConfigs(map[string]string{
			"group.min.session.timeout.ms":         "100",
			"group.consumer.heartbeat.interval.ms": fmt.Sprint(beat.Milliseconds()),
			"group.consumer.session.timeout.ms":    fmt.Sprint(session.Milliseconds()),
			"group.initial.rebalance.delay.ms":     "0",
		}))
		if err != nil {
			t.Fatalf("kfake: %v", err)
		}
		t.Cleanup(c.Close)
		cfg := kafka.Config{
			Seeds: c.ListenAddrs(), Logger: quietLog,
			Client: []kgo.Opt{kgo.SessionTimeout(session), kgo.HeartbeatInterval(beat), kgo.RebalanceTimeout(12 * time.Second)},
		}
		main, err := kafka.New(cfg)
		if err != nil {
			t.Fatalf("New: %v", err)
		}
		b := &each{Broker: main, cfg: cfg, features: x.mode.Features(), wires: map[eventflow.Subscriber]*wire{}}
		b.features.MaxEvent = main.Features().MaxEvent
		b.features.MaxLock = session
		f.Broker, f.Lock = b, session
		f.SubscriberOptions = append([]eventflow.SubscriberOption{x.mode}, x.options...)
		if x.kip848 {
			f.SubscriberOptions = append(f.SubscriberOptions, kafka.ServerSideBalancer(session))
		}
		adm, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
		if err != nil {
			t.Fatalf("kgo: %v", err)
		}
		t.Cleanup(adm.Close)
		f.Keys = func(_ string, n int) []string { return spread(n) }
		f.Stable = func(ctx context.Context, _, group string, consumers int) error {
			return stable(ctx, c, group, consumers)
		}
		f.DeadLetters = func(ctx context.Context, topic string) ([]brokertest.DeadLetter, error) {
			return deadLetters(ctx, c.ListenAddrs(), adm, topic+".dlq")
		}
		f.BreakDeadLetters = func(_ context.Context, topic string) error { return c.DeleteTopic(topic + ".dlq") }
		f.Stall = func(s eventflow.Subscriber) { b.wire(s).swallow.Store(true) }
		f.Crash = func(s eventflow.Subscriber) { b.wire(s).sever() }
		return f
	}
}

// spread gives n keys of which those that follow each other are of different partitions.
func spread(n int) []string {
	part := kgo.StickyKeyPartitioner(nil).ForTopic("any")
	var by [harnessPartitions][]string
	for i := 0; ; i++ {
		k := fmt.Sprintf("key-%d", i)
		p := part.Partition(&kgo.Record{Key: []byte(k)}, harnessPartitions)
		by[p] = append(by[p], k)
		if i%64 == 63 {
			var out []string
			for j := range (n + harnessPartitions - 1) / harnessPartitions {
				for p := range by {
					if j < len(by[p]) {
						out = append(out, by[p][j])
					}
				}
			}
			if len(out) >= n {
				return out[:n]
			}
		}
	}
}

// stable waits until so many members share a group and all partitions are given to them.
func stable(ctx context.Context, c *kfake.Cluster, group string, consumers int) error {
	for {
		g := c.GroupInfo(group)
		if g != nil && g.State == "Stable" && len(g.Members) == consumers {
			time.Sleep(100 * time.Millisecond) // cooperative members join twice
			if g := c.GroupInfo(group); g != nil && g.State == "Stable" && len(g.Members) == consumers {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("group %q: %w", group, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func deadLetters(ctx context.Context, seeds []string, cl *kgo.Client, topic string) ([]brokertest.DeadLetter, error) {
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	want := 0
	ends.Each(func(o kadm.ListedOffset) { want += int(max(o.Offset, 0)) })
	if want == 0 {
		return nil, nil
	}
	b, err := kafka.New(kafka.Config{Seeds: seeds, Logger: quietLog})
	if err != nil {
		return nil, err
	}
	defer func() { _ = b.Close(ctx) }()
	s, err := b.OpenSubscriber(topic, eventflow.Group("reader-of-"+topic+fmt.Sprint(time.Now().UnixNano())))
	if err != nil {
		return nil, err
	}
	var out []brokertest.DeadLetter
	for len(out) < want {
		ds, err := s.Next(ctx, eventflow.Want{Events: want})
		if err != nil {
			return nil, err
		}
		for _, d := range ds {
			x := brokertest.DeadLetter{Event: d.Event, Reason: d.Event.Attributes.String("eventflow-reason"),
				Flow: d.Event.Attributes.String("eventflow-flow"), Version: d.Event.Attributes.String("eventflow-version")}
			_, _ = fmt.Sscan(d.Event.Attributes.String("eventflow-attempts"), &x.Attempts)
			out = append(out, x)
		}
	}
	return out, nil
}

// excused are the rules that Kafka does not keep, whatever the mode.
var excused = map[string]string{
	"ExtensionsKeepTheirTypes":            "a header of Kafka is bytes: CloudEvents' binary mode makes every attribute a text",
	"LostLockIsToldAndFenced":             "a lock is the membership in the group: no broker takes it of one event alone",
	"SettlementAfterTheLossDoesNothing":   "a lock is the membership in the group: no broker takes it of one event alone",
	"ReceivesCountHandOvers":              "Kafka counts no hand-overs: each consumer begins at one",
	"ReceiveLimitDeadLettersOnlyItsEvent": "Kafka counts no hand-overs",
	"RedrivenEventSaysSo":                 "Kafka has no redrive",
	"FullGroupMakesPublishersWait":        "a topic holds what its retention allows, whoever has read it",
}

// laneRules are excused where events are in no order.
var laneRules = []string{
	"NextKeepsWithinPerLaneOverCalls", "PerLaneLetsOtherLanesPass", "PerLaneDoesNotBoundEventsWithoutALane", "AckPastAGapKeepsTheGap",
	"LaneKeepsItsOrder", "NackedEventComesBackBeforeItsLane", "ReleasedEventComesBackBeforeItsLane", "DelayedEventHoldsItsLaneAndNoOther",
	"ReleasedLaneComesBackInOrder", "ClosedConsumersLaneComesBackInOrder", "LaneHasOneConsumerAtATime", "AckMakesRoomForAWaitingNext",
	"AbandonedEventHoldsItsLane",
}

func (x setting) harness() brokertest.Harness {
	h := brokertest.Harness{Open: x.opens(), Lock: 4 * time.Second, Delay: 300 * time.Millisecond, Quiet: time.Second, Excused: maps.Clone(excused)}
	if x.mode == kafka.Unordered {
		for _, name := range laneRules {
			h.Excused[name] = "the mode has no lanes"
		}
	}
	return h
}

func TestPartitionLanes(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, setting{mode: kafka.PartitionLanes}.harness())
}

func TestKeyLanes(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, setting{mode: kafka.KeyLanes}.harness())
}

func TestUnordered(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, setting{mode: kafka.Unordered}.harness())
}

func TestServerSideBalancer(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, setting{mode: kafka.PartitionLanes, kip848: true}.harness())
}
