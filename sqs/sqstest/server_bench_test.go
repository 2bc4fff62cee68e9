package sqstest_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// BenchmarkTenMessages sends, receives and deletes ten messages in three requests, with the client's work: what is left
// for a server's own is the difference to the same client without a network.
func BenchmarkTenMessages(b *testing.B) {
	for _, name := range []string{"q", "f.fifo"} {
		b.Run(name, func(b *testing.B) {
			server := sqstest.New(b, sqstest.Options{InMemory: true, Queues: map[string]sqstest.Queue{name: {}}})
			client := sqs.NewFromConfig(server.Config())
			ctx, url := context.Background(), aws.String(server.QueueURL(name))
			send := &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries(strings.Split(strings.Repeat("message ", 10), " ")[:10]...)}
			done := &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: make([]types.DeleteMessageBatchRequestEntry, 10)}
			n := 0
			for b.Loop() {
				if name != "q" {
					for i := range send.Entries {
						n++
						send.Entries[i].MessageGroupId, send.Entries[i].MessageDeduplicationId = aws.String("g"), aws.String(strconv.Itoa(n))
					}
				}
				if _, err := client.SendMessageBatch(ctx, send); err != nil {
					b.Fatal(err)
				}
				got, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: 10})
				if err != nil || len(got.Messages) != 10 {
					b.Fatal(len(got.Messages), err)
				}
				for i, m := range got.Messages {
					done.Entries[i] = types.DeleteMessageBatchRequestEntry{Id: send.Entries[i].Id, ReceiptHandle: m.ReceiptHandle}
				}
				if _, err := client.DeleteMessageBatch(ctx, done); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(10*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
