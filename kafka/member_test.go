package kafka_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
)

// A member that stood still while the group settled without it is unknown when it asks to join, and comes back as another
// one. What it has held may be somebody else's by then, and so may what the client has kept.
func TestMemberThatWasThrownOutWhileItJoinsBeginsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(10, number)
	b, _ := w.broker()
	s := w.subscriber(b)
	l := &ledger{lost: map[*eventflow.Delivery]bool{}}
	require.NoError(t, s.Start(t.Context(), l.listening(time.Second)))
	old := take(t, s, 10)
	for _, d := range old[:3] {
		d.Ack()
	}
	require.Eventually(t, func() bool { return w.committed() == 3 }, 10*time.Second, 10*time.Millisecond)
	var beat, join atomic.Bool
	beat.Store(true)
	w.ControlKey(kmsg.NewPtrHeartbeatRequest().Key(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.KeepControl()
		if !beat.Swap(false) {
			return nil, nil, false
		}
		join.Store(true)
		resp := r.ResponseKind().(*kmsg.HeartbeatResponse)
		resp.ErrorCode = kerr.RebalanceInProgress.Code
		return resp, nil, true
	})
	w.ControlKey(kmsg.NewPtrJoinGroupRequest().Key(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.KeepControl()
		if !join.Swap(false) {
			return nil, nil, false
		}
		resp := r.ResponseKind().(*kmsg.JoinGroupResponse)
		resp.ErrorCode = kerr.UnknownMemberID.Code
		return resp, nil, true
	})
	require.Eventually(t, func() bool { return l.of(old[9]) }, 20*time.Second, 10*time.Millisecond, "what it held is not lost")
	for _, d := range old[3:] {
		require.False(t, d.Open())
		d.Ack() // of a member that is none any more
	}
	again := take(t, s, 7)
	for i, d := range again {
		require.Equal(t, string(old[3+i].Event.Data), string(d.Event.Data), "from what the group has committed, in order")
		require.True(t, d.Open())
	}
	require.EqualValues(t, 3, w.committed())
	for _, d := range again {
		d.Ack()
	}
	w.produce(1, number) // behind what the client had fetched before
	take(t, s, 1)[0].Ack()
	require.NoError(t, s.Close(t.Context()))
	require.EqualValues(t, 11, w.committed())
}
