package broker

import (
	"context"

	"github.com/eventflow-go/eventflow"
)

// A publisher of one topic. What it counts is guarded by the topic's mutex.
type publisher struct {
	m         *Memory
	topicName string
	err       error  // of opening
	t         *topic // nil: not declared

	closed bool          // takes no more
	cut    bool          // what it still waits to publish is refused
	active int           // Publish calls under way
	done   chan struct{} // made by a Close that waits; closed by the last of them
}

// Err is what was wrong when it was opened.
func (p *publisher) Err() error { return p.err }

// String names the topic: "memory/TOPIC".
func (p *publisher) String() string { return trigger(p.topicName, "") }

func (p *publisher) Publish(ctx context.Context, events ...eventflow.Event) error {
	switch {
	case p.err != nil:
		return p.err
	case p.t == nil:
		return topicError(p.topicName, eventflow.ErrNoTopic)
	case len(events) == 0:
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if fs := p.m.faults.Load(); fs != nil {
		return fs.publish(ctx, p, events)
	}
	return p.t.publish(ctx, p, events)
}

// Close waits for the Publish calls under way. When ctx ends first, they return ErrClosed for what has found no room.
func (p *publisher) Close(ctx context.Context) error {
	t := p.t
	if t == nil {
		return nil
	}
	t.mu.Lock()
	p.closed = true
	for p.active > 0 {
		if p.done == nil {
			p.done = make(chan struct{})
		}
		done := p.done
		t.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			t.mu.Lock()
			p.cut = true
			for _, x := range t.full {
				signal(x.wake)
			}
			t.mu.Unlock()
			return ctx.Err()
		}
		t.mu.Lock()
	}
	t.mu.Unlock()
	return nil
}
