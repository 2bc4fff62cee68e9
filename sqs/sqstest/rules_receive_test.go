package sqstest_test

import (
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

func receiveRules() []rule {
	refused := func(b *bench, url string, f func(*sqs.ReceiveMessageInput)) {
		b.Helper()
		in := &sqs.ReceiveMessageInput{QueueUrl: &url}
		f(in)
		_, err := b.ReceiveMessage(b.Context(), in)
		b.invalid(err)
	}
	return []rule{
		{name: "an empty queue gives nothing, and no error", check: func(b *bench) { b.empty(b.queue(nil)) }},
		{name: "a receive takes from one to ten", check: func(b *bench) {
			url := b.queue(nil)
			_, err := b.sendBatch(url, entries("1", "2", "3"))
			require.NoError(b, err)
			refused(b, url, most(11))
			refused(b, url, most(-1))
			require.Len(b, b.take(url, most(2)), 2)
			out, err := b.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
			require.NoError(b, err)
			require.Len(b, out.Messages, 1, "one when nothing is said")
		}},
		{name: "what is received is hidden until its timeout, then received again with another handle", check: func(b *bench) {
			url := b.queue(set{"VisibilityTimeout": "2"})
			b.send(url, "x")
			first := b.one(url)
			b.empty(url)
			time.Sleep(2500 * time.Millisecond)
			second := b.one(url)
			require.Equal(b, *first.MessageId, *second.MessageId)
			require.NotEqual(b, *first.ReceiptHandle, *second.ReceiptHandle)
			require.Equal(b, "1", first.Attributes["ApproximateReceiveCount"])
			require.Equal(b, "2", second.Attributes["ApproximateReceiveCount"])
			require.Equal(b, first.Attributes["ApproximateFirstReceiveTimestamp"], second.Attributes["ApproximateFirstReceiveTimestamp"])
		}},
		{name: "a receive's timeout goes before the queue's", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			b.one(url, hidden(1))
			time.Sleep(1500 * time.Millisecond)
			b.one(url)
		}},
		{name: "a timeout is at most 12 hours", check: func(b *bench) { refused(b, b.queue(nil), hidden(43201)) }},
		{name: "a long poll is over when a message comes", check: func(b *bench) {
			url := b.queue(nil)
			sent := make(chan error, 1)
			go func() {
				time.Sleep(time.Second)
				_, err := b.post(url, "x")
				sent <- err
			}()
			start := time.Now()
			ms := b.take(url, waits(10))
			took := time.Since(start)
			require.NoError(b, <-sent)
			require.Equal(b, []string{"x"}, bodies(ms))
			require.GreaterOrEqual(b, took, 900*time.Millisecond)
			require.Less(b, took, 4*time.Second)
		}},
		{name: "a long poll is over when a hidden message is visible again", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			b.one(url, hidden(1))
			start := time.Now()
			require.Len(b, b.take(url, waits(10)), 1)
			require.Less(b, time.Since(start), 4*time.Second)
		}},
		{name: "a long poll of an empty queue takes its time", check: func(b *bench) {
			start := time.Now()
			require.Empty(b, b.take(b.queue(nil), waits(1)))
			require.GreaterOrEqual(b, time.Since(start), 900*time.Millisecond)
		}},
		{name: "a queue's wait holds for a receive that has none", check: func(b *bench) {
			url := b.queue(set{"ReceiveMessageWaitTimeSeconds": "1"})
			start := time.Now()
			require.Empty(b, b.take(url))
			require.GreaterOrEqual(b, time.Since(start), 900*time.Millisecond)
		}},
		{name: "a long poll is at most 20 seconds", check: func(b *bench) { refused(b, b.queue(nil), waits(21)) }},
		{name: "system attributes come when they are asked for", check: func(b *bench) {
			url := b.queue(nil)
			before := time.Now().Add(-time.Second)
			b.send(url, "x")
			m := b.one(url, func(in *sqs.ReceiveMessageInput) {
				in.MessageSystemAttributeNames = []types.MessageSystemAttributeName{"SentTimestamp", "ApproximateReceiveCount"}
			})
			require.Len(b, m.Attributes, 2)
			sent, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64)
			require.NoError(b, err)
			require.WithinRange(b, time.UnixMilli(sent), before, time.Now().Add(time.Second))
		}},
		{name: "system attributes come by their older parameter", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			m := b.one(url, func(in *sqs.ReceiveMessageInput) {
				in.MessageSystemAttributeNames = nil
				in.AttributeNames = []types.QueueAttributeName{"All"} //nolint:staticcheck // that there is an older one is the rule
			})
			require.Equal(b, "1", m.Attributes["ApproximateReceiveCount"])
			require.Contains(b, m.Attributes, "SenderId")
		}},
		{name: "no attributes come that are not asked for", check: func(b *bench) {
			url := b.queue(nil)
			_, err := b.post(url, "x", with(map[string]types.MessageAttributeValue{"a": text("1")}))
			require.NoError(b, err)
			out, err := b.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
			require.NoError(b, err)
			require.Empty(b, out.Messages[0].Attributes)
			require.Empty(b, out.Messages[0].MessageAttributes)
			require.Nil(b, out.Messages[0].MD5OfMessageAttributes)
		}},
		{name: "attributes come by name and by prefix", check: func(b *bench) {
			url := b.queue(nil)
			_, err := b.post(url, "x", with(map[string]types.MessageAttributeValue{"bar": text("1"), "bar.one": text("2"), "bar.two": text("3"), "other": text("4"), "none": text("5")}))
			require.NoError(b, err)
			m := b.one(url, func(in *sqs.ReceiveMessageInput) { in.MessageAttributeNames = []string{"bar.*", "other"} })
			require.Contains(b, m.MessageAttributes, "bar.one")
			require.Contains(b, m.MessageAttributes, "bar.two")
			require.Contains(b, m.MessageAttributes, "other")
			require.NotContains(b, m.MessageAttributes, "none")
		}},
		{name: "a message is gone after its retention", long: true, check: func(b *bench) {
			url := b.queue(set{"MessageRetentionPeriod": "60"})
			b.send(url, "x")
			time.Sleep(61 * time.Second)
			b.empty(url)
			require.Equal(b, "0", b.attributes(url, "ApproximateNumberOfMessages")["ApproximateNumberOfMessages"])
		}},
	}
}

func settleRules() []rule {
	garbage := types.Message{ReceiptHandle: aws.String("garbage")}
	return []rule{
		{name: "a deleted message does not come back", check: func(b *bench) {
			url := b.queue(set{"VisibilityTimeout": "1"})
			b.send(url, "x")
			require.NoError(b, b.remove(url, b.one(url)))
			time.Sleep(1500 * time.Millisecond)
			b.empty(url)
		}},
		{name: "a message is deleted twice without an error", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			m := b.one(url)
			require.NoError(b, b.remove(url, m))
			require.NoError(b, b.remove(url, m))
		}},
		{name: "a message whose timeout ran out is deleted by its last handle", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			m := b.one(url, hidden(1))
			time.Sleep(1500 * time.Millisecond)
			require.NoError(b, b.remove(url, m))
			b.empty(url)
		}},
		{name: "a delete by an older handle succeeds", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			m := b.one(url, hidden(1))
			time.Sleep(1500 * time.Millisecond)
			b.one(url)
			require.NoError(b, b.remove(url, m))
		}},
		{name: "a delete by an older handle leaves the message to who has it", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			old := b.one(url, hidden(1))
			time.Sleep(1500 * time.Millisecond)
			b.one(url, hidden(1))
			_ = b.remove(url, old)
			time.Sleep(1500 * time.Millisecond)
			b.one(url)
		}},
		{name: "a handle that never was is refused by a delete", check: func(b *bench) {
			b.refused("ReceiptHandleIsInvalid", b.remove(b.queue(nil), garbage))
		}},
		{name: "a handle that never was is refused by a change of visibility", check: func(b *bench) {
			b.refused("ReceiptHandleIsInvalid", b.hide(b.queue(nil), garbage, 1))
		}},
		{name: "a visibility of 0 gives a message back at once", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			require.NoError(b, b.hide(url, b.one(url), 0))
			require.Equal(b, "2", b.one(url).Attributes["ApproximateReceiveCount"])
		}},
		{name: "a changed visibility counts from the change", check: func(b *bench) {
			url := b.queue(set{"VisibilityTimeout": "2"})
			b.send(url, "x")
			m := b.one(url)
			time.Sleep(time.Second)
			require.NoError(b, b.hide(url, m, 6))
			time.Sleep(2200 * time.Millisecond)
			b.empty(url)
			time.Sleep(4500 * time.Millisecond)
			b.one(url)
		}},
		{name: "a changed visibility holds for this receive only", check: func(b *bench) {
			url := b.queue(set{"VisibilityTimeout": "2"})
			b.send(url, "x")
			require.NoError(b, b.hide(url, b.one(url), 0))
			b.one(url)
			b.empty(url)
			time.Sleep(2500 * time.Millisecond)
			b.one(url)
		}},
		{name: "a visibility is at most 12 hours", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			b.invalid(b.hide(url, b.one(url), 43201))
		}},
		{name: "a message is hidden for 12 hours in all at most", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			m := b.one(url)
			time.Sleep(1500 * time.Millisecond)
			b.invalid(b.hide(url, m, 43200))
			require.NoError(b, b.hide(url, m, 43190))
		}},
		{name: "the visibility of a visible message cannot be changed", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			m := b.one(url)
			require.NoError(b, b.hide(url, m, 0))
			b.refused("MessageNotInflight", b.hide(url, m, 5))
		}},
		{name: "the visibility of a deleted message cannot be changed", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			m := b.one(url)
			require.NoError(b, b.remove(url, m))
			b.invalid(b.hide(url, m, 5))
		}},
		{name: "the visibility of a message that another received cannot be changed", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			old := b.one(url, hidden(1))
			time.Sleep(1500 * time.Millisecond)
			b.one(url)
			b.invalid(b.hide(url, old, 5))
		}},
	}
}
