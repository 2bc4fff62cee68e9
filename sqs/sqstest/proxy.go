package sqstest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Proxy stands between clients and any server of SQS's JSON protocol, and fails as networks and services fail:
// [Proxy.Intercept] and [Proxy.FailNext] are those of [Server], and so are the counts of requests.
type Proxy struct {
	watch
	front

	target    *url.URL
	reverse   *httputil.ReverseProxy
	transport *http.Transport
	closed    sync.Once
}

// NewProxy starts a proxy, on loopback, before the server at target, and closes it when the test ends.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	p, err := StartProxy(target)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// StartProxy starts a proxy before the server at target, an endpoint as in http://127.0.0.1:9324; the caller closes it.
func StartProxy(target string) (*Proxy, error) {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		return nil, misconfigured("StartProxy", target, "an endpoint, as in http://127.0.0.1:9324")
	}
	p := &Proxy{front: newFront(), target: u, transport: &http.Transport{MaxIdleConnsPerHost: defaultConns}}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }, Transport: p.transport,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	if err := p.listen("127.0.0.1:0", defaultConns); err != nil {
		return nil, err
	}
	p.answerWith(p.serve)
	return p, nil
}

// Close cuts all connections and returns when the proxy's goroutines have ended. A second call does nothing.
func (p *Proxy) Close() {
	p.closed.Do(func() {
		p.shut()
		p.transport.CloseIdleConnections()
	})
}

// Config is a configuration for clients of the server behind the proxy, with a credential that servers for tests take.
func (p *Proxy) Config() aws.Config {
	return aws.Config{
		Region: defaultRegion, BaseEndpoint: aws.String(p.endpoint),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIAEVERYTHING", SecretAccessKey: "secret", Source: "sqstest"}, nil
		}),
	}
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req := Request{Action: r.Header.Get("X-Amz-Target"), AccessKey: accessKey(r.Header)}
	if action, op, bad := decode(r.Header, body); bad == nil {
		req.Action = action
		if about, ok := op.(interface{ queue() string }); ok {
			req.Queue = about.queue()
		}
	}
	f := p.arrive(req)
	if !f.Applied && !p.sleep(r.Context(), f.Delay) {
		panic(http.ErrAbortHandler)
	}
	var done *httptest.ResponseRecorder
	switch {
	case f.Action == Refuse && f.Entries > 0:
		done = p.part(r, body, f)
	case f.Action == Duplicate:
		done = p.twice(r, body, req)
	case f.Action == Pass && f.Delay == 0:
		p.forward(w, r, body)
		return
	case f.Applied || f.Action == Pass:
		done = p.do(r, body)
	}
	if f.Applied && !p.sleep(r.Context(), f.Delay) {
		panic(http.ErrAbortHandler)
	}
	switch {
	case f.Action == Refuse && f.Entries == 0:
		answer(w, nil, f.refusal())
		return
	case f.Action == Silence:
		select {
		case <-r.Context().Done():
		case <-p.closing:
		}
		panic(http.ErrAbortHandler)
	case f.Action == Cut:
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), done.Header())
	w.WriteHeader(done.Code)
	_, _ = w.Write(done.Body.Bytes())
}

// sleep is by real time: what is behind the proxy has no other.
func (p *Proxy) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case <-over.C:
		return true
	case <-ctx.Done():
	case <-p.closing:
	}
	return false
}

func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, body []byte) {
	out := r.Clone(r.Context())
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	out.Header.Set("Content-Length", strconv.Itoa(len(body)))
	p.reverse.ServeHTTP(w, out)
}

func (p *Proxy) do(r *http.Request, body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.forward(w, r, body)
	return w
}

// part has the first entries of a batch refused, and the server do the others.
func (p *Proxy) part(r *http.Request, body []byte, f Fault) *httptest.ResponseRecorder {
	var request map[string]json.RawMessage
	var entries []json.RawMessage
	if json.Unmarshal(body, &request) != nil || json.Unmarshal(request["Entries"], &entries) != nil {
		return p.do(r, body) // no batch
	}
	n := min(f.Entries, len(entries))
	bad := f.refusal()
	var failed []json.RawMessage
	for _, e := range entries[:n] {
		var id batchID
		_ = json.Unmarshal(e, &id)
		failed = append(failed, marshal(batchFailure{id.ID, bad.query(), bad.message, bad.status() < http.StatusInternalServerError}))
	}
	result := map[string]json.RawMessage{"Successful": json.RawMessage("[]")}
	if n < len(entries) {
		request["Entries"] = marshal(entries[n:])
		w := p.do(r, marshal(request))
		var theirs []json.RawMessage
		if w.Code != http.StatusOK || json.Unmarshal(w.Body.Bytes(), &result) != nil {
			return w
		}
		_ = json.Unmarshal(result["Failed"], &theirs)
		failed = append(failed, theirs...)
	}
	result["Failed"] = marshal(failed)
	answered := httptest.NewRecorder()
	answer(answered, result, nil)
	return answered
}

// twice sends a request twice; what is received is made visible again at once.
func (p *Proxy) twice(r *http.Request, body []byte, req Request) *httptest.ResponseRecorder {
	w := p.do(r, body)
	switch req.Action {
	case "SendMessage", "SendMessageBatch":
		return p.do(r, body)
	case "ReceiveMessage":
		var request onQueue
		var result receiveResult
		if json.Unmarshal(body, &request) != nil || json.Unmarshal(w.Body.Bytes(), &result) != nil {
			return w
		}
		for _, m := range result.Messages {
			back := r.Clone(r.Context())
			back.Header.Set("X-Amz-Target", "AmazonSQS.ChangeMessageVisibility")
			p.do(back, marshal(map[string]any{"QueueUrl": request.QueueURL, "ReceiptHandle": m.ReceiptHandle, "VisibilityTimeout": 0}))
		}
	}
	return w
}
