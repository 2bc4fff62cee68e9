package kafka_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/kafka"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/store"
)

// register is a transactional subscriber of the topic "one", with a publisher of "results".
type register struct {
	eventflow.Transactional
	w   *world
	out eventflow.Publisher
	led *ledger
}

func (w *world) register(cfg kafka.Config, topic string, opts ...eventflow.SubscriberOption) *register {
	w.t.Helper()
	b := open(w.t, cfg)
	s, err := b.OpenSubscriber(topic, append([]eventflow.SubscriberOption{eventflow.Group("g"), kafka.ExactlyOnce(0)}, opts...)...)
	require.NoError(w.t, err)
	tx, ok := s.(eventflow.Transactional)
	require.True(w.t, ok)
	out := publisher(w.t, b, "results")
	x := &register{tx, w, out, &ledger{lost: map[*eventflow.Delivery]bool{}}}
	require.NoError(w.t, tx.Start(w.t.Context(), x.led.listening(0)))
	return x
}

// of is a transaction with a result for each delivery.
func (x *register) of(ds ...*eventflow.Delivery) eventflow.Transaction {
	t := eventflow.Transaction{Acked: ds, Results: []eventflow.TransactionResult{{Publisher: x.out}}}
	for _, d := range ds {
		t.Results[0].Events = append(t.Results[0].Events, eventflow.Event{Data: append([]byte("of "), d.Event.Data...)})
	}
	return t
}

// seen gives the committed results, and how many there are in all.
func (w *world) seen(topic string) (committed []string, all int) {
	w.t.Helper()
	x := &till{Seeds: w.ListenAddrs()}
	for v, n := range x.read(w.t, topic, kgo.ReadCommitted()) {
		committed = append(committed, slices.Repeat([]string{v}, n)...)
	}
	for _, n := range x.read(w.t, topic, kgo.ReadUncommitted()) {
		all += n
	}
	slices.Sort(committed)
	return committed, all
}

// held keeps transactions before their offsets, with their records written, until it is told to let them go.
func (w *world) held() (letGo func(), waiting func() bool) {
	var open, asked atomic.Bool
	w.ControlKey(kmsg.AddOffsetsToTxn.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.KeepControl()
		asked.Store(true)
		resp := r.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
		resp.ErrorCode = kerr.ConcurrentTransactions.Code
		return resp, nil, !open.Load()
	})
	return func() { open.Store(true) }, asked.Load
}

// started runs f and gives its error.
func started(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

func TestExactlyOnceCommitsResultsDeadLettersAndOffsetsTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(5, number)
	x := w.register(w.config(), "one")
	ds := take(t, x, 4)
	letGo, waiting := w.held()
	tr := x.of(ds[:3]...)
	tr.Dead = []eventflow.TransactionDeadLetter{{Delivery: ds[3], Failure: eventflow.Failure{Reason: "permanent", Attempts: 1}}}
	tr.Acked, tr.Note = ds, func(d *eventflow.Delivery) uint16 { return uint16(d.Token()) }
	done := started(func() error { return x.Transact(t.Context(), tr) })
	require.Eventually(t, waiting, 10*time.Second, time.Millisecond)
	got, all := w.seen("results")
	require.Empty(t, got, "a result is seen before its offset is committed")
	require.Equal(t, 3, all)
	require.Zero(t, w.committed(), "an offset is committed before its result is")
	letGo()
	require.NoError(t, <-done)
	got, _ = w.seen("results")
	require.Equal(t, []string{"of 0", "of 1", "of 2"}, got)
	dead, _ := w.seen("one.dlq")
	require.Equal(t, []string{"3"}, dead)
	require.Eventually(t, func() bool { return w.committed() == 4 }, 10*time.Second, time.Millisecond)
	for _, d := range ds {
		require.False(t, d.Open() || d.Lost())
		require.EqualValues(t, d.Token(), d.Note())
	}
	require.NoError(t, x.Close(t.Context()))
	x = w.register(w.config(), "one")
	require.Equal(t, []string{"4"}, values(t, x, 5))
	require.NoError(t, x.Close(t.Context()))
}

// What is settled beyond the prefix is in the metadata of the same transaction.
func TestExactlyOnceHoldsBeyondThePrefixAfterACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(50, number)
	net, cfg := &wire{}, w.config()
	cfg.Client = append(cfg.Client, kgo.Dialer(net.dial))
	x := w.register(cfg, "one", kafka.Unordered)
	var odd []*eventflow.Delivery
	for _, d := range take(t, x, 50) {
		if d.Token()%2 == 1 && d.Token() != 1 {
			odd = append(odd, d)
		}
	}
	require.NoError(t, x.Transact(t.Context(), x.of(odd[:10]...)))
	require.NoError(t, x.Transact(t.Context(), x.of(odd[10:]...)))
	crash(x, net)
	y := w.register(w.config(), "one", kafka.Unordered)
	got := values(t, y, 50)
	for _, d := range odd {
		require.NotContains(t, got, string(d.Event.Data), "it has a result already")
	}
	require.Len(t, got, 50-len(odd))
	require.NoError(t, y.Close(t.Context()))
}

func TestExactlyOnceAbortsWhenAPartitionIsRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.two(2)
	x := w.register(w.config(), "two")
	ds := take(t, x, 4)
	letGo, waiting := w.held()
	done := started(func() error { return x.Transact(t.Context(), x.of(ds...)) })
	require.Eventually(t, waiting, 10*time.Second, time.Millisecond)
	y := w.register(w.config(), "two")
	theirs := take(t, y, 2) // it has one of the partitions
	letGo()                 // too late
	require.ErrorIs(t, <-done, eventflow.ErrLockLost)
	lost := 0
	for _, d := range ds {
		if d.Lost() {
			lost++
			require.True(t, x.led.of(d), "the loss is not told")
		} else {
			require.True(t, d.Open(), "what is still ours is still held")
		}
	}
	require.Equal(t, 2, lost, "one of two partitions goes")
	committed, all := w.seen("results")
	require.Empty(t, committed)
	require.Equal(t, 4, all)
	require.NoError(t, y.Transact(t.Context(), y.of(theirs...)))
	require.NoError(t, y.Close(t.Context()))
	require.NoError(t, x.Close(t.Context()))
}

// A member that does not know yet that it is none any more may not commit.
func TestExactlyOnceAbortsWhenTheMembershipIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(3, number)
	x := w.register(w.config(), "one")
	ds := take(t, x, 3)
	letGo, waiting := w.held()
	done := started(func() error { return x.Transact(t.Context(), x.of(ds...)) })
	require.Eventually(t, waiting, 10*time.Second, time.Millisecond)
	w.kickOut()
	letGo()
	require.ErrorIs(t, <-done, eventflow.ErrLockLost)
	committed, all := w.seen("results")
	require.Empty(t, committed)
	require.Equal(t, 3, all)
	require.Zero(t, w.committed())
	var again []*eventflow.Delivery
	for end := time.Now().Add(20 * time.Second); len(again) < 3; { // it joins again
		require.True(t, time.Now().Before(end))
		ds, _ := x.Next(t.Context(), eventflow.Want{Events: 3})
		again = append(again, ds...)
	}
	require.NoError(t, x.Transact(t.Context(), x.of(again...)))
	committed, _ = w.seen("results")
	require.Len(t, committed, 3)
	require.NoError(t, x.Close(t.Context()))
}

// kickOut takes all members out of the group.
func (w *world) kickOut() {
	w.t.Helper()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = "g"
	for _, m := range w.GroupInfo("g").Members {
		x := kmsg.NewLeaveGroupRequestMember()
		x.MemberID = m.MemberID
		req.Members = append(req.Members, x)
	}
	resp, err := req.RequestWith(w.t.Context(), w.cl)
	require.NoError(w.t, err)
	require.NoError(w.t, kerr.ErrorForCode(resp.ErrorCode))
}

func TestExactlyOnceFindsOutWhatBecameOfACommitThatWasNotAnswered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fate fate
		all  int // results, those of aborted transactions included
	}{
		"it was one":      {unanswered, 3},
		"it never came":   {unsent, 6},
		"it was answered": {0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.produce(3, number)
			var ending, renewed atomic.Bool
			l, cfg := &line{}, w.config()
			l.deaf = func(key int16) fate {
				switch key {
				case kmsg.EndTxn.Int16():
					ending.Store(true)
					if !renewed.Load() {
						return c.fate
					}
				case kmsg.InitProducerID.Int16():
					renewed.Store(ending.Load())
				}
				return 0
			}
			cfg.Client = append(cfg.Client, kgo.Dialer(l.dial), kgo.RequestRetries(1))
			x := w.register(cfg, "one")
			require.NoError(t, x.Transact(t.Context(), x.of(take(t, x, 3)...)))
			got, all := w.seen("results")
			require.Equal(t, []string{"of 0", "of 1", "of 2"}, got)
			require.Equal(t, c.all, all)
			require.NoError(t, x.Close(t.Context()))
			require.EqualValues(t, 3, w.committed())
		})
	}
}

func TestExactlyOnceSaysThatItWasFencedAndGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(2, number)
	var mu sync.Mutex // guards said
	var said bytes.Buffer
	cfg := w.config()
	cfg.Logger = slog.New(slog.NewTextHandler(&locked{&mu, &said}, nil))
	x := w.register(cfg, "one", kafka.StaticMember("till"))
	ds := take(t, x, 2)
	letGo, waiting := w.held()
	done := started(func() error { return x.Transact(t.Context(), x.of(ds...)) })
	require.Eventually(t, waiting, 10*time.Second, time.Millisecond)
	other, err := kgo.NewClient(kgo.SeedBrokers(w.ListenAddrs()...), kgo.TransactionalID("g/one/till"))
	require.NoError(t, err)
	defer other.Close()
	_, _, err = other.ProducerID(t.Context())
	require.NoError(t, err)
	letGo()
	require.NoError(t, <-done)
	committed, all := w.seen("results")
	require.Len(t, committed, 2)
	require.Equal(t, 4, all)
	mu.Lock()
	require.Contains(t, said.String(), "the transaction was fenced")
	mu.Unlock()
	require.NoError(t, x.Close(t.Context()))
}

// locked is a buffer that may be written to by many.
type locked struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(b)
}

func TestExactlyOnceReadsOnlyWhatIsCommitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	up, err := kgo.NewClient(kgo.SeedBrokers(w.ListenAddrs()...), kgo.TransactionalID("upstream"), kgo.DefaultProduceTopic("one"))
	require.NoError(t, err)
	defer up.Close()
	for i, how := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		require.NoError(t, up.BeginTransaction())
		require.NoError(t, up.ProduceSync(t.Context(), kgo.StringRecord(fmt.Sprint(i))).FirstErr())
		require.NoError(t, up.EndTransaction(t.Context(), how))
	}
	x := w.register(w.config(), "one")
	require.Equal(t, []string{"1", "3"}, values(t, x, 4))
	require.NoError(t, x.Close(t.Context()))
	b, _ := w.broker()
	for n, opts := range map[int][]eventflow.SubscriberOption{4: nil, 2: {kafka.ReadCommitted()}} {
		s, err := b.OpenSubscriber("one", append(opts, eventflow.Group(fmt.Sprint("reader", n)))...)
		require.NoError(t, err)
		require.Len(t, values(t, s, 4), n)
	}
}

// Calls that come while a transaction is under way share the next one.
func TestExactlyOnceCallsShareTransactions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(50, number)
	var ends atomic.Int64
	w.ControlKey(kmsg.EndTxn.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.KeepControl()
		ends.Add(1)
		return nil, nil, false
	})
	x := w.register(w.config(), "one", kafka.Unordered)
	ds := take(t, x, 50)
	letGo, waiting := w.held()
	var all sync.WaitGroup
	for i, d := range ds {
		all.Go(func() {
			if err := x.Transact(t.Context(), x.of(d)); err != nil {
				t.Error(err)
			}
		})
		if i == 0 {
			require.Eventually(t, waiting, 10*time.Second, time.Millisecond)
		}
	}
	require.Eventually(t, func() bool { return kafka.Queued(t, x.Transactional) == len(ds)-1 }, 10*time.Second, time.Millisecond)
	letGo()
	all.Wait()
	committed, _ := w.seen("results")
	require.Len(t, committed, 50)
	require.LessOrEqual(t, ends.Load(), int64(3))
	require.NoError(t, x.Close(t.Context()))
}

func TestExactlyOnceResultThatIsTooLargeAbortsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(2, number)
	x := w.register(w.config(), "one", kafka.Unordered)
	ds := take(t, x, 2)
	large := x.of(ds[0])
	large.Results[0].Events[0].Data = make([]byte, 2<<20)
	large.Results[0].Events = append(large.Results[0].Events, eventflow.Event{Data: []byte("of an aborted transaction")})
	first := started(func() error { return x.Transact(t.Context(), large) })
	require.NoError(t, x.Transact(t.Context(), x.of(ds[1])))
	require.ErrorIs(t, <-first, eventflow.ErrTooLarge)
	require.True(t, ds[0].Open())
	ds[0].Release(0)
	again := take(t, x, 1)[0]
	require.Equal(t, ds[0].Event.ID, again.Event.ID)
	require.NoError(t, x.Transact(t.Context(), x.of(again)))
	committed, _ := w.seen("results")
	require.Len(t, committed, 2)
	require.NoError(t, x.Close(t.Context()))
}

func TestExactlyOnceDeadLetterThatIsTooLargeLosesOurHeadersFirst(t *testing.T) {
	t.Parallel()
	const most = 32 << 10
	w := newWorld(t, nil)
	w.produce(1, func(int) (string, string) { return "k", string(noise(most - 200)) })
	cfg := w.config()
	cfg.MaxEventBytes = most
	x := w.register(cfg, "one")
	d := take(t, x, 1)[0]
	f := eventflow.Failure{Reason: "permanent", Flow: strings.Repeat("f", 50), Version: strings.Repeat("v", 50), Attempts: 1}
	require.NoError(t, x.Transact(t.Context(), eventflow.Transaction{
		Acked: []*eventflow.Delivery{d}, Dead: []eventflow.TransactionDeadLetter{{Delivery: d, Failure: f}},
	}))
	dead := w.read("one.dlq", 1)
	require.Len(t, dead, 1)
	require.Equal(t, "permanent", headerOf(dead[0], "eventflow-reason"))
	require.Empty(t, headerOf(dead[0], "eventflow-offset"), "it would have fitted: the test shows nothing")
	require.NoError(t, x.Close(t.Context()))
	require.EqualValues(t, 1, w.committed())
}

// A topic that is not there yet holds its lane up and no other's transactions.
func TestExactlyOnceWaitsForATopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"auto.create.topics.enable": "false"})
	w.produce(2, number)
	x := w.register(w.config(), "one", kafka.Unordered)
	ds := take(t, x, 2)
	require.NoError(t, w.DeleteTopic("results"))
	done := started(func() error { return x.Transact(t.Context(), x.of(ds[0])) })
	tr := eventflow.Transaction{Acked: ds[1:], Dead: []eventflow.TransactionDeadLetter{{Delivery: ds[1]}}}
	require.NoError(t, x.Transact(t.Context(), tr))
	require.NoError(t, w.CreateTopic("results", 1, nil))
	require.NoError(t, <-done)
	committed, _ := w.seen("results")
	require.Len(t, committed, 1)
	require.NoError(t, x.Close(t.Context()))
	require.EqualValues(t, 2, w.committed())
}

// limitTransactions is what Apache Kafka does with offset.metadata.max.bytes.
func (w *world) limitTransactions(limit int) {
	w.ControlKey(kmsg.TxnOffsetCommit.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.KeepControl()
		req := r.(*kmsg.TxnOffsetCommitRequest)
		resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		tooLarge := false
		for _, rt := range req.Topics {
			t := kmsg.NewTxnOffsetCommitResponseTopic()
			t.Topic, t.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				p := kmsg.NewTxnOffsetCommitResponseTopicPartition()
				p.Partition, p.ErrorCode = rp.Partition, kerr.OffsetMetadataTooLarge.Code
				t.Partitions = append(t.Partitions, p)
				tooLarge = tooLarge || rp.Metadata != nil && len(*rp.Metadata) > limit
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil, tooLarge
	})
}

// Where the broker takes hardly any metadata, what does not fit is not committed: it would have two results after a crash.
func TestExactlyOnceCommitsNothingThatMetadataCannotTell(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{128, 0} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.limitMetadata(limit)
			w.limitTransactions(limit)
			const n = 800
			w.produce(n, number)
			net, cfg := &wire{}, w.config()
			cfg.Client = append(cfg.Client, kgo.Dialer(net.dial))
			x := w.register(cfg, "one", kafka.Unordered)
			ds := take(t, x, n)
			require.NoError(t, x.Transact(t.Context(), x.of(ds[0], ds[1])), "the prefix always can")
			refused := 0
			for i := 3; i < n && refused < 2; i += 150 { // runs of one, far between
				for j := i; j < min(i+150, n); j += 2 {
					if err := x.Transact(t.Context(), x.of(ds[j])); err != nil {
						refused++
						break
					}
				}
			}
			require.Positive(t, refused, "all of it fits: the test shows nothing")
			committed, _ := w.seen("results")
			crash(x, net)
			y := w.register(w.config(), "one", kafka.Unordered)
			again := values(t, y, n)
			for _, v := range again {
				require.NotContains(t, committed, "of "+v, "it has a result already")
			}
			require.Len(t, again, n-len(committed))
			require.NoError(t, y.Close(t.Context()))
		})
	}
}

func TestExactlyOnceCloseAbortsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(2, number)
	x := w.register(w.config(), "one", kafka.Unordered)
	ds := take(t, x, 2)
	_, waiting := w.held()
	done := started(func() error { return x.Transact(t.Context(), x.of(ds[0])) })
	require.Eventually(t, waiting, 10*time.Second, time.Millisecond)
	queued := started(func() error { return x.Transact(t.Context(), x.of(ds[1])) })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, x.Transact(ended, x.of(ds[1])), context.Canceled)
	require.NoError(t, x.Close(t.Context()))
	require.Error(t, <-done)
	require.Error(t, <-queued)
	require.ErrorIs(t, x.Transact(t.Context(), x.of(ds[1])), eventflow.ErrClosed)
	committed, all := w.seen("results")
	require.Empty(t, committed)
	require.Equal(t, 1, all)
	require.Zero(t, w.committed())
}

func TestExactlyOnceRefusesWhatWouldBreakIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"transaction.max.timeout.ms": "60000"})
	b, _ := w.broker()
	elsewhere, _ := w.broker()
	sub := func(opts ...eventflow.SubscriberOption) eventflow.Subscriber {
		return b.Subscriber("one", append(opts, eventflow.Group("g"))...)
	}
	f := eventflow.NewFlow("f", func(context.Context, string) (string, error) { return "", nil })
	for field, opts := range map[string][]runner.Option{
		"runner.Store":      {runner.On(sub(kafka.ExactlyOnce(0))), runner.Store(store.NewMemory())},
		"runner.PublishTo":  {runner.On(sub(kafka.ExactlyOnce(0))), runner.PublishTo(elsewhere.Publisher("results"))},
		"runner.On":         {runner.On(sub(kafka.ExactlyOnce(0))), runner.On(sub(), runner.Named("second"))},
		"kafka.ExactlyOnce": {runner.On(sub(kafka.ExactlyOnce(time.Millisecond)))},
	} {
		_, err := runner.New(f, opts...)
		var bad *eventflow.ConfigError
		require.ErrorAs(t, err, &bad, field)
		require.Equal(t, field, bad.Field)
	}
	_, err := runner.New(f, runner.On(sub(kafka.ExactlyOnce(0))), runner.PublishTo(b.Publisher("results")))
	require.NoError(t, err)
	_, plain := sub().(eventflow.Transactional)
	require.False(t, plain)

	var bad *eventflow.ConfigError
	require.ErrorAs(t, sub(kafka.ExactlyOnce(2*time.Minute)).Start(t.Context(), eventflow.Listening{}), &bad)
	require.Equal(t, "kafka.ExactlyOnce", bad.Field)
	require.ErrorAs(t, sub(kafka.ExactlyOnce(0), kafka.NoDeadLetters()).Start(t.Context(), eventflow.Listening{MaxAttempts: 5}), &bad)
	require.Equal(t, "kafka.NoDeadLetters", bad.Field)
	require.NoError(t, b.Close(t.Context()))
}

// Settlements outside of a transaction are as without the option.
func TestExactlyOnceKeepsTheRulesOfABroker(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, setting{mode: kafka.KeyLanes, options: []eventflow.SubscriberOption{kafka.ExactlyOnce(0)}}.harness())
}
