package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/kafka"
	"github.com/eventflow-go/eventflow/runner/runnertest"
)

// shareExcused are the rules that a share group does not keep.
var shareExcused = map[string]string{
	"ExtensionsKeepTheirTypes":            "a header of Kafka is bytes: CloudEvents' binary mode makes every attribute a text",
	"LostLockIsToldAndFenced":             "no command of a broker takes the lock of one event",
	"SettlementAfterTheLossDoesNothing":   "no command of a broker takes the lock of one event",
	"ReceiveLimitDeadLettersOnlyItsEvent": "the group drops what was delivered too often: it has no dead letters",
	"RedrivenEventSaysSo":                 "Kafka has no redrive",
	"FullGroupMakesPublishersWait":        "a topic holds what its retention allows, whoever has read it",
	"NackCountsAnAttempt":                 "the broker counts deliveries",
	"ReleaseCountsNoAttempt":              "the broker counts deliveries",
	"AttemptsAreOfOneEvent":               "the broker counts deliveries",
	"AttemptedCountsAndKeepsTheDelivery":  "the broker counts deliveries",
	"AttemptsSurviveTheirConsumer":        "the broker counts deliveries",
}

// shareRunnerExcused are the rules of runnertest that a share group does not keep.
var shareRunnerExcused = map[string]string{
	"RedrivenEventRunsAgain":                    "Kafka has no redrive",
	"ReceiveLimitBuriesNoNeighbour":             "the group drops what was delivered too often: it has no dead letters",
	"ReceiveLimitBelowTheAttemptsFailsTheStart": "asked by TestShareGroupsLimitIsCheckedAtTheStart: the limit is said to be out of reach here",
	"LostLockCancelsTheRunAndFencesIt":          "no command of a broker takes the lock of one event",
	"ReplicasRunEachFireOnce":                   "asked with skewed clocks, which take as long",
}

// shareCluster is a fake cluster whose locks last for lock.
func shareCluster(t brokertest.T, lock time.Duration, deliveries int, topics ...string) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(harnessPartitions, topics...), kfake.BrokerConfigs(map[string]string{
		"group.share.heartbeat.interval.ms":      "100",
		"group.share.record.lock.duration.ms":    fmt.Sprint(lock.Milliseconds()),
		"share.record.lock.sweep.interval.ms":    "50",
		"group.share.delivery.count.limit":       fmt.Sprint(deliveries),
		"group.share.session.timeout.ms":         fmt.Sprint(lock.Milliseconds()), // as long as the members share the partitions
		"group.share.partition.max.record.locks": "10000",
	}))
	if err != nil {
		t.Fatalf("kfake: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// opensShares gives the harness's Open on a fake cluster.
func opensShares() func(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
	var names atomic.Int64
	return func(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
		t.Helper()
		f := &brokertest.Fixture{Missing: "missing", Lock: max(s.Lock, time.Second)}
		var topics []string
		for range s.Topics {
			name := fmt.Sprintf("topic-%d", names.Add(1))
			f.Topics = append(f.Topics, name)
			topics = append(topics, name, name+".dlq")
		}
		c := shareCluster(t, f.Lock, 1000, topics...)
		for _, g := range s.Groups {
			c.SetGroupConfigs(g, map[string]string{"share.auto.offset.reset": "earliest"})
		}
		shareFixture(t, f, kafka.Config{Seeds: c.ListenAddrs(), Logger: quietLog}, "")
		f.BreakDeadLetters = func(_ context.Context, topic string) error { return c.DeleteTopic(topic + ".dlq") }
		return f
	}
}

// shareFixture fills in what fake and real clusters have in common.
func shareFixture(t brokertest.T, f *brokertest.Fixture, cfg kafka.Config, prefix string) *kgo.Client {
	t.Helper()
	main, err := kafka.New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	b := &each{Broker: main, cfg: cfg, features: kafka.ShareGroup.Features(), wires: map[eventflow.Subscriber]*wire{}}
	b.features.MaxEvent, b.features.MaxLock = main.Features().MaxEvent, f.Lock
	f.Broker = &grouped{b, prefix}
	f.SubscriberOptions = []eventflow.SubscriberOption{kafka.ShareGroup}
	adm, err := kgo.NewClient(kgo.SeedBrokers(cfg.Seeds...))
	if err != nil {
		t.Fatalf("kgo: %v", err)
	}
	t.Cleanup(adm.Close)
	f.Keys = func(_ string, n int) []string { return spread(n) }
	f.Stable = func(ctx context.Context, _, group string, consumers int) error {
		return stableShare(ctx, adm, prefix+group, consumers)
	}
	f.DeadLetters = func(ctx context.Context, topic string) ([]brokertest.DeadLetter, error) {
		return deadLetters(ctx, cfg.Seeds, adm, topic+".dlq")
	}
	f.Stall = func(s eventflow.Subscriber) { b.wire(s).swallow.Store(true) }
	f.Crash = func(s eventflow.Subscriber) { b.wire(s).sever() }
	return adm
}

// stableShare waits until so many members are in a share group, each with its assignment.
func stableShare(ctx context.Context, cl *kgo.Client, group string, consumers int) error {
	for {
		req := kmsg.NewPtrShareGroupDescribeRequest()
		req.GroupIDs = []string{group}
		res, err := req.RequestWith(ctx, cl)
		if err == nil && len(res.Groups) == 1 && len(res.Groups[0].Members) == consumers {
			ready := true
			for _, m := range res.Groups[0].Members {
				ready = ready && m.MemberEpoch == res.Groups[0].GroupEpoch
			}
			if ready {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("group %q: %w", group, errors.Join(ctx.Err(), err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func shareHarness() brokertest.Harness {
	h := brokertest.Harness{Open: opensShares(), Lock: 4 * time.Second, Delay: 300 * time.Millisecond, Quiet: time.Second, Excused: maps.Clone(shareExcused)}
	for _, name := range laneRules {
		h.Excused[name] = "the mode has no lanes"
	}
	return h
}

func shareRunner() runnertest.Harness {
	h := runnertest.Harness{Broker: shareHarness(), Soon: 5 * time.Second, Lease: 5 * time.Second, Excused: maps.Clone(shareRunnerExcused)}
	for _, name := range []string{"LaneKeepsItsOrder", "LaneKeepsItsOrderAcrossRestarts", "SlowLaneDelaysNoOther", "MaxPerLaneBoundsWhatIsHeld"} {
		h.Excused[name] = "the mode has no lanes"
	}
	return h
}

func TestShareGroup(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, shareHarness())
}

func TestRunnerOnShareGroup(t *testing.T) {
	t.Parallel()
	runnertest.Run(t, shareRunner())
}

func TestShareGroupsLimitIsCheckedAtTheStart(t *testing.T) {
	t.Parallel()
	c := shareCluster(t, time.Second, 5, "one", "one.dlq")
	b := open(t, kafka.Config{Seeds: c.ListenAddrs(), Logger: quietLog})
	err := b.Subscriber("one", eventflow.Group("g"), kafka.ShareGroup).Start(t.Context(), eventflow.Listening{MaxAttempts: 4, Slack: 2})
	var ce *eventflow.ConfigError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, "5", ce.Value)
	require.Contains(t, ce.Allowed, "at least 6")
	s := b.Subscriber("one", eventflow.Group("g"), kafka.ShareGroup)
	require.NoError(t, s.Start(t.Context(), eventflow.Listening{MaxAttempts: 4, Slack: 1}))
	require.NoError(t, s.Close(t.Context()))
}

// The client's own share consumer accepts at its next poll what was not settled.
func TestShareGroupAcceptsNothingThatWasNotAcknowledged(t *testing.T) {
	t.Parallel()
	const lock, all = 3 * time.Second, 50
	c := shareCluster(t, lock, 10, "one", "one.dlq")
	c.SetGroupConfigs("g", map[string]string{"share.auto.offset.reset": "earliest"})
	acceptsOnlyAcknowledged(t, kafka.Config{Seeds: c.ListenAddrs(), Logger: quietLog}, "one", "g", lock, all)
}

// acceptsOnlyAcknowledged blocks one event of many past two locks, acknowledges the others, and closes: another consumer has
// the blocked one then, before nobody has, and nobody has another.
func acceptsOnlyAcknowledged(t *testing.T, cfg kafka.Config, topic, group string, lock time.Duration, all int) {
	t.Helper()
	b := open(t, cfg)
	evs := make([]eventflow.Event, all)
	for i := range evs {
		evs[i] = eventflow.Event{ID: fmt.Sprintf("e-%d", i), Source: "/s", Type: "t"}
	}
	require.NoError(t, publisher(t, b, topic).Publish(t.Context(), evs...))
	first := b.Subscriber(topic, eventflow.Group(group), kafka.ShareGroup)
	var blocked *eventflow.Delivery
	seen := map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(seen) < all {
		ds, err := first.Next(ctx, eventflow.Want{Events: 7}) // it polls many times while the one is blocked
		require.NoError(t, err)
		for _, d := range ds {
			seen[d.Event.ID]++
			require.Equal(t, 1, seen[d.Event.ID], d.Event.ID)
			if blocked == nil {
				blocked = d
				continue
			}
			d.Ack()
		}
	}
	second := b.Subscriber(topic, eventflow.Group(group), kafka.ShareGroup)
	for range 2 { // both go on asking, for longer than two locks
		for _, s := range []eventflow.Subscriber{first, second} {
			quiet, done := context.WithTimeout(ctx, lock)
			ds, err := s.Next(quiet, eventflow.Want{Events: all})
			done()
			require.ErrorIs(t, err, context.DeadlineExceeded, "%v", ds)
		}
	}
	require.True(t, blocked.Open(), "the lock is renewed")
	require.NoError(t, first.Close(ctx))
	require.False(t, blocked.Open())
	ds, err := second.Next(ctx, eventflow.Want{Events: all})
	require.NoError(t, err)
	require.Len(t, ds, 1)
	require.Equal(t, blocked.Event.ID, ds[0].Event.ID)
	require.Equal(t, 2, ds[0].Receives)
	ds[0].Ack()
	require.NoError(t, second.Close(ctx))
}

func TestShareGroupGivesNothingUpAtItsLastDelivery(t *testing.T) {
	t.Parallel()
	c := shareCluster(t, time.Second, 2, "one", "one.dlq")
	c.SetGroupConfigs("g", map[string]string{"share.auto.offset.reset": "earliest"})
	cfg := kafka.Config{Seeds: c.ListenAddrs(), Logger: quietLog}
	b := open(t, cfg)
	require.NoError(t, publisher(t, b, "one").Publish(t.Context(), eventflow.Event{ID: "e", Source: "/s", Type: "t"}))
	s := b.Subscriber("one", eventflow.Group("g"), kafka.ShareGroup)
	for i := range 5 { // the group would drop it after two
		ds, err := s.Next(t.Context(), eventflow.Want{Events: 1})
		require.NoError(t, err)
		require.Len(t, ds, 1)
		require.Equal(t, min(i+1, 2), ds[0].Receives)
		ds[0].Nack(0)
	}
	require.NoError(t, s.Close(t.Context()))
	adm, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	defer adm.Close()
	dead, err := deadLetters(t.Context(), cfg.Seeds, adm, "one.dlq")
	require.NoError(t, err)
	require.Len(t, dead, 1)
	require.Equal(t, "e", dead[0].Event.ID)
}

func TestShareGroupRefusesOptionsOfOtherGroups(t *testing.T) {
	t.Parallel()
	b := open(t, kafka.Config{Seeds: []string{"localhost"}, Logger: quietLog})
	for _, o := range []eventflow.SubscriberOption{kafka.ServerSideBalancer(time.Minute), kafka.StaticMember("one")} {
		_, err := b.OpenSubscriber("one", eventflow.Group("g"), kafka.ShareGroup, o)
		var ce *eventflow.ConfigError
		require.ErrorAs(t, err, &ce)
		require.Equal(t, "kafka.ShareGroup", ce.Field)
	}
}
