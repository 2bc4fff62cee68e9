package broker

import (
	"slices"
	"strconv"
	"time"

	"github.com/eventflow-go/eventflow"
)

// MemoryOption is an option of [NewMemory]. One with a value that cannot be is reported by [Memory.Err] and by
// everything that the broker opens.
type MemoryOption func(*settings) error

type settings struct {
	capacity, capacityBytes int
	deadLetters             int
	maxReceives             int
	maxEvent                int
	lease                   time.Duration
	failWhenFull            bool
	declared                bool
	topics                  []string
}

func defaults() settings {
	return settings{
		capacity:      10_000,
		capacityBytes: 64 << 20,
		deadLetters:   10_000,
		maxEvent:      1 << 20,
		lease:         30 * time.Second,
	}
}

// maxCount bounds what is counted in 32 bits.
const maxCount = 1 << 30

// Capacity is the number of events that each group may hold unsettled: waiting, delayed and handed over. Beyond it
// Publish waits, or fails with [FailWhenFull]. The default is 10,000.
func Capacity(n int) MemoryOption {
	return func(s *settings) error {
		s.capacity = n
		return atLeastOne("broker.Capacity", n, maxCount)
	}
}

// CapacityBytes is the size of what each group may hold unsettled, and of a topic's dead letters: Data, the attributes
// and the texts of an event. A single event that is larger fits into an empty group. Groups of one topic share the
// bytes, and each counts them. The default is 64 MiB.
func CapacityBytes(n int) MemoryOption {
	return func(s *settings) error {
		s.capacityBytes = n
		return atLeastOne("broker.CapacityBytes", n, 1<<62)
	}
}

// FailWhenFull makes Publish refuse what has no room, with [ErrFull] for each such event, instead of waiting.
func FailWhenFull() MemoryOption {
	return func(s *settings) error {
		s.failWhenFull = true
		return nil
	}
}

// Lease is how long a lock is held without a renewal: an abandoned delivery comes back that long after it was
// abandoned. The default is 30 s; at least 1 ms, at most a day.
func Lease(d time.Duration) MemoryOption {
	return func(s *settings) error {
		s.lease = d
		if d < time.Millisecond || d > 24*time.Hour {
			return &eventflow.ConfigError{Field: "broker.Lease", Value: d.String(), Allowed: "1ms to 24h"}
		}
		return nil
	}
}

// MaxReceives is the broker's own limit, as SQS's maxReceiveCount: an event that was handed over n times and comes back
// is dead-lettered by the broker, with reason "receives", when its turn comes. Receives that were no failures count as
// well: hand-backs, lapsed locks. A runner therefore wants it to be at least its attempts and slack, and refuses to
// start otherwise. The default is no limit.
func MaxReceives(n int) MemoryOption {
	return func(s *settings) error {
		s.maxReceives = n
		return atLeastOne("broker.MaxReceives", n, maxCount)
	}
}

// MaxEvent is the largest Data, in bytes, that an event may have; a larger one is refused with
// [eventflow.ErrTooLarge]. The default is 1 MiB.
func MaxEvent(n int) MemoryOption {
	return func(s *settings) error {
		s.maxEvent = n
		return atLeastOne("broker.MaxEvent", n, maxCount)
	}
}

// DeadLetterCapacity is the number of dead letters that a topic keeps. Beyond it Delivery.DeadLetter fails with
// [ErrDeadLettersFull], and the broker's own receive limit does nothing. The default is 10,000.
func DeadLetterCapacity(n int) MemoryOption {
	return func(s *settings) error {
		s.deadLetters = n
		return atLeastOne("broker.DeadLetterCapacity", n, maxCount)
	}
}

// Declare names the topics that there are: any other opens, as opening does no I/O, and is [eventflow.ErrNoTopic] on
// first use. Several Declare add up. Without it, a topic exists once it is named.
func Declare(topics ...string) MemoryOption {
	return func(s *settings) error {
		s.declared = true
		if slices.Contains(topics, "") {
			return &eventflow.ConfigError{Field: "broker.Declare", Allowed: "names that are not empty"}
		}
		s.topics = append(s.topics, topics...)
		return nil
	}
}

func atLeastOne(field string, n, most int) error {
	if n < 1 || n > most {
		return &eventflow.ConfigError{Field: field, Value: strconv.Itoa(n), Allowed: "1 to " + strconv.Itoa(most)}
	}
	return nil
}
