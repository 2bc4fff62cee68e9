package sqs

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
)

func TestQueueIsNamedByURLARNOrName(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]queue{
		"q":      {name: "q"},
		"q.fifo": {name: "q.fifo"},
		"https://sqs.eu-west-1.amazonaws.com/123456789012/q": {
			name: "q", account: "123456789012", region: "eu-west-1", url: "https://sqs.eu-west-1.amazonaws.com/123456789012/q",
		},
		"http://127.0.0.1:9324/000000000000/q.fifo": {name: "q.fifo", account: "000000000000", url: "http://127.0.0.1:9324/000000000000/q.fifo"},
		"arn:aws:sqs:us-east-1:123456789012:q": {
			name: "q", account: "123456789012", region: "us-east-1", url: "https://sqs.us-east-1.amazonaws.com/123456789012/q",
		},
		"arn:aws-cn:sqs:cn-north-1:123456789012:q": {
			name: "q", account: "123456789012", region: "cn-north-1", url: "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q",
		},
	} {
		want.given = given
		q, err := parseQueue(given)
		require.NoError(t, err, given)
		require.Equal(t, want, q)
	}
	for _, bad := range []string{
		"", ".fifo", "a b", "a/b", "arn:aws:sqs:q", "arn:aws:sns:eu-west-1:1:q", "https://h", "https://h/q", "ftp://h/1/q",
		"https://user:secret@h/1/q", "https://h/1/q?x=secret", "arn:aws:sqs:eu-west-1:1:q b",
	} {
		_, err := parseQueue(bad)
		var ce *eventflow.ConfigError
		require.ErrorAs(t, err, &ce, bad)
	}
	_, err := parseQueue("https://user:secret@h/1/q")
	require.NotContains(t, err.Error(), "secret")
}
