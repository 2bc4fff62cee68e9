package kafka_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
)

// A batch that cannot be read stands between batches that can, in one partition and one answer: nothing of them is lost, and
// nothing is given up in silence.
func TestShareGroupStopsAtABatchThatCannotBeReadOrPassesItAlone(t *testing.T) {
	t.Parallel()
	const lock = time.Second
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "one", "one.dlq"), kfake.BrokerConfigs(map[string]string{
		"message.max.bytes":                      fmt.Sprint(100 << 20),
		"group.share.heartbeat.interval.ms":      "100",
		"group.share.record.lock.duration.ms":    fmt.Sprint(lock.Milliseconds()),
		"group.share.session.timeout.ms":         fmt.Sprint(lock.Milliseconds()),
		"share.record.lock.sweep.interval.ms":    "50",
		"group.share.delivery.count.limit":       "10",
		"group.share.partition.max.record.locks": "10000",
	}))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	c.SetGroupConfigs("g", map[string]string{"share.auto.offset.reset": "earliest"})
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	w := &world{c, t, cl}
	w.produce(3, number)
	w.bomb()
	w.produce(3, func(i int) (string, string) { return "k", fmt.Sprint("behind ", i) })
	b := open(t, kafka.Config{Seeds: c.ListenAddrs(), Logger: quietLog})
	small := eventflow.Listening{MaxHeldBytes: 8 << 20}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	s := b.Subscriber("one", eventflow.Group("g"), kafka.ShareGroup)
	require.NoError(t, s.Start(ctx, small))
	for err = nil; err == nil; {
		var ds []*eventflow.Delivery
		ds, err = s.Next(ctx, eventflow.Want{Events: 10})
		eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Release})
	}
	var gap *kafka.GapError
	require.ErrorAs(t, err, &gap)
	require.ErrorIs(t, err, eventflow.ErrFatal)
	require.EqualValues(t, 3, gap.From)
	require.EqualValues(t, 4, gap.To)
	require.NoError(t, s.Close(ctx))
	require.Empty(t, b.Gaps(), "nothing was passed")

	s = b.Subscriber("one", eventflow.Group("g"), kafka.ShareGroup, kafka.OnGap(kafka.ContinueOnGap))
	require.NoError(t, s.Start(ctx, small))
	var got []string
	for len(got) < 6 {
		ds, err := s.Next(ctx, eventflow.Want{Events: 10})
		require.NoError(t, err, "%v", got)
		for _, d := range ds {
			got = append(got, string(d.Event.Data))
			d.Ack()
		}
	}
	slices.Sort(got)
	require.Equal(t, []string{"0", "1", "2", "behind 0", "behind 1", "behind 2"}, got)
	gaps := b.Gaps()
	require.Len(t, gaps, 1)
	require.ErrorIs(t, gaps[0].Err, kgo.ErrMaxDecompress)
	gaps[0].Err = nil
	require.Equal(t, kafka.GapError{Topic: "one", From: 3, To: 4}, gaps[0])
	require.NoError(t, s.Close(ctx))
	require.Empty(t, b.Gaps(), "its subscriber is closed")
}

// batch is a batch of records as a broker keeps it, from an offset on.
func batch(from int64, n int) []byte {
	rb := kmsg.RecordBatch{FirstOffset: from, Magic: 2, LastOffsetDelta: int32(n) - 1, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(n)}
	for i := range n {
		r := kmsg.Record{OffsetDelta: int32(i), Value: []byte("v")}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // without the length itself, which takes one byte
		rb.Records = r.AppendTo(rb.Records)
	}
	b := rb.AppendTo(nil)
	rb.Length = int32(len(b) - 12)
	b = rb.AppendTo(nil)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// spoilt is a batch whose sum is wrong.
func spoilt(b []byte) []byte {
	b[len(b)-1]++
	return b
}

func TestShareGroupAccountsForEveryOffsetOfAnAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		batches [][]byte
		want    kafka.Answered
	}{
		"whole":              {[][]byte{batch(0, 2), batch(2, 2)}, kafka.Answered{Handed: []int64{0, 1, 2, 3}}},
		"compacted":          {[][]byte{batch(0, 1), batch(3, 1)}, kafka.Answered{Handed: []int64{0, 3}, Absent: []int64{1, 2}}},
		"nothing":            {nil, kafka.Answered{Absent: []int64{0, 1, 2, 3}}},
		"spoilt":             {[][]byte{batch(0, 1), spoilt(batch(1, 2)), batch(3, 1)}, kafka.Answered{Handed: []int64{0, 3}, Failed: []int64{1, 2}}},
		"spoilt and absent":  {[][]byte{spoilt(batch(1, 1)), batch(3, 1)}, kafka.Answered{Handed: []int64{3}, Absent: []int64{0, 2}, Failed: []int64{1}}},
		"truncated":          {[][]byte{batch(0, 2), batch(2, 2)[:70]}, kafka.Answered{Handed: []int64{0, 1}, Failed: []int64{2, 3}}},
		"a part of a header": {[][]byte{batch(0, 4), make([]byte, 20)}, kafka.Answered{Handed: []int64{0, 1, 2, 3}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, kafka.DecodeShare(slices.Concat(c.batches...), 0, 3))
		})
	}
}

func FuzzShareAnswer(f *testing.F) {
	f.Add(slices.Concat(batch(0, 2), batch(2, 3)))
	f.Add(slices.Concat(batch(0, 1), spoilt(batch(1, 3)), batch(6, 1)))
	f.Add(batch(0, 9)[:75])
	f.Fuzz(func(t *testing.T, batches []byte) {
		a := kafka.DecodeShare(batches, 0, 20)
		all := slices.Concat(a.Handed, a.Absent, a.Failed)
		slices.Sort(all)
		require.Len(t, all, 21, "%v", a)
		require.Len(t, slices.Compact(all), 21, "%v", a)
	})
}
