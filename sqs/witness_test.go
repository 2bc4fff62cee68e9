package sqs_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// witness stands at both ends of a way to a queue and sees which answers get lost on it, and which messages those were
// about. A message is known by its body.
type witness struct {
	mu       sync.Mutex // guards what follows
	bodies   map[string]string
	answered map[string][]string // of each request that the queue did: the messages that it did something with
	heard    map[string]bool     // requests whose answer the client has
}

func newWitness() *witness {
	return &witness{bodies: map[string]string{}, answered: map[string][]string{}, heard: map[string]bool{}}
}

// about is what a request or its answer says of messages.
type about struct {
	Entries, Messages, Successful []struct{ ID, Body, MessageBody, ReceiptHandle string }
}

// before gives a server the witness's one end, at an address of its own.
func (w *witness) before(t *testing.T, server *sqstest.Server) (endpoint string) {
	t.Helper()
	there := &url.URL{Scheme: "http", Host: "sqs.test"}
	way := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(there) }, Transport: w.seeing(server, w.done),
	})
	t.Cleanup(way.Close)
	return way.URL
}

// client is the other end.
func (w *witness) client(t *testing.T) *http.Client {
	t.Helper()
	network := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(network.CloseIdleConnections)
	return &http.Client{Transport: w.seeing(network, func(id string, _, _ []byte) { w.heard[id] = true })}
}

// done notes what the queue did.
func (w *witness) done(id string, request, answer []byte) {
	var asked, got about
	if json.Unmarshal(request, &asked) != nil || json.Unmarshal(answer, &got) != nil {
		return // no batch, nor an answer with messages
	}
	entries := map[string]string{}
	for _, e := range asked.Entries {
		entries[e.ID] = e.MessageBody + w.bodies[e.ReceiptHandle] // one of them is empty
	}
	for _, e := range got.Successful {
		w.answered[id] = append(w.answered[id], entries[e.ID])
	}
	for _, m := range got.Messages {
		w.bodies[m.ReceiptHandle] = m.Body
		w.answered[id] = append(w.answered[id], m.Body)
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// seeing calls see, one at a time, for each request that was answered and not refused.
func (w *witness) seeing(next http.RoundTripper, see func(id string, request, answer []byte)) http.RoundTripper {
	return tripper(func(r *http.Request) (*http.Response, error) {
		request, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		out := r.Clone(r.Context())
		out.Body = io.NopCloser(bytes.NewReader(request))
		response, err := next.RoundTrip(out)
		if err != nil {
			return nil, err
		}
		answer, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			return nil, err
		}
		response.Body = io.NopCloser(bytes.NewReader(answer))
		if response.StatusCode == http.StatusOK {
			w.mu.Lock()
			defer w.mu.Unlock()
			see(r.Header.Get("Amz-Sdk-Invocation-Id")+" "+r.Header.Get("Amz-Sdk-Request"), request, answer)
		}
		return response, nil
	})
}

// lost counts the answers about each message that the client never had, of all requests.
func (w *witness) lost() (ofMessage map[string]int, all int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ofMessage = map[string]int{}
	for id, bodies := range w.answered {
		if w.heard[id] {
			continue
		}
		all++
		for _, body := range bodies {
			ofMessage[body]++
		}
	}
	return ofMessage, all
}

// The yardstick of the fault tests is itself measured: it knows exactly the messages whose answers were lost.
func TestTheWitnessKnowsTheMessagesOfALostAnswer(t *testing.T) {
	t.Parallel()
	l := newLossy(t, "q", sqstest.Queue{})
	lose := func(action string) {
		l.proxy.FailNext(action, l.queue, sqstest.Fault{Action: sqstest.Cut, Applied: true})
	}
	l.proxy.FailNext("SendMessageBatch", l.queue, sqstest.Fault{Action: sqstest.Cut}, sqstest.Fault{Action: sqstest.Refuse})
	l.publish(2, "a")
	none, all := l.witness.lost()
	require.Empty(t, none, "what was never done has no answer")
	require.Zero(t, all)

	lose("SendMessageBatch")
	l.publish(3, "b")
	sent, _ := l.witness.lost()
	require.Equal(t, []string{"b-0", "b-1", "b-2"}, slices.Sorted(maps.Keys(sent)))

	s := l.broker.Subscriber(l.queue)
	ds := l.next(s, 2+2*3)
	lose("DeleteMessageBatch")
	eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
	require.NoError(t, s.Close(t.Context()))
	deleted, _ := l.witness.lost()
	for _, body := range []string{"a-0", "a-1", "b-0", "b-1", "b-2"} {
		require.Greater(t, deleted[body], sent[body], body)
	}
	require.Equal(t, sqstest.Stats{}, l.server.Stats(l.queue))
}
