package sqstest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// start is a server on a socket, with a client.
func start(t *testing.T, opts sqstest.Options) (*sqstest.Server, *bench) {
	t.Helper()
	server := sqstest.New(t, opts)
	return server, newBench(t, server.Config())
}

func queues(names ...string) map[string]sqstest.Queue {
	out := map[string]sqstest.Queue{}
	for _, name := range names {
		out[name] = sqstest.Queue{}
	}
	return out
}

func TestWhatIsMisconfiguredIsSaidByName(t *testing.T) {
	t.Parallel()
	queue := func(name string, q sqstest.Queue) sqstest.Options {
		return sqstest.Options{Queues: map[string]sqstest.Queue{name: q}}
	}
	for field, opts := range map[string]sqstest.Options{
		"Options.Addr":            {Addr: "0.0.0.0:0"},
		"Options.Region":          {Region: "a:b"},
		"Options.Account":         {Account: "a/b"},
		"Options.MaxInFlight":     {MaxInFlight: -1},
		"Options.MaxBytes":        {MaxBytes: -1},
		"Options.MaxConnections":  {MaxConnections: -1},
		"CreateQueue":             queue("a b", sqstest.Queue{}),
		"Queue.VisibilityTimeout": queue("q", sqstest.Queue{VisibilityTimeout: 13 * time.Hour}),
		"Queue.Delay":             queue("q", sqstest.Queue{Delay: time.Millisecond}),
		"Queue.Retention":         queue("q", sqstest.Queue{Retention: time.Second}),
		"Queue.WaitTime":          queue("q", sqstest.Queue{WaitTime: time.Minute}),
		"Queue.MaxMessage":        queue("q", sqstest.Queue{MaxMessage: 1}),
		"Queue.MaxReceiveCount":   queue("q", sqstest.Queue{DeadLetterQueue: "d", MaxReceiveCount: 1001}),
		"Queue.ContentBasedDeduplication, HighThroughput": queue("q", sqstest.Queue{HighThroughput: true}),
		"Options.Queues": {Queues: map[string]sqstest.Queue{"a": {DeadLetterQueue: "b"}, "b": {DeadLetterQueue: "a"}}},
	} {
		_, err := sqstest.Start(opts)
		var wrong *eventflow.ConfigError
		require.ErrorAs(t, err, &wrong, field)
		require.Equal(t, "sqstest."+field, wrong.Field)
	}
	_, err := sqstest.StartProxy("nonsense")
	require.Error(t, err)
}

func TestAServerHasTheQueuesOfItsOptions(t *testing.T) {
	t.Parallel()
	server, b := start(t, sqstest.Options{Region: "eu-west-1", Account: "123456789012", Queues: map[string]sqstest.Queue{
		"q": {
			VisibilityTimeout: 5 * time.Second, Delay: 6 * time.Second, Retention: time.Hour, WaitTime: 7 * time.Second,
			MaxMessage: 2048, DeadLetterQueue: "dead",
		},
		"dead": {}, "f.fifo": {ContentBasedDeduplication: true, HighThroughput: true},
	}})
	got := b.attributes(server.QueueURL("q"), "All")
	for name, value := range map[string]string{
		"VisibilityTimeout": "5", "DelaySeconds": "6", "MessageRetentionPeriod": "3600", "ReceiveMessageWaitTimeSeconds": "7", "MaximumMessageSize": "2048",
		"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:dead","maxReceiveCount":10}`, "QueueArn": server.ARN("q"),
	} {
		require.Equal(t, value, got[name], name)
	}
	got = b.attributes(server.QueueURL("f.fifo"), "All")
	for name, value := range (set{"ContentBasedDeduplication": "true", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}) {
		require.Equal(t, value, got[name], name)
	}
	require.Error(t, server.CreateQueue("q", sqstest.Queue{}), "it is there")
	require.Error(t, server.DeleteQueue("nonsense"))
}

func TestAServersOwnMethodsNeedNotWait(t *testing.T) {
	t.Parallel()
	server, b := start(t, sqstest.Options{Queues: queues("q")})
	url := server.QueueURL("q")
	b.send(url, "old")
	require.NoError(t, server.DeleteQueue("q"))
	require.NoError(t, server.CreateQueue("q", sqstest.Queue{}))
	b.empty(url)
	b.send(url, "new")
	m := b.one(url)
	require.Equal(t, sqstest.Stats{InFlight: 1}, server.Stats("q"))
	server.ExpireVisibility("q")
	require.Equal(t, sqstest.Stats{Visible: 1}, server.Stats("q"))
	require.Equal(t, "2", b.one(url).Attributes["ApproximateReceiveCount"])
	b.invalid(b.hide(url, m, 5))
	require.Equal(t, sqstest.Stats{}, server.Stats("nonsense"))
}

func TestAHandleOfADeletedQueueMeansNothingToOneOfItsName(t *testing.T) {
	t.Parallel()
	server, b := start(t, sqstest.Options{Queues: queues("q")})
	url := server.QueueURL("q")
	b.send(url, "old")
	m := b.one(url)
	require.NoError(t, server.DeleteQueue("q"))
	require.NoError(t, server.CreateQueue("q", sqstest.Queue{}))
	b.refused("ReceiptHandleIsInvalid", b.remove(url, m))
}

func TestCloseEndsWhoeverWaits(t *testing.T) {
	t.Parallel()
	for _, memory := range []bool{false, true} {
		server, err := sqstest.Start(sqstest.Options{InMemory: memory, Queues: queues("q")})
		require.NoError(t, err)
		b := newBench(t, server.Config())
		over := make(chan error)
		poll := func() error {
			_, err := b.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(server.QueueURL("q")), WaitTimeSeconds: 20})
			return err
		}
		go func() { over <- poll() }()
		require.Eventually(t, func() bool { return server.Requests("q", "ReceiveMessage") == 1 }, patience, time.Millisecond)
		server.Close()
		require.Error(t, <-over)
		server.Close()
		require.Error(t, poll())
	}
}

func TestADeletedQueueEndsItsLongPolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, b := start(t, sqstest.Options{InMemory: true, Queues: queues("q")})
		over := make(chan error)
		go func() {
			_, err := b.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(server.QueueURL("q")), WaitTimeSeconds: 20})
			over <- err
		}()
		synctest.Wait()
		require.NoError(t, server.DeleteQueue("q"))
		b.refused("QueueDoesNotExist", <-over)
	})
}

func TestALongPollThatIsGivenUpTakesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, b := start(t, sqstest.Options{InMemory: true, Queues: queues("q")})
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error)
		receive := func(ctx context.Context) {
			_, err := b.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(server.QueueURL("q")), WaitTimeSeconds: 20})
			over <- err
		}
		go receive(ctx)
		synctest.Wait()
		cancel()
		b.send(server.QueueURL("q"), "x")
		require.ErrorIs(t, <-over, context.Canceled)
		require.Equal(t, sqstest.Stats{Visible: 1}, server.Stats("q"))
	})
}

// A batch of ten wakes one of many receivers, which takes them all, and not ten of them.
func TestOneReceiverTakesABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, b := start(t, sqstest.Options{InMemory: true, Queues: queues("q")})
		var got [3]int
		var receivers sync.WaitGroup
		for i := range got {
			receivers.Go(func() { got[i] = len(b.take(server.QueueURL("q"), waits(20))) })
			synctest.Wait()
		}
		_, err := b.sendBatch(server.QueueURL("q"), entries(strings.Split("0123456789", "")...))
		require.NoError(t, err)
		receivers.Wait()
		require.Equal(t, [3]int{10, 0, 0}, got)
	})
}

func TestManyClientsLoseNothingAndShareNothing(t *testing.T) {
	t.Parallel()
	const events, senders = 2000, 4
	server, b := start(t, sqstest.Options{Queues: queues("q")})
	url := server.QueueURL("q")
	var clients sync.WaitGroup
	for s := range senders {
		clients.Go(func() {
			for i := 0; i < events/senders; i += 10 {
				var batch []string
				for j := range 10 {
					batch = append(batch, fmt.Sprint(s, "/", i+j))
				}
				if out, err := b.sendBatch(url, entries(batch...)); err != nil || len(out.Failed) > 0 {
					t.Error(err, out)
				}
			}
		})
	}
	var seen sync.Map
	var received atomic.Int64
	for range senders {
		clients.Go(func() {
			for received.Load() < events {
				out, err := b.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1})
				if err != nil {
					t.Error(err)
					return
				}
				var done []types.DeleteMessageBatchRequestEntry
				for i, m := range out.Messages {
					if _, twice := seen.LoadOrStore(*m.Body, true); twice {
						t.Error("received twice:", *m.Body)
					}
					done = append(done, types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), ReceiptHandle: m.ReceiptHandle})
				}
				received.Add(int64(len(done)))
				if len(done) > 0 {
					if out, err := b.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: done}); err != nil || len(out.Failed) > 0 {
						t.Error(err, out)
					}
				}
			}
		})
	}
	clients.Wait()
	require.Equal(t, int64(events), received.Load())
	require.Equal(t, sqstest.Stats{}, server.Stats("q"))
}

func TestWhatIsNotTheProtocolIsRefused(t *testing.T) {
	t.Parallel()
	server := sqstest.New(t, sqstest.Options{InMemory: true})
	client := &http.Client{Transport: server}
	for name, ask := range map[string]struct {
		target, body, want string
	}{
		"an action that there is not": {"AmazonSQS.Nonsense", `{}`, "UnknownOperationException"},
		"another service":             {"AmazonSNS.Publish", `{}`, "UnknownOperationException"},
		"no JSON":                     {"AmazonSQS.SendMessage", `{`, "SerializationException"},
		"another type":                {"AmazonSQS.SendMessage", `{"QueueUrl":1}`, "SerializationException"},
		"no UTF-8":                    {"AmazonSQS.SendMessage", "{\"MessageBody\":\"\xff\"}", "SerializationException"},
		"no queue":                    {"AmazonSQS.SendMessage", `{}`, "MissingParameter"},
		"no URL":                      {"AmazonSQS.SendMessage", `{"QueueUrl":"q"}`, "InvalidAddress"},
		"no body at all":              {"AmazonSQS.DeleteMessage", ``, "MissingParameter"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.Endpoint(), strings.NewReader(ask.body))
		require.NoError(t, err)
		r.Header.Set("X-Amz-Target", ask.target)
		response, err := client.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, 4, response.StatusCode/100, name)
		require.True(t, strings.HasSuffix(object(string(body))["__type"].(string), "#"+ask.want), "%s: %s", name, body)
		require.NotEmpty(t, response.Header.Get("X-Amzn-Requestid"))
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.Endpoint(), bytes.NewReader(make([]byte, 17<<20)))
	require.NoError(t, err)
	response, err := client.Do(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
}

func TestMessagesInFlightAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, b := start(t, sqstest.Options{InMemory: true, MaxInFlight: 3, Queues: map[string]sqstest.Queue{
			"q": {}, "f.fifo": {ContentBasedDeduplication: true},
		}})
		for _, queue := range []string{"q", "f.fifo"} {
			url := server.QueueURL(queue)
			b.send(url, "1", "2", "3", "4", "5")
			require.Len(t, b.take(url), 3)
			_, err := b.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
			if queue == "q" {
				b.refused("OverLimit", err)
			} else {
				require.NoError(t, err, "a FIFO queue says nothing")
			}
			before := time.Now()
			require.Empty(t, b.take(url, waits(5)), "nor does a long poll")
			require.Equal(t, 5*time.Second, time.Since(before))
			server.ExpireVisibility(queue)
			require.Len(t, b.take(url), 3)
		}
	})
}

func TestMemoryIsLimited(t *testing.T) {
	t.Parallel()
	server, b := start(t, sqstest.Options{InMemory: true, MaxBytes: 10_000, Queues: map[string]sqstest.Queue{"q": {}, "f.fifo": {ContentBasedDeduplication: true}}})
	url := server.QueueURL("q")
	b.send(url, strings.Repeat("x", 6000))
	_, err := b.post(url, strings.Repeat("x", 6000))
	b.refused("RequestThrottled", err)
	require.NoError(t, b.remove(url, b.one(url)))
	for i := 0; ; i++ { // the deduplication IDs of deleted messages stay for a while
		require.Less(t, i, 10_000/256+1)
		if _, err = b.post(server.QueueURL("f.fifo"), fmt.Sprint(i)); err != nil {
			break
		}
		require.NoError(t, b.remove(server.QueueURL("f.fifo"), b.one(server.QueueURL("f.fifo"))))
	}
	b.refused("RequestThrottled", err)
	require.NoError(t, server.DeleteQueue("f.fifo"))
	b.send(url, strings.Repeat("x", 6000))
}

func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	server, _ := start(t, sqstest.Options{MaxConnections: 1, Queues: queues("q")})
	host, _, _ := strings.Cut(strings.TrimPrefix(server.QueueURL("q"), "http://"), "/")
	first, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host)
	require.NoError(t, err)
	defer first.Close() //nolint:errcheck // it was open long enough
	second := newBench(t, server.Config())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = second.ListQueues(ctx, &sqs.ListQueuesInput{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestAManualClockStandsStill(t *testing.T) {
	t.Parallel()
	clock := sqstest.NewManualClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	server, b := start(t, sqstest.Options{Clock: clock, Queues: map[string]sqstest.Queue{"q": {Delay: time.Minute}}})
	url := server.QueueURL("q")
	b.send(url, "x")
	require.Equal(t, sqstest.Stats{Delayed: 1}, server.Stats("q"))
	clock.Advance(time.Minute)
	require.Equal(t, "1767323045000", b.one(url, hidden(30)).Attributes["SentTimestamp"])
	clock.Advance(30*time.Second - 1)
	require.Equal(t, sqstest.Stats{InFlight: 1}, server.Stats("q"))
	polled := make(chan int)
	go func() { polled <- len(b.take(url, waits(20))) }()
	require.Eventually(t, func() bool { return server.Requests("q", "ReceiveMessage") == 2 }, patience, time.Millisecond)
	clock.Advance(1)
	require.Equal(t, 1, <-polled)
}

func TestAManualClockCallsInOrder(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	clock := sqstest.NewManualClock(start)
	var calls []string
	note := func(what string) func() {
		return func() { calls = append(calls, fmt.Sprint(what, " at ", clock.Now().Sub(start))) }
	}
	clock.AfterFunc(2*time.Second, note("late"))
	clock.AfterFunc(time.Second, func() {
		note("early")()
		clock.AfterFunc(500*time.Millisecond, note("between"))
	})
	clock.AfterFunc(time.Second, note("early too"))
	clock.AfterFunc(-time.Second, note("at once"))
	stop := clock.AfterFunc(time.Second, note("never"))
	require.True(t, stop())
	require.False(t, stop())
	clock.Advance(3 * time.Second)
	require.Equal(t, []string{"at once at 0s", "early at 1s", "early too at 1s", "between at 1.5s", "late at 2s"}, calls)
	require.Equal(t, start.Add(3*time.Second), clock.Now())
}
