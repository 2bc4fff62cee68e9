package sqstest_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"
)

// bench is a client of some server, and what rules do with it.
type bench struct {
	testing.TB
	*sqs.Client

	exact bool // also in what the documentation leaves open
}

// set is attributes of a queue.
type set = map[string]string

var fifo = set{"FifoQueue": "true", "ContentBasedDeduplication": "true"}

func name(attributes set) string {
	n := "rule-" + rand.Text()[:12]
	if attributes["FifoQueue"] == "true" {
		n += ".fifo"
	}
	return n
}

// queue makes one and returns its URL.
func (b *bench) queue(attributes set) string {
	b.Helper()
	out, err := b.CreateQueue(b.Context(), &sqs.CreateQueueInput{QueueName: aws.String(name(attributes)), Attributes: attributes})
	require.NoError(b, err)
	return *out.QueueUrl
}

func (b *bench) attributes(url string, names ...types.QueueAttributeName) set {
	b.Helper()
	out, err := b.GetQueueAttributes(b.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
	require.NoError(b, err)
	return out.Attributes
}

func (b *bench) arn(url string) string {
	b.Helper()
	return b.attributes(url, "QueueArn")["QueueArn"]
}

func (b *bench) change(url string, attributes set) error {
	_, err := b.SetQueueAttributes(b.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: attributes})
	return err
}

// redriven makes a queue and its dead-letter queue, to which messages go after so many receives.
func (b *bench) redriven(most int, attributes set) (url, dead string) {
	b.Helper()
	dead = b.queue(attributes)
	with := set{"RedrivePolicy": redrive(b.arn(dead), most)}
	maps.Copy(with, attributes)
	return b.queue(with), dead
}

func redrive(target string, most int) string {
	return fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, target, most)
}

func (b *bench) send(url string, bodies ...string) {
	b.Helper()
	for _, body := range bodies {
		_, err := b.post(url, body)
		require.NoError(b, err)
	}
}

// post sends with whatever else is asked for.
func (b *bench) post(url, body string, with ...func(*sqs.SendMessageInput)) (*sqs.SendMessageOutput, error) {
	in := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}
	if strings.HasSuffix(url, ".fifo") {
		in.MessageGroupId = aws.String("group")
	}
	for _, f := range with {
		f(in)
	}
	return b.SendMessage(b.Context(), in)
}

// to is a group, and a deduplication ID when it is not "".
func to(group, id string) func(*sqs.SendMessageInput) {
	return func(in *sqs.SendMessageInput) {
		in.MessageGroupId = &group
		if id != "" {
			in.MessageDeduplicationId = &id
		}
	}
}

func with(attributes map[string]types.MessageAttributeValue) func(*sqs.SendMessageInput) {
	return func(in *sqs.SendMessageInput) { in.MessageAttributes = attributes }
}

func text(s string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
}

// take receives what is there, at most ten, with all their attributes.
func (b *bench) take(url string, with ...func(*sqs.ReceiveMessageInput)) []types.Message {
	b.Helper()
	in := &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	}
	for _, f := range with {
		f(in)
	}
	out, err := b.ReceiveMessage(b.Context(), in)
	require.NoError(b, err)
	return out.Messages
}

func hidden(seconds int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.VisibilityTimeout = seconds }
}

func waits(seconds int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.WaitTimeSeconds = seconds }
}

func most(n int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = n }
}

// attempt makes a receive one that can be asked for again.
func attempt(in *sqs.ReceiveMessageInput) { in.ReceiveRequestAttemptId = aws.String("again") }

func (b *bench) one(url string, with ...func(*sqs.ReceiveMessageInput)) types.Message {
	b.Helper()
	ms := b.take(url, with...)
	require.Len(b, ms, 1)
	return ms[0]
}

func (b *bench) empty(url string) {
	b.Helper()
	require.Empty(b, bodies(b.take(url)))
}

func (b *bench) remove(url string, m types.Message) error {
	_, err := b.DeleteMessage(b.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle})
	return err
}

func (b *bench) hide(url string, m types.Message, seconds int32) error {
	_, err := b.ChangeMessageVisibility(b.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds})
	return err
}

func bodies(ms []types.Message) []string {
	out := []string{}
	for _, m := range ms {
		out = append(out, *m.Body)
	}
	return out
}

// entries are a batch of these bodies; their IDs count from 0.
func entries(bodies ...string) []types.SendMessageBatchRequestEntry {
	var out []types.SendMessageBatchRequestEntry
	for i, body := range bodies {
		out = append(out, types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: &body})
	}
	return out
}

func (b *bench) sendBatch(url string, es []types.SendMessageBatchRequestEntry) (*sqs.SendMessageBatchOutput, error) {
	return b.SendMessageBatch(b.Context(), &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: es})
}

// code is an error's, whether it came under its new name or its old one; "" for none.
func code(err error) string {
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return ""
	}
	c := strings.TrimSuffix(strings.TrimPrefix(e.ErrorCode(), "AWS.SimpleQueueService."), "Exception")
	switch c {
	case "NonExistentQueue":
		return "QueueDoesNotExist"
	case "QueueAlreadyExists":
		return "QueueNameExists"
	case "ResourceNotFound":
		return "ResourceNotFoundException"
	}
	return c
}

func (b *bench) refused(want string, err error) {
	b.Helper()
	require.Error(b, err)
	require.Equal(b, want, code(err), "%v", err)
}

func object(s string) map[string]any {
	var out map[string]any
	if json.Unmarshal([]byte(s), &out) != nil {
		return nil
	}
	return out
}

// invalid wants a request to be refused for what is in it. The documentation does not name the error's code, and each
// server has its own; ours has the one that the service was seen to give.
func (b *bench) invalid(err error) {
	b.Helper()
	require.Error(b, err)
	if b.exact {
		require.Contains(b, []string{"InvalidParameterValue", "MissingParameter"}, code(err), "%v", err)
		return
	}
	require.NotEqual(b, "InvalidAction", code(err), "it does not know the action at all")
	response, ok := errors.AsType[*http.ResponseError](err)
	require.True(b, ok, "%v", err)
	require.Equal(b, 4, response.HTTPStatusCode()/100, "%v", err)
}

// family makes three queues whose names begin alike, and returns their URLs.
func (b *bench) family(prefix string) (urls []string) {
	b.Helper()
	for _, suffix := range []string{"-a", "-b", "-c"} {
		out, err := b.CreateQueue(b.Context(), &sqs.CreateQueueInput{QueueName: aws.String(prefix + suffix)})
		require.NoError(b, err)
		urls = append(urls, *out.QueueUrl)
	}
	return urls
}
