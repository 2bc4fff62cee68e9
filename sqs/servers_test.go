package sqs_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
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

	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/sqs"
)

// servers are other people's, with the variables that hold their endpoints ("scripts/with-servers sqs" sets them), and
// what they do otherwise than Amazon documents, by rule.
var servers = map[string]struct {
	endpoint       string
	maxBytes       int // 0: as SQS
	standard, fifo map[string]string
}{
	"moto":      {endpoint: "EVENTFLOW_MOTO"},
	"fauxqs":    {endpoint: "EVENTFLOW_FAUXQS"},
	"elasticmq": {endpoint: "EVENTFLOW_ELASTICMQ", maxBytes: 256 << 10},
	"sqstest":   {endpoint: "EVENTFLOW_SQSTEST"},
}

func TestQueuesOfOtherServers(t *testing.T) {
	t.Parallel()
	for name, server := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint := os.Getenv(server.endpoint)
			if endpoint == "" {
				if slices.Contains(strings.Fields(os.Getenv("EVENTFLOW_REQUIRE_SERVERS")), "sqs") && os.Getenv("EVENTFLOW_SQS_SERVERS") == "" {
					t.Fatal(server.endpoint + " is not set")
				}
				t.Skip(server.endpoint + " is not set: scripts/with-servers sqs -- go test ./sqs")
			}
			for kind, fifo := range map[string]bool{"standard": false, "FIFO": true} {
				t.Run(kind, func(t *testing.T) {
					t.Parallel()
					h := harness(fifo, false)
					h.Lock, h.Patience = 4*time.Second, 30*time.Second
					h.Open = func(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
						return openOther(t, s, endpoint, fifo, server.maxBytes)
					}
					deviations := server.standard
					h.Excused = standardExcuses()
					if fifo {
						deviations, h.Excused = server.fifo, excuses()
					}
					h.Excused = excuses(h.Excused, deviations, all("a server in another process cannot be broken", "FailedDeadLetterLeavesTheEvent"))
					brokertest.Run(t, h)
				})
			}
		})
	}
}

func openOther(t brokertest.T, s brokertest.Setup, endpoint string, fifo bool, maxBytes int) *brokertest.Fixture {
	t.Helper()
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("AKIAEVERYTHING", "secret", "")}
	admin := awssqs.NewFromConfig(cfg)
	suffix, run := "", rand.Text()[:12]
	attributes := map[string]string{"VisibilityTimeout": strconv.Itoa(int(s.Lock / time.Second))}
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
	f := &brokertest.Fixture{MaxReceives: s.MaxReceives, Missing: run + "missing" + suffix, Stall: sqs.Stall, Crash: sqs.Crash}
	dead := create("dead", nil)
	policy := map[string]string{}
	if s.MaxReceives > 0 {
		got, err := admin.GetQueueAttributes(t.Context(), &awssqs.GetQueueAttributesInput{QueueUrl: &dead, AttributeNames: []types.QueueAttributeName{"QueueArn"}})
		if err != nil {
			t.Fatalf("GetQueueAttributes: %v", err)
		}
		policy["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, got.Attributes["QueueArn"], s.MaxReceives)
	}
	for i := range s.Topics {
		f.Topics = append(f.Topics, create("topic"+strconv.Itoa(i), policy))
	}
	f.Broker = sqs.New(cfg, sqs.DeadLetterQueue(dead), sqs.LongPoll(time.Second), sqs.MaxBytes(cmp.Or(maxBytes, 1<<20)))
	f.DeadLetters = func(ctx context.Context, _ string) ([]brokertest.DeadLetter, error) {
		return deadLetters(ctx, admin, dead)
	}
	f.Redrive = func(ctx context.Context, topic string) error { return redrive(ctx, admin, dead, topic) }
	f.Lose = loser(t, admin, func() string { return f.Topics[0] })
	return f
}
