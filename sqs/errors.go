package sqs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/eventflow-go/eventflow"
)

// AccessError says that the credentials may not do something, or are none. Found at the start of a subscriber it is
// final: it matches [eventflow.ErrFatal]. Later, and of a publisher, it is waited for: rights come back.
type AccessError struct {
	Action string // as policies name it: "sqs:ReceiveMessage", "sts:AssumeRole"
	Queue  string // as it was opened
	Code   string // of the service: "AccessDenied", "InvalidClientTokenId"

	err   error
	final bool
}

// Error names the action, the queue and the code. The service's own text is left out: it may quote the request.
func (e *AccessError) Error() string {
	return fmt.Sprintf("sqs: no right to %s on queue %q (%s)", e.Action, e.Queue, e.Code)
}

// Unwrap gives the client's error, and ErrFatal when it is final.
func (e *AccessError) Unwrap() []error {
	if e.final {
		return []error{e.err, eventflow.ErrFatal}
	}
	return []error{e.err}
}

// SizeError says that an event is larger than SQS takes. It matches [eventflow.ErrTooLarge].
type SizeError struct {
	Size  int // of body and attributes, as SQS counts; 0: only the queue knows
	Limit int // 0: the queue has a limit of its own
}

func (e *SizeError) Error() string {
	if e.Limit == 0 {
		return "sqs: the event is larger than its queue allows"
	}
	return fmt.Sprintf("sqs: the event has %d bytes as a message, at most %d are allowed", e.Size, e.Limit)
}

// Unwrap makes errors.Is(err, ErrTooLarge) true.
func (e *SizeError) Unwrap() error { return eventflow.ErrTooLarge }

// ErrLeft is matched by the error of an event that is exhausted and has no dead letters to go to, with [LeavePoison]: it
// went back to its queue, where it is received again until the queue's retention ends.
var ErrLeft = errors.New("sqs: left in its queue")

// Misuse of a subscriber does not go away by waiting.
var (
	errTwoCallers = fmt.Errorf("called Next by two goroutines at once: %w", eventflow.ErrFatal)
	errTwoStarts  = fmt.Errorf("called Start twice, or after Next: %w", eventflow.ErrFatal)
)

// Codes of the service that mean that the credentials may not, or are none.
var accessCodes = []string{
	"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "NotAuthorized", "KmsAccessDenied",
	"KMS.AccessDeniedException", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId",
	"IncompleteSignature", "MissingAuthenticationToken", "InvalidSecurity", "AuthFailure", "ExpiredToken", "ExpiredTokenException",
	"OptInRequired",
}

// codeOf gives the service's code of an error, without the namespace that some have; "" when it never got there.
func codeOf(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	return shortCode(api.ErrorCode())
}

func shortCode(code string) string {
	return strings.TrimPrefix(code, "AWS.SimpleQueueService.")
}

func isNoQueue(err error) bool {
	if _, ok := errors.AsType[*types.QueueDoesNotExist](err); ok {
		return true
	}
	code := codeOf(err)
	return code == "NonExistentQueue" || code == "QueueDoesNotExist"
}

// explain gives the error of a request as a user should see it. final: it was the start of a subscriber, so what waiting
// does not mend is fatal.
func explain(action, queue string, err error, final bool) error {
	switch code := codeOf(err); {
	case err == nil:
		return nil
	case isNoQueue(err):
		if final {
			return fmt.Errorf("sqs: queue %q: %w: %w", queue, eventflow.ErrNoTopic, eventflow.ErrFatal)
		}
		return fmt.Errorf("sqs: queue %q: %w", queue, eventflow.ErrNoTopic)
	case slices.Contains(accessCodes, code):
		var op *smithy.OperationError
		name := "sqs:" + action
		for e := err; errors.As(e, &op); e = op.Err { // the innermost: the assumed role's, when it is that
			if op.ServiceID == "STS" {
				name = "sts:" + op.OperationName
			}
		}
		return &AccessError{Action: name, Queue: queue, Code: code, err: err, final: final}
	}
	return fmt.Errorf("sqs: %s on queue %q: %w", action, queue, err)
}
