package kafka

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eventflow-go/eventflow"
)

// A publisher of one topic, on the client that its broker's publishers share.
type publisher struct {
	b      *Broker
	topic  string
	source string
	set    publication
	err    error // what was wrong when it was opened

	mu     sync.Mutex // guards what follows
	closed bool
	active int           // Publish calls under way
	done   chan struct{} // made by a Close that waits; closed by the last of them
	cut    chan struct{} // made by the first Publish; closed when Close waits no longer
}

// String names the topic: "kafka/TOPIC".
func (p *publisher) String() string { return p.source }

// Err is what was wrong when it was opened.
func (p *publisher) Err() error { return p.err }

// unknownWait is how long Publish waits, after its context ended, for what became of events that were on their way.
const unknownWait = 500 * time.Millisecond

// Publish hands all events to the client, which sends them in batches, and waits for the cluster's answers. Events of
// one call and one key keep their order. When ctx ends, those that were on their way and of which nothing was heard
// within half a second are said not to be taken, though they may have been.
func (p *publisher) Publish(ctx context.Context, events ...eventflow.Event) error {
	if p.err != nil {
		return p.err
	}
	if len(events) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	cut, err := p.begin()
	if err != nil {
		return err
	}
	defer p.end()
	cl, err := p.b.toPublish(ctx, p.topic)
	if err != nil {
		return p.b.explain(opPublish, p.topic, err, false)
	}
	call := newCall(len(events))
	enc := newEncoder(p.topic, p.set.structured, len(events))
	for i := range events {
		ev := &events[i]
		if ev.ID == "" || ev.Source == "" {
			ev = p.identify(*ev)
		}
		if err := enc.toRecord(ev, &call.records[i]); err != nil {
			call.refuse(&call.records[i], err)
		}
	}
	call.produce(ctx, cl)
	return p.b.published(cl, p.topic, p.explain(ctx, call.wait(ctx, cut)))
}

// identify gives an event the identity that it lacks.
func (p *publisher) identify(ev eventflow.Event) *eventflow.Event {
	if ev.Source == "" {
		ev.Source = p.source
	}
	if ev.ID == "" {
		ev.ID = newID()
	}
	return &ev
}

// IDs of events that have none: of this process, and counted.
var (
	idNonce = rand.Text()[:16]
	ids     atomic.Uint64
)

func newID() string { return idNonce + "-" + strconv.FormatUint(ids.Add(1), 10) }

// explain makes typed errors of the client's.
func (p *publisher) explain(ctx context.Context, failed []eventflow.ItemError) error {
	if len(failed) == 0 {
		return nil
	}
	var was, is error
	for i := range failed {
		if was == nil || failed[i].Err != was { //nolint:errorlint,err113 // the same value, to be explained once
			was = failed[i].Err
			is = p.b.explain(opPublish, p.topic, notOurs(ctx, was), false)
		}
		failed[i].Err = is
	}
	return &eventflow.PublishError{Failed: failed}
}

const opPublish = "publish"

// notOurs hides the end of a context that is not ctx. The client fails all that waits for a topic's partitions when the
// context of the first of them ends, which may be another caller's.
func notOurs(ctx context.Context, err error) error {
	if ctx.Err() != nil || !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return errNeighbour
}

var errNeighbour = errors.New("another publish to the topic was cancelled before its partitions were known")

func (p *publisher) begin() (cut <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("kafka publisher of %s: %w", p.topic, eventflow.ErrClosed)
	}
	if p.cut == nil {
		p.cut = make(chan struct{})
	}
	p.active++
	return p.cut, nil
}

func (p *publisher) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active--
	if p.active == 0 && p.done != nil {
		close(p.done)
		p.done = nil
	}
}

// Close waits for the Publish calls under way. When ctx ends first, they return what is known by then.
func (p *publisher) Close(ctx context.Context) error {
	p.b.forget(p)
	p.mu.Lock()
	p.closed = true
	if p.active == 0 {
		p.mu.Unlock()
		return nil
	}
	if p.done == nil {
		p.done = make(chan struct{})
	}
	done := p.done
	p.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut != nil {
		close(p.cut)
		p.cut = nil
	}
	return ctx.Err()
}
