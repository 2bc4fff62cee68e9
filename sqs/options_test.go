package sqs_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/sqs"
)

func TestBadOptionsAreNamed(t *testing.T) {
	t.Parallel()
	for field, o := range map[string]sqs.Option{
		"sqs.Visibility":      sqs.Visibility(time.Second),
		"sqs.LongPoll":        sqs.LongPoll(1500 * time.Millisecond),
		"sqs.Polls":           sqs.Polls(0),
		"sqs.DeadLetterQueue": sqs.DeadLetterQueue("a b"),
		"sqs.MaxBytes":        sqs.MaxBytes(1 << 30),
		"sqs.AssumeRole":      sqs.AssumeRole("reader", ""),
		"sqs.Decode":          sqs.Decode(nil),
	} {
		b := sqs.New(aws.Config{}, o)
		var bad *eventflow.ConfigError
		require.ErrorAs(t, b.Err(), &bad)
		require.Equal(t, field, bad.Field)
		_, err := b.OpenSubscriber("q")
		require.ErrorIs(t, err, eventflow.ErrFatal)
		_, err = b.OpenPublisher("q")
		require.ErrorIs(t, err, eventflow.ErrFatal)
	}
}

func TestOptionsOfTheOtherSideAreRefused(t *testing.T) {
	t.Parallel()
	b := sqs.New(aws.Config{}, sqs.Structured(), sqs.Visibility(time.Minute))
	require.NoError(t, b.Err(), "the broker's are defaults")
	for _, o := range []sqs.Option{sqs.Visibility(time.Minute), sqs.LongPoll(time.Second), sqs.Polls(1), sqs.DeadLetterQueue("d"), sqs.LeavePoison(), sqs.Decode(sqs.SNS)} {
		_, err := b.OpenPublisher("q", o)
		require.ErrorContains(t, err, "allowed: subscribers")
	}
	_, err := b.OpenSubscriber("q", sqs.Structured())
	require.ErrorContains(t, err, "allowed: publishers")
	_, err = b.OpenSubscriber("q", sqs.ClientOptions())
	require.ErrorContains(t, err, "sqs.New")
	_, err = broker.NewMemory().OpenSubscriber("q", sqs.Visibility(time.Minute))
	require.ErrorContains(t, err, "another broker")
	_, err = b.OpenSubscriber("q", nil)
	require.ErrorIs(t, err, eventflow.ErrFatal)
}

func TestSchemeOpensABrokerByURL(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	b, err := broker.Open(t.Context(), "sqs://eu-central-1?endpoint=http://127.0.0.1:9324&visibility=1m&longpoll=5s&role=arn:aws:iam::1:role/r", sqs.Scheme)
	require.NoError(t, err)
	require.Equal(t, time.Minute, b.Features().MaxLock)
	require.NoError(t, b.Close(context.WithoutCancel(t.Context())))
	for _, bad := range []string{
		"sqs://eu/q", "sqs://u:secret@eu", "sqs://eu:1", "sqs://eu#x", "sqs://eu?password=secret", "sqs://eu?endpoint=secret", "sqs://eu?visibility=secret",
		"sqs://eu?visibility=1s", "sqs://eu?visibility=1m&visibility=2m", "sqs://eu?endpoint=http://u:secret@h", "sqs://eu?role=x", "sqs://eu?%zz",
	} {
		_, err := broker.Open(t.Context(), bad, sqs.Scheme)
		var ce *eventflow.ConfigError
		require.ErrorAs(t, err, &ce, bad)
		if u, perr := url.Parse(bad); perr == nil && u.Query().Get("visibility") == "" {
			require.NotContains(t, err.Error(), "secret", bad)
		}
	}
}

func TestNothingIsAskedWhenABrokerOpensQueues(t *testing.T) {
	t.Parallel()
	b := sqs.New(aws.Config{}, sqs.ClientOptions(func(*awssqs.Options) { t.Error("a client is made") }))
	s := b.Subscriber("arn:aws:sqs:eu-west-1:123456789012:q")
	require.Equal(t, "sqs/123456789012/q", s.(interface{ String() string }).String())
	require.Equal(t, "sqs/q", b.Publisher("q").(interface{ String() string }).String())
	require.NoError(t, s.Close(t.Context()))
	require.NoError(t, b.Close(t.Context()))
	_, err := b.OpenSubscriber("q")
	require.ErrorIs(t, err, eventflow.ErrClosed)
}
