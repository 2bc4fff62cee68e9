package sqstest_test

import (
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
)

func fifoRules() []rule {
	explicit := set{"FifoQueue": "true"}
	// spread are messages a1 a2 a3 b1 of two groups.
	spread := func(b *bench, url string) {
		b.Helper()
		for _, body := range []string{"a1", "a2", "b1", "a3"} {
			_, err := b.post(url, body, to(body[:1], ""))
			require.NoError(b, err)
		}
	}
	return []rule{
		{name: "a group's messages come in order", check: func(b *bench) {
			url := b.queue(fifo)
			want := strings.Split("0123456789abcdefghij", "")
			b.send(url, want...)
			var got []string
			for len(got) < len(want) {
				ms := b.take(url)
				require.NotEmpty(b, ms)
				for _, m := range ms {
					got = append(got, *m.Body)
					require.NoError(b, b.remove(url, m))
				}
			}
			require.Equal(b, want, got)
		}},
		{name: "one receive takes several messages of a group", check: func(b *bench) {
			url := b.queue(fifo)
			b.send(url, "1", "2", "3")
			require.Equal(b, []string{"1", "2", "3"}, bodies(b.take(url)))
		}},
		{name: "while one message of a group is in flight, the others wait", check: func(b *bench) {
			url := b.queue(fifo)
			spread(b, url)
			first := b.one(url, most(1))
			require.Equal(b, "a1", *first.Body)
			require.Equal(b, []string{"b1"}, bodies(b.take(url)), "other groups go on")
			b.empty(url)
			require.NoError(b, b.remove(url, first))
			require.Equal(b, "a2", *b.one(url, most(1)).Body)
		}},
		{name: "a group waits for all of its messages in flight", check: func(b *bench) {
			url := b.queue(fifo)
			b.send(url, "1", "2", "3")
			ms := b.take(url, most(2))
			require.Len(b, ms, 2)
			require.NoError(b, b.remove(url, ms[0]))
			b.empty(url)
			require.NoError(b, b.remove(url, ms[1]))
			require.Equal(b, "3", *b.one(url).Body)
		}},
		{name: "a message that comes back is again its group's first", check: func(b *bench) {
			url := b.queue(fifo)
			b.send(url, "1", "2")
			require.NoError(b, b.hide(url, b.one(url, most(1)), 0))
			require.Equal(b, "1", *b.one(url, most(1), hidden(1)).Body)
			time.Sleep(1500 * time.Millisecond)
			require.Equal(b, "1", *b.one(url, most(1)).Body)
		}},
		{name: "a message that comes back waits for those of its group that are in flight", check: func(b *bench) {
			url := b.queue(fifo)
			b.send(url, "1", "2", "3")
			ms := b.take(url, most(2))
			require.Len(b, ms, 2)
			require.NoError(b, b.hide(url, ms[0], 0))
			b.empty(url)
			require.NoError(b, b.hide(url, ms[1], 0))
			require.Equal(b, []string{"1", "2", "3"}, bodies(b.take(url)))
		}},
		{name: "a group is needed", check: func(b *bench) {
			_, err := b.post(b.queue(fifo), "x", func(in *sqs.SendMessageInput) { in.MessageGroupId = nil })
			b.refused("MissingParameter", err)
		}},
		{name: "a deduplication ID is needed when content does not make one", check: func(b *bench) {
			_, err := b.post(b.queue(explicit), "x")
			b.invalid(err)
		}},
		{name: "groups and deduplication IDs are 128 letters, digits and punctuation marks at most", check: func(b *bench) {
			url := b.queue(explicit)
			for _, odd := range []string{"a b", strings.Repeat("a", 129), "ä"} {
				_, err := b.post(url, "x", to(odd, "id"))
				b.invalid(err)
				_, err = b.post(url, "x", to("g", odd))
				b.invalid(err)
			}
		}},
		{name: "a duplicate is answered and not stored", check: func(b *bench) {
			url := b.queue(explicit)
			_, err := b.post(url, "1", to("g", "same"))
			require.NoError(b, err)
			_, err = b.post(url, "2", to("g", "same"))
			require.NoError(b, err)
			require.Equal(b, []string{"1"}, bodies(b.take(url)))
		}},
		{name: "a duplicate is answered with the ID and the number of the first", check: func(b *bench) {
			url := b.queue(explicit)
			first, err := b.post(url, "1", to("g", "same"))
			require.NoError(b, err)
			second, err := b.post(url, "2", to("g", "same"))
			require.NoError(b, err)
			require.Equal(b, *first.MessageId, *second.MessageId)
			require.Equal(b, *first.SequenceNumber, *second.SequenceNumber)
		}},
		{name: "a duplicate of a deleted message is one", check: func(b *bench) {
			url := b.queue(explicit)
			_, err := b.post(url, "1", to("g", "same"))
			require.NoError(b, err)
			require.NoError(b, b.remove(url, b.one(url)))
			_, err = b.post(url, "2", to("g", "same"))
			require.NoError(b, err)
			b.empty(url)
		}},
		{name: "a duplicate in the same batch is one", check: func(b *bench) {
			url := b.queue(explicit)
			es := entries("1", "2")
			for i := range es {
				es[i].MessageGroupId, es[i].MessageDeduplicationId = aws.String("g"), aws.String("same")
			}
			out, err := b.sendBatch(url, es)
			require.NoError(b, err)
			require.Len(b, out.Successful, 2)
			require.Equal(b, []string{"1"}, bodies(b.take(url)))
		}},
		{name: "the same content is a duplicate, where the queue says so", check: func(b *bench) {
			url := b.queue(fifo)
			b.send(url, "x", "x", "y")
			ms := b.take(url)
			require.Equal(b, []string{"x", "y"}, bodies(ms))
			require.Equal(b, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", ms[0].Attributes["MessageDeduplicationId"])
		}},
		{name: "duplicates are told apart by group, where the queue says so", check: func(b *bench) {
			with := maps.Clone(explicit)
			with["DeduplicationScope"] = "messageGroup"
			url := b.queue(with)
			for _, group := range []string{"g", "h", "g"} {
				_, err := b.post(url, group, to(group, "same"))
				require.NoError(b, err)
			}
			require.ElementsMatch(b, []string{"g", "h"}, bodies(append(b.take(url), b.take(url)...)))
		}},
		{name: "after five minutes a duplicate is none", long: true, check: func(b *bench) {
			url := b.queue(explicit)
			_, err := b.post(url, "1", to("g", "same"))
			require.NoError(b, err)
			time.Sleep(5*time.Minute - 10*time.Second)
			_, err = b.post(url, "2", to("g", "same"))
			require.NoError(b, err)
			time.Sleep(11 * time.Second)
			_, err = b.post(url, "3", to("h", "same"))
			require.NoError(b, err)
			require.ElementsMatch(b, []string{"1", "3"}, bodies(append(b.take(url), b.take(url)...)))
		}},
		{name: "sequence numbers grow", check: func(b *bench) {
			url := b.queue(fifo)
			last := ""
			for _, body := range []string{"1", "2", "3"} {
				out, err := b.post(url, body, to(body, ""))
				require.NoError(b, err)
				n := strings.Repeat("0", 40-len(*out.SequenceNumber)) + *out.SequenceNumber
				require.Greater(b, n, last)
				last = n
			}
			require.NotEmpty(b, b.take(url)[0].Attributes["SequenceNumber"])
		}},
		{name: "a message of a FIFO queue has no delay of its own", check: func(b *bench) {
			_, err := b.post(b.queue(fifo), "x", delay(5))
			b.invalid(err)
		}},
		{name: "a FIFO queue's delay holds back", check: func(b *bench) {
			with := maps.Clone(fifo)
			with["DelaySeconds"] = "2"
			url := b.queue(with)
			b.send(url, "1", "2")
			b.empty(url)
			time.Sleep(2500 * time.Millisecond)
			require.Equal(b, "1", *b.one(url, most(1)).Body)
		}},
		{name: "a handle whose timeout ran out deletes nothing in a FIFO queue", check: func(b *bench) {
			url := b.queue(fifo)
			b.send(url, "x")
			m := b.one(url, hidden(1))
			time.Sleep(1500 * time.Millisecond)
			b.invalid(b.remove(url, m))
			b.one(url)
		}},
		{name: "the same attempt receives the same messages again", check: func(b *bench) {
			url := b.queue(fifo)
			b.send(url, "1", "2")
			require.Len(b, b.take(url, attempt), 2)
			b.empty(url)
			require.Equal(b, []string{"1", "2"}, bodies(b.take(url, attempt)))
		}},
		{name: "the same attempt receives the same handles again", check: func(b *bench) {
			url := b.queue(fifo)
			b.send(url, "1")
			first := b.one(url, attempt)
			second := b.one(url, attempt)
			require.Equal(b, *first.ReceiptHandle, *second.ReceiptHandle)
		}},
		{name: "an attempt whose messages were touched receives anew", check: func(b *bench) {
			url := b.queue(fifo)
			b.send(url, "1", "2")
			require.NoError(b, b.remove(url, b.take(url, attempt, most(1))[0]))
			require.Equal(b, []string{"2"}, bodies(b.take(url, attempt)))
		}},
	}
}
