package broker

import (
	"errors"
	"fmt"

	"github.com/eventflow-go/eventflow"
)

// What the in-memory broker's calls may return besides the errors of package eventflow. Test with [errors.Is].
var (
	// ErrFull is the error of each event that was not taken because a group of its topic holds all that it may
	// ([Capacity], [CapacityBytes]) and the broker was told to fail rather than wait ([FailWhenFull]), and that of a
	// [Memory.Redrive] without room. It goes away when events are settled.
	ErrFull = errors.New("broker: topic is full")

	// ErrDeadLettersFull is matched by the error of a dead letter that was not written because the topic holds all
	// that it may ([DeadLetterCapacity]). The event stays with its consumer.
	ErrDeadLettersFull = errors.New("broker: dead letters are full")

	// ErrInjected is the error of a [Fault] that names none.
	ErrInjected = errors.New("broker: injected fault")
)

// Misuse of a subscriber does not go away by waiting.
var (
	errTwoCallers = fmt.Errorf("called Next by two goroutines at once: %w", eventflow.ErrFatal)
	errTwoStarts  = fmt.Errorf("called Start twice, or after Next: %w", eventflow.ErrFatal)
)
