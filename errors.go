package eventflow

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What a clock, a subscriber or a publisher may return. Test with [errors.Is]: adapters wrap them with the topic and
// the cause.
var (
	// ErrEnd is returned by [EventClock].Next of a clock that will never have another event. A runner whose clocks
	// have all ended finishes its runs and returns nil.
	ErrEnd = errors.New("eventflow: clock has ended")

	// ErrClosed is returned by a use after Close.
	ErrClosed = errors.New("eventflow: closed")

	// ErrFatal is matched by every error that will not go away by waiting: bad credentials, missing rights, a
	// configuration that the broker refuses. Listen returns it; other errors are waited out with backoff.
	ErrFatal = errors.New("eventflow: will not succeed if retried")

	// ErrNoTopic is returned on first use of a topic, queue or subscription that does not exist. Opening one is no
	// error, because opening does no I/O.
	ErrNoTopic = errors.New("eventflow: topic does not exist")

	// ErrNoDeadLetters is returned by [Delivery.DeadLetter] when its subscriber has nowhere to write one.
	ErrNoDeadLetters = errors.New("eventflow: nowhere to dead-letter to")

	// ErrTooLarge is matched by the error of an event that its broker will never take. It is a permanent failure.
	ErrTooLarge = errors.New("eventflow: event is too large for its broker")
)

// Causes with which a runner cancels the context of a run: ask [context.Cause]. A run that was cancelled by one of
// them has not failed, whatever it returned: it is no attempt.
var (
	// ErrLockLost is the cause when the lock, the partition or the session of the event is gone, or its claim was taken
	// over: another consumer may already run it, so what this run does now should be undone or left alone.
	ErrLockLost = errors.New("eventflow: lock lost")

	// ErrShutdown is the cause when Listen's context ended and the grace period is over.
	ErrShutdown = errors.New("eventflow: grace period is over")

	// ErrOverlap is the cause when the run's clock fired again, and the clock's overlap policy is to cancel the earlier
	// run.
	ErrOverlap = errors.New("eventflow: cancelled by its clock's next fire")

	// ErrRunEnded is the cause after the flow returned: a goroutine that outlives its run sees it.
	ErrRunEnded = errors.New("eventflow: run has ended")
)

// ErrAbandoned is matched by the [AbandonedError] of a Listen that returned while flows still ran.
var ErrAbandoned = errors.New("eventflow: flows ignored their context")

// AbandonedError names the runs that did not return when their context was cancelled, after grace and hard stop. They
// are fenced: whatever they still do, nothing is published, finished or acknowledged for them.
type AbandonedError struct {
	Flow string
	Runs []string // Run.ID of each, at most 100
	More int      // how many beyond those
}

func (e *AbandonedError) Error() string {
	var more string
	if e.More > 0 {
		more = fmt.Sprintf(" and %d more", e.More)
	}
	return fmt.Sprintf("%v: flow %q: %s%s", ErrAbandoned, e.Flow, strings.Join(e.Runs, ", "), more)
}

// Unwrap makes errors.Is(err, ErrAbandoned) true.
func (e *AbandonedError) Unwrap() error { return ErrAbandoned }

// ConfigError says which field has a value that cannot be, and what is allowed. It is final: it matches [ErrFatal].
// Value never holds a secret.
type ConfigError struct {
	Field   string // "runner.MaxRuns", "kafka.Config.Seeds"
	Value   string
	Allowed string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("%s: %q is not allowed: %s", e.Field, e.Value, e.Allowed)
}

// Unwrap makes errors.Is(err, ErrFatal) true: waiting does not mend a configuration.
func (e *ConfigError) Unwrap() error { return ErrFatal }

// Permanent marks err as not worth a retry: the event is dead-lettered after this attempt, with reason "permanent".
// Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// IsPermanent reports whether err, or an error that it wraps, was marked by [Permanent] or is too large for its broker.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p) || errors.Is(err, ErrTooLarge)
}

// Busy says "not now": the event is tried again after the delay and no attempt is counted. Use it for a full
// downstream, a rate limit, a lease held elsewhere. The event keeps its lock and its lane meanwhile. A delay below
// zero is zero.
func Busy(after time.Duration) error { return &BusyError{After: max(after, 0)} }

// BusyError is what [Busy] returns.
type BusyError struct{ After time.Duration }

func (e *BusyError) Error() string { return fmt.Sprintf("busy, try again in %v", e.After) }

// Skip ends the run as Skipped, for the reason given: the event is acknowledged, nothing is published. Reasons are
// counted: let there be few. A runner keeps the first 256 bytes.
func Skip(reason string) error { return &SkipError{Reason: reason} }

// SkipError is what [Skip] returns.
type SkipError struct{ Reason string }

func (e *SkipError) Error() string { return "skipped: " + e.Reason }

// DecodeError is returned by [Flow.Call] when a payload does not fit the flow's parameter. No retry mends it.
type DecodeError struct {
	Flow   string
	Source string // of the event
	ID     string // of the event
	Err    error  // the codec's
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("flow %q cannot decode event %q of %q: %v", e.Flow, e.ID, e.Source, e.Err)
}

// Unwrap gives the codec's error.
func (e *DecodeError) Unwrap() error { return e.Err }

// EncodeError is returned by [Flow.Call] when a result does not fit its codec. No retry mends it.
type EncodeError struct {
	Flow string
	Err  error // the codec's
}

func (e *EncodeError) Error() string {
	return fmt.Sprintf("flow %q cannot encode its result: %v", e.Flow, e.Err)
}

// Unwrap gives the codec's error.
func (e *EncodeError) Unwrap() error { return e.Err }

// ItemError is the error of one element of a slice.
type ItemError struct {
	Index int
	Err   error
}

// PublishError says which events of a call were not taken; the others were. Indexes are those of the call's events, in
// ascending order.
type PublishError struct{ Failed []ItemError }

func (e *PublishError) Error() string { return itemsError("events were not published", e.Failed) }

// Unwrap gives the error of each event that was not taken.
func (e *PublishError) Unwrap() []error { return itemErrors(e.Failed) }

// BatchError is what a flow with a [Batch] returns when some items failed and the rest succeeded. Indexes are those of
// the batch. An error that is no BatchError fails every item.
type BatchError struct{ Items []ItemError }

// Add notes that item i failed. A nil err is not noted.
func (e *BatchError) Add(i int, err error) {
	if err != nil {
		e.Items = append(e.Items, ItemError{Index: i, Err: err})
	}
}

// Err is nil when nothing was added, so that "return failed.Err()" is right.
func (e *BatchError) Err() error {
	if e == nil || len(e.Items) == 0 {
		return nil
	}
	return e
}

// Error and Unwrap bear a nil *BatchError, which a flow returns that forgot Err: it is not nil any more as an error.
func (e *BatchError) Error() string { return itemsError("items failed", e.items()) }

// Unwrap gives the error of each item.
func (e *BatchError) Unwrap() []error { return itemErrors(e.items()) }

func (e *BatchError) items() []ItemError {
	if e == nil {
		return nil
	}
	return e.Items
}

// names reports whether e names at least one item, and none that is not among n.
func (e *BatchError) names(n int) bool {
	for _, it := range e.items() {
		if it.Index < 0 || it.Index >= n {
			return false
		}
	}
	return len(e.items()) > 0
}

// spares reports whether e names some of n items and leaves others.
func (e *BatchError) spares(n int) bool {
	if !e.names(n) {
		return false
	}
	failed, named := make([]bool, n), 0
	for _, it := range e.Items {
		if !failed[it.Index] {
			failed[it.Index] = true
			named++
		}
	}
	return named < n
}

func itemsError(what string, items []ItemError) string {
	if len(items) == 0 {
		return "0 " + what
	}
	return fmt.Sprintf("%d %s, the first at %d: %v", len(items), what, items[0].Index, items[0].Err)
}

func itemErrors(items []ItemError) []error {
	errs := make([]error, len(items))
	for i := range items {
		errs[i] = items[i].Err
	}
	return errs
}
