package runnertest

import (
	"context"
	"fmt"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/broker/brokertest"
)

// openMemory is what a harness without a broker is asked with. It can do all that a rule may need.
func openMemory(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
	f := &brokertest.Fixture{Missing: "missing", MaxReceives: s.MaxReceives}
	for i := range s.Topics {
		f.Topics = append(f.Topics, fmt.Sprintf("topic-%d", i+1))
	}
	opts := []broker.MemoryOption{broker.Declare(f.Topics...), broker.Lease(s.Lock)}
	if s.MaxReceives > 0 {
		opts = append(opts, broker.MaxReceives(s.MaxReceives))
	}
	m := broker.NewMemory(opts...)
	f.Broker = m
	f.DeadLetters = func(_ context.Context, topic string) ([]brokertest.DeadLetter, error) {
		var out []brokertest.DeadLetter
		for _, d := range m.DeadLetters(topic) {
			out = append(out, brokertest.DeadLetter{Event: d.Event, Reason: d.Reason, Flow: d.Flow, Version: d.Version, Attempts: d.Attempts})
		}
		return out, nil
	}
	f.Redrive = func(_ context.Context, topic string) error {
		_, err := m.Redrive(topic)
		return err
	}
	f.Lose = func(_ eventflow.Subscriber, d *eventflow.Delivery) {
		m.Inject(broker.Fault{Kind: broker.LoseLock, Match: func(ev *eventflow.Event) bool { return ev.ID == d.Event.ID }})
	}
	f.Stall = func(eventflow.Subscriber) { m.Inject(broker.Fault{Kind: broker.StopRenewing, Times: -1})() }
	f.Crash = func(s eventflow.Subscriber) {
		if err := m.Crash(s); err != nil {
			t.Errorf("Crash: %v", err)
		}
	}
	return f
}
