package brokertest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/broker/brokertest"
)

// memory is the harness of the in-memory broker.
func memory() brokertest.Harness { return brokertest.Harness{Open: openMemory} }

func openMemory(t brokertest.T, s brokertest.Setup) *brokertest.Fixture {
	f := &brokertest.Fixture{Missing: "missing", MaxReceives: s.MaxReceives, Capacity: s.Capacity}
	for i := range s.Topics {
		f.Topics = append(f.Topics, fmt.Sprintf("topic-%d", i+1))
	}
	const dead = 4
	opts := []broker.MemoryOption{broker.Declare(f.Topics...), broker.Lease(s.Lock), broker.DeadLetterCapacity(dead)}
	if s.MaxReceives > 0 {
		opts = append(opts, broker.MaxReceives(s.MaxReceives))
	}
	if s.Capacity > 0 {
		opts = append(opts, broker.Capacity(s.Capacity))
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
	f.BreakDeadLetters = func(ctx context.Context, topic string) error {
		return fillDeadLetters(ctx, m, topic, s.Groups[0], dead)
	}
	f.Lose = func(_ eventflow.Subscriber, d *eventflow.Delivery) {
		m.Inject(broker.Fault{Kind: broker.LoseLock, Match: func(ev *eventflow.Event) bool { return ev.ID == d.Event.ID }})
	}
	f.Stall = func(eventflow.Subscriber) { // what is held at the moment, by its one consumer
		m.Inject(broker.Fault{Kind: broker.StopRenewing, Times: -1})()
	}
	f.Crash = func(s eventflow.Subscriber) {
		if err := m.Crash(s); err != nil {
			t.Errorf("Crash: %v", err)
		}
	}
	return f
}

// fillDeadLetters leaves no room for another dead letter. What it publishes for that is dead-lettered in one group and
// acknowledged in the rule's.
func fillDeadLetters(ctx context.Context, m *broker.Memory, topic, group string, n int) error {
	settle := map[string]func(*eventflow.Delivery) error{
		"dead": func(d *eventflow.Delivery) error { return d.DeadLetter(ctx, eventflow.Failure{Reason: "permanent"}) },
		group:  func(d *eventflow.Delivery) error { d.Ack(); return nil },
	}
	subs := map[string]eventflow.Subscriber{}
	for name := range settle {
		subs[name] = m.Subscriber(topic, eventflow.Group(name))
	}
	for i := range n {
		if err := m.Publisher(topic).Publish(ctx, eventflow.Event{ID: fmt.Sprintf("dead-%d", i)}); err != nil {
			return err
		}
		for name, s := range subs {
			ds, err := s.Next(ctx, eventflow.Want{Events: 1})
			if err != nil {
				return err
			}
			if err := settle[name](ds[0]); err != nil {
				return err
			}
		}
	}
	for _, s := range subs {
		if err := s.Close(ctx); err != nil {
			return err
		}
	}
	return nil
}

func TestMemory(t *testing.T) {
	t.Parallel()
	h := memory()
	h.Lock, h.Delay, h.Quiet = 500*time.Millisecond, 200*time.Millisecond, 100*time.Millisecond
	brokertest.Run(t, h)
}

func TestMemoryInVirtualTime(t *testing.T) {
	t.Parallel()
	h := memory()
	h.Virtual = true
	brokertest.Run(t, h)
}
