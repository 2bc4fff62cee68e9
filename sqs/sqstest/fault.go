package sqstest

import "time"

// Request is one request of a client, before it is done.
type Request struct {
	Action    string // as the protocol names it: "ReceiveMessage", "DeleteMessageBatch"
	Queue     string // by name; "" when it is about none
	AccessKey string
}

// Action is what a [Fault] does.
type Action int

// The actions.
const (
	Pass      Action = iota // nothing: the request goes its way, after Fault.Delay
	Refuse                  // answered with an error, and not done unless Fault.Applied
	Cut                     // the connection is cut
	Silence                 // there is no answer until the client gives up
	Duplicate               // done twice: a standard queue takes a message twice, what is received can be received again at once
)

// Fault is what becomes of one request. The zero Fault does nothing.
type Fault struct {
	Action Action

	// Applied lets the request take effect before the action, so that only its answer is lost: what was sent is in the
	// queue, what was received is in flight, what was deleted is gone.
	Applied bool

	// Delay holds the request up, by the server's clock, before anything else; with Applied it is done at once and the
	// answer is held up.
	Delay time.Duration

	// Code and Message are the error of Refuse; "RequestThrottled" when empty. The status is that of the code:
	// "InternalError" is a 500, "ServiceUnavailable" a 503.
	Code, Message string

	// Entries makes Refuse concern the first so many entries of a batch alone; the others are done.
	Entries int
}

func (f Fault) refusal() *refusal {
	r := refusal{codeThrottled, "A fault that a test asked for."}
	if f.Code != "" {
		r.code = f.Code
	}
	if f.Message != "" {
		r.message = f.Message
	}
	return &r
}
