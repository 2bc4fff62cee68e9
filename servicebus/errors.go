package servicebus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"

	"github.com/eventflow-go/eventflow"
)

// What goes wrong between a program and its namespace, besides the errors of package eventflow. Test with [errors.Is].
var (
	// ErrUnauthorized is matched when the key, the signature or the credential is refused, or lacks a right.
	ErrUnauthorized = errors.New("servicebus: not authorised")

	// ErrSessions is matched when an entity requires sessions and the caller uses none, or the other way round.
	ErrSessions = errors.New("servicebus: sessions are required, or not supported")

	// ErrFull is matched when the entity has reached its size. It goes away when messages are consumed.
	ErrFull = errors.New("servicebus: entity is full")
)

// Error is what the service or the way to it said about an entity, and what to do about it. It holds no secret.
type Error struct {
	Entity string
	Do     string // what helps; "" when waiting does
	Err    error  // the client's, or one of package eventflow

	kind  error // what it matches besides; nil: nothing
	final bool  // matches eventflow.ErrFatal
}

func (e *Error) Error() string {
	text := fmt.Sprintf("servicebus: %q: ", e.Entity)
	if e.kind != nil {
		text += strings.TrimPrefix(strings.TrimPrefix(e.kind.Error(), "servicebus: "), "eventflow: ") + ": "
	}
	if e.Do != "" {
		text += e.Do + ": "
	}
	return text + e.Err.Error()
}

// Unwrap gives the client's error, and the sentinels that say what kind it is of.
func (e *Error) Unwrap() []error {
	errs := []error{e.Err}
	if e.kind != nil {
		errs = append(errs, e.kind)
	}
	if e.final {
		errs = append(errs, eventflow.ErrFatal)
	}
	return errs
}

// explain says what an error of the client means for an entity. right is the one that the call needs.
func explain(entity, right string, err error) error {
	if err == nil || errors.Is(err, eventflow.ErrClosed) {
		return err
	}
	if _, ok := errors.AsType[*eventflow.ConfigError](err); ok {
		return err
	}
	e := &Error{Entity: entity, Err: err}
	if errors.Is(err, azservicebus.ErrMessageTooLarge) {
		e.kind = eventflow.ErrTooLarge
		return e
	}
	code := codeOf(err)
	condition := conditionOf(err)
	switch {
	case code == azservicebus.CodeClosed:
		e.kind = eventflow.ErrClosed
	case code == azservicebus.CodeUnauthorizedAccess || condition == amqp.ErrCondUnauthorizedAccess:
		e.kind, e.final = ErrUnauthorized, true
		e.Do = "check the key or credential, and that it has the right " + right + " here"
	case code == azservicebus.CodeNotFound || condition == amqp.ErrCondNotFound:
		e.kind, e.final = eventflow.ErrNoTopic, true
		e.Do = "create the queue, topic or subscription, or mend its name"
	case code == azservicebus.CodeLockLost || condition == conditionLockLost || condition == conditionSessionLost:
		e.kind = eventflow.ErrLockLost
	case condition == amqp.ErrCondMessageSizeExceeded:
		e.kind = eventflow.ErrTooLarge
	case condition == amqp.ErrCondResourceLimitExceeded:
		e.kind = ErrFull
	case condition == amqp.ErrCondNotAllowed && strings.Contains(strings.ToLower(err.Error()), "session"):
		e.kind, e.final = ErrSessions, true
		switch {
		case right == rightSend:
			e.Do = "give each event a Key, which becomes its session"
		case strings.Contains(err.Error(), "does not require sessions"):
			e.Do = "open it without servicebus.Sessions"
		default:
			e.Do = "open it with servicebus.Sessions"
		}
	case condition == amqp.ErrCondNotAllowed:
		e.final = true
		e.Do = "it is not an entity that can be used like this"
	}
	return e
}

const (
	rightListen = "Listen"
	rightSend   = "Send"

	conditionLockLost    = amqp.ErrCond("com.microsoft:message-lock-lost")
	conditionSessionLost = amqp.ErrCond("com.microsoft:session-lock-lost")
)

// later makes an error that was final at the start one to be waited for: an entity that was deleted may be made again.
func later(err error) error {
	if e, ok := errors.AsType[*Error](err); ok && e.final {
		waits := *e
		waits.final = false
		return &waits
	}
	return err
}

func codeOf(err error) azservicebus.Code {
	if e, ok := errors.AsType[*azservicebus.Error](err); ok {
		return e.Code
	}
	return ""
}

func conditionOf(err error) amqp.ErrCond {
	if e, ok := errors.AsType[*amqp.Error](err); ok {
		return e.Condition
	}
	return ""
}

// isEnded reports whether err is of a context that is over.
func isEnded(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Misuse of a subscriber does not go away by waiting.
var (
	errTwoCallers = fmt.Errorf("called Next by two goroutines at once: %w", eventflow.ErrFatal)
	errTwoStarts  = fmt.Errorf("called Start twice, or after Next: %w", eventflow.ErrFatal)
)
