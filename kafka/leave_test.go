package kafka_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow"
)

// joins tells, by closing what it gives, when so many members have asked to join from now on.
func (w *world) joins(members int) <-chan struct{} {
	enough := make(chan struct{})
	seen := map[string]bool{}
	var once sync.Once
	w.ControlKey(kmsg.NewPtrJoinGroupRequest().Key(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.KeepControl()
		if id := r.(*kmsg.JoinGroupRequest).MemberID; id != "" { //nolint:forcetypeassert // by its key
			seen[id] = true
		}
		if len(seen) == members {
			once.Do(func() { close(enough) })
		}
		return nil, nil, false
	})
	return enough
}

// The group waits for a member that has died, and the client commits nothing meanwhile; whoever is told to stop then still
// writes what it has done.
func TestWhoLeavesWhileTheGroupWaitsForADeadMemberCommitsItsMarks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.produce(5, number)
	b, _ := w.broker()
	s := w.subscriber(b)
	ds := take(t, s, 5)

	x, cfg := &wire{}, w.config()
	cfg.Client = append(cfg.Client, kgo.Dialer(x.dial), kgo.SessionTimeout(30*time.Second))
	dead := w.subscriber(open(t, cfg))
	joined := w.joins(2)
	require.NoError(t, dead.Start(t.Context(), eventflow.Listening{}))
	<-joined
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	_, err := dead.Next(ctx, eventflow.Want{Events: 1})
	cancel()
	require.ErrorIs(t, err, context.DeadlineExceeded)
	crash(dead, x)

	joined = w.joins(2)
	other, _ := w.broker()
	require.NoError(t, w.subscriber(other).Start(t.Context(), eventflow.Listening{}))
	<-joined // the one that is new, and s: the group waits for the dead one
	eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
	ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	require.NoError(t, s.Close(ctx))
	require.EqualValues(t, 5, w.committed())
}
