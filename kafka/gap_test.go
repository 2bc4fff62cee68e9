package kafka_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/kafka"
)

// refuseListings makes the cluster refuse the next n questions for a partition's first offset.
func (w *world) refuseListings(n int) {
	w.ControlKey(kmsg.NewPtrListOffsetsRequest().Key(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.KeepControl()
		if n--; n < 0 {
			return nil, nil, false
		}
		resp := r.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, rt := range r.(*kmsg.ListOffsetsRequest).Topics {
			t := kmsg.NewListOffsetsResponseTopic()
			t.Topic = rt.Topic
			for _, rp := range rt.Partitions {
				p := kmsg.NewListOffsetsResponseTopicPartition()
				p.Partition, p.ErrorCode = rp.Partition, kerr.UnknownServerError.Code
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil, true
	})
}

// Nothing else may happen to the topic: whoever waits for that before asking again waits for ever.
func TestWhereALostPartitionGoesOnIsAskedUntilItIsAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	b := w.overtaken()
	s := w.subscriber(b, kafka.OnGap(kafka.ContinueOnGap))
	w.refuseListings(3)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var got []string
	faults := 0
	for len(got) < 10 {
		ds, err := s.Next(ctx, eventflow.Want{Events: 10})
		if err != nil {
			require.NoError(t, ctx.Err(), "after %d faults", faults)
			require.ErrorIs(t, err, kerr.UnknownServerError)
			require.NotErrorIs(t, err, eventflow.ErrFatal)
			faults++
		}
		for _, d := range ds {
			got = append(got, string(d.Event.Data))
			d.Ack()
		}
	}
	require.GreaterOrEqual(t, faults, 1)
	require.Equal(t, "10", got[0])
	gaps := b.Gaps()
	require.Len(t, gaps, 1, "the client tells of it again and again: it is one")
	require.EqualValues(t, 1, gaps[0].From)
	require.EqualValues(t, 10, gaps[0].To)
	require.NoError(t, s.Close(t.Context()))
	require.EqualValues(t, 20, w.committed())
}
