package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/kafka"
	"github.com/eventflow-go/eventflow/runner/runnertest"
)

// opensOnApache gives the harness's Open for a real cluster, which all rules share: topics and groups have names of their
// own.
func (x setting) opensOnApache(seeds []string) func(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
	var names atomic.Int64
	return func(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
		t.Helper()
		prefix := fmt.Sprintf("eventflow-%s-%d-", kafka.NewID(), names.Add(1))
		cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
		if err != nil {
			t.Fatalf("kgo: %v", err)
		}
		t.Cleanup(cl.Close)
		adm := kadm.NewClient(cl)
		f := &brokertest.Fixture{Missing: prefix + "missing", Lock: max(s.Lock, time.Second)}
		for i := range s.Topics {
			f.Topics = append(f.Topics, fmt.Sprintf("%stopic-%d", prefix, i+1))
		}
		makeTopics(t, adm, harnessPartitions, f.Topics...)
		beat := min(f.Lock/10, 300*time.Millisecond)
		cfg := kafka.Config{
			Seeds: seeds, Logger: quietLog,
			Client: []kgo.Opt{kgo.SessionTimeout(f.Lock), kgo.HeartbeatInterval(beat), kgo.RebalanceTimeout(12 * time.Second)},
		}
		main, err := kafka.New(cfg)
		if err != nil {
			t.Fatalf("New: %v", err)
		}
		b := &each{Broker: main, cfg: cfg, features: x.mode.Features(), wires: map[eventflow.Subscriber]*wire{}}
		b.features.MaxEvent, b.features.MaxLock = main.Features().MaxEvent, f.Lock
		f.Broker = &grouped{b, prefix}
		f.SubscriberOptions = append([]eventflow.SubscriberOption{x.mode}, x.options...)
		if x.kip848 {
			f.SubscriberOptions = append(f.SubscriberOptions, kafka.ServerSideBalancer(f.Lock))
			for _, g := range s.Groups {
				sessionOf(t, cl, prefix+g, f.Lock)
			}
		}
		f.Keys = func(_ string, n int) []string { return spread(n) }
		f.Stable = func(ctx context.Context, _, group string, consumers int) error {
			return stableOnApache(ctx, adm, prefix+group, consumers, x.kip848)
		}
		f.DeadLetters = func(ctx context.Context, topic string) ([]brokertest.DeadLetter, error) {
			return deadLetters(ctx, seeds, cl, topic+".dlq")
		}
		f.BreakDeadLetters = func(ctx context.Context, topic string) error {
			if _, err := adm.DeleteTopic(ctx, topic+".dlq"); err != nil {
				return err
			}
			return gone(ctx, adm, topic+".dlq")
		}
		f.Stall = func(s eventflow.Subscriber) { b.wire(s).swallow.Store(true) }
		f.Crash = func(s eventflow.Subscriber) { b.wire(s).sever() }
		return f
	}
}

// makeTopics makes topics with their dead-letter topics, and deletes them when the test is over: a broker that has
// thousands takes its time for each.
func makeTopics(t brokertest.T, adm *kadm.Client, partitions int32, topics ...string) {
	t.Helper()
	var dead []string
	for _, name := range topics {
		dead = append(dead, name+".dlq")
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, _ = adm.DeleteTopics(ctx, append(dead, topics...)...)
	})
	create := func(partitions int32, names []string) {
		res, err := adm.CreateTopics(t.Context(), partitions, -1, nil, names...)
		if err != nil || res.Error() != nil {
			t.Fatalf("create %v: %v, %v", names, err, res.Error())
		}
	}
	create(partitions, topics)
	create(1, dead)
	visible(t, adm, append(dead, topics...)...)
}

// visible waits until the broker has heard of topics that were made.
func visible(t brokertest.T, adm *kadm.Client, topics ...string) {
	t.Helper()
	for range 1200 {
		got, err := adm.ListTopics(t.Context(), topics...)
		if err == nil && got.Error() == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("topics %v are not there", topics)
}

// gone waits until the broker has heard that a topic was deleted.
func gone(ctx context.Context, adm *kadm.Client, topic string) error {
	for {
		got, err := adm.ListTopics(ctx, topic)
		if err == nil && errors.Is(got[topic].Err, kerr.UnknownTopicOrPartition) {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// grouped gives every group a name of its own, because rules run at the same time on one cluster.
type grouped struct {
	*each
	prefix string
}

func (b *grouped) OpenSubscriber(topic string, opts ...eventflow.SubscriberOption) (eventflow.Subscriber, error) {
	var cfg eventflow.SubscriberConfig
	for _, o := range opts {
		_ = o.ApplySubscriber(&cfg) // those of this package miss their Native: only the group is looked for
	}
	if cfg.Group != "" {
		opts = append(slices.Clip(opts), eventflow.Group(b.prefix+cfg.Group))
	}
	return b.each.OpenSubscriber(topic, opts...)
}

// sessionOf sets the session timeout of a group of KIP-848, which is the broker's to say.
func sessionOf(t brokertest.T, cl *kgo.Client, group string, session time.Duration) {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	for name, d := range map[string]time.Duration{"consumer.session.timeout.ms": session, "consumer.heartbeat.interval.ms": min(session/10, 300*time.Millisecond)} {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = name, new(fmt.Sprint(max(d, 100*time.Millisecond).Milliseconds()))
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
	res, err := req.RequestWith(t.Context(), cl)
	if err != nil {
		t.Fatalf("session timeout of %s: %v", group, err)
	}
	for _, r := range res.Resources {
		if failed := kerr.ErrorForCode(r.ErrorCode); failed != nil {
			t.Fatalf("session timeout of %s: %v", group, failed)
		}
	}
	for range 3000 { // the broker hears of it a moment later, and gives the old one until then
		if is, err := kafka.GroupSession(t.Context(), cl, group); err == nil && is == session {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("session timeout of %s: it is not %v", group, session)
}

// stableOnApache waits until so many members share a group in peace.
func stableOnApache(ctx context.Context, adm *kadm.Client, group string, consumers int, kip848 bool) error {
	steady := 0
	for {
		var ok bool
		if kip848 {
			gs, err := adm.DescribeConsumerGroups(ctx, group)
			g := gs[group]
			ok = err == nil && g.State == "Stable" && len(g.Members) == consumers
		} else {
			gs, err := adm.DescribeGroups(ctx, group)
			g := gs[group]
			ok = err == nil && g.State == "Stable" && len(g.Members) == consumers
		}
		if steady++; !ok {
			steady = 0
		}
		if steady > 3 { // cooperative members join twice
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("group %q: %w", group, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// They are longer than the fake cluster's: the broker is one more process that wants the processor.
const (
	apacheLock  = 5 * time.Second
	apacheDelay = 2 * time.Second
)

// onApache are the settings of the suites on the real broker.
var onApache = map[string]setting{
	"PartitionLanes":     {mode: kafka.PartitionLanes},
	"KeyLanes":           {mode: kafka.KeyLanes},
	"Unordered":          {mode: kafka.Unordered},
	"ServerSideBalancer": {mode: kafka.PartitionLanes, kip848: true},
}

func TestApacheKeepsTheRulesOfABroker(t *testing.T) {
	t.Parallel()
	seeds := apache(t, "EVENTFLOW_KAFKA")
	for name, x := range onApache {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := x.harness()
			h.Lock, h.Delay = apacheLock, apacheDelay
			h.Open = x.opensOnApache(seeds)
			brokertest.Run(t, h)
		})
	}
}

func TestApacheKeepsThePromisesOfARunner(t *testing.T) {
	t.Parallel()
	seeds := apache(t, "EVENTFLOW_KAFKA")
	require.NotEmpty(t, onApache)
	for name, x := range onApache {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := x.runner()
			h.Broker.Lock, h.Broker.Delay, h.Lease = apacheLock, apacheDelay, 2*apacheLock
			h.Broker.Open = x.opensOnApache(seeds)
			runnertest.Run(t, h)
		})
	}
}
