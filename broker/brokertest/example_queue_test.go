package brokertest_test

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/broker/brokertest"
)

// Queue stands for a broker of somebody else's: one queue per topic, without groups.
type Queue struct{ *broker.Memory }

// NewQueue makes one.
func NewQueue(opts ...broker.MemoryOption) *Queue { return &Queue{broker.NewMemory(opts...)} }

// Features says what a queue promises: no groups.
func (q *Queue) Features() eventflow.Features {
	f := q.Memory.Features()
	f.Groups = false
	return f
}

// OpenSubscriber refuses groups by name.
func (q *Queue) OpenSubscriber(topic string, opts ...eventflow.SubscriberOption) (eventflow.Subscriber, error) {
	var c eventflow.SubscriberConfig
	for _, o := range opts {
		if err := o.ApplySubscriber(&c); err != nil {
			return nil, err
		}
	}
	if c.Group != "" {
		return nil, &eventflow.ConfigError{Field: "eventflow.Group", Value: c.Group, Allowed: "none: a queue has no groups"}
	}
	return q.Memory.OpenSubscriber(topic, opts...)
}

var queues atomic.Int64

// queueHarness is all that the suite must know of a Queue.
func queueHarness() brokertest.Harness {
	return brokertest.Harness{
		Open: func(_ brokertest.T, s brokertest.Setup) *brokertest.Fixture {
			f := &brokertest.Fixture{Broker: NewQueue(broker.Lease(s.Lock))}
			for range s.Topics {
				f.Topics = append(f.Topics, "queue-"+strconv.FormatInt(queues.Add(1), 10))
			}
			return f
		},
		Virtual: true, // it lives in this process and keeps time with package time
		Excused: map[string]string{
			"GroupsEachSeeEveryEvent":             "a queue has no groups",
			"GroupsSettleApart":                   "a queue has no groups",
			"MissingTopicFailsOnUseNotOnOpening":  "a queue exists once it is named",
			"FullGroupMakesPublishersWait":        "a queue is as long as memory",
			"ReceiveLimitDeadLettersOnlyItsEvent": "a queue has no receive limit",
			"DeadLettersHoldTheEventAndItsReason": "the dead letters cannot be read yet",
			"FailedDeadLetterLeavesTheEvent":      "no way to make one fail",
			"RedrivenEventSaysSo":                 "there is no redrive",
			"LostLockIsToldAndFenced":             "no way to take a lock away",
			"SettlementAfterTheLossDoesNothing":   "no way to take a lock away",
			"UnconfirmedLockIsLostBeforeItEnds":   "no way to stop renewals",
			"CrashedConsumersEventsComeBack":      "no way to crash a consumer",
		},
	}
}

// A broker of one's own needs a harness and a test of one line: TestQueue, here a variable.
func Example() {
	var TestQueue = func(t *testing.T) { brokertest.Run(t, queueHarness()) }

	_ = TestQueue
	fmt.Println("a queue is excused from", len(queueHarness().Excused), "rules, and logs them")
	// Output: a queue is excused from 12 rules, and logs them
}

// A harness excuses rules by their names.
func ExampleRules() {
	rules := brokertest.Rules()
	fmt.Println(rules[0])
	excused := queueHarness().Excused
	for _, r := range rules {
		if reason, ok := excused[r]; ok {
			fmt.Println(r+":", reason)
			break
		}
	}
	// Output:
	// FeaturesDoNotChange
	// MissingTopicFailsOnUseNotOnOpening: a queue exists once it is named
}

// Suites on top of this one take the same harness.
func ExampleHarness_WithDefaults() {
	h := brokertest.Harness{Virtual: true}.WithDefaults()
	fmt.Println("waits", h.Patience, "for what must come and", h.Quiet, "for what must not")
	// Output: waits 5m0s for what must come and 20s for what must not
}

func TestQueueOfTheExample(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, queueHarness())
}
