package sqs_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/sqs"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

func TestTooLargeEventIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		err := b.broker.Publisher(b.server.QueueURL("q")).Publish(b.ctx, eventflow.Event{Data: bytes.Repeat([]byte("x"), 1<<20+1)})
		var size *sqs.SizeError
		require.ErrorAs(t, err, &size)
		require.Equal(t, 1<<20+1, size.Size)
		require.ErrorIs(t, err, eventflow.ErrTooLarge)
		require.Zero(t, b.requests(""))
	})
}

func TestLargeBatchesAreSplitByBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		evs := make([]eventflow.Event, 10)
		for i := range evs {
			evs[i].Data = bytes.Repeat([]byte("x"), 300<<10)
		}
		require.NoError(t, b.broker.Publisher("q").Publish(b.ctx, evs...))
		require.Equal(t, 4, b.requests("SendMessageBatch"))
		require.Equal(t, 10, b.server.Stats("q").Visible)
	})
}

func TestQueuesOwnLimitIsATypedErrorOfItsEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{MaxMessage: 2048})
		err := b.broker.Publisher("q").Publish(b.ctx, eventflow.Event{Data: []byte("small")}, eventflow.Event{Data: make([]byte, 2048)})
		var failed *eventflow.PublishError
		require.ErrorAs(t, err, &failed)
		require.Len(t, failed.Failed, 1)
		require.Equal(t, 1, failed.Failed[0].Index)
		require.ErrorIs(t, err, eventflow.ErrTooLarge)
		require.Equal(t, 1, b.server.Stats("q").Visible)
	})
}

func TestFailedEntriesAreReportedAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		b.server.FailNext("SendMessageBatch", "q", sqstest.Fault{Action: sqstest.Refuse, Code: "InternalError", Entries: 2})
		err := b.broker.Publisher("q").Publish(b.ctx, make([]eventflow.Event, 5)...)
		var failed *eventflow.PublishError
		require.ErrorAs(t, err, &failed)
		require.Len(t, failed.Failed, 2)
		require.NotErrorIs(t, err, eventflow.ErrFatal)
		require.Equal(t, 3, b.server.Stats("q").Visible)
	})
}

func TestNothingOvertakesARefusedEventOfItsGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q.fifo", sqstest.Queue{})
		b.server.FailNext("SendMessageBatch", "q.fifo", sqstest.Fault{Action: sqstest.Refuse, Code: "InvalidParameterValue", Entries: 1})
		evs := make([]eventflow.Event, 25)
		for i := range evs {
			evs[i] = eventflow.Event{ID: fmt.Sprint(i), Source: "/s", Type: "t", Key: []string{"a", "b"}[i%2]}
		}
		err := b.broker.Publisher("q.fifo").Publish(b.ctx, evs...)
		var failed *eventflow.PublishError
		require.ErrorAs(t, err, &failed)
		for _, f := range failed.Failed {
			require.Zero(t, f.Index%2, "the other group is not concerned")
			require.True(t, f.Index == 0 || f.Index >= 10, "%d: what was in the same request is in the queue", f.Index)
		}
		require.Len(t, failed.Failed, 1+8)
	})
}

func TestCallsAtTheSameTimeShareRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		stop := b.server.Intercept(func(sqstest.Request) sqstest.Fault { return sqstest.Fault{Delay: 10 * time.Millisecond} })
		defer stop()
		p := b.broker.Publisher("q")
		var calls sync.WaitGroup
		for range 101 {
			calls.Go(func() {
				if err := p.Publish(b.ctx, eventflow.Event{Data: []byte("x")}); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		require.LessOrEqual(t, b.requests("SendMessageBatch"), 12)
		require.Equal(t, 101, b.server.Stats("q").Visible)
	})
}

// A queue that is far away is written to as fast as the SDK's own connections allow, and no faster.
func TestTenRequestsOfAPublisherAreUnderWayAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		stop := b.server.Intercept(func(sqstest.Request) sqstest.Fault { return sqstest.Fault{Delay: 10 * time.Millisecond} })
		defer stop()
		begin := time.Now()
		require.NoError(t, b.broker.Publisher(b.server.QueueURL("q")).Publish(b.ctx, make([]eventflow.Event, 500)...))
		require.Equal(t, 5*10*time.Millisecond, time.Since(begin))
		require.Equal(t, 50, b.requests("SendMessageBatch"))
	})
}

func TestPublishThatIsCutSaysWhatIsNotKnownToBeTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		b.server.FailNext("SendMessageBatch", "q", sqstest.Fault{Action: sqstest.Silence})
		ctx, cancel := context.WithTimeout(b.ctx, time.Second)
		defer cancel()
		err := b.broker.Publisher("q").Publish(ctx, eventflow.Event{Data: []byte("x")})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}
