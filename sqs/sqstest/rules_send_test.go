package sqstest_test

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

const mebibyte = 1 << 20

func delay(seconds int32) func(*sqs.SendMessageInput) {
	return func(in *sqs.SendMessageInput) { in.DelaySeconds = seconds }
}

func sendRules() []rule {
	attributes := func(n int) map[string]types.MessageAttributeValue {
		as := map[string]types.MessageAttributeValue{}
		for i := range n {
			as["a"+string(rune('a'+i))] = text("x")
		}
		return as
	}
	refusedAttribute := func(b *bench, name string, value types.MessageAttributeValue) {
		b.Helper()
		_, err := b.post(b.queue(nil), "x", with(map[string]types.MessageAttributeValue{name: value}))
		b.invalid(err)
	}
	return []rule{
		{name: "a message is received as it was sent", check: func(b *bench) {
			url := b.queue(nil)
			sent, err := b.post(url, "äöü 🎉 <&>\t\r\n", with(map[string]types.MessageAttributeValue{
				"text": text("é"), "number": {DataType: aws.String("Number.int"), StringValue: aws.String("-12.5")},
				"bytes": {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1, 255}},
			}))
			require.NoError(b, err)
			m := b.one(url)
			require.Equal(b, "äöü 🎉 <&>\t\r\n", *m.Body)
			require.Equal(b, *sent.MessageId, *m.MessageId)
			require.Equal(b, "é", *m.MessageAttributes["text"].StringValue)
			require.Equal(b, "-12.5", *m.MessageAttributes["number"].StringValue)
			require.Equal(b, "Number.int", *m.MessageAttributes["number"].DataType)
			require.Equal(b, []byte{0, 1, 255}, m.MessageAttributes["bytes"].BinaryValue)
		}},
		{name: "bodies and attributes have their MD5s", check: func(b *bench) {
			url := b.queue(nil)
			as := map[string]types.MessageAttributeValue{"b": {DataType: aws.String("Binary"), BinaryValue: []byte{1}}, "a": text("x")}
			sent, err := b.post(url, "hello", with(as))
			require.NoError(b, err)
			require.Equal(b, "5d41402abc4b2a76b9719d911017c592", *sent.MD5OfMessageBody)
			const both, a = "00b20ddba5ce5486e92e6154f9c21903", "a512aac9938034acb0b3c3d965944bf1"
			require.Equal(b, both, *sent.MD5OfMessageAttributes)
			m := b.one(url, hidden(1), func(in *sqs.ReceiveMessageInput) { in.MessageAttributeNames = []string{"a"} })
			require.Equal(b, "5d41402abc4b2a76b9719d911017c592", *m.MD5OfBody)
			require.Equal(b, a, *m.MD5OfMessageAttributes, "of what was asked for")
			time.Sleep(1500 * time.Millisecond)
			require.Equal(b, both, *b.one(url).MD5OfMessageAttributes)
		}},
		{name: "a message of 1 MiB is taken, with its attributes, and no byte more", check: func(b *bench) {
			url := b.queue(nil)
			as := map[string]types.MessageAttributeValue{"name": text("value")} // 4 + 6 + 5
			_, err := b.post(url, strings.Repeat("x", mebibyte-15), with(as))
			require.NoError(b, err)
			_, err = b.post(url, strings.Repeat("x", mebibyte-14), with(as))
			b.invalid(err)
			_, err = b.post(url, strings.Repeat("x", mebibyte+1))
			b.invalid(err)
		}},
		{name: "a queue may have a lower limit", check: func(b *bench) {
			url := b.queue(set{"MaximumMessageSize": "1024"})
			_, err := b.post(url, strings.Repeat("x", 1024))
			require.NoError(b, err)
			_, err = b.post(url, strings.Repeat("x", 1025))
			b.invalid(err)
		}},
		{name: "a body has at least one character", check: func(b *bench) {
			_, err := b.post(b.queue(nil), "")
			b.invalid(err)
		}},
		{name: "a body holds no character that XML does not allow", check: func(b *bench) {
			url := b.queue(nil)
			for _, body := range []string{"a\x00", "a\x1f", "a\ufffe"} {
				_, err := b.post(url, body)
				b.refused("InvalidMessageContents", err)
			}
			b.empty(url)
		}},
		{name: "a message has at most ten attributes", check: func(b *bench) {
			url := b.queue(nil)
			_, err := b.post(url, "x", with(attributes(10)))
			require.NoError(b, err)
			_, err = b.post(url, "x", with(attributes(11)))
			b.invalid(err)
		}},
		{name: "an attribute's name is letters, digits, hyphens, underscores and single periods inside, and is not AWS's own", check: func(b *bench) {
			for _, odd := range []string{"a b", "a:b", strings.Repeat("a", 257), ".a", "a.", "a..b", "AWS.x", "amazon.x"} {
				refusedAttribute(b, odd, text("x"))
			}
		}},
		{name: "an attribute is a string, a number or binary", check: func(b *bench) {
			refusedAttribute(b, "a", types.MessageAttributeValue{DataType: aws.String("Text"), StringValue: aws.String("x")})
			refusedAttribute(b, "a", types.MessageAttributeValue{DataType: aws.String(""), StringValue: aws.String("x")})
		}},
		{name: "an attribute that is a number is one", check: func(b *bench) {
			refusedAttribute(b, "a", types.MessageAttributeValue{DataType: aws.String("Number"), StringValue: aws.String("x")})
			refusedAttribute(b, "a", types.MessageAttributeValue{DataType: aws.String("Number"), StringValue: aws.String("0x1")})
		}},
		{name: "an attribute has a value", check: func(b *bench) {
			refusedAttribute(b, "a", text(""))
			refusedAttribute(b, "a", types.MessageAttributeValue{DataType: aws.String("String")})
		}},
		{name: "a delay holds a message back", check: func(b *bench) {
			url := b.queue(nil)
			_, err := b.post(url, "x", delay(2))
			require.NoError(b, err)
			b.empty(url)
			time.Sleep(2500 * time.Millisecond)
			require.Equal(b, "x", *b.one(url).Body)
		}},
		{name: "a queue's delay holds for messages that have none", check: func(b *bench) {
			url := b.queue(set{"DelaySeconds": "4"})
			_, err := b.post(url, "one", delay(1))
			require.NoError(b, err)
			b.send(url, "two")
			b.empty(url)
			time.Sleep(1500 * time.Millisecond)
			require.Equal(b, []string{"one"}, bodies(b.take(url)))
			time.Sleep(3 * time.Second)
			require.Equal(b, []string{"two"}, bodies(b.take(url)))
		}},
		{name: "a delay is at most 15 minutes", check: func(b *bench) {
			_, err := b.post(b.queue(nil), "x", delay(901))
			b.invalid(err)
		}},
		{name: "the trace header travels beside the attributes", check: func(b *bench) {
			url := b.queue(nil)
			trace := "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
			sent, err := b.post(url, "x", func(in *sqs.SendMessageInput) {
				in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{"AWSTraceHeader": {DataType: aws.String("String"), StringValue: &trace}}
			})
			require.NoError(b, err)
			require.Equal(b, "5ae4d5d7636402d80f4eb6d213245a88", *sent.MD5OfMessageSystemAttributes)
			m := b.one(url)
			require.Equal(b, trace, m.Attributes["AWSTraceHeader"])
			require.Empty(b, m.MessageAttributes)
		}},
		{name: "a standard queue takes a group", check: func(b *bench) {
			url := b.queue(nil)
			_, err := b.post(url, "x", to("tenant", ""))
			require.NoError(b, err)
			require.Equal(b, "tenant", b.one(url).Attributes["MessageGroupId"])
		}},
		{name: "a standard queue takes no deduplication ID", check: func(b *bench) {
			_, err := b.post(b.queue(nil), "x", to("tenant", "id"))
			b.invalid(err)
		}},
	}
}

func batchRules() []rule {
	return []rule{
		{name: "a batch takes ten messages", check: func(b *bench) {
			url := b.queue(nil)
			out, err := b.sendBatch(url, entries(strings.Split("0123456789", "")...))
			require.NoError(b, err)
			require.Empty(b, out.Failed)
			require.Len(b, out.Successful, 10)
			require.ElementsMatch(b, strings.Split("0123456789", ""), bodies(b.take(url)))
		}},
		{name: "a batch of none is refused", check: func(b *bench) {
			_, err := b.sendBatch(b.queue(nil), []types.SendMessageBatchRequestEntry{})
			b.refused("EmptyBatchRequest", err)
		}},
		{name: "a batch of eleven is refused", check: func(b *bench) {
			_, err := b.sendBatch(b.queue(nil), entries(strings.Split("0123456789a", "")...))
			b.refused("TooManyEntriesInBatchRequest", err)
		}},
		{name: "a batch with an ID twice is refused", check: func(b *bench) {
			es := entries("a", "b")
			es[1].Id = es[0].Id
			_, err := b.sendBatch(b.queue(nil), es)
			b.refused("BatchEntryIdsNotDistinct", err)
		}},
		{name: "a batch with an odd ID is refused", check: func(b *bench) {
			es := entries("a", "b")
			es[1].Id = aws.String("a b")
			_, err := b.sendBatch(b.queue(nil), es)
			b.refused("InvalidBatchEntryId", err)
		}},
		{name: "a batch of more than 1 MiB is refused", check: func(b *bench) {
			big := strings.Repeat("x", 300_000)
			url := b.queue(nil)
			_, err := b.sendBatch(url, entries(big, big, big))
			require.NoError(b, err)
			_, err = b.sendBatch(url, entries(big, big, big, big))
			b.refused("BatchRequestTooLong", err)
		}},
		{name: "a batch fails in part, by ID", check: func(b *bench) {
			url := b.queue(nil)
			out, err := b.sendBatch(url, entries("good", "bad\x00", "good too"))
			require.NoError(b, err)
			require.Len(b, out.Successful, 2)
			require.Len(b, out.Failed, 1)
			require.Equal(b, "1", *out.Failed[0].Id)
			require.True(b, out.Failed[0].SenderFault)
			require.Equal(b, "InvalidMessageContents", *out.Failed[0].Code)
			require.ElementsMatch(b, []string{"good", "good too"}, bodies(b.take(url)))
		}},
		{name: "one of a batch that is too large for the queue fails alone", check: func(b *bench) {
			out, err := b.sendBatch(b.queue(set{"MaximumMessageSize": "1024"}), entries("small", strings.Repeat("x", 1025)))
			require.NoError(b, err)
			require.Len(b, out.Successful, 1)
			require.Equal(b, "InvalidParameterValue", *out.Failed[0].Code)
		}},
		{name: "each of a batch has a delay of its own", check: func(b *bench) {
			url := b.queue(nil)
			es := entries("now", "later")
			es[1].DelaySeconds = 60
			_, err := b.sendBatch(url, es)
			require.NoError(b, err)
			require.Equal(b, []string{"now"}, bodies(b.take(url)))
		}},
		{name: "deletes fail in part, by ID", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			m := b.one(url)
			out, err := b.DeleteMessageBatch(b.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{
				{Id: aws.String("good"), ReceiptHandle: m.ReceiptHandle}, {Id: aws.String("bad"), ReceiptHandle: aws.String("garbage")},
			}})
			require.NoError(b, err)
			require.Len(b, out.Successful, 1)
			require.Equal(b, "good", *out.Successful[0].Id)
			require.Len(b, out.Failed, 1)
			require.Equal(b, "bad", *out.Failed[0].Id)
			require.Equal(b, "ReceiptHandleIsInvalid", *out.Failed[0].Code)
		}},
		{name: "a batch of no deletes, or of eleven, is refused", check: func(b *bench) {
			url := b.queue(nil)
			_, err := b.DeleteMessageBatch(b.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{}})
			b.refused("EmptyBatchRequest", err)
			var es []types.DeleteMessageBatchRequestEntry
			for id := range strings.SplitSeq("0123456789a", "") {
				es = append(es, types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: aws.String("x")})
			}
			_, err = b.DeleteMessageBatch(b.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: es})
			b.refused("TooManyEntriesInBatchRequest", err)
		}},
		{name: "changes of visibility fail in part, by ID", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			m := b.one(url)
			out, err := b.ChangeMessageVisibilityBatch(b.Context(), &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
				{Id: aws.String("good"), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0}, {Id: aws.String("bad"), ReceiptHandle: aws.String("garbage")},
			}})
			require.NoError(b, err)
			require.Len(b, out.Successful, 1)
			require.Len(b, out.Failed, 1)
			require.Equal(b, "bad", *out.Failed[0].Id)
			require.Equal(b, "x", *b.one(url).Body)
		}},
	}
}
