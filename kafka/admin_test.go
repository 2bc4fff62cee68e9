package kafka_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
)

func TestTopicsAreListedInOrder(t *testing.T) {
	t.Parallel()
	got, err := newCluster(t).broker(nil).Topics(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"one", "one.dlq", "three"}, got)
}

func TestLagIsWhatAGroupHasNotSettled(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	b := c.broker(nil)
	lag, err := b.Lag(t.Context(), "one", "group")
	require.NoError(t, err)
	require.Equal(t, []kafka.PartitionLag{{Committed: -1}}, lag, "a group that never was has all before it")

	evs := make([]eventflow.Event, 10)
	require.NoError(t, publisher(t, b, "one").Publish(t.Context(), evs...))
	commit(t, c, 4)
	lag, err = b.Lag(t.Context(), "one", "group")
	require.NoError(t, err)
	require.Equal(t, []kafka.PartitionLag{{Partition: kafka.Partition{End: 10}, Committed: 4, Lag: 6}}, lag)

	require.NoError(t, c.DeleteRecords("one", 0, 7))
	lag, err = b.Lag(t.Context(), "one", "group")
	require.NoError(t, err)
	require.Equal(t, []kafka.PartitionLag{{Partition: kafka.Partition{Start: 7, End: 10}, Committed: 4, Lag: 3}}, lag, "what retention deleted is not waited for")

	ps, err := b.Partitions(t.Context(), "three")
	require.NoError(t, err)
	require.Equal(t, []kafka.Partition{{Partition: 0}, {Partition: 1}, {Partition: 2}}, ps)
}

func commit(t *testing.T, c *cluster, at int64) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	defer cl.Close()
	offsets := kadm.Offsets{}
	offsets.AddOffset("one", 0, at, -1)
	require.NoError(t, kadm.NewClient(cl).CommitAllOffsets(t.Context(), "group", offsets))
}

func TestListingSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	b := newCluster(t).broker(nil)
	_, err := b.Partitions(t.Context(), "nowhere")
	require.ErrorIs(t, err, eventflow.ErrNoTopic)
	_, err = b.Lag(t.Context(), "nowhere", "group")
	require.ErrorIs(t, err, eventflow.ErrNoTopic)
	require.NoError(t, b.Close(t.Context()))
	for _, ask := range []func() error{
		func() error { _, err := b.Topics(t.Context()); return err },
		func() error { _, err := b.Partitions(t.Context(), "one"); return err },
		func() error { _, err := b.Lag(t.Context(), "one", "group"); return err },
	} {
		require.ErrorIs(t, ask(), eventflow.ErrClosed)
	}
}
