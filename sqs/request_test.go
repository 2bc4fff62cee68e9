package sqs_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/sqs"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// consume runs a flow on everything that is in the queue, and gives the requests that it took.
func consume(t *testing.T, b *bundle, n int, opts ...runner.Option) int {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex // guards left
	left := n
	flow := eventflow.NewSink("count", func(context.Context, []byte) error {
		time.Sleep(3 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		if left--; left == 0 {
			time.AfterFunc(200*time.Millisecond, stop)
		}
		return nil
	})
	before := b.requests("")
	r, err := runner.New(flow, append(opts, runner.On(b.broker.Subscriber(b.queue, sqs.LeavePoison())))...)
	require.NoError(t, err)
	require.NoError(t, r.Listen(ctx))
	require.Zero(t, left)
	require.Equal(t, sqstest.Stats{}, b.server.Stats(b.queue))
	return b.requests("") - before
}

func TestConsumingCostsAFifthOfARequestAnEvent(t *testing.T) {
	t.Parallel()
	for name, queue := range map[string]string{"standard": "q", "FIFO": "q.fifo"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, queue, sqstest.Queue{})
				keys := make([]string, 40)
				for i := range keys {
					keys[i] = string(rune('A' + i))
				}
				const n = 4000
				b.publish(n, keys...)
				require.Equal(t, n/10, b.requests("SendMessageBatch"))
				total := consume(t, b, n)
				t.Logf("%d requests for %d events: %.3f each", total, n, float64(total)/n)
				require.LessOrEqual(t, float64(total)/n, 0.21)
			})
		})
	}
}

func TestPublishingFiveHundredCostsFiftyRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		b.publish(500)
		require.Equal(t, 50, b.requests("SendMessageBatch"))
	})
}

func TestIdleQueueCostsOneRequestInTwentySeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		s := b.broker.Subscriber("q")
		require.NoError(t, s.Start(b.ctx, eventflow.Listening{}))
		before := b.requests("")
		ctx, cancel := context.WithTimeout(b.ctx, time.Hour)
		defer cancel()
		_, err := s.Next(ctx, eventflow.Want{Events: 100})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.LessOrEqual(t, b.requests("")-before, int(time.Hour/(20*time.Second))+1)
	})
}

func TestHeldMessagesAreRenewedTenAtATimeAtHalfTheirVisibility(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n, held = 100, 10 * time.Minute
		b := setup(t, "q", sqstest.Queue{VisibilityTimeout: 30 * time.Second})
		b.publish(n)
		s := b.broker.Subscriber("q")
		var x told
		require.NoError(t, s.Start(b.ctx, x.listening()))
		ds := b.next(s, n)
		before := b.requests("")
		time.Sleep(held)
		renewals := b.requests("") - before
		t.Logf("%d renewals of %d messages in %v", renewals, n, held)
		require.LessOrEqual(t, renewals, n/10*int(held/(15*time.Second)))
		_, lost := x.counts()
		require.Zero(t, lost)
		eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
		require.NoError(t, s.Close(b.ctx))
		require.Equal(t, sqstest.Stats{}, b.server.Stats("q"))
	})
}

func TestALoneAcknowledgementDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		b.publish(1)
		s := b.broker.Subscriber("q")
		var x told
		require.NoError(t, s.Start(b.ctx, x.listening()))
		d := b.next(s, 1)[0]
		start := time.Now()
		d.Ack()
		synctest.Wait()
		settled, _ := x.counts()
		require.Equal(t, 1, settled)
		require.Equal(t, start, x.when[0])
	})
}
