package sqs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// motoTurns is on the way to moto, because moto 5.2.1 cannot be asked as SQS is:
//
//   - Its receive that waits is a loop without a pause while all that is visible is of groups in flight, and Python runs
//     one thread at a time. With 4 of them a change of visibility takes 0.3 s, with 16 of them 7 s: locks end that were
//     renewed in time. Nor does such a receive see that a group has become free, or look again in its last second, and
//     it goes on, and takes messages, when its client is gone.
//   - It has no lock on a queue's messages: each delete replaces the list of them. Of 400 deleted by eight clients at
//     once one was there again. What is sent during a delete may be lost in the same way, and two receives at once may
//     be given the same message.
//
// So requests are sent one at a time, and a receive that waits is sent without waiting, again and again until there are
// messages or its time is over: when another request was about its queue, and after motoPause. What the answers hold is
// moto's alone, and no rule is excused for this.
type motoTurns struct {
	turn  chan struct{} // holds one while a request is at the server
	crowd chan struct{} // holds the one request that may wait for a turn beside renewals and settlements
	open  chan struct{} // holds one for each fixture

	mu      sync.Mutex               // guards touched
	touched map[string]chan struct{} // by queue: closed by the next request that is no receive
}

func newMotoTurns() *motoTurns {
	return &motoTurns{
		turn: make(chan struct{}, 1), crowd: make(chan struct{}, 1), open: make(chan struct{}, motoFixtures),
		touched: map[string]chan struct{}{},
	}
}

const (
	motoPause    = 500 * time.Millisecond // how late a wait may see that a visibility or a delay has ended
	motoFixtures = 8                      // at once: with a backlog of 1,000 messages a request takes up to half a second
)

// before stands before next, a way to the server.
func (m *motoTurns) before(next http.RoundTripper) http.RoundTripper {
	return tripper(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
		var asked struct {
			QueueURL        string
			WaitTimeSeconds int
		}
		if err = json.Unmarshal(body, &asked); err != nil {
			return nil, err
		}
		if r.Header.Get("X-Amz-Target") == "AmazonSQS.ReceiveMessage" {
			return m.receive(next, r, body, asked.QueueURL, time.Duration(asked.WaitTimeSeconds)*time.Second)
		}
		defer m.touch(asked.QueueURL)
		response, _, err := m.send(next, r, body)
		return response, err
	})
}

// receive waits for messages as SQS would.
func (m *motoTurns) receive(next http.RoundTripper, r *http.Request, body []byte, queue string, wait time.Duration) (*http.Response, error) {
	var in map[string]json.RawMessage
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	in["WaitTimeSeconds"] = json.RawMessage("0")
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	for over := time.Now().Add(wait); ; {
		touched := m.next(queue)
		response, answer, err := m.send(next, r, body)
		if err != nil || response.StatusCode != http.StatusOK || bytes.Contains(answer, []byte(`"ReceiptHandle"`)) || !time.Now().Before(over) {
			return response, err
		}
		select {
		case <-touched:
		case <-time.After(min(motoPause, time.Until(over))):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

// await waits for a request's turn, and gives what ends it.
func (m *motoTurns) await(ctx context.Context, action string) (end func(), err error) {
	urgent := strings.Contains(action, "ChangeMessageVisibility") || strings.Contains(action, "DeleteMessage")
	if !urgent {
		select {
		case m.crowd <- struct{}{}:
			defer func() { <-m.crowd }() // the next one may wait beside those that are urgent
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	select {
	case m.turn <- struct{}{}:
		return func() { <-m.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// send sends a request when it is its turn. From then on it is not cancelled: moto would do it all the same, during the
// next one.
func (m *motoTurns) send(next http.RoundTripper, r *http.Request, body []byte) (response *http.Response, answer []byte, err error) {
	end, err := m.await(r.Context(), r.Header.Get("X-Amz-Target"))
	if err != nil {
		return nil, nil, err
	}
	defer end()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), time.Minute)
	defer cancel()
	out := r.Clone(ctx)
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if response, err = next.RoundTrip(out); err != nil {
		return nil, nil, err
	}
	answer, err = io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return nil, nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(answer))
	return response, answer, nil
}

// next is closed when something of a queue may have changed.
func (m *motoTurns) next(queue string) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.touched[queue]
	if c == nil {
		c = make(chan struct{})
		m.touched[queue] = c
	}
	return c
}

func (m *motoTurns) touch(queue string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.touched[queue]; c != nil {
		close(c)
		delete(m.touched, queue)
	}
}
