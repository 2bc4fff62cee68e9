package kafka_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
)

// two makes a topic of two partitions with n events in each, by "PARTITION-NUMBER".
func (w *world) two(n int) {
	w.t.Helper()
	require.NoError(w.t, w.CreateTopic("two", 2, nil))
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(w.t, err)
	defer cl.Close()
	for i := range 2 * n {
		require.NoError(w.t, cl.ProduceSync(w.t.Context(), &kgo.Record{
			Topic: "two", Partition: int32(i % 2), Value: fmt.Appendf(nil, "%d-%d", i%2, i/2),
		}).FirstErr())
	}
}

// ledger notes what a subscriber was told.
type ledger struct {
	mu   sync.Mutex // guards what follows
	lost map[*eventflow.Delivery]bool
}

func (l *ledger) listening(grace time.Duration) eventflow.Listening {
	return eventflow.Listening{Grace: grace, Lost: func(ds []*eventflow.Delivery, _ error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, d := range ds {
			l.lost[d] = true
		}
	}}
}

func (l *ledger) of(d *eventflow.Delivery) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost[d]
}

func TestRevokedPartitionIsDrainedMarkedCommittedAndThenFenced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.two(4)
	open := func(grace time.Duration) (eventflow.Subscriber, *ledger) {
		b, _ := w.broker()
		s, err := b.OpenSubscriber("two", eventflow.Group("g"), kafka.Unordered)
		require.NoError(t, err)
		l := &ledger{lost: map[*eventflow.Delivery]bool{}}
		require.NoError(t, s.Start(t.Context(), l.listening(grace)))
		return s, l
	}
	a, told := open(time.Minute) // cut to the rebalance timeout less 10 s: two seconds
	held := take(t, a, 8)
	other, _ := open(time.Minute)
	got := make(chan *eventflow.Delivery, 16)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for {
			ds, err := other.Next(ctx, eventflow.Want{Events: 8})
			if err != nil {
				return
			}
			for _, d := range ds {
				got <- d
			}
		}
	}()
	time.Sleep(time.Second) // the group asks for a partition back meanwhile
	late := map[string]*eventflow.Delivery{}
	for _, d := range held {
		if v := string(d.Event.Data); v == "0-3" || v == "1-3" {
			late[v] = d
			continue
		}
		require.True(t, d.Open(), "what runs is let run")
		d.Ack() // while it is drained
	}
	select {
	case d := <-got:
		v := string(d.Event.Data)
		require.Contains(t, late, v, "an event that was acknowledged in the drain runs again")
		was := late[v]
		require.True(t, was.Lost() && told.of(was), "it is another's now, and its run was not told")
		was.Ack() // nobody hears it
		d.Release(0)
		d = <-got
		require.Equal(t, v, string(d.Event.Data))
		d.Ack()
		delete(late, v)
	case <-time.After(20 * time.Second):
		t.Fatal("the partition did not move")
	}
	for _, d := range late { // of the partition that stayed
		require.True(t, d.Open())
		d.Ack()
	}
	cancel()
	require.NoError(t, a.Close(t.Context()))
	require.NoError(t, other.Close(t.Context()))
	last, _ := open(0)
	ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err := last.Next(ctx, eventflow.Want{Events: 1})
	require.ErrorIs(t, err, context.DeadlineExceeded, "everything was acknowledged")
	require.NoError(t, last.Close(t.Context()))
}

// onlyLastCommits refuses every commit that moves an offset, until it sees one that is the last of its partition. It gives
// how many were refused.
func (w *world) onlyLastCommits() *atomic.Int64 {
	var refused atomic.Int64
	var seen atomic.Bool
	w.ControlKey(kmsg.NewPtrOffsetCommitRequest().Key(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.KeepControl()
		moves := false
		for _, rt := range r.(*kmsg.OffsetCommitRequest).Topics {
			for _, rp := range rt.Partitions {
				if rp.Metadata != nil && kafka.IsLastCommit(*rp.Metadata) {
					seen.Store(true)
				}
				moves = moves || rp.Offset > 0
			}
		}
		if seen.Load() || !moves {
			return nil, nil, false
		}
		refused.Add(1)
		return refusal(r, kerr.UnknownServerError), nil, true
	})
	return &refused
}

// The committer's own commit may not have come through when a partition goes: the one that is made before it is given away
// has to.
func TestWhatIsAcknowledgedWhenAPartitionIsRevokedIsNotHandedToItsNextOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.two(2)
	open := func(l eventflow.Listening) eventflow.Subscriber {
		b, _ := w.broker()
		s, err := b.OpenSubscriber("two", eventflow.Group("g"))
		require.NoError(t, err)
		require.NoError(t, s.Start(t.Context(), l))
		return s
	}
	var c settled
	first := open(c.listening())
	held := take(t, first, 4)
	refused := w.onlyLastCommits()
	for _, d := range held {
		d.Ack()
	}
	require.Eventually(t, func() bool { return refused.Load() > 0 }, 10*time.Second, 5*time.Millisecond)
	require.Zero(t, c.count(), "a commit that was refused confirms nothing")

	next := open(eventflow.Listening{})
	w.fresh()
	require.Equal(t, "fresh", string(take(t, next, 1)[0].Event.Data), "what was acknowledged before the partition was given away runs again")
	require.Eventually(t, func() bool { return c.count() == len(held) }, 10*time.Second, 5*time.Millisecond, "the acknowledgements are confirmed")
	require.NoError(t, next.Close(t.Context()))
	require.NoError(t, first.Close(t.Context()))
}

// fresh writes one more event to each partition of the topic that two makes.
func (w *world) fresh() {
	w.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(w.t, err)
	defer cl.Close()
	for p := range int32(2) {
		require.NoError(w.t, cl.ProduceSync(w.t.Context(), &kgo.Record{Topic: "two", Partition: p, Value: []byte("fresh")}).FirstErr())
	}
}

// Members come and go all the time while events flow: none is lost, and what runs twice is bounded by what was held.
func TestRebalancesLoseNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const n = 3000
	w.two(0)
	var mu sync.Mutex // guards seen
	seen := map[string]int{}
	consume := func(ctx context.Context) {
		b, _ := w.broker()
		s, err := b.OpenSubscriber("two", eventflow.Group("g"), kafka.KeyLanes)
		if err != nil || s.Start(ctx, eventflow.Listening{Grace: time.Second}) != nil {
			return
		}
		for {
			ds, err := s.Next(ctx, eventflow.Want{Events: 20, PerLane: 5})
			if err != nil && ctx.Err() != nil {
				break
			}
			for _, d := range ds {
				mu.Lock()
				seen[string(d.Event.Data)]++
				mu.Unlock()
				d.Ack()
			}
		}
		_ = s.Close(context.WithoutCancel(ctx))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { consume(ctx) })
	all.Go(func() {
		for ctx.Err() == nil {
			short, stop := context.WithTimeout(ctx, 700*time.Millisecond)
			consume(short)
			stop()
		}
	})
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.ListenAddrs()...))
	require.NoError(t, err)
	defer cl.Close()
	for i := range n {
		cl.Produce(t.Context(), &kgo.Record{Topic: "two", Key: fmt.Appendf(nil, "key-%d", i%50), Value: fmt.Append(nil, i)}, nil)
		if i%100 == 0 {
			time.Sleep(200 * time.Millisecond)
		}
	}
	require.NoError(t, cl.Flush(t.Context()))
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == n
	}, 30*time.Second, 20*time.Millisecond, "an event is lost")
	cancel()
	all.Wait()
	twice := 0
	for _, k := range seen {
		twice += k - 1
	}
	require.Less(t, twice, n/10, "clean rebalances repeat next to nothing")
}
