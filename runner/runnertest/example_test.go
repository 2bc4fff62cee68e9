package runnertest_test

import (
	"fmt"
	"testing"

	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/runner/runnertest"
	"github.com/eventflow-go/eventflow/store"
)

// In a test of your own: here for the memory broker and the memory store, with virtual time. What a harness cannot do
// is excused by name, with the reason.
func ExampleRun() {
	_ = func(t *testing.T) { // TestPromisesOnMyBroker
		excused := map[string]string{}
		for _, rule := range runnertest.Rules() {
			if rule != "AckFollowsSuccess" && rule != "BusyIsNoAttempt" {
				excused[rule] = "asked elsewhere"
			}
		}
		runnertest.Run(t, runnertest.Harness{
			Broker: brokertest.Harness{
				Virtual: true,
				Open: func(_ brokertest.T, s brokertest.Setup) *brokertest.Fixture {
					f := &brokertest.Fixture{Broker: broker.NewMemory(broker.Lease(s.Lock))}
					for i := range s.Topics {
						f.Topics = append(f.Topics, fmt.Sprint("topic-", i))
					}
					return f
				},
			},
			Store:   func(runnertest.T) store.Store { return store.NewMemory() },
			Excused: excused,
		})
	}
}

// The names of the rules say what a runner promises.
func ExampleRules() {
	for _, name := range runnertest.Rules()[:4] {
		fmt.Println(name)
	}
	// Output:
	// AckFollowsSuccess
	// AcknowledgedEventIsNotRunAgain
	// RestartsUnderLoadLoseNothing
	// HeldElsewhereIsNotDone
}
