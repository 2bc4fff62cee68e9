package brokertest

import (
	"context"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/internal/conform"
)

// T is the part of a test that rules and harnesses use; *testing.T is one. It is not *testing.T itself so that the
// suite can be run against brokers that are meant to fail.
type T = conform.T

// Harness is a broker under test: how to open it, how it keeps time, and what it is excused from. The same harness
// serves runner/runnertest.
type Harness struct {
	// Open opens a broker with topics that nobody has used. It fails t when it cannot. What it starts it ends with
	// t.Cleanup; it does not close the broker.
	Open func(t T, s Setup) *Fixture

	// Virtual runs every rule in a synctest bubble. The broker must live in this process and be opened by Open. The
	// rules run one after another; without Virtual they run at the same time.
	Virtual bool

	// Lock is the lock duration that rules ask for when they wait for one to end: the shortest that the broker can do.
	// Default: 1 s, virtual 30 s.
	Lock time.Duration
	// Delay is what rules give to Nack and Release, cut to Features.MaxNack. Default: 1 s, virtual 90 s.
	Delay time.Duration
	// Quiet is how long rules wait to see that nothing comes. Default: 250 ms, virtual 20 s.
	Quiet time.Duration
	// Patience is how long rules wait for what must come, beyond locks and delays. Default: 15 s, virtual 5 min.
	Patience time.Duration

	// Excused maps rules that are not asked to the reason. Every rule that the broker's Features or the fixture exclude
	// must be in it. See [Rules].
	Excused map[string]string

	// IgnoreGoroutine is asked about each goroutine that a closed broker left running; stack holds its frames. It is
	// for what the process shares, such as the idle connections of a transport. Nil ignores none.
	IgnoreGoroutine func(stack string) bool
}

// WithDefaults fills what is zero. Run does so by itself; it is for suites that take the same harness.
func (h Harness) WithDefaults() Harness {
	lock, delay, quiet, patience := time.Second, time.Second, 250*time.Millisecond, 15*time.Second
	if h.Virtual {
		lock, delay, quiet, patience = 30*time.Second, 90*time.Second, 20*time.Second, 5*time.Minute
	}
	for _, f := range []struct {
		field *time.Duration
		zero  time.Duration
	}{{&h.Lock, lock}, {&h.Delay, delay}, {&h.Quiet, quiet}, {&h.Patience, patience}} {
		if *f.field <= 0 {
			*f.field = f.zero
		}
	}
	return h
}

// LongLock is what rules ask for when no lock may end while they wait: four times Patience.
func (h Harness) LongLock() time.Duration { return 4 * h.WithDefaults().Patience }

// Setup is what a rule wants of its broker. A harness does what it can and says in the [Fixture] what that was.
type Setup struct {
	Topics      int           // how many; at least 1
	Groups      []string      // the groups that will be used on each, when Features.Groups
	Lock        time.Duration // how long a lock lasts without a renewal; never 0
	MaxReceives int           // receives after which the broker itself dead-letters an event; 0: no limit within reach
	Capacity    int           // unsettled events at which Publish waits; 0: a thousand or more
}

// Fixture is what Open opened. Functions that are nil and limits that are 0 are what the broker cannot do. The functions
// may be called by any goroutine of the rule.
type Fixture struct {
	Broker eventflow.Broker
	Topics []string // as many as Setup.Topics
	// Missing names a topic that does not exist and is not made by using it; "": every topic exists.
	Missing string

	// PublisherOptions and SubscriberOptions are given to everything that is opened. The suite adds eventflow.Group by
	// itself when Features.Groups.
	PublisherOptions  []eventflow.PublisherOption
	SubscriberOptions []eventflow.SubscriberOption

	// Lock, MaxReceives and Capacity are what the setup's became; a zero Lock is the setup's.
	Lock        time.Duration
	MaxReceives int
	Capacity    int

	// Keys gives n different values for Event.Key, of different lanes as far as the topic has so many and at least of
	// three. Nil: any keys are.
	Keys func(topic string, n int) []string

	// Stable returns when so many consumers share a group in peace, with no rebalance under way. Nil: they always do.
	Stable func(ctx context.Context, topic, group string, consumers int) error

	// DeadLetters lists the dead letters of a topic, of all groups, without taking them away.
	DeadLetters func(ctx context.Context, topic string) ([]DeadLetter, error)
	// Redrive puts the dead letters of a topic back to where they came from.
	Redrive func(ctx context.Context, topic string) error
	// BreakDeadLetters makes every later Delivery.DeadLetter of a topic fail, as one with no room or no rights left.
	BreakDeadLetters func(ctx context.Context, topic string) error

	// Lose takes the lock of d away as the broker would, behind the back of s, which holds it.
	Lose func(s eventflow.Subscriber, d *eventflow.Delivery)
	// Stall lets s have no renewal confirmed from now on, as a network that swallows packets does.
	Stall func(s eventflow.Subscriber)
	// Crash ends s as the death of its process would: no renewal, no mark, nothing handed back.
	Crash func(s eventflow.Subscriber)
}

// DeadLetter is a dead letter as a [Fixture] reads it.
type DeadLetter struct {
	Event         eventflow.Event // the attributes that the dead letter added may be among its own
	Reason        string
	Flow, Version string
	Attempts      int
}
