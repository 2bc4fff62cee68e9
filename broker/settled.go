package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/eventflow-go/eventflow"
)

// WaitSettled waits until everything that was published to the topics is acknowledged or dead-lettered in each of their
// groups, all at one moment. Without topics it waits for all of the broker's. A topic without a group is settled, for
// nobody will consume it; a group whose consumer only looks on in the end is not, so name the topics when there is one.
//
// When ctx ends it returns an error that says where the events are. A topic that nobody has named before is
// [eventflow.ErrNoTopic]: it is misspelt.
func (m *Memory) WaitSettled(ctx context.Context, topics ...string) error {
	for {
		ts := m.all()
		if len(topics) > 0 {
			ts = ts[:0]
			for _, name := range topics {
				t := m.known(name)
				if t == nil {
					return topicError(name, eventflow.ErrNoTopic)
				}
				ts = append(ts, t)
			}
		}
		// What one topic's flow publishes to another may be seen by neither, when they are looked at one after the other.
		// Two looks that find the same are one moment.
		first, busy, err := look(ts)
		if err != nil {
			return err
		}
		if busy == nil {
			var second []int64
			if second, busy, err = look(ts); err != nil {
				return err
			}
			if busy == nil && slices.Equal(first, second) {
				return nil
			}
		}
		if busy == nil {
			continue
		}
		if err := busy.waitIdle(ctx); err != nil {
			return fmt.Errorf("memory broker: not settled: %s: %w", where(ts), err)
		}
	}
}

// look gives what was ever taken by each topic, or one that has something unsettled.
func look(ts []*topic) ([]int64, *topic, error) {
	taken := make([]int64, len(ts))
	for i, t := range ts {
		t.mu.Lock()
		n := t.unsettled()
		taken[i] = t.taken
		closed := t.closed
		t.mu.Unlock()
		if n > 0 {
			if closed {
				return nil, nil, t.wrap(eventflow.ErrClosed)
			}
			return nil, t, nil
		}
	}
	return taken, nil, nil
}

// waitIdle waits until the topic was settled for a moment.
func (t *topic) waitIdle(ctx context.Context) error {
	t.mu.Lock()
	if t.closed || t.unsettled() == 0 {
		t.mu.Unlock()
		return nil
	}
	wake := make(chan struct{}, 1)
	t.idle = append(t.idle, wake)
	t.mu.Unlock()
	select {
	case <-wake:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	t.idle = slices.DeleteFunc(t.idle, func(c chan struct{}) bool { return c == wake })
	t.mu.Unlock()
	return ctx.Err()
}

// where says what is unsettled, for the one whose test has hung.
func where(ts []*topic) string {
	var parts []string
	for _, t := range ts {
		t.mu.Lock()
		for _, g := range t.groups {
			if t.adopted && g.live > 0 {
				parts = append(parts, fmt.Sprintf("%s: %d waiting, %d delayed, %d handed over, %d consumers",
					trigger(t.name, g.name), g.queued, g.delayed, g.live-g.queued-g.delayed, g.consumers))
			}
		}
		t.mu.Unlock()
	}
	return strings.Join(parts, "; ")
}
