package sqs

import (
	"io"
	"net/http"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
)

// patient is an HTTP client that lets the body of a request be read only with Read.
//
// The SDK closes a request's body when the answer's header is there, and net/http may look for the body's end after
// that: a server on the same machine is fast enough. The SDK's closed body says io.EOF to WriteTo, which io.Copy takes
// for an error; net/http then cuts the connection, and with it the answer that is being read. Messages of a receive
// whose answer is lost are invisible to everybody until their visibility ends.
type patient struct{ awssqs.HTTPClient }

// patience is an option of the SDK's, and comes after those that choose a client.
func patience(o *awssqs.Options) { o.HTTPClient = patient{o.HTTPClient} }

// Do sends the request.
func (p patient) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody {
		r := *req
		r.Body = readOnly{req.Body}
		req = &r
	}
	return p.HTTPClient.Do(req)
}

// readOnly hides what else a body can do.
type readOnly struct{ io.ReadCloser }
