package sqs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/eventflow-go/eventflow"
)

// requestTime bounds one request, the client's retries included; a receive has its long poll beyond it.
const requestTime = 30 * time.Second

// urlOf gives the URL of a queue; of one that was named without, the service is asked.
func (b *Broker) urlOf(ctx context.Context, q *queue, set *settings, final bool) (string, error) {
	if q.url != "" {
		return q.url, nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	out, err := b.client(q, set).GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: &q.name})
	if err != nil {
		return "", explain("GetQueueUrl", q.given, err, final)
	}
	return aws.ToString(out.QueueUrl), nil
}

// traits is what only the service knows of a queue.
type traits struct {
	url         string
	arn         string
	visibility  time.Duration
	maxReceives int    // of its redrive policy; 0: it has none
	redrivesTo  string // the ARN of the policy's queue
}

// traitsOf asks for them. An error is final or temporary, as explain says.
func (s *subscriber) traitsOf(ctx context.Context) (traits, error) {
	var t traits
	var err error
	if t.url, err = s.b.urlOf(ctx, &s.q, &s.set, true); err != nil {
		return t, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	out, err := s.api().GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{
		QueueUrl: &t.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		return t, explain("GetQueueAttributes", s.q.given, err, true)
	}
	t.arn = out.Attributes[string(types.QueueAttributeNameQueueArn)]
	if seconds, err := strconv.Atoi(out.Attributes[string(types.QueueAttributeNameVisibilityTimeout)]); err == nil {
		t.visibility = time.Duration(seconds) * time.Second
	}
	if policy := out.Attributes[string(types.QueueAttributeNameRedrivePolicy)]; policy != "" {
		var p struct {
			Target string      `json:"deadLetterTargetArn"`
			Max    json.Number `json:"maxReceiveCount"` // a number or, from some, a string
		}
		if json.Unmarshal([]byte(policy), &p) == nil {
			n, _ := p.Max.Int64()
			t.redrivesTo, t.maxReceives = p.Target, int(n)
		}
	}
	return t, nil
}

// ready makes the subscriber ready to receive: it asks for what only the service knows and checks it, once. An error that
// matches ErrFatal is final, any other is temporary.
func (s *subscriber) ready(ctx context.Context) error {
	t, err := s.traitsOf(ctx)
	if err != nil {
		return err
	}
	if s.set.visibility > 0 {
		t.visibility = s.set.visibility
	}
	if err := s.check(&t); err != nil {
		return err
	}
	if err := s.probe(ctx, &t); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.wrap(eventflow.ErrClosed)
	}
	s.open(t)
	return nil
}

// check compares what the queue does with what the runner promises.
func (s *subscriber) check(t *traits) error {
	l := &s.listening
	if t.visibility < minVisibility {
		return &eventflow.ConfigError{
			Field: "sqs queue " + s.q.given + ", VisibilityTimeout", Value: t.visibility.String(),
			Allowed: "at least 2s: set sqs.Visibility, or the queue's attribute",
		}
	}
	if l.MaxAttempts == 0 {
		return nil
	}
	need := l.MaxAttempts + l.Slack
	if t.maxReceives > 0 && t.maxReceives < need {
		return &eventflow.ConfigError{
			Field: "sqs queue " + s.q.given + ", maxReceiveCount of its redrive policy", Value: strconv.Itoa(t.maxReceives),
			Allowed: fmt.Sprintf("at least %d, the runner's %d attempts and a slack of %d: raise maxReceiveCount to %d, or lower runner.MaxAttempts or its slack",
				need, l.MaxAttempts, l.Slack, need),
		}
	}
	if !l.DeadLetters && s.dead == nil && s.set.decode != nil && !s.set.leavePoison {
		return &eventflow.ConfigError{
			Field: "sqs queue " + s.q.given + ", dead letters", Value: "no place for one event of several in a message",
			Allowed: "sqs.DeadLetterQueue, runner.DeadLetterTo, or sqs.LeavePoison: a redrive policy moves whole messages",
		}
	}
	if !l.DeadLetters && s.dead == nil && t.maxReceives == 0 && !s.set.leavePoison {
		return &eventflow.ConfigError{
			Field: "sqs queue " + s.q.given + ", dead letters", Value: "no place",
			Allowed: "sqs.DeadLetterQueue, runner.DeadLetterTo, a redrive policy of the queue, or sqs.LeavePoison to leave what is exhausted in the queue",
		}
	}
	return nil
}

// noHandle is a receipt handle that is none.
const noHandle = "eventflow-asks-for-its-rights"

// probe asks for each right with a request that can do nothing: the service looks at rights first.
func (s *subscriber) probe(ctx context.Context, t *traits) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	c := s.api()
	tooMany := int32(largestMaxNumber + 1)
	_, receive := c.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{QueueUrl: &t.url, MaxNumberOfMessages: tooMany})
	_, remove := c.DeleteMessageBatch(ctx, &awssqs.DeleteMessageBatchInput{
		QueueUrl: &t.url, Entries: []types.DeleteMessageBatchRequestEntry{{Id: aws.String("0"), ReceiptHandle: aws.String(noHandle)}},
	})
	_, change := c.ChangeMessageVisibilityBatch(ctx, &awssqs.ChangeMessageVisibilityBatchInput{
		QueueUrl: &t.url,
		Entries:  []types.ChangeMessageVisibilityBatchRequestEntry{{Id: aws.String("0"), ReceiptHandle: aws.String(noHandle), VisibilityTimeout: 0}},
	})
	for _, asked := range []struct {
		action string
		err    error
	}{{"ReceiveMessage", receive}, {"DeleteMessage", remove}, {"ChangeMessageVisibility", change}} {
		if err := denied(asked.action, s.q.given, asked.err); err != nil {
			return err
		}
	}
	if s.dead == nil || s.listening.DeadLetters {
		return nil
	}
	return s.dead.probe(ctx)
}

// probe asks for the right to send, with a batch of nothing.
func (p *publisher) probe(ctx context.Context) error {
	url, err := p.b.urlOf(ctx, &p.q, &p.set, true)
	if err != nil {
		return err
	}
	p.mu.Lock()
	if p.url == "" {
		p.url = url // written once, before the first send
	}
	p.mu.Unlock()
	_, err = p.b.client(&p.q, &p.set).SendMessageBatch(ctx, &awssqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{}})
	return denied("SendMessage", p.q.given, err)
}

// denied gives the errors that say that the request may never be made; others are of the request that can do nothing.
func denied(action, queue string, err error) error {
	if err == nil {
		return nil
	}
	err = explain(action, queue, err, true)
	var access *AccessError
	if errors.As(err, &access) || errors.Is(err, eventflow.ErrNoTopic) {
		return err
	}
	return nil
}
