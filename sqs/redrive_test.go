package sqs_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/runner"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// soakEvents is how many events a soak has of each kind of queue.
func soakEvents(t *testing.T) int {
	t.Helper()
	n := 1000
	if s := os.Getenv("EVENTFLOW_EVENTS"); s != "" {
		var err error
		n, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	return n
}

// drain takes all out of a queue, and gives their bodies.
func drain(t *testing.T, b *bundle, queue string) (bodies []string) {
	t.Helper()
	c, url := b.admin(), b.server.QueueURL(queue)
	for {
		out, err := c.ReceiveMessage(b.ctx, &awssqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
		require.NoError(t, err)
		if len(out.Messages) == 0 {
			return bodies
		}
		for _, m := range out.Messages {
			bodies = append(bodies, aws.ToString(m.Body))
			_, err := c.DeleteMessage(b.ctx, &awssqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle})
			require.NoError(t, err)
		}
	}
}

// Poison is among good events, and faults among all requests; the queue's own redrive policy is the only place for dead
// letters. Whatever is lost on the way, the policy takes every poison event once, and no other.
func TestRedrivePolicyTakesThePoisonAloneAmongFaults(t *testing.T) {
	t.Parallel()
	const attempts, receives = 2, 10
	n := soakEvents(t)
	poisonous := func(i int) bool { return i%23 == 7 }
	for kind, suffix := range map[string]string{"standard": "", "FIFO": ".fifo"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, "dead"+suffix, sqstest.Queue{})
				b.queue = "q" + suffix
				require.NoError(t, b.server.CreateQueue(b.queue, sqstest.Queue{DeadLetterQueue: "dead" + suffix, MaxReceiveCount: receives}))
				evs := make([]eventflow.Event, n)
				var poison []string
				for i := range evs {
					evs[i] = eventflow.Event{ID: fmt.Sprint(i), Source: "/test", Type: "test", Key: fmt.Sprint(i / 25), Data: fmt.Append(nil, "good ", i)}
					if poisonous(i) {
						evs[i].Data = fmt.Append(nil, "poison ", i)
						poison = append(poison, string(evs[i].Data))
					}
				}
				require.NoError(t, b.broker.Publisher(b.queue).Publish(b.ctx, evs...))
				calm := b.server.Intercept(faulty(2))
				var r runs
				flow := eventflow.NewSink("soak", func(_ context.Context, ev eventflow.Event) error {
					r.add(ev.Data)
					if strings.HasPrefix(string(ev.Data), "poison") {
						return errPoison
					}
					return nil
				})
				start := time.Now()
				settled := func() bool { return b.server.Stats(b.queue) == sqstest.Stats{} }
				b.listen(settled, flow, quiet(), forgetful(), runner.On(b.broker.Subscriber(b.queue)), runner.MaxAttempts(attempts))
				calm()
				t.Logf("%d events, %d of them poison, %d requests, %v", n, len(poison), b.requests(""), time.Since(start))
				wrong := map[string]int{} // how many too many
				for _, body := range drain(t, b, "dead"+suffix) {
					wrong[body]++
				}
				for _, body := range poison {
					if wrong[body]--; wrong[body] == 0 {
						delete(wrong, body)
					}
				}
				require.Empty(t, wrong)
				all := r.all()
				require.Len(t, all, n)
				for ev, times := range all {
					if strings.HasPrefix(ev, "good") {
						require.Equal(t, 1, times, ev)
					} else {
						require.Equal(t, attempts, times, ev)
					}
				}
			})
		})
	}
}
