package sqstest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// patience is for what takes no time unless something is wrong.
const patience = time.Minute

// watched is what a server and a proxy have in common.
type watched interface {
	Intercept(f func(sqstest.Request) sqstest.Fault) (stop func())
	FailNext(action, queue string, faults ...sqstest.Fault)
	Requests(queue, action string) int
	Config() aws.Config
}

// faulty are tests of faults: of a server, and of a proxy before one.
func faulty(t *testing.T, check func(t *testing.T, w watched, server *sqstest.Server, b *bench, url string)) {
	t.Helper()
	for _, kind := range []string{"server", "in memory", "proxy"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			server := sqstest.New(t, sqstest.Options{InMemory: kind == "in memory", Queues: map[string]sqstest.Queue{"q": {}, "f.fifo": {ContentBasedDeduplication: true}}})
			var w watched = server
			if kind == "proxy" {
				w = sqstest.NewProxy(t, server.Endpoint())
			}
			check(t, w, server, newBench(t, w.Config()), server.QueueURL("q"))
		})
	}
}

func TestARefusedRequestIsNotDone(t *testing.T) {
	t.Parallel()
	faulty(t, func(t *testing.T, w watched, server *sqstest.Server, b *bench, url string) { //nolint:thelper // it is the test
		w.FailNext("SendMessage", "q",
			sqstest.Fault{Action: sqstest.Refuse},
			sqstest.Fault{Action: sqstest.Refuse, Code: "InternalError", Message: "Oh."},
			sqstest.Fault{},
			sqstest.Fault{Action: sqstest.Refuse, Code: "QueueDoesNotExist"})
		_, err := b.post(url, "1")
		b.refused("RequestThrottled", err)
		var throttled *types.RequestThrottled
		require.ErrorAs(t, err, &throttled)
		_, err = b.post(url, "2")
		b.refused("InternalError", err)
		require.ErrorContains(t, err, "Oh.")
		require.ErrorContains(t, err, "StatusCode: 500")
		b.send(url, "3")
		_, err = b.post(url, "4")
		b.refused("QueueDoesNotExist", err)
		b.send(url, "5")
		require.Equal(t, 2, server.Stats("q").Visible)
		require.Equal(t, 5, w.Requests("q", "SendMessage"))
		require.Equal(t, 5, w.Requests("", ""))
	})
}

func TestALostAnswerIsOfARequestThatWasDone(t *testing.T) {
	t.Parallel()
	faulty(t, func(t *testing.T, w watched, server *sqstest.Server, b *bench, url string) { //nolint:thelper // it is the test
		w.FailNext("SendMessage", "", sqstest.Fault{Action: sqstest.Cut}, sqstest.Fault{Action: sqstest.Cut, Applied: true},
			sqstest.Fault{Action: sqstest.Refuse, Applied: true, Code: "ServiceUnavailable"})
		for want := range 3 {
			_, err := b.post(url, "x")
			require.Error(t, err)
			require.Equal(t, want, server.Stats("q").Visible)
		}
	})
}

func TestAClientTriesACutConnectionAgain(t *testing.T) {
	t.Parallel()
	faulty(t, func(t *testing.T, w watched, server *sqstest.Server, _ *bench, url string) { //nolint:thelper // it is the test
		w.FailNext("SendMessage", "", sqstest.Fault{Action: sqstest.Cut, Applied: true})
		client := sqs.NewFromConfig(w.Config())
		_, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")})
		require.NoError(t, err)
		require.Equal(t, 2, server.Stats("q").Visible, "the standard queue has it twice")
	})
}

func TestSilenceLastsUntilTheClientGivesUp(t *testing.T) {
	t.Parallel()
	faulty(t, func(t *testing.T, w watched, server *sqstest.Server, b *bench, url string) { //nolint:thelper // it is the test
		for want, applied := range []bool{false, true} {
			w.FailNext("SendMessage", "", sqstest.Fault{Action: sqstest.Silence, Applied: applied})
			ctx, cancel := context.WithCancel(t.Context())
			over := make(chan error)
			go func() {
				_, err := b.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")})
				over <- err
			}()
			require.Eventually(t, func() bool {
				return w.Requests("q", "SendMessage") == want+1 && server.Stats("q").Visible == want
			}, patience, time.Millisecond)
			select {
			case err := <-over:
				require.Fail(t, "there was an answer", "%v", err)
			case <-time.After(20 * time.Millisecond):
			}
			cancel()
			require.ErrorIs(t, <-over, context.Canceled)
		}
	})
}

func TestADelayedRequestIsDoneLaterAndADelayedAnswerWasDoneBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, b := start(t, sqstest.Options{InMemory: true, Queues: queues("q")})
		for before, applied := range []bool{false, true} {
			server.FailNext("SendMessage", "", sqstest.Fault{Delay: time.Minute, Applied: applied})
			begin := time.Now()
			sent := make(chan error)
			go func() {
				_, err := b.post(server.QueueURL("q"), "x")
				sent <- err
			}()
			time.Sleep(30 * time.Second)
			require.Equal(t, 2*before, server.Stats("q").Visible)
			require.NoError(t, <-sent)
			require.Equal(t, time.Minute, time.Since(begin))
		}
	})
}

func TestAProxyDelays(t *testing.T) {
	t.Parallel()
	server := sqstest.New(t, sqstest.Options{Queues: queues("q")})
	proxy := sqstest.NewProxy(t, server.Endpoint())
	b := newBench(t, proxy.Config())
	for _, applied := range []bool{false, true} {
		proxy.FailNext("SendMessage", "", sqstest.Fault{Delay: 50 * time.Millisecond, Applied: applied})
		begin := time.Now()
		b.send(server.QueueURL("q"), "x")
		require.GreaterOrEqual(t, time.Since(begin), 50*time.Millisecond)
	}
}

func TestOnlySomeOfABatchFail(t *testing.T) {
	t.Parallel()
	faulty(t, func(t *testing.T, w watched, server *sqstest.Server, b *bench, url string) { //nolint:thelper // it is the test
		w.FailNext("SendMessageBatch", "", sqstest.Fault{Action: sqstest.Refuse, Code: "InternalError", Entries: 2})
		out, err := b.sendBatch(url, entries("1", "2", "3", "bad\x00"))
		require.NoError(t, err)
		require.Len(t, out.Successful, 1)
		require.Len(t, out.Failed, 3)
		require.Equal(t, "InternalError", *out.Failed[0].Code)
		require.False(t, out.Failed[0].SenderFault)
		require.Equal(t, "InvalidMessageContents", *out.Failed[2].Code)
		m := b.one(url)
		require.Equal(t, "3", *m.Body)

		w.FailNext("DeleteMessageBatch", "", sqstest.Fault{Action: sqstest.Refuse, Entries: 10})
		deleted, err := b.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{
			QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{{Id: aws.String("a"), ReceiptHandle: m.ReceiptHandle}},
		})
		require.NoError(t, err)
		require.Empty(t, deleted.Successful)
		require.Equal(t, "RequestThrottled", *deleted.Failed[0].Code)
		require.Equal(t, 1, server.Stats("q").InFlight)
	})
}

func TestDuplicatesOfAStandardQueue(t *testing.T) {
	t.Parallel()
	faulty(t, func(t *testing.T, w watched, server *sqstest.Server, b *bench, url string) { //nolint:thelper // it is the test
		twice := sqstest.Fault{Action: sqstest.Duplicate}
		w.FailNext("SendMessage", "", twice, twice)
		w.FailNext("SendMessageBatch", "", twice)
		b.send(url, "x")
		_, err := b.sendBatch(url, entries("y"))
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"x", "x", "y", "y"}, bodies(b.take(url)))
		fifo := server.QueueURL("f.fifo")
		b.send(fifo, "x")
		w.FailNext("ReceiveMessage", "", twice)
		m := b.one(fifo)
		require.Equal(t, *m.MessageId, *b.one(fifo).MessageId)
	})
}

func TestAnInterceptorSeesWhoAsksForWhat(t *testing.T) {
	t.Parallel()
	faulty(t, func(t *testing.T, w watched, _ *sqstest.Server, b *bench, url string) { //nolint:thelper // it is the test
		var seen []sqstest.Request
		stop := w.Intercept(func(r sqstest.Request) sqstest.Fault {
			seen = append(seen, r)
			return sqstest.Fault{}
		})
		b.send(url, "x")
		_, err := b.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("q")})
		require.NoError(t, err)
		_, err = b.ListQueues(t.Context(), &sqs.ListQueuesInput{})
		require.NoError(t, err)
		stop()
		b.send(url, "x")
		key := "AKIAEVERYTHING"
		require.Equal(t, []sqstest.Request{{"SendMessage", "q", key}, {"GetQueueUrl", "q", key}, {"ListQueues", "", key}}, seen)
	})
}

func TestAProxyBeforeNothingIsACutConnection(t *testing.T) {
	t.Parallel()
	server, err := sqstest.Start(sqstest.Options{})
	require.NoError(t, err)
	proxy := sqstest.NewProxy(t, server.Endpoint())
	t.Cleanup(proxy.Close) // twice is once
	server.Close()
	_, err = newBench(t, proxy.Config()).ListQueues(t.Context(), &sqs.ListQueuesInput{})
	require.Error(t, err)
	var answered smithy.APIError
	require.NotErrorAs(t, err, &answered)
}
