package kafka_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
)

// backlogged is a subscriber of two partitions. The first has many times what it may hold.
func backlogged(t *testing.T, events int) (*kgo.Client, eventflow.Subscriber) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "one", "one.dlq"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(32<<10))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	for range events {
		cl.Produce(t.Context(), &kgo.Record{Topic: "one", Value: make([]byte, 1<<10)}, nil)
	}
	require.NoError(t, cl.Flush(t.Context()))
	s := open(t, kafka.Config{Seeds: c.ListenAddrs(), Logger: quietLog}).Subscriber("one", eventflow.Group("g"))
	require.NoError(t, s.Start(t.Context(), eventflow.Listening{MaxHeldBytes: 1 << 20}))
	return cl, s
}

// A client that is asked for an empty partition alone, because the other has all that it may, waits for it for half a
// second, in which a quick flow has long run what there was of the other.
func TestPartitionWithABacklogDoesNotWaitForOneWithout(t *testing.T) { //nolint:paralleltest // it asks for time, of which others would take a share
	const events = 20_000
	_, s := backlogged(t, events)
	// It takes 0.6 s, and 27 s where each half of what may be held waits for the other partition.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for n := 0; n < events; {
		ds, err := s.Next(ctx, eventflow.Want{Events: 1000, PerLane: 64})
		require.NoError(t, err, "after %d of %d events", n, events)
		eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
		n += len(ds)
		time.Sleep(time.Millisecond) // what a flow takes for them: the client is quicker
	}
	require.NoError(t, s.Close(t.Context()))
}

func TestPartitionThatStandsStillKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	cl, s := backlogged(t, 2_000)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for held := 0; held < 64; { // and nobody settles them
		ds, err := s.Next(ctx, eventflow.Want{Events: 1000, PerLane: 64})
		require.NoError(t, err)
		held += len(ds)
	}
	for i := range 5 {
		require.NoError(t, cl.ProduceSync(ctx, &kgo.Record{Topic: "one", Partition: 1, Value: []byte{byte(i)}}).FirstErr())
		ds, err := s.Next(ctx, eventflow.Want{Events: 1000, PerLane: 64})
		require.NoError(t, err)
		require.Len(t, ds, 1)
		require.Equal(t, []byte{byte(i)}, ds[0].Event.Data)
	}
	require.NoError(t, s.Close(t.Context()))
}
