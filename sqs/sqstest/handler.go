package sqstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// operation is one action's request.
type operation interface {
	do(c *call) (any, *refusal)
}

// call is a request on its way.
type call struct {
	s   *Server
	ctx context.Context // ends when the client has gone
	who string

	answer func(w http.ResponseWriter, result any, bad *refusal) // in the protocol of the request
}

var operations = map[string]func() operation{
	"CancelMessageMoveTask":        func() operation { return &cancelMessageMoveTask{} },
	"ChangeMessageVisibility":      func() operation { return &changeMessageVisibility{} },
	"ChangeMessageVisibilityBatch": func() operation { return &changeMessageVisibilityBatch{} },
	"CreateQueue":                  func() operation { return &createQueue{} },
	"DeleteMessage":                func() operation { return &deleteMessage{} },
	"DeleteMessageBatch":           func() operation { return &deleteMessageBatch{} },
	"DeleteQueue":                  func() operation { return &deleteQueue{} },
	"GetQueueAttributes":           func() operation { return &getQueueAttributes{} },
	"GetQueueUrl":                  func() operation { return &getQueueURL{} },
	"ListDeadLetterSourceQueues":   func() operation { return &listDeadLetterSourceQueues{} },
	"ListMessageMoveTasks":         func() operation { return &listMessageMoveTasks{} },
	"ListQueueTags":                func() operation { return &listQueueTags{} },
	"ListQueues":                   func() operation { return &listQueues{} },
	"PurgeQueue":                   func() operation { return &purgeQueue{} },
	"ReceiveMessage":               func() operation { return &receiveMessage{} },
	"SendMessage":                  func() operation { return &sendMessage{} },
	"SendMessageBatch":             func() operation { return &sendMessageBatch{} },
	"SetQueueAttributes":           func() operation { return &setQueueAttributes{} },
	"StartMessageMoveTask":         func() operation { return &startMessageMoveTask{} },
	"TagQueue":                     func() operation { return &tagQueue{} },
	"UntagQueue":                   func() operation { return &untagQueue{} },
}

var (
	errNoQueue = &refusal{codeNoQueue, "The specified queue does not exist."}
	errClosing = &refusal{"ServiceUnavailable", "The server is closing."}
)

// maxRequest is room for a batch of 1 MiB however it is escaped.
const maxRequest = 16 << 20

// serve answers a request. GET, of any path, tells what was counted; everything else is the protocol.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		s.watch.mu.Lock()
		body := marshal(map[string]map[string]map[string]int{"requests": s.counts})
		s.watch.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
		return
	}
	w.Header().Set("X-Amzn-Requestid", newID())
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			answer(w, nil, refuse("BatchRequestTooLong", "A request cannot be longer than %d bytes.", maxRequest))
		}
		return
	}
	action, op, bad := decode(r.Header, body)
	if bad != nil {
		answer(w, nil, bad)
		return
	}
	req := Request{Action: action, AccessKey: accessKey(r.Header)}
	if about, ok := op.(interface{ queue() string }); ok {
		req.Queue = about.queue()
	}
	c := &call{s: s, ctx: r.Context(), who: req.AccessKey, answer: answer}
	if _, ok := op.(*assumeRole); ok {
		c.answer = answerXML
	}
	s.perform(w, c, req, op)
}

// decode reads a request: one of the JSON protocol, or a form that asks to assume a role.
func decode(h http.Header, body []byte) (action string, op operation, bad *refusal) {
	action, ok := strings.CutPrefix(h.Get("X-Amz-Target"), "AmazonSQS.")
	switch {
	case !utf8.Valid(body):
		return "", nil, refuse(codeMalformed, "The request is not UTF-8.")
	case !ok && strings.HasPrefix(h.Get("Content-Type"), "application/x-www-form-urlencoded"):
		return decodeForm(string(body))
	case !ok || operations[action] == nil:
		return "", nil, refuse("UnknownOperationException", "There is no such operation of the JSON protocol here.")
	}
	op = operations[action]()
	if len(bytes.TrimSpace(body)) == 0 {
		return action, op, nil
	}
	if err := json.Unmarshal(body, op); err != nil {
		return "", nil, refuse(codeMalformed, "The request is malformed: %v", err)
	}
	return action, op, nil
}

// perform does a request, unless a fault decides otherwise.
func (s *Server) perform(w http.ResponseWriter, c *call, req Request, op operation) {
	f := s.arrive(req)
	if !f.Applied && !s.sleep(c.ctx, f.Delay) {
		panic(http.ErrAbortHandler)
	}
	if f.Action == Refuse && f.Entries > 0 {
		if b, ok := op.(interface{ fail(partial) }); ok {
			b.fail(partial{f.Entries, f.refusal()})
			f.Action = Pass
		}
	}
	if twice, ok := op.(interface{ again() }); ok && f.Action == Duplicate {
		twice.again()
	}
	var result any
	var bad *refusal
	if f.Applied || f.Action == Pass || f.Action == Duplicate {
		if bad = s.permit(req); bad == nil {
			result, bad = op.do(c)
		}
	}
	if f.Applied && !s.sleep(c.ctx, f.Delay) {
		panic(http.ErrAbortHandler)
	}
	switch f.Action {
	case Refuse:
		bad = f.refusal()
	case Cut:
		panic(http.ErrAbortHandler)
	case Silence:
		select {
		case <-c.ctx.Done():
		case <-s.closing:
		}
		panic(http.ErrAbortHandler)
	case Pass, Duplicate:
	}
	c.answer(w, result, bad)
}

// sleep returns false when the client has gone, or the server closes, before the time was over.
func (s *Server) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	over := make(chan struct{})
	stop := s.clock.AfterFunc(d, func() { close(over) })
	defer stop()
	select {
	case <-over:
		return true
	case <-ctx.Done():
	case <-s.closing:
	}
	return false
}

func (p *partial) fail(with partial) { *p = with }

func (r *sendMessage) again() { r.twice = true }

func (r *sendMessageBatch) again() { r.twice = true }

func (r *receiveMessage) again() { r.twice = true }

// marshal is for what can be marshalled.
func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func answer(w http.ResponseWriter, result any, bad *refusal) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	status := http.StatusOK
	if bad != nil {
		status = bad.status()
		fault := "Sender"
		if status >= http.StatusInternalServerError {
			fault = "Receiver"
		}
		w.Header().Set("X-Amzn-Query-Error", bad.query()+";"+fault)
		result = map[string]string{"__type": bad.shape(), "message": bad.message}
	}
	body := marshal(result)
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // nobody reads it with a browser
}

// onQueue does something with a queue, under the server's lock.
func (c *call) onQueue(address string, do func(*queue, time.Time) (any, *refusal)) (any, *refusal) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	q, err := c.s.find(address)
	if err != nil {
		return nil, err
	}
	now := c.s.clock.Now()
	q.catchUp(now)
	result, err := do(q, now)
	if !q.gone {
		q.catchUp(now)
		q.settle(now)
	}
	return result, err
}

// find looks a queue up by its URL. Which host it names is of no matter: there may be a proxy between.
func (s *Server) find(address string) (*queue, *refusal) {
	switch {
	case s.closed:
		return nil, errClosing
	case address == "":
		return nil, missing("QueueUrl")
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, refuse("InvalidAddress", "The address %s is not valid for this endpoint.", address)
	}
	if q := s.queues[nameOfURL(address)]; q != nil && strings.HasSuffix(u.Path, "/"+s.opts.Account+"/"+q.name) {
		return q, nil
	}
	return nil, errNoQueue
}

func nameOfURL(address string) string { return address[strings.LastIndexByte(address, '/')+1:] }

// RoundTrip makes the server a transport that needs no network: &http.Client{Transport: server}. It is how an
// [Options.InMemory] server is reached, and works with any. A request is done in the caller's goroutine.
func (s *Server) RoundTrip(r *http.Request) (_ *http.Response, err error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, cutError()
	}
	s.goroutines.Add(1)
	s.mu.Unlock()
	defer s.goroutines.Done()
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	defer func() { _ = r.Body.Close() }()
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			if err = r.Context().Err(); err == nil {
				err = cutError()
			}
		default:
			panic(p)
		}
	}()
	w := httptest.NewRecorder()
	s.serve(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	response := w.Result()
	response.Request = r
	return response, nil
}

// cutError is what a client of a socket sees.
func cutError() error { return &net.OpError{Op: "read", Net: "sqstest", Err: syscall.ECONNRESET} }
