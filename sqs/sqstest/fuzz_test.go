package sqstest

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzRequest gives a server requests of any action with any body, several in a row, between deeds that move messages.
// It must neither panic nor hang, it must answer with JSON, and its books must balance.
func FuzzRequest(f *testing.F) {
	actions := slices.Sorted(maps.Keys(operations))
	add := func(action string, body any) {
		b, err := json.Marshal(body)
		require.NoError(f, err)
		f.Add(byte(slices.Index(actions, action)), b)
	}
	type m = map[string]any
	const url = "http://in-memory.sqstest/000000000000/"
	for _, q := range []string{url + "q", url + "f.fifo"} {
		add("SendMessage", m{"QueueUrl": q, "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "d", "DelaySeconds": 1})
		add("SendMessage", m{"QueueUrl": q, "MessageBody": "x", "MessageGroupId": "g", "MessageAttributes": m{"a": m{"DataType": "Binary", "BinaryValue": "AAE="}}})
		add("SendMessageBatch", m{"QueueUrl": q, "Entries": []any{m{"Id": "1", "MessageBody": "a"}, m{"Id": "2", "MessageBody": "\x00"}}})
		add("ReceiveMessage", m{"QueueUrl": q, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0, "ReceiveRequestAttemptId": "a", "MessageAttributeNames": []string{"a.*"}})
		add("DeleteMessage", m{"QueueUrl": q, "ReceiptHandle": handle{3, 4, 1}.String()})
		add("ChangeMessageVisibilityBatch", m{"QueueUrl": q, "Entries": []any{m{"Id": "1", "ReceiptHandle": "x", "VisibilityTimeout": 5}}})
		add("SetQueueAttributes", m{"QueueUrl": q, "Attributes": m{"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:q","maxReceiveCount":"1"}`, "DelaySeconds": "1"}})
		add("PurgeQueue", m{"QueueUrl": q})
		add("DeleteQueue", m{"QueueUrl": q})
	}
	add("CreateQueue", m{"QueueName": "new.fifo", "Attributes": m{"FifoQueue": "true"}, "tags": m{"a": "b"}})
	add("ListQueues", m{"QueueNamePrefix": "q", "MaxResults": 1, "NextToken": "a"})
	add("StartMessageMoveTask", m{"SourceArn": arn(defaultRegion, defaultAccount, "dead"), "MaxNumberOfMessagesPerSecond": 1})
	add("CancelMessageMoveTask", m{"TaskHandle": ""})

	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		clock := NewManualClock(time.Unix(1_800_000_000, 0))
		s := New(t, Options{InMemory: true, Clock: clock, Queues: map[string]Queue{"q": {DeadLetterQueue: "dead", MaxReceiveCount: 1}, "dead": {}, "f.fifo": {ContentBasedDeduplication: true}}})
		do := func(action string, body []byte) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, s.Endpoint(), bytes.NewReader(body))
			r.Header.Set("X-Amz-Target", "AmazonSQS."+action)
			w := httptest.NewRecorder()
			s.serve(w, r)
			require.True(t, json.Valid(w.Body.Bytes()), "%s", w.Body)
		}
		for _, q := range []string{"q", "f.fifo"} {
			do("SendMessageBatch", []byte(`{"QueueUrl":"`+s.QueueURL(q)+`","Entries":[{"Id":"1","MessageBody":"1","MessageGroupId":"g"},{"Id":"2","MessageBody":"2","MessageGroupId":"g"}]}`))
			do("ReceiveMessage", []byte(`{"QueueUrl":"`+s.QueueURL(q)+`","VisibilityTimeout":1}`))
		}
		action := actions[int(which)%len(actions)]
		if action == "ReceiveMessage" && strings.Contains(strings.ToLower(string(body)), "waittimeseconds") {
			return // it would wait for a clock that stands still
		}
		do(action, body)
		balance(t, s)
		clock.Advance(2 * time.Second)
		do(action, body)
		balance(t, s)
		clock.Advance(15 * 24 * time.Hour)
		do("GetQueueAttributes", []byte(`{"QueueUrl":"`+s.QueueURL("q")+`","AttributeNames":["All"]}`))
		balance(t, s)
	})
}

// balance holds what a server counts against what it has.
func balance(t *testing.T, s *Server) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	held := 0
	for _, q := range s.queues {
		states := map[state]int{}
		for serial, m := range q.messages {
			require.Equal(t, serial, m.serial)
			require.Same(t, q, m.queue)
			states[m.state]++
			held += m.size
			switch {
			case m.state != visible:
				require.Same(t, &q.waiting, m.in)
			case q.fifo && (m.lane.first != m || m.lane.inFlight > 0):
				require.Nil(t, m.in)
			default:
				require.Same(t, &q.ready, m.in)
			}
			if m.in != nil {
				require.Same(t, m, m.in.s[m.place])
			}
		}
		held += len(q.sighted) * dedupOverhead
		require.Len(t, q.sighted, len(q.seen))
		require.Equal(t, states[inFlight], q.inFlight)
		require.Equal(t, states[delayed], q.delayed)
		require.LessOrEqual(t, q.ready.Len()+q.waiting.Len(), len(q.messages))
		for _, l := range q.lanes {
			flying := 0
			var before uint64
			for m := l.first; m != nil; m = m.next {
				require.Greater(t, m.serial, before)
				before = m.serial
				if m.state == inFlight {
					flying++
				}
			}
			require.Equal(t, flying, l.inFlight)
		}
	}
	require.Equal(t, held, s.bytes)
}
