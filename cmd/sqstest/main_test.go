package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
)

func TestItsFirstLineIsAnEndpoint(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error)
	go func() {
		done <- run(ctx, []string{"-queue", "q", "-queue", "f.fifo", "-visibility", "5s", "-receives", "3"}, w)
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	endpoint := line[:len(line)-1]
	client := sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "thing"}, nil
		}),
	})
	queues, err := client.ListQueues(ctx, &sqs.ListQueuesInput{})
	require.NoError(t, err)
	require.Equal(t, []string{
		endpoint + "/000000000000/f-dead.fifo", endpoint + "/000000000000/f.fifo",
		endpoint + "/000000000000/q", endpoint + "/000000000000/q-dead",
	}, queues.QueueUrls)

	get, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(get)
	require.NoError(t, err)
	var counted struct{ Requests map[string]map[string]int }
	require.NoError(t, json.NewDecoder(response.Body).Decode(&counted))
	require.NoError(t, response.Body.Close())
	require.Equal(t, map[string]int{"ListQueues": 1}, counted.Requests[""])
	stop()
	require.NoError(t, <-done)
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-queue", "a b"}, {"-addr", "0.0.0.0:1"}, {"-queue", "q", "-receives", "1001"}, {"-nonsense"}} {
		require.Error(t, run(t.Context(), args, io.Discard), "%v", args)
	}
}
