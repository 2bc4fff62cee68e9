package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/sqs"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// harness opens brokers on sqstest.
func harness(fifo, virtual bool) brokertest.Harness {
	h := brokertest.Harness{
		Virtual: virtual,
		Open:    func(t brokertest.T, s brokertest.Setup) *brokertest.Fixture { return openServer(t, s, fifo, virtual) },
		Lock:    3 * time.Second,
		IgnoreGoroutine: func(stack string) bool { // idle connections
			return strings.Contains(stack, "net/http.(*persistConn)") || strings.Contains(stack, "net/http.(*conn)")
		},
	}
	if virtual {
		h.Lock = 30 * time.Second
	}
	return h
}

func openServer(t brokertest.T, s brokertest.Setup, fifo, virtual bool) *brokertest.Fixture {
	suffix := ""
	if fifo {
		suffix = ".fifo"
	}
	server, err := sqstest.Start(sqstest.Options{InMemory: virtual})
	if err != nil {
		t.Fatalf("sqstest: %v", err)
	}
	t.Cleanup(server.Close)
	f := &brokertest.Fixture{MaxReceives: s.MaxReceives, Missing: "missing" + suffix}
	dead := "dead" + suffix
	create := func(name string, q sqstest.Queue) {
		if err := server.CreateQueue(name, q); err != nil {
			t.Fatalf("sqstest: %v", err)
		}
	}
	create(dead, sqstest.Queue{})
	q := sqstest.Queue{VisibilityTimeout: s.Lock}
	if s.MaxReceives > 0 {
		q.DeadLetterQueue, q.MaxReceiveCount = dead, s.MaxReceives
	}
	for i := range s.Topics {
		name := fmt.Sprintf("topic-%d%s", i+1, suffix)
		create(name, q)
		f.Topics = append(f.Topics, name)
	}
	poll := time.Second
	if virtual {
		poll = 20 * time.Second
	}
	f.Broker = sqs.New(server.Config(), sqs.DeadLetterQueue(dead), sqs.LongPoll(poll))
	admin := awssqs.NewFromConfig(server.Config())
	f.DeadLetters = func(ctx context.Context, _ string) ([]brokertest.DeadLetter, error) {
		return deadLetters(ctx, admin, server.QueueURL(dead))
	}
	f.Redrive = func(ctx context.Context, topic string) error {
		return redrive(ctx, admin, server.QueueURL(dead), server.QueueURL(topic))
	}
	f.BreakDeadLetters = func(context.Context, string) error {
		stop := server.Intercept(func(r sqstest.Request) sqstest.Fault {
			if r.Queue == dead && r.Action == "SendMessageBatch" {
				return sqstest.Fault{Action: sqstest.Refuse, Code: "InternalError"}
			}
			return sqstest.Fault{}
		})
		t.Cleanup(stop)
		return nil
	}
	f.Lose = loser(t, admin, func() string { return server.QueueURL(f.Topics[0]) })
	f.Stall = sqs.Stall
	f.Crash = sqs.Crash
	return f
}

// loser makes messages visible behind their consumer's back.
func loser(t brokertest.T, c *awssqs.Client, url func() string) func(eventflow.Subscriber, *eventflow.Delivery) {
	return func(_ eventflow.Subscriber, d *eventflow.Delivery) {
		m := d.Native.(*types.Message)
		_, err := c.ChangeMessageVisibility(context.Background(), &awssqs.ChangeMessageVisibilityInput{QueueUrl: aws.String(url()), ReceiptHandle: m.ReceiptHandle})
		var free *types.MessageNotInflight
		if err != nil && !errors.As(err, &free) { // it was given back in this very moment
			t.Errorf("Lose: %v", err)
		}
	}
}

// receiveAll receives what is visible in a queue.
func receiveAll(ctx context.Context, c *awssqs.Client, url string) ([]types.Message, error) {
	var all []types.Message
	for {
		out, err := c.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		if err != nil {
			return nil, err
		}
		if len(out.Messages) == 0 {
			return all, nil
		}
		all = append(all, out.Messages...)
	}
}

func deadLetters(ctx context.Context, c *awssqs.Client, url string) ([]brokertest.DeadLetter, error) {
	ms, err := receiveAll(ctx, c, url)
	if err != nil {
		return nil, err
	}
	var out []brokertest.DeadLetter
	for i := range ms {
		x := brokertest.DeadLetter{Event: sqs.DecodeMessage(&ms[i])}
		as := x.Event.Attributes
		x.Reason, x.Flow, x.Version = as.String("eventflow-reason"), as.String("eventflow-flow"), as.String("eventflow-version")
		_, _ = fmt.Sscan(as.String("eventflow-attempts"), &x.Attempts)
		out = append(out, x)
		_, err := c.ChangeMessageVisibility(ctx, &awssqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: ms[i].ReceiptHandle})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// redrive moves messages as an operator does: the same body and attributes, as a new message.
func redrive(ctx context.Context, c *awssqs.Client, from, to string) error {
	ms, err := receiveAll(ctx, c, from)
	if err != nil {
		return err
	}
	for _, m := range ms {
		in := awssqs.SendMessageInput{QueueUrl: &to, MessageBody: m.Body, MessageAttributes: m.MessageAttributes}
		if g, ok := m.Attributes["MessageGroupId"]; ok {
			in.MessageGroupId, in.MessageDeduplicationId = &g, m.MessageId
		}
		if _, err := c.SendMessage(ctx, &in); err != nil {
			return err
		}
		if _, err := c.DeleteMessage(ctx, &awssqs.DeleteMessageInput{QueueUrl: &from, ReceiptHandle: m.ReceiptHandle}); err != nil {
			return err
		}
	}
	return nil
}

// excuses adds to what SQS cannot do, of either kind of queue.
func excuses(more ...map[string]string) map[string]string {
	const (
		noAttempts = "SQS counts receives, and has no place for attempts"
		noGroups   = "consumers of a queue compete; SQS has no groups"
	)
	x := map[string]string{
		"NackCountsAnAttempt":                noAttempts,
		"ReleaseCountsNoAttempt":             noAttempts,
		"AttemptsAreOfOneEvent":              noAttempts,
		"AttemptedCountsAndKeepsTheDelivery": noAttempts,
		"AttemptsSurviveTheirConsumer":       noAttempts,
		"GroupsEachSeeEveryEvent":            noGroups,
		"GroupsSettleApart":                  noGroups,
		"FullGroupMakesPublishersWait":       "a queue holds any number of messages",
	}
	for _, m := range more {
		maps.Copy(x, m)
	}
	return x
}

func all(reason string, rules ...string) map[string]string {
	x := map[string]string{}
	for _, r := range rules {
		x[r] = reason
	}
	return x
}

const unordered = "messages of a standard queue have no lanes"

func standardExcuses() map[string]string {
	return excuses(all(unordered, "AckMakesRoomForAWaitingNext", "NextKeepsWithinPerLaneOverCalls", "PerLaneLetsOtherLanesPass",
		"AckPastAGapKeepsTheGap", "LaneKeepsItsOrder", "NackedEventComesBackBeforeItsLane", "ReleasedEventComesBackBeforeItsLane",
		"DelayedEventHoldsItsLaneAndNoOther", "ReleasedLaneComesBackInOrder", "ClosedConsumersLaneComesBackInOrder", "LaneHasOneConsumerAtATime", "AbandonedEventHoldsItsLane"))
}

// The tests in virtual time run one after another, each rule in a bubble of its own.

func TestFIFOQueueInVirtualTime(t *testing.T) {
	t.Parallel()
	h := harness(true, true)
	h.Excused = excuses()
	brokertest.Run(t, h)
}

func TestStandardQueueInVirtualTime(t *testing.T) {
	t.Parallel()
	h := harness(false, true)
	h.Excused = standardExcuses()
	brokertest.Run(t, h)
}

func TestFIFOQueueOverTheNetwork(t *testing.T) {
	t.Parallel()
	h := harness(true, false)
	h.Excused = excuses()
	brokertest.Run(t, h)
}

func TestStandardQueueOverTheNetwork(t *testing.T) {
	t.Parallel()
	h := harness(false, false)
	h.Excused = standardExcuses()
	brokertest.Run(t, h)
}
