package sqstest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

func TestACredentialMayDoWhatItWasGranted(t *testing.T) {
	t.Parallel()
	server, root := start(t, sqstest.Options{InMemory: true, Queues: queues("q", "other")})
	url := server.QueueURL("q")
	receiver := server.Grant(sqstest.Rights{Actions: []string{"ReceiveMessage", "DeleteMessage"}, Queues: []string{"q"}})
	b := newBench(t, receiver.Config())
	root.send(url, "1", "2")
	ms := b.take(url)
	require.Len(t, ms, 2)
	require.NoError(t, b.remove(url, ms[0]))
	require.Error(t, b.hide(url, ms[1], 5))
	_, err := b.post(url, "x")
	b.refused("AccessDenied", err)
	require.ErrorContains(t, err, "sqs:sendmessage")
	require.ErrorContains(t, err, server.ARN("q"))
	require.NotContains(t, err.Error(), receiver.Secret)
	_, err = b.sendBatch(url, entries("x"))
	b.refused("AccessDenied", err)
	_, err = b.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(server.QueueURL("other"))})
	b.refused("AccessDenied", err)
	_, err = b.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(server.QueueURL("nonsense"))})
	b.refused("AccessDenied", err)

	receiver.Set(sqstest.Rights{Actions: []string{"*"}})
	b.send(server.QueueURL("other"), "x")
	_, err = b.sendBatch(url, entries("x"))
	require.NoError(t, err, "a right to an action is one to its batches")
	receiver.Set(sqstest.Rights{})
	_, err = b.ListQueues(t.Context(), &sqs.ListQueuesInput{})
	b.refused("AccessDenied", err)
}

func TestARoleIsAssumed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const arn = "arn:aws:iam::999999999999:role/reader"
		server, root := start(t, sqstest.Options{InMemory: true, Queues: queues("q")})
		url := server.QueueURL("q")
		server.GrantRole(arn, "secret-handshake", sqstest.Rights{Actions: []string{"ReceiveMessage"}})
		assume := func(externalID string) (*bench, *stscreds.AssumeRoleProvider) {
			provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(server.Config()), arn, func(o *stscreds.AssumeRoleOptions) { o.ExternalID = &externalID })
			cfg := server.Config()
			cfg.Credentials = provider
			return newBench(t, cfg), provider
		}
		root.send(url, "x")
		b, provider := assume("secret-handshake")
		require.Equal(t, "x", *b.one(url).Body)
		_, err := b.post(url, "y")
		b.refused("AccessDenied", err)
		require.Equal(t, 2, server.Requests("", "AssumeRole"))

		kept, err := provider.Retrieve(t.Context())
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(15*time.Minute), kept.Expires, time.Second)
		cfg := server.Config()
		cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return kept, nil })
		b = newBench(t, cfg)
		b.empty(url)
		time.Sleep(15 * time.Minute)
		_, err = b.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
		b.refused("ExpiredToken", err)

		b, _ = assume("guess")
		_, err = b.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
		b.refused("AccessDenied", err)
		require.ErrorContains(t, err, "sts:AssumeRole")
		server.GrantRole(arn, "", sqstest.Rights{Actions: []string{"*"}})
		b, _ = assume("guess")
		b.send(url, "z")
	})
}

func TestARoleIsAssumedByWhoMay(t *testing.T) {
	t.Parallel()
	server := sqstest.New(t, sqstest.Options{InMemory: true})
	server.GrantRole("arn:aws:iam::1:role/r", "", sqstest.Rights{Actions: []string{"*"}})
	nobody := server.Grant(sqstest.Rights{})
	in := &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::1:role/r"), RoleSessionName: aws.String("s")}
	_, err := sts.NewFromConfig(nobody.Config()).AssumeRole(t.Context(), in)
	require.Equal(t, "AccessDenied", code(err))
	nobody.Set(sqstest.Rights{Actions: []string{"AssumeRole"}})
	_, err = sts.NewFromConfig(nobody.Config()).AssumeRole(t.Context(), in)
	require.NoError(t, err)
	in.DurationSeconds = aws.Int32(1)
	_, err = sts.NewFromConfig(nobody.Config()).AssumeRole(t.Context(), in)
	require.Equal(t, "ValidationError", code(err))
}
