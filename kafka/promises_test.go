package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// world is a fake cluster with short sessions, and what tests do to it.
type world struct {
	*kfake.Cluster
	t  *testing.T
	cl *kgo.Client
}

const worldSession = 3 * time.Second

func newWorld(t *testing.T, configs map[string]string) *world {
	t.Helper()
	all := map[string]string{"group.min.session.timeout.ms": "100"}
	maps.Copy(all, configs)
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "one", "one.dlq", "results"), kfake.BrokerConfigs(all))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return &world{c, t, cl}
}

func (w *world) config() kafka.Config {
	return kafka.Config{Seeds: w.ListenAddrs(), Logger: quietLog, Client: worldClient()}
}

func worldClient() []kgo.Opt {
	return []kgo.Opt{kgo.SessionTimeout(worldSession), kgo.HeartbeatInterval(200 * time.Millisecond), kgo.RebalanceTimeout(12 * time.Second)}
}

// broker gives one whose network is w's own.
func (w *world) broker() (*kafka.Broker, *wire) {
	w.t.Helper()
	x, cfg := &wire{}, w.config()
	cfg.Client = append(cfg.Client, kgo.Dialer(x.dial))
	return open(w.t, cfg), x
}

// produce writes records without headers: value is what f gives, key too.
func (w *world) produce(n int, f func(i int) (key, value string)) {
	w.t.Helper()
	rs := make([]*kgo.Record, n)
	for i := range rs {
		k, v := f(i)
		rs[i] = &kgo.Record{Topic: "one", Key: []byte(k), Value: []byte(v)}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.ListenAddrs()...)) // one that knows of no topic before
	require.NoError(w.t, err)
	defer cl.Close()
	require.NoError(w.t, cl.ProduceSync(w.t.Context(), rs...).FirstErr())
}

// committed is the group's offset of partition 0; −1: none.
func (w *world) committed() int64 {
	w.t.Helper()
	os, err := kadm.NewClient(w.cl).FetchOffsets(w.t.Context(), "g")
	if !errors.Is(err, kerr.GroupIDNotFound) {
		require.NoError(w.t, err)
	}
	o, ok := os.Lookup("one", 0)
	if !ok {
		return -1
	}
	return o.At
}

func (w *world) subscriber(b *kafka.Broker, opts ...eventflow.SubscriberOption) eventflow.Subscriber {
	w.t.Helper()
	s, err := b.OpenSubscriber("one", append(opts, eventflow.Group("g"))...)
	require.NoError(w.t, err)
	return s
}

// take gives the next n deliveries of s.
func take(t *testing.T, s eventflow.Subscriber, n int) (out []*eventflow.Delivery) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for len(out) < n {
		ds, err := s.Next(ctx, eventflow.Want{Events: n - len(out)})
		require.NoError(t, err, "after %d of %d", len(out), n)
		out = append(out, ds...)
	}
	return out
}

// values are the payloads that come within a while after the last.
func values(t *testing.T, s eventflow.Subscriber, most int) (out []string) {
	t.Helper()
	for wait := 20 * time.Second; ; wait = time.Second {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		ds, err := s.Next(ctx, eventflow.Want{Events: most + 1})
		cancel()
		if err != nil {
			return out
		}
		for _, d := range ds {
			out = append(out, string(d.Event.Data))
			d.Ack()
		}
	}
}

// settled waits for confirmations.
type settled struct {
	mu sync.Mutex // guards n
	n  int
}

func (c *settled) listening() eventflow.Listening {
	return eventflow.Listening{Settled: func(ds []*eventflow.Delivery, err error) {
		if err == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.n += len(ds)
		}
	}}
}

func (c *settled) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// crash ends a consumer as the death of its process does.
func crash(s eventflow.Subscriber, x *wire) {
	x.sever()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Close(ctx)
}

func number(i int) (key, value string) { return fmt.Sprintf("key-%d", i), fmt.Sprint(i) }

func TestWhatIsSettledBeyondThePrefixDoesNotRunAgainAfterACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const n = 500
	w.produce(n, number)
	b, x := w.broker()
	s := w.subscriber(b, kafka.KeyLanes)
	var c settled
	require.NoError(t, s.Start(t.Context(), c.listening()))
	ds := take(t, s, n)
	var acked int
	for _, d := range ds {
		if string(d.Event.Data) != "0" {
			d.Ack()
			acked++
		}
	}
	require.Eventually(t, func() bool { return c.count() == acked }, 10*time.Second, 10*time.Millisecond)
	crash(s, x)
	require.Zero(t, w.committed(), "the first record is not settled")

	b, _ = w.broker()
	s = w.subscriber(b, kafka.KeyLanes)
	require.Equal(t, []string{"0"}, values(t, s, n), "only what was not settled runs again")
	require.NoError(t, s.Close(t.Context()))
	require.EqualValues(t, n, w.committed())
}

func TestEverythingOfATopicThatWasMadeAgainRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(50, number)
	b, _ := w.broker()
	s := w.subscriber(b, kafka.KeyLanes)
	require.Len(t, values(t, s, 50), 50)
	require.NoError(t, s.Close(t.Context()))
	adm := kadm.NewClient(w.cl)
	before, err := adm.FetchOffsets(t.Context(), "g")
	require.NoError(t, err)
	require.NoError(t, w.DeleteTopic("one"))
	require.NoError(t, w.CreateTopic("one", 1, nil))
	w.produce(60, number)
	fresh, err := kgo.NewClient(kgo.SeedBrokers(w.ListenAddrs()...))
	require.NoError(t, err)
	defer fresh.Close()
	require.NoError(t, kadm.NewClient(fresh).CommitAllOffsets(t.Context(), "g", before.Offsets())) // as brokers do that keep them
	require.EqualValues(t, 50, w.committed())
	s = w.subscriber(b, kafka.KeyLanes)
	require.Len(t, values(t, s, 60), 60)
	require.NoError(t, s.Close(t.Context()))
}

// limitMetadata is what Apache Kafka does with offset.metadata.max.bytes.
func (w *world) limitMetadata(limit int) {
	w.ControlKey(kmsg.NewPtrOffsetCommitRequest().Key(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.KeepControl()
		tooLarge := false
		for _, rt := range r.(*kmsg.OffsetCommitRequest).Topics {
			for _, rp := range rt.Partitions {
				tooLarge = tooLarge || rp.Metadata != nil && len(*rp.Metadata) > limit
			}
		}
		return refusal(r, kerr.OffsetMetadataTooLarge), nil, tooLarge
	})
}

func TestPrefixIsCommittedWhereTheBrokerTakesHardlyAnyMetadata(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{128, 30, 0} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.limitMetadata(limit)
			w.produce(300, number)
			b, _ := w.broker()
			s := w.subscriber(b, kafka.KeyLanes)
			var c settled
			require.NoError(t, s.Start(t.Context(), c.listening()))
			ds := take(t, s, 300)
			slices.SortFunc(ds, func(a, b *eventflow.Delivery) int {
				return int(a.Native.(*kgo.Record).Offset - b.Native.(*kgo.Record).Offset)
			})
			for i, d := range ds {
				if i < 100 || i%2 == 1 {
					d.Ack()
				}
			}
			require.Eventually(t, func() bool { return w.committed() == 100 }, 10*time.Second, 10*time.Millisecond)
			require.GreaterOrEqual(t, c.count(), 100)
			require.NoError(t, s.Close(t.Context()))
			s = w.subscriber(b, kafka.KeyLanes)
			got := values(t, s, 300)
			require.GreaterOrEqual(t, len(got), 100, "what was not acknowledged runs again")
			require.Subset(t, got, []string{"100", "102", "298"})
			require.NoError(t, s.Close(t.Context()))
		})
	}
}

func TestEveryFlowRunsEveryEventAndThoseOfATopicThatWasMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	st := store.NewMemory()
	defer func() { _ = st.Close() }()
	var mu sync.Mutex // guards ran
	ran := map[string]int{}
	b, _ := w.broker()
	both := func(want int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var rs []*runner.FlowRunner
		for _, name := range []string{"first", "second"} {
			s, err := b.OpenSubscriber("one", eventflow.Group(name))
			require.NoError(t, err)
			r, err := runner.New(eventflow.NewSink(name, func(_ context.Context, v string) error {
				mu.Lock()
				defer mu.Unlock()
				if ran[name+v]++; len(ran) == want {
					cancel()
				}
				return nil
			}), runner.On(s), runner.Store(st), runner.Logger(quietLog))
			require.NoError(t, err)
			rs = append(rs, r)
		}
		require.NoError(t, runner.Listen(ctx, rs...))
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, ran, want)
		for k, n := range ran {
			require.Equal(t, 1, n, k)
		}
	}
	w.produce(20, number)
	both(40)
	require.NoError(t, w.DeleteTopic("one"))
	require.NoError(t, w.CreateTopic("one", 1, nil))
	w.produce(20, func(i int) (string, string) { return "", fmt.Sprint("again-", i) }) // at the offsets of the first
	both(80)
}

func TestHeartbeatsIntoABlackHoleEndTheRunBeforeTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(1, number)
	b, x := w.broker()
	began, cause := make(chan struct{}), make(chan error, 1)
	results, err := b.OpenPublisher("results")
	require.NoError(t, err)
	r, err := runner.New(eventflow.NewFlow("f", func(ctx context.Context, _ string) (string, error) {
		close(began)
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return "of a run without a lock", nil
	}), runner.On(w.subscriber(b)), runner.PublishTo(results), runner.Logger(quietLog), runner.Grace(time.Second), runner.HardStop(time.Second))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		_ = r.Listen(ctx) // its subscriber may say why it did not close well
	}()
	<-began
	x.swallow.Store(true)
	start := time.Now()
	err = <-cause
	require.ErrorIs(t, err, eventflow.ErrLockLost)
	require.Less(t, time.Since(start), worldSession)
	cancel()
	<-returned
	require.Zero(t, w.committed())
	ends, err := kadm.NewClient(w.cl).ListEndOffsets(t.Context(), "results")
	require.NoError(t, err)
	o, _ := ends.Lookup("results", 0)
	require.Zero(t, o.Offset, "a run without a lock has published")
}

// The session of a group of KIP-848 is its broker's, whatever the subscriber was told: another consumer has the partitions
// when that ends.
func TestLockIsNoLongerThanTheSessionThatTheBrokerSays(t *testing.T) {
	t.Parallel()
	const told = 30 * time.Second
	for name, c := range map[string]struct {
		says *time.Duration // the broker; nil: it refuses to
		want time.Duration
	}{
		"shorter than told": {new(worldSession), worldSession},
		"longer than told":  {new(2 * told), told},
		"refused":           {nil, told},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]string{
				"group.consumer.session.timeout.ms": fmt.Sprint(worldSession.Milliseconds()), "group.consumer.heartbeat.interval.ms": "200",
			})
			w.describesGroup(c.says)
			w.produce(1, number)
			x, cfg := &wire{}, w.config()
			cfg.Client = append(cfg.Client, kgo.SessionTimeout(told), kgo.Dialer(x.dial))
			s := w.subscriber(open(t, cfg), kafka.ServerSideBalancer(told))
			lost := make(chan error, 1)
			require.NoError(t, s.Start(t.Context(), eventflow.Listening{Lost: func(_ []*eventflow.Delivery, err error) { lost <- err }}))
			d := take(t, s, 1)[0]
			require.Less(t, time.Until(d.LockedUntil), c.want)
			require.Greater(t, time.Until(d.LockedUntil), c.want/2)
			if c.want == told {
				require.NoError(t, s.Close(t.Context()))
				return
			}
			x.swallow.Store(true)
			start := time.Now()
			require.ErrorIs(t, <-lost, eventflow.ErrLockLost)
			require.Less(t, time.Since(start), worldSession)
			crash(s, x)
		})
	}
}

// describesGroup answers what Apache Kafka does when it is asked for the configuration of a group; nil: it refuses to.
func (w *world) describesGroup(session *time.Duration) {
	w.ControlKey(kmsg.NewPtrDescribeConfigsRequest().Key(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.KeepControl()
		resp := r.ResponseKind().(*kmsg.DescribeConfigsResponse)
		x := kmsg.NewDescribeConfigsResponseResource()
		x.ResourceType, x.ResourceName = kmsg.ConfigResourceTypeGroupConfig, "g"
		if session == nil {
			x.ErrorCode = kerr.GroupAuthorizationFailed.Code
		} else {
			c := kmsg.NewDescribeConfigsResponseResourceConfig()
			c.Name, c.Value = "consumer.session.timeout.ms", new(fmt.Sprint(session.Milliseconds()))
			x.Configs = append(x.Configs, c)
		}
		resp.Resources = append(resp.Resources, x)
		return resp, nil, true
	})
}

// A broker that is not the group's coordinator any more answers heartbeats, and they keep nothing alive at the one that is.
func TestHeartbeatsToABrokerThatIsNotTheCoordinatorKeepNoLock(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]eventflow.SubscriberOption{"classic": nil, "KIP-848": {kafka.ServerSideBalancer(worldSession)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]string{
				"group.consumer.session.timeout.ms": fmt.Sprint(worldSession.Milliseconds()), "group.consumer.heartbeat.interval.ms": "200",
			})
			w.produce(1, number)
			b, _ := w.broker()
			s := w.subscriber(b, opts...)
			lost := make(chan error, 1)
			require.NoError(t, s.Start(t.Context(), eventflow.Listening{Lost: func(_ []*eventflow.Delivery, err error) { lost <- err }}))
			d := take(t, s, 1)[0]
			time.Sleep(worldSession + worldSession/2)
			require.True(t, d.Open(), "its heartbeats are answered by the coordinator")

			w.denyCoordination()
			start := time.Now()
			select {
			case err := <-lost:
				require.ErrorIs(t, err, eventflow.ErrLockLost)
				require.Less(t, time.Since(start), worldSession)
			case <-time.After(4 * worldSession):
				t.Fatal("the lock is kept for ever")
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_ = s.Close(ctx) // nobody would hear it
		})
	}
}

// denyCoordination lets the broker answer as one does that another has taken the groups over from.
func (w *world) denyCoordination() {
	w.ControlKey(kmsg.NewPtrHeartbeatRequest().Key(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.KeepControl()
		resp := r.ResponseKind().(*kmsg.HeartbeatResponse)
		resp.ErrorCode = kerr.NotCoordinator.Code
		return resp, nil, true
	})
	w.ControlKey(kmsg.NewPtrConsumerGroupHeartbeatRequest().Key(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.KeepControl()
		resp := r.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
		resp.ErrorCode = kerr.NotCoordinator.Code
		return resp, nil, true
	})
	w.refuseCommits(kerr.NotCoordinator)
}

// refuseCommits answers every commit with an error.
func (w *world) refuseCommits(why *kerr.Error) {
	w.ControlKey(kmsg.NewPtrOffsetCommitRequest().Key(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.KeepControl()
		return refusal(r, why), nil, true
	})
}

// refusal is the answer to a commit that refuses all of it.
func refusal(r kmsg.Request, why *kerr.Error) kmsg.Response {
	req := r.(*kmsg.OffsetCommitRequest)
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	for _, rt := range req.Topics {
		t := kmsg.NewOffsetCommitResponseTopic()
		t.Topic, t.TopicID = rt.Topic, rt.TopicID
		for _, rp := range rt.Partitions {
			p := kmsg.NewOffsetCommitResponseTopicPartition()
			p.Partition, p.ErrorCode = rp.Partition, why.Code
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func TestCommitThatIsNotAnsweredKeepsNoLockAlive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(2, number)
	b, x := w.broker()
	s := w.subscriber(b)
	lost := make(chan error, 1)
	require.NoError(t, s.Start(t.Context(), eventflow.Listening{Lost: func(ds []*eventflow.Delivery, err error) {
		if len(ds) == 1 && ds[0].Lost() {
			lost <- err
		}
	}}))
	ds := take(t, s, 2)
	x.swallow.Store(true)
	start := time.Now()
	time.Sleep(worldSession / 2)
	ds[0].Ack() // its commit waits for an answer while the session ends
	require.ErrorIs(t, <-lost, eventflow.ErrLockLost)
	require.Less(t, time.Since(start), worldSession)
	require.False(t, ds[1].Open())

	x.swallow.Store(false) // nobody has come meanwhile, or somebody has: what was not committed comes to one of us
	again, _ := w.broker()
	other := w.subscriber(again)
	require.Subset(t, []string{"0", "1"}, values(t, other, 2))
	require.NoError(t, other.Close(t.Context()))
}

func TestEventSentBehindACancelledPollIsWithAnotherAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	b, _ := w.broker()
	listen := func(ctx context.Context, got chan<- time.Time) chan error {
		r, err := runner.New(eventflow.NewSink("f", func(context.Context, string) error {
			got <- time.Now()
			return nil
		}), runner.On(w.subscriber(b)), runner.Logger(quietLog))
		require.NoError(t, err)
		returned := make(chan error, 1)
		go func() { returned <- r.Listen(ctx) }()
		<-r.Ready()
		return returned
	}
	ctx, cancel := context.WithCancel(t.Context())
	never, got := make(chan time.Time, 1), make(chan time.Time, 1)
	returned := listen(ctx, never)
	require.Eventually(t, func() bool { return w.committed() == 0 }, 10*time.Second, 10*time.Millisecond, "it has its partition")
	cancel()
	w.produce(1, number)
	require.NoError(t, <-returned)
	gone := time.Now()
	if len(never) > 0 {
		return // it was quicker than the cancellation
	}
	ctx, cancel = context.WithCancel(t.Context())
	returned = listen(ctx, got)
	at := <-got
	require.Less(t, at.Sub(gone), 2*time.Second)
	cancel()
	require.NoError(t, <-returned)
}

func TestDeafFlowIsNamedAndNobodyElseHasItsEventBeforeTheSessionEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(1, number)
	b, _ := w.broker()
	began, end := make(chan struct{}), make(chan struct{})
	r, err := runner.New(eventflow.NewSink("f", func(context.Context, string) error {
		close(began)
		<-end
		return nil
	}), runner.On(w.subscriber(b)), runner.Logger(quietLog), runner.Grace(50*time.Millisecond), runner.HardStop(50*time.Millisecond))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan error, 1)
	go func() { returned <- r.Listen(ctx) }()
	<-began
	cancel()
	err = <-returned
	gone := time.Now()
	require.ErrorIs(t, err, eventflow.ErrAbandoned)
	s := w.subscriber(b)
	require.Equal(t, []string{"0"}, values(t, s, 1))
	require.Greater(t, time.Since(gone), worldSession/2, "its flow still ran")
	close(end)
	require.NoError(t, s.Close(t.Context()))
}

// bomb writes a batch of a few kilobytes that is tens of megabytes.
func (w *world) bomb() {
	w.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.ListenAddrs()...), kgo.ProducerBatchCompression(kgo.ZstdCompression()),
		kgo.ProducerBatchMaxBytes(96<<20), kgo.BrokerMaxWriteBytes(100<<20))
	require.NoError(w.t, err)
	defer cl.Close()
	require.NoError(w.t, cl.ProduceSync(w.t.Context(), &kgo.Record{Topic: "one", Value: make([]byte, 40<<20)}).FirstErr())
}

func TestZstdBombStopsOrIsPassedButNeverUnpacked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"message.max.bytes": fmt.Sprint(100 << 20)})
	w.produce(3, number)
	w.bomb()
	w.produce(3, func(int) (string, string) { return "k", "behind" })
	b, _ := w.broker()
	small := eventflow.Listening{MaxHeldBytes: 8 << 20}

	s := w.subscriber(b)
	require.NoError(t, s.Start(t.Context(), small))
	var err error
	for err == nil {
		var ds []*eventflow.Delivery
		ds, err = s.Next(t.Context(), eventflow.Want{Events: 10})
		eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
	}
	var gap *kafka.GapError
	require.ErrorAs(t, err, &gap)
	require.ErrorIs(t, err, eventflow.ErrFatal)
	require.EqualValues(t, 3, gap.From)
	require.EqualValues(t, 4, gap.To)
	require.NoError(t, s.Close(t.Context()))
	require.EqualValues(t, 3, w.committed(), "nothing is skipped in silence")

	s = w.subscriber(b, kafka.OnGap(kafka.ContinueOnGap))
	require.NoError(t, s.Start(t.Context(), small))
	require.Equal(t, []string{"behind", "behind", "behind"}, values(t, s, 3))
	require.NoError(t, s.Close(t.Context()))
	require.EqualValues(t, 7, w.committed())
}

// overtaken gives a broker whose group has committed offset 1 of a partition that has offsets 10 to 19.
func (w *world) overtaken() *kafka.Broker {
	w.t.Helper()
	w.produce(20, number)
	b, _ := w.broker()
	s := w.subscriber(b)
	take(w.t, s, 5)[0].Ack()
	require.NoError(w.t, s.Close(w.t.Context()))
	require.EqualValues(w.t, 1, w.committed())
	require.NoError(w.t, w.DeleteRecords("one", 0, 10))
	return b
}

func TestRetentionThatOvertakesStopsOrIsPassed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	b := w.overtaken()

	s := w.subscriber(b)
	_, err := s.Next(t.Context(), eventflow.Want{Events: 10})
	var gap *kafka.GapError
	require.ErrorAs(t, err, &gap)
	require.EqualValues(t, 1, gap.From)
	require.NoError(t, s.Close(t.Context()))
	require.EqualValues(t, 1, w.committed())

	s = w.subscriber(b, kafka.OnGap(kafka.ContinueOnGap))
	got := values(t, s, 10)
	require.Len(t, got, 10)
	require.Equal(t, "10", got[0])
	gaps := b.Gaps()
	require.Len(t, gaps, 1)
	require.ErrorIs(t, gaps[0].Err, kerr.OffsetOutOfRange)
	gaps[0].Err = nil
	require.Equal(t, kafka.GapError{Topic: "one", From: 1, To: 10}, gaps[0])
	require.NoError(t, s.Close(t.Context()))
	require.Empty(t, b.Gaps(), "its subscriber is closed")
	require.EqualValues(t, 20, w.committed())
}
