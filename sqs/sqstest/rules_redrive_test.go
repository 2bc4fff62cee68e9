package sqstest_test

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

func redriveRules() []rule {
	const missing = "arn:aws:sqs:us-east-1:000000000000:there-is-no-such-queue"
	// bury makes dead letters of these messages.
	bury := func(b *bench, messages ...string) (url, dead string) {
		b.Helper()
		url, dead = b.redriven(1, nil)
		b.send(url, messages...)
		for _, m := range b.take(url) {
			require.NoError(b, b.hide(url, m, 0))
		}
		b.empty(url)
		return url, dead
	}
	move := func(b *bench, in *sqs.StartMessageMoveTaskInput) (*sqs.StartMessageMoveTaskOutput, error) {
		return b.StartMessageMoveTask(b.Context(), in)
	}
	tasks := func(b *bench, source string) []types.ListMessageMoveTasksResultEntry {
		b.Helper()
		out, err := b.ListMessageMoveTasks(b.Context(), &sqs.ListMessageMoveTasksInput{SourceArn: &source, MaxResults: aws.Int32(10)})
		require.NoError(b, err)
		return out.Results
	}
	// moved waits until a queue's latest task is over.
	moved := func(b *bench, source string) types.ListMessageMoveTasksResultEntry {
		b.Helper()
		for range 20 {
			if ts := tasks(b, source); len(ts) > 0 && *ts[0].Status != "RUNNING" {
				return ts[0]
			}
			time.Sleep(250 * time.Millisecond)
		}
		require.Fail(b, "the task is not over")
		return types.ListMessageMoveTasksResultEntry{}
	}
	return []rule{
		{name: "a message that was received as often as it may goes to the dead letters", check: func(b *bench) {
			url, dead := b.redriven(2, nil)
			_, err := b.post(url, "x", with(map[string]types.MessageAttributeValue{"a": text("1")}))
			require.NoError(b, err)
			var id string
			for range 2 {
				m := b.one(url)
				id = *m.MessageId
				b.empty(dead)
				require.NoError(b, b.hide(url, m, 0))
			}
			b.empty(url)
			m := b.one(dead)
			require.Equal(b, id, *m.MessageId)
			require.Equal(b, "x", *m.Body)
			require.Equal(b, "1", *m.MessageAttributes["a"].StringValue)
		}},
		{name: "a message goes to the dead letters when its timeouts ran out, too", check: func(b *bench) {
			url, dead := b.redriven(1, nil)
			b.send(url, "x")
			b.one(url, hidden(1))
			time.Sleep(1500 * time.Millisecond)
			b.empty(url)
			require.Equal(b, "x", *b.one(dead).Body)
		}},
		{name: "a dead letter's receives go on counting", check: func(b *bench) {
			_, dead := bury(b, "x")
			require.Equal(b, "2", b.one(dead).Attributes["ApproximateReceiveCount"])
		}},
		{name: "a dead letter says which queue it came from", check: func(b *bench) {
			url, dead := bury(b, "x")
			require.Equal(b, b.arn(url), b.one(dead).Attributes["DeadLetterQueueSourceArn"])
		}},
		{name: "a dead letter does not hold its group", check: func(b *bench) {
			url, dead := b.redriven(1, fifo)
			b.send(url, "1", "2")
			require.NoError(b, b.hide(url, b.one(url, most(1)), 0))
			require.Equal(b, "2", *b.one(url, most(1)).Body)
			require.Equal(b, "1", *b.one(dead).Body)
		}},
		{name: "a redrive policy needs a queue that exists", check: func(b *bench) {
			b.invalid(b.change(b.queue(nil), set{"RedrivePolicy": redrive(missing, 3)}))
		}},
		{name: "a redrive policy needs a queue of the same kind", check: func(b *bench) {
			b.invalid(b.change(b.queue(nil), set{"RedrivePolicy": redrive(b.arn(b.queue(fifo)), 3)}))
		}},
		{name: "a redrive policy has from 1 to 1,000 receives", check: func(b *bench) {
			url, dead := b.queue(nil), b.arn(b.queue(nil))
			require.Error(b, b.change(url, set{"RedrivePolicy": redrive(dead, 0)}))
			require.Error(b, b.change(url, set{"RedrivePolicy": redrive(dead, 1001)}))
			require.NoError(b, b.change(url, set{"RedrivePolicy": redrive(dead, 1000)}))
			require.InDelta(b, 1000.0, object(b.attributes(url, "RedrivePolicy")["RedrivePolicy"])["maxReceiveCount"], 0)
		}},
		{name: "a redrive policy's receives may be text", check: func(b *bench) {
			url := b.queue(set{"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"1"}`, b.arn(b.queue(nil)))})
			b.send(url, "x")
			require.NoError(b, b.hide(url, b.one(url), 0))
			b.empty(url)
		}},
		{name: "a redrive policy is taken away by an empty one", check: func(b *bench) {
			url, _ := b.redriven(1, nil)
			require.NoError(b, b.change(url, set{"RedrivePolicy": ""}))
			require.NotContains(b, b.attributes(url, "All"), "RedrivePolicy")
		}},
		{name: "a dead-letter queue chooses whose it is", check: func(b *bench) {
			dead := b.queue(set{"RedriveAllowPolicy": `{"redrivePermission":"denyAll"}`})
			require.Error(b, b.change(b.queue(nil), set{"RedrivePolicy": redrive(b.arn(dead), 3)}))
			friend := b.queue(nil)
			require.NoError(b, b.change(dead, set{"RedriveAllowPolicy": fmt.Sprintf(`{"redrivePermission":"byQueue","sourceQueueArns":[%q]}`, b.arn(friend))}))
			require.NoError(b, b.change(friend, set{"RedrivePolicy": redrive(b.arn(dead), 3)}))
			require.Error(b, b.change(b.queue(nil), set{"RedrivePolicy": redrive(b.arn(dead), 3)}))
		}},
		{name: "a dead-letter queue knows its sources", check: func(b *bench) {
			url, dead := b.redriven(1, nil)
			out, err := b.ListDeadLetterSourceQueues(b.Context(), &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dead})
			require.NoError(b, err)
			require.Equal(b, []string{url}, out.QueueUrls)
		}},
		{name: "dead letters go back where they came from", check: func(b *bench) {
			url, dead := bury(b, "1", "2")
			source := b.arn(dead)
			out, err := move(b, &sqs.StartMessageMoveTaskInput{SourceArn: &source})
			require.NoError(b, err)
			require.NotEmpty(b, *out.TaskHandle)
			task := moved(b, source)
			require.Equal(b, "COMPLETED", *task.Status)
			require.Equal(b, int64(2), task.ApproximateNumberOfMessagesMoved)
			require.ElementsMatch(b, []string{"1", "2"}, bodies(b.take(url)))
			b.empty(dead)
		}},
		{name: "dead letters that go back are new messages", check: func(b *bench) {
			url, dead := b.redriven(1, nil)
			sent, err := b.post(url, "x")
			require.NoError(b, err)
			require.NoError(b, b.hide(url, b.one(url), 0))
			b.empty(url)
			_, err = move(b, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(b.arn(dead))})
			require.NoError(b, err)
			moved(b, b.arn(dead))
			m := b.one(url)
			require.NotEqual(b, *sent.MessageId, *m.MessageId)
			require.Equal(b, "1", m.Attributes["ApproximateReceiveCount"])
		}},
		{name: "dead letters go where they are sent", check: func(b *bench) {
			_, dead := bury(b, "x")
			elsewhere := b.queue(nil)
			source := b.arn(dead)
			_, err := move(b, &sqs.StartMessageMoveTaskInput{SourceArn: &source, DestinationArn: aws.String(b.arn(elsewhere))})
			require.NoError(b, err)
			require.Equal(b, "COMPLETED", *moved(b, source).Status)
			require.Equal(b, "x", *b.one(elsewhere).Body)
		}},
		{name: "only a dead-letter queue's messages are moved", check: func(b *bench) {
			_, err := move(b, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(b.arn(b.queue(nil)))})
			b.invalid(err)
		}},
		{name: "messages are not moved from a queue that is not there", check: func(b *bench) {
			_, err := move(b, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(missing)})
			b.refused("ResourceNotFoundException", err)
		}},
		{name: "a slow move runs, and is the only one", check: func(b *bench) {
			_, dead := bury(b, "1", "2", "3", "4", "5")
			source := b.arn(dead)
			in := &sqs.StartMessageMoveTaskInput{SourceArn: &source, MaxNumberOfMessagesPerSecond: aws.Int32(1)}
			out, err := move(b, in)
			require.NoError(b, err)
			require.Equal(b, "RUNNING", *tasks(b, source)[0].Status)
			require.Equal(b, *out.TaskHandle, *tasks(b, source)[0].TaskHandle)
			_, err = move(b, in)
			b.refused("UnsupportedOperation", err)
		}},
		{name: "a slow move is cancelled", check: func(b *bench) {
			_, dead := bury(b, "1", "2", "3", "4", "5")
			source := b.arn(dead)
			out, err := move(b, &sqs.StartMessageMoveTaskInput{SourceArn: &source, MaxNumberOfMessagesPerSecond: aws.Int32(1)})
			require.NoError(b, err)
			cancelled, err := b.CancelMessageMoveTask(b.Context(), &sqs.CancelMessageMoveTaskInput{TaskHandle: out.TaskHandle})
			require.NoError(b, err)
			require.Less(b, cancelled.ApproximateNumberOfMessagesMoved, int64(5))
			time.Sleep(2 * time.Second)
			require.NotEmpty(b, b.take(dead))
			require.Equal(b, "CANCELLED", *moved(b, source).Status)
		}},
		{name: "a move that never was cannot be cancelled", check: func(b *bench) {
			_, err := b.CancelMessageMoveTask(b.Context(), &sqs.CancelMessageMoveTaskInput{TaskHandle: aws.String("garbage")})
			b.refused("ResourceNotFoundException", err)
		}},
	}
}
