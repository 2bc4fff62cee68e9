package sqs_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/sqs"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

const benchServer = "EVENTFLOW_SQS_BENCH_SERVER"

// TestBenchServer is the server of the benchmarks, in a process of its own, so that its work is not counted as ours. The
// variable says how far away it is.
func TestBenchServer(t *testing.T) { //nolint:paralleltest // a process of its own
	if os.Getenv(benchServer) == "" {
		t.Skip("it is started by benchmarks")
	}
	server := sqstest.New(t, sqstest.Options{})
	if away, err := time.ParseDuration(os.Getenv(benchServer)); err == nil && away > 0 {
		server.Intercept(func(sqstest.Request) sqstest.Fault { return sqstest.Fault{Delay: away} })
	}
	say("listening", server.Endpoint())
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // until the benchmark ends
}

// rival is SQS in another process, with the client that an eventflow broker is compared with: its batches are as full,
// and as many of its requests are under way at once.
type rival struct {
	b   *testing.B
	cfg aws.Config
	c   *awssqs.Client
}

const rivalCalls = 10

func newRival(b *testing.B, away time.Duration) *rival {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestBenchServer$", "-test.v")
	cmd.Env = append(os.Environ(), benchServer+"="+away.String())
	in, err := cmd.StdinPipe()
	require.NoError(b, err)
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	endpoint := ""
	for sc := bufio.NewScanner(out); endpoint == "" && sc.Scan(); {
		endpoint, _ = strings.CutPrefix(sc.Text(), "listening ")
		if endpoint == sc.Text() {
			endpoint = ""
		}
	}
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(io.Discard, out) })
	b.Cleanup(func() {
		_ = in.Close()
		reading.Wait()
		_ = cmd.Wait()
	})
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("AKIABENCH", "secret", "")}
	return &rival{b: b, cfg: cfg, c: awssqs.NewFromConfig(cfg, sqs.Patient)}
}

func (r *rival) queue(name string) string {
	r.b.Helper()
	as := map[string]string{"VisibilityTimeout": "120"}
	if strings.HasSuffix(name, ".fifo") {
		as["FifoQueue"] = "true"
	}
	out, err := r.c.CreateQueue(r.b.Context(), &awssqs.CreateQueueInput{QueueName: &name, Attributes: as})
	require.NoError(r.b, err)
	return *out.QueueUrl
}

// entry makes a message by hand, the same as ours to the byte: it would be no yardstick to send less. So it has the four
// attributes without which it were no CloudEvent, what keeps a key where there is no message group, and a deduplication
// ID that is as unique.
func (r *rival) entry(ev *eventflow.Event, fifo bool, at int) types.SendMessageBatchRequestEntry {
	text := func(s string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
	}
	e := types.SendMessageBatchRequestEntry{
		Id: aws.String(strconv.Itoa(at)), MessageBody: aws.String(string(ev.Data)), MessageAttributes: map[string]types.MessageAttributeValue{
			"ce-specversion": text("1.0"), "ce-id": text(ev.ID), "ce-source": text(ev.Source), "ce-type": text(ev.Type),
		},
	}
	switch {
	case fifo:
		sum := sha256.Sum256([]byte(ev.Source + "\n" + ev.ID))
		e.MessageGroupId, e.MessageDeduplicationId = &ev.Key, aws.String(hex.EncodeToString(sum[:]))
	case ev.Key != "":
		e.MessageAttributes["eventflow"] = text(`{"key":"` + ev.Key + `"}`)
	}
	return e
}

// publish sends events as our publisher does: ten in a request, ten requests at once, and each answer is looked at.
func (r *rival) publish(url string, evs []eventflow.Event) {
	fifo := strings.HasSuffix(url, ".fifo")
	batches := make(chan []eventflow.Event)
	var sending sync.WaitGroup
	for range rivalCalls {
		sending.Go(func() {
			for batch := range batches {
				in := &awssqs.SendMessageBatchInput{QueueUrl: &url}
				for i := range batch {
					in.Entries = append(in.Entries, r.entry(&batch[i], fifo, i))
				}
				out, err := r.c.SendMessageBatch(r.b.Context(), in)
				if err != nil || len(out.Successful) != len(batch) {
					r.b.Errorf("SendMessageBatch: %v", err)
				}
			}
		})
	}
	for batch := range slices.Chunk(evs, 10) {
		batches <- batch
	}
	close(batches)
	sending.Wait()
}

// consume receives and deletes n messages.
func (r *rival) consume(url string, n int) {
	var left atomic.Int64
	left.Store(int64(n))
	var receiving sync.WaitGroup
	for range rivalCalls {
		receiving.Go(func() {
			for left.Load() > 0 {
				out, err := r.c.ReceiveMessage(r.b.Context(), &awssqs.ReceiveMessageInput{
					QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
					MessageSystemAttributeNames: []types.MessageSystemAttributeName{"ApproximateReceiveCount", "SentTimestamp", "MessageGroupId"},
				})
				if err != nil {
					r.b.Errorf("ReceiveMessage: %v", err)
					return
				}
				if len(out.Messages) == 0 {
					continue
				}
				in := &awssqs.DeleteMessageBatchInput{QueueUrl: &url}
				for i := range out.Messages {
					in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: out.Messages[i].ReceiptHandle})
				}
				if _, err := r.c.DeleteMessageBatch(r.b.Context(), in); err != nil {
					r.b.Errorf("DeleteMessageBatch: %v", err)
					return
				}
				left.Add(-int64(len(out.Messages)))
			}
		})
	}
	receiving.Wait()
}

// listen runs a runner on n messages, and gives the time until the queue is empty.
func (r *rival) listen(url string, n int) time.Duration {
	r.b.Helper()
	broker := sqs.New(r.cfg, sqs.LongPoll(time.Second))
	ctx, stop := context.WithCancel(r.b.Context())
	defer stop()
	var left atomic.Int64
	left.Store(int64(n))
	var took time.Duration
	begin := time.Now()
	var watching sync.WaitGroup
	flow := eventflow.NewSink("bench", func(context.Context, []byte) error {
		if left.Add(-1) == 0 {
			watching.Go(func() {
				defer stop()
				r.empty(url)
				took = time.Since(begin)
			})
		}
		return nil
	})
	run, err := runner.New(flow, runner.On(broker.Subscriber(url, sqs.LeavePoison())), runner.Logger(slog.New(slog.DiscardHandler)))
	require.NoError(r.b, err)
	require.NoError(r.b, run.Listen(ctx))
	watching.Wait()
	require.NoError(r.b, broker.Close(r.b.Context()))
	return took
}

// empty waits until a queue is.
func (r *rival) empty(url string) {
	for r.b.Context().Err() == nil {
		out, err := r.c.GetQueueAttributes(r.b.Context(), &awssqs.GetQueueAttributesInput{
			QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"},
		})
		if err != nil || out.Attributes["ApproximateNumberOfMessages"] == "0" && out.Attributes["ApproximateNumberOfMessagesNotVisible"] == "0" {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// benchEvents gives n events of 1 KiB, of 200 keys.
func benchEvents(round, n int) []eventflow.Event {
	data := []byte(strings.Repeat("x", 1024))
	evs := make([]eventflow.Event, n)
	for i := range evs {
		evs[i] = eventflow.Event{ID: fmt.Sprintf("%d-%d", round, i), Source: "/bench", Type: "bench", Key: strconv.Itoa(i % 200), Data: data}
	}
	return evs
}

// medianOf reports the median of ratios: more than 1 is faster than the raw client.
func medianOf(b *testing.B, ratios []float64) {
	b.Helper()
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "of-raw")
}

// BenchmarkPublish compares calls of 500 events with the SDK's client sending the same messages in full batches. An op
// is a call of each, one after the other, whose order changes. With a server beside it, it measures the work of the
// processors; with one that is 5 ms away, how many requests are under way at once.
func BenchmarkPublish(b *testing.B) {
	for name, of := range map[string]struct {
		queue string
		keys  bool
		away  time.Duration
	}{"standard": {"q", false, 0}, "keys": {"q", true, 0}, "FIFO": {"q.fifo", true, 0}, "away": {"q", false, 5 * time.Millisecond}} {
		b.Run(name, func(b *testing.B) {
			r := newRival(b, of.away)
			broker := sqs.New(r.cfg)
			var ratios []float64
			for i := 0; b.Loop(); i++ {
				url := r.queue(strconv.Itoa(i) + of.queue) // a new one, so that the server does not grow
				p := broker.Publisher(url)
				var raw, ours time.Duration
				for turn := range 2 {
					evs := benchEvents(2*i+turn, 500) // others, or the second would be duplicates
					for j := range evs {
						if !of.keys {
							evs[j].Key = ""
						}
					}
					begin := time.Now()
					if (i+turn)%2 == 0 {
						r.publish(url, evs)
						raw = time.Since(begin)
					} else {
						require.NoError(b, p.Publish(b.Context(), evs...))
						ours = time.Since(begin)
					}
					fifo := strings.HasSuffix(url, ".fifo")
					require.Equal(b, sqs.EntryOf(&evs[turn], fifo, turn), r.entry(&evs[turn], fifo, turn))
				}
				ratios = append(ratios, float64(raw)/float64(ours))
				require.NoError(b, p.Close(b.Context()))
				_, err := r.c.DeleteQueue(b.Context(), &awssqs.DeleteQueueInput{QueueUrl: &url})
				require.NoError(b, err)
			}
			medianOf(b, ratios)
			require.NoError(b, broker.Close(b.Context()))
		})
	}
}

// BenchmarkConsume compares a whole runner with the SDK's client that receives and deletes in full batches. An op is
// 10,000 events by each, one after the other, whose order changes.
func BenchmarkConsume(b *testing.B) {
	const n = 10_000
	for kind, suffix := range map[string]string{"standard": "", "FIFO": ".fifo"} {
		b.Run(kind, func(b *testing.B) {
			r := newRival(b, 0)
			var ratios []float64
			for i := 0; b.Loop(); i++ {
				var raw, ours time.Duration
				for turn := range 2 {
					url := r.queue(fmt.Sprintf("bench-%d-%d%s", i, turn, suffix))
					b.StopTimer()
					r.publish(url, benchEvents(i, n))
					b.StartTimer()
					if (i+turn)%2 == 0 {
						begin := time.Now()
						r.consume(url, n)
						raw = time.Since(begin)
					} else {
						ours = r.listen(url, n)
					}
				}
				ratios = append(ratios, float64(raw)/float64(ours))
			}
			medianOf(b, ratios)
		})
	}
}
