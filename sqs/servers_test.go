package sqs_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/runner/runnertest"
	"github.com/eventflow-go/eventflow/sqs"
)

// server is one of another process.
type server struct {
	endpoint   string            // the variable that holds it; "scripts/with-servers sqs" sets them
	maxBytes   int               // 0: as SQS
	turns      *motoTurns        // nil: it is asked as SQS is
	deviations map[string]string // what it does otherwise than Amazon documents, by rule of brokertest
}

// servers are other people's, and ours in a process of its own.
var servers = map[string]*server{
	"moto":      {endpoint: "EVENTFLOW_MOTO", turns: newMotoTurns(), deviations: motoDeviations},
	"fauxqs":    {endpoint: "EVENTFLOW_FAUXQS"},
	"elasticmq": {endpoint: "EVENTFLOW_ELASTICMQ", maxBytes: 256 << 10},
	"sqstest":   {endpoint: "EVENTFLOW_SQSTEST"},
}

var motoDeviations = all("it changes the visibility of a message that another received", "LostLockIsToldAndFenced", "SettlementAfterTheLossDoesNothing")

// each runs f for each server, and each kind of queue.
func (s *server) each(t *testing.T, f func(t *testing.T, fifo bool)) {
	t.Helper()
	if os.Getenv(s.endpoint) == "" {
		if slices.Contains(strings.Fields(os.Getenv("EVENTFLOW_REQUIRE_SERVERS")), "sqs") && os.Getenv("EVENTFLOW_SQS_SERVERS") == "" {
			t.Fatal(s.endpoint + " is not set")
		}
		t.Skip(s.endpoint + " is not set: scripts/with-servers sqs -- go test ./sqs")
	}
	for i, kind := range []string{"standard", "FIFO"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f(t, i == 1)
		})
	}
}

// harness opens brokers on the server. What is lost somebody else receives when received is set, else it is visible.
func (s *server) harness(fifo, received bool) brokertest.Harness {
	h := harness(fifo, false)
	h.Lock, h.Patience = 4*time.Second, 30*time.Second
	if s.turns != nil {
		h.Patience = 2 * time.Minute // on a busy machine a turn comes after seconds
	}
	h.Open = func(t brokertest.T, x brokertest.Setup) *brokertest.Fixture { return s.open(t, x, fifo, received) }
	return h
}

func TestQueuesOfOtherServers(t *testing.T) {
	t.Parallel()
	for name, s := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.each(t, func(t *testing.T, fifo bool) {
				t.Helper()
				h := s.harness(fifo, true)
				h.Excused = standardExcuses()
				if fifo {
					h.Excused = excuses()
				}
				h.Excused = excuses(h.Excused, s.deviations, all("a server in another process cannot be broken", "FailedDeadLetterLeavesTheEvent"))
				brokertest.Run(t, h)
			})
		})
	}
}

func TestRunnerOnOtherServers(t *testing.T) {
	t.Parallel()
	for name, s := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.each(t, func(t *testing.T, fifo bool) {
				t.Helper()
				h := runnertest.Harness{Broker: s.harness(fifo, false), Backlog: 1000, Soon: 5 * time.Second, Lease: 5 * time.Second}
				if !fifo {
					h.Excused = runnerStandardExcuses()
				}
				runnertest.Run(t, h)
			})
		})
	}
}

func (s *server) open(t brokertest.T, x brokertest.Setup, fifo, received bool) *brokertest.Fixture {
	t.Helper()
	network := &http.Transport{MaxIdleConnsPerHost: 10}
	t.Cleanup(network.CloseIdleConnections)
	way := http.RoundTripper(network)
	if s.turns != nil {
		s.turns.open <- struct{}{}
		t.Cleanup(func() { <-s.turns.open })
		way = s.turns.before(network)
	}
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(os.Getenv(s.endpoint)), HTTPClient: &http.Client{Transport: way},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEVERYTHING", "secret", ""),
	}
	admin := awssqs.NewFromConfig(cfg)
	suffix, run := "", rand.Text()[:12]
	attributes := map[string]string{"VisibilityTimeout": strconv.Itoa(int(x.Lock / time.Second))}
	if fifo {
		suffix, attributes["FifoQueue"] = ".fifo", "true"
	}
	create := func(name string, more map[string]string) (url string) {
		as := maps.Clone(attributes)
		maps.Copy(as, more)
		out, err := admin.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String(run + name + suffix), Attributes: as})
		if err != nil {
			t.Fatalf("CreateQueue: %v", err)
		}
		t.Cleanup(func() {
			_, _ = admin.DeleteQueue(context.WithoutCancel(t.Context()), &awssqs.DeleteQueueInput{QueueUrl: out.QueueUrl})
		})
		return *out.QueueUrl
	}
	f := &brokertest.Fixture{MaxReceives: x.MaxReceives, Missing: run + "missing" + suffix, Stall: sqs.Stall, Crash: sqs.Crash}
	dead := create("dead", nil)
	policy := map[string]string{}
	if x.MaxReceives > 0 {
		got, err := admin.GetQueueAttributes(t.Context(), &awssqs.GetQueueAttributesInput{QueueUrl: &dead, AttributeNames: []types.QueueAttributeName{"QueueArn"}})
		if err != nil {
			t.Fatalf("GetQueueAttributes: %v", err)
		}
		policy["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, got.Attributes["QueueArn"], x.MaxReceives)
	}
	for i := range x.Topics {
		f.Topics = append(f.Topics, create("topic"+strconv.Itoa(i), policy))
	}
	t.Cleanup(func() {
		if t.Failed() {
			logHeld(t, admin, f.Topics)
		}
	})
	f.Broker = sqs.New(cfg, sqs.DeadLetterQueue(dead), sqs.LongPoll(time.Second), sqs.MaxBytes(cmp.Or(s.maxBytes, 1<<20)))
	f.DeadLetters = func(ctx context.Context, _ string) ([]brokertest.DeadLetter, error) {
		return deadLetters(ctx, admin, dead)
	}
	f.Redrive = func(ctx context.Context, topic string) error { return redrive(ctx, admin, dead, topic) }
	f.Lose = loser(t, admin, func() string { return f.Topics[0] })
	if received {
		expire := f.Lose
		f.Lose = func(sub eventflow.Subscriber, d *eventflow.Delivery) {
			expire(sub, d)
			// Until after the renewal that is to fail: what is visible some servers would hide again.
			hold := int32(x.Lock / time.Second * 3 / 4)
			_, err := admin.ReceiveMessage(context.WithoutCancel(t.Context()), &awssqs.ReceiveMessageInput{QueueUrl: &f.Topics[0], VisibilityTimeout: hold})
			if err != nil {
				t.Errorf("Lose: %v", err)
			}
		}
	}
	return f
}

// logHeld says what queues hold: whether what did not come was lost, is visible, or is in somebody's hands.
func logHeld(t brokertest.T, c *awssqs.Client, queues []string) {
	t.Helper()
	for _, q := range queues {
		out, err := c.GetQueueAttributes(context.WithoutCancel(t.Context()), &awssqs.GetQueueAttributesInput{
			QueueUrl: &q, AttributeNames: []types.QueueAttributeName{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"},
		})
		if err == nil {
			t.Logf("%s holds %v", q, out.Attributes)
		}
	}
}
