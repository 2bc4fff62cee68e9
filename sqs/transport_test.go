package sqs_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/sqs"
)

// hasty answers at once, and keeps the body of the request.
type hasty struct{ body io.Reader }

func (h *hasty) Do(req *http.Request) (*http.Response, error) {
	h.body = req.Body
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"QueueUrls":[]}`))}, nil
}

// net/http looks for the end of a request's body, maybe after the answer came: an error would cost the answer.
func TestBodyOfAnAnsweredRequestEndsWithoutAnError(t *testing.T) {
	t.Parallel()
	h := &hasty{}
	b := sqs.New(aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIATEST", "secret", "")},
		sqs.ClientOptions(func(o *awssqs.Options) { o.HTTPClient = h }))
	_, err := b.Topics(t.Context())
	require.NoError(t, err)
	require.NotNil(t, h.body)
	_, err = io.CopyBuffer(io.Discard, h.body, make([]byte, 100))
	require.NoError(t, err)
}
