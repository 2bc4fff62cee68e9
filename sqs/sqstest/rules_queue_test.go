package sqstest_test

import (
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

func queueRules() []rule {
	create := func(b *bench, name string, attributes set) error {
		_, err := b.CreateQueue(b.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
		return err
	}
	return []rule{
		{name: "a queue made twice with the same attributes is the same queue", check: func(b *bench) {
			n := name(nil)
			require.NoError(b, create(b, n, set{"VisibilityTimeout": "7"}))
			require.NoError(b, create(b, n, set{"VisibilityTimeout": "7"}))
			require.NoError(b, create(b, n, nil))
		}},
		{name: "a queue made twice with other attributes is refused", check: func(b *bench) {
			n := name(nil)
			require.NoError(b, create(b, n, set{"VisibilityTimeout": "7"}))
			b.refused("QueueNameExists", create(b, n, set{"VisibilityTimeout": "8"}))
		}},
		{name: "a queue's name is letters, digits, hyphens and underscores, at most 80", check: func(b *bench) {
			b.invalid(create(b, "has space", nil))
			b.invalid(create(b, strings.Repeat("a", 81), nil))
		}},
		{name: "a FIFO queue's name ends with .fifo", check: func(b *bench) {
			b.invalid(create(b, name(nil), fifo))
		}},
		{name: "a queue that is not there is said not to be", check: func(b *bench) {
			url := b.queue(nil) + "-not"
			_, err := b.GetQueueUrl(b.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(name(nil))})
			b.refused("QueueDoesNotExist", err)
			_, err = b.post(url, "x")
			b.refused("QueueDoesNotExist", err)
			_, err = b.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
			b.refused("QueueDoesNotExist", err)
			_, err = b.GetQueueAttributes(b.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"}})
			b.refused("QueueDoesNotExist", err)
		}},
		{name: "an error's type is what the client makes a type of", check: func(b *bench) {
			_, err := b.post(b.queue(nil)+"-not", "x")
			var typed *types.QueueDoesNotExist
			require.ErrorAs(b, err, &typed)
		}},
		{name: "a queue's URL is found by its name", check: func(b *bench) {
			n := name(nil)
			require.NoError(b, create(b, n, nil))
			out, err := b.GetQueueUrl(b.Context(), &sqs.GetQueueUrlInput{QueueName: &n})
			require.NoError(b, err)
			b.send(*out.QueueUrl, "x")
		}},
		{name: "queues are listed by prefix", check: func(b *bench) {
			prefix := name(nil)
			want := b.family(prefix)
			b.queue(nil)
			out, err := b.ListQueues(b.Context(), &sqs.ListQueuesInput{QueueNamePrefix: &prefix})
			require.NoError(b, err)
			require.ElementsMatch(b, want, out.QueueUrls)
		}},
		{name: "queues are listed in pages", check: func(b *bench) {
			prefix := name(nil)
			want := b.family(prefix)
			pages := sqs.NewListQueuesPaginator(b.Client, &sqs.ListQueuesInput{QueueNamePrefix: &prefix, MaxResults: aws.Int32(2)})
			var got []string
			n := 0
			for ; pages.HasMorePages(); n++ {
				page, err := pages.NextPage(b.Context())
				require.NoError(b, err)
				got = append(got, page.QueueUrls...)
			}
			require.Equal(b, 2, n)
			require.ElementsMatch(b, want, got)
		}},
		{name: "a standard queue's attributes have the documented defaults", check: func(b *bench) {
			got := b.attributes(b.queue(nil), "All")
			for name, value := range map[string]string{
				"DelaySeconds": "0", "MessageRetentionPeriod": "345600", "ReceiveMessageWaitTimeSeconds": "0", "VisibilityTimeout": "30",
				"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0", "ApproximateNumberOfMessagesDelayed": "0",
			} {
				require.Equal(b, value, got[name], name)
			}
			require.NotContains(b, got, "RedrivePolicy")
		}},
		{name: "the greatest message is 1 MiB by default", check: func(b *bench) {
			require.Equal(b, "1048576", b.attributes(b.queue(nil), "All")["MaximumMessageSize"])
		}},
		{name: "a FIFO queue's attributes have the documented defaults", check: func(b *bench) {
			got := b.attributes(b.queue(set{"FifoQueue": "true"}), "All")
			for name, value := range map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "false", "DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue"} {
				require.Equal(b, value, got[name], name)
			}
		}},
		{name: "only the attributes that are asked for are shown", check: func(b *bench) {
			url := b.queue(nil)
			require.Equal(b, set{"VisibilityTimeout": "30"}, b.attributes(url, "VisibilityTimeout"))
		}},
		{name: "an attribute that there is not cannot be asked for", check: func(b *bench) {
			url := b.queue(nil)
			_, err := b.GetQueueAttributes(b.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"Nonsense"}})
			b.refused("InvalidAttributeName", err)
		}},
		{name: "an attribute that is set is shown", check: func(b *bench) {
			url := b.queue(nil)
			require.NoError(b, b.change(url, set{"VisibilityTimeout": "5", "DelaySeconds": "3"}))
			require.Equal(b, set{"VisibilityTimeout": "5", "DelaySeconds": "3"}, b.attributes(url, "VisibilityTimeout", "DelaySeconds"))
		}},
		{name: "an attribute out of its bounds is refused", check: func(b *bench) {
			url := b.queue(nil)
			for name, value := range map[string]string{
				"VisibilityTimeout": "43201", "DelaySeconds": "901", "MessageRetentionPeriod": "59", "ReceiveMessageWaitTimeSeconds": "21",
				"MaximumMessageSize": "1023",
			} {
				b.refused("InvalidAttributeValue", b.change(url, set{name: value}))
			}
		}},
		{name: "an attribute that there is not cannot be set", check: func(b *bench) {
			b.refused("InvalidAttributeName", b.change(b.queue(nil), set{"Nonsense": "1"}))
		}},
		{name: "a queue does not become FIFO", check: func(b *bench) {
			require.Error(b, b.change(b.queue(nil), set{"FifoQueue": "true"}))
		}},
		{name: "a limit per group needs duplicates per group", check: func(b *bench) {
			with := maps.Clone(fifo)
			with["FifoThroughputLimit"] = "perMessageGroupId"
			require.Error(b, create(b, name(with), with))
			with["DeduplicationScope"] = "messageGroup"
			require.NoError(b, create(b, name(with), with))
		}},
		{name: "messages are counted by what they wait for", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "1", "2", "3")
			_, err := b.post(url, "4", delay(60))
			require.NoError(b, err)
			b.take(url, most(1))
			require.Equal(b, set{"ApproximateNumberOfMessages": "2", "ApproximateNumberOfMessagesNotVisible": "1", "ApproximateNumberOfMessagesDelayed": "1"},
				b.attributes(url, "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"))
		}},
		{name: "a purge empties a queue, also of what is in flight", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "1", "2")
			b.take(url, most(1), hidden(1))
			_, err := b.PurgeQueue(b.Context(), &sqs.PurgeQueueInput{QueueUrl: &url})
			require.NoError(b, err)
			time.Sleep(1500 * time.Millisecond)
			b.empty(url)
		}},
		{name: "a second purge within a minute is refused", check: func(b *bench) {
			url := b.queue(nil)
			_, err := b.PurgeQueue(b.Context(), &sqs.PurgeQueueInput{QueueUrl: &url})
			require.NoError(b, err)
			_, err = b.PurgeQueue(b.Context(), &sqs.PurgeQueueInput{QueueUrl: &url})
			b.refused("PurgeQueueInProgress", err)
		}},
		{name: "a deleted queue is gone", check: func(b *bench) {
			url := b.queue(nil)
			b.send(url, "x")
			_, err := b.DeleteQueue(b.Context(), &sqs.DeleteQueueInput{QueueUrl: &url})
			require.NoError(b, err)
			_, err = b.post(url, "x")
			b.refused("QueueDoesNotExist", err)
		}},
		{name: "a deleted queue's name is not free for a minute", long: true, check: func(b *bench) {
			n := name(nil)
			require.NoError(b, create(b, n, nil))
			out, err := b.GetQueueUrl(b.Context(), &sqs.GetQueueUrlInput{QueueName: &n})
			require.NoError(b, err)
			_, err = b.DeleteQueue(b.Context(), &sqs.DeleteQueueInput{QueueUrl: out.QueueUrl})
			require.NoError(b, err)
			b.refused("QueueDeletedRecently", create(b, n, nil))
			time.Sleep(61 * time.Second)
			require.NoError(b, create(b, n, nil))
		}},
		{name: "a queue has tags", check: func(b *bench) {
			out, err := b.CreateQueue(b.Context(), &sqs.CreateQueueInput{QueueName: aws.String(name(nil)), Tags: set{"a": "1"}})
			require.NoError(b, err)
			url := *out.QueueUrl
			_, err = b.TagQueue(b.Context(), &sqs.TagQueueInput{QueueUrl: &url, Tags: set{"b": "2", "c": "3"}})
			require.NoError(b, err)
			_, err = b.UntagQueue(b.Context(), &sqs.UntagQueueInput{QueueUrl: &url, TagKeys: []string{"c"}})
			require.NoError(b, err)
			tags, err := b.ListQueueTags(b.Context(), &sqs.ListQueueTagsInput{QueueUrl: &url})
			require.NoError(b, err)
			require.Equal(b, set{"a": "1", "b": "2"}, tags.Tags)
		}},
	}
}
