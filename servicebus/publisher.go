package servicebus

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/eventflow-go/eventflow"
)

// Publisher publishes to one queue or topic: what [Broker.Publisher] and [Broker.OpenPublisher] give.
type Publisher struct {
	b      *Broker
	entity string
	set    publication
	err    error // of opening

	mu     sync.Mutex // guards what follows
	sender *sender
	closed bool
	active int           // Publish calls under way
	done   chan struct{} // made by a Close that waits; closed by the last of them
}

var _ eventflow.Publisher = (*Publisher)(nil)

// Err is what was wrong when it was opened.
func (p *Publisher) Err() error { return p.err }

// String names namespace and entity: "servicebus/NAMESPACE/ENTITY".
func (p *Publisher) String() string { return origin(p.b.namespace, p.entity) }

// Publish sends events in batches as large as the service takes. The message ID is the event's: an entity with duplicate
// detection takes each once. The Key is the session, and the partition key where there are no sessions.
//
// Batches are sent in order, and none after one that failed: its events and those behind them are in the
// *[eventflow.PublishError], each with the reason. Events that are too large are in it by themselves.
func (p *Publisher) Publish(ctx context.Context, events ...eventflow.Event) error {
	var at time.Time
	if p.set.delay > 0 {
		at = time.Now().Add(p.set.delay)
	}
	return p.publish(ctx, at, events)
}

// PublishAt publishes events that consumers see from a time on, by the service's clock. One that is past is now. AMQP counts
// whole milliseconds: a time between two of them is the later one.
func (p *Publisher) PublishAt(ctx context.Context, at time.Time, events ...eventflow.Event) error {
	return p.publish(ctx, at, events)
}

func (p *Publisher) publish(ctx context.Context, at time.Time, events []eventflow.Event) error {
	switch {
	case p.err != nil:
		return p.err
	case len(events) == 0:
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s, err := p.begin()
	if err != nil {
		return err
	}
	defer p.end()
	o := outgoing{ctx: ctx, p: p, l: s, at: at}
	o.send(events)
	if o.fatal {
		p.drop(s)
	}
	if len(o.failed) == 0 {
		return nil
	}
	slices.SortFunc(o.failed, func(a, b eventflow.ItemError) int { return a.Index - b.Index })
	return &eventflow.PublishError{Failed: o.failed}
}

// begin counts a call, and gives the sender.
func (p *Publisher) begin() (*sender, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, &Error{Entity: p.entity, Err: eventflow.ErrClosed}
	}
	if p.sender == nil {
		p.sender = newSender(p.b, p.entity)
	}
	p.active++
	return p.sender, nil
}

func (p *Publisher) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active--; p.active == 0 && p.done != nil {
		close(p.done)
		p.done = nil
	}
}

// drop forgets a sender whose link will not work again: that an entity was not there is final for its link.
func (p *Publisher) drop(s *sender) {
	p.mu.Lock()
	if p.sender == s {
		p.sender = nil
	}
	p.mu.Unlock()
	s.close()
}

// closeTime is how long the end of a link is waited for that nobody needs any more.
const closeTime = 2 * time.Second

// Close waits for the Publish calls under way, as long as ctx lets it, and closes the link.
func (p *Publisher) Close(ctx context.Context) error {
	if p.err != nil {
		return nil //nolint:nilerr // it was never opened
	}
	p.b.open.Remove(p)
	p.mu.Lock()
	p.closed = true
	var err error
	for p.active > 0 && err == nil {
		if p.done == nil {
			p.done = make(chan struct{})
		}
		done := p.done
		p.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			err = ctx.Err()
		}
		p.mu.Lock()
	}
	s := p.sender
	p.sender = nil
	p.mu.Unlock()
	if s != nil {
		s.close()
	}
	return err
}

// outgoing is one call of Publish.
type outgoing struct {
	ctx    context.Context
	p      *Publisher
	l      *sender
	at     time.Time
	failed []eventflow.ItemError
	fatal  bool

	batch   *azservicebus.MessageBatch // nil: none is open
	in      []int                      // the indexes of its events
	key     string                     // of its events, when each key has batches of its own
	stopped error                      // after which nothing is sent
}

func (o *outgoing) fail(err error, indexes ...int) {
	for _, i := range indexes {
		o.failed = append(o.failed, eventflow.ItemError{Index: i, Err: err})
	}
}

// stop is fail of what makes sending more pointless, or out of order.
func (o *outgoing) stop(err error, indexes ...int) {
	err = explain(o.p.entity, rightSend, err)
	o.fatal = isFinal(err)
	o.stopped = err
	o.fail(err, indexes...)
}

func (o *outgoing) send(events []eventflow.Event) {
	for i := range events {
		if o.stopped != nil {
			o.fail(o.stopped, i)
			continue
		}
		m, err := encode(&events[i], &o.p.set, o.at)
		if err != nil {
			o.fail(err, i)
			continue
		}
		if len(events) == 1 {
			o.alone(m, i)
			return
		}
		o.add(m, i, events[i].Key)
	}
	o.flush()
}

// add puts a message into the batch, and sends the batch first when it has no room.
func (o *outgoing) add(m *azservicebus.AMQPAnnotatedMessage, i int, key string) {
	if o.p.set.partitioned && o.key != key {
		o.flush()
	}
	for o.stopped == nil {
		if o.batch == nil {
			var b *azservicebus.MessageBatch
			err := o.try(func(ctx context.Context, s *azservicebus.Sender) (err error) {
				b, err = s.NewMessageBatch(ctx, nil)
				return err
			})
			if err != nil {
				o.stop(err, i)
				return
			}
			o.batch, o.key = b, key
		}
		err := o.batch.AddAMQPAnnotatedMessage(m, nil)
		switch {
		case err == nil:
			o.in = append(o.in, i)
			return
		case !errors.Is(err, azservicebus.ErrMessageTooLarge):
			o.fail(explain(o.p.entity, rightSend, err), i) // it cannot be written
			return
		case len(o.in) > 0:
			o.flush()
			continue
		}
		o.alone(m, i) // some tiers take a message that no batch takes
		return
	}
	o.fail(o.stopped, i)
}

// alone sends a message by itself.
func (o *outgoing) alone(m *azservicebus.AMQPAnnotatedMessage, i int) {
	err := o.try(func(ctx context.Context, s *azservicebus.Sender) error {
		return s.SendAMQPAnnotatedMessage(ctx, m, nil)
	})
	switch {
	case err == nil:
	case errors.Is(err, azservicebus.ErrMessageTooLarge):
		o.fail(explain(o.p.entity, rightSend, err), i)
	default:
		o.stop(err, i)
	}
}

// flush sends the batch.
func (o *outgoing) flush() {
	b, in := o.batch, o.in
	o.batch, o.in = nil, nil
	if len(in) == 0 {
		return
	}
	err := o.try(func(ctx context.Context, s *azservicebus.Sender) error { return s.SendMessageBatch(ctx, b, nil) })
	if err != nil {
		o.stop(err, in...)
	}
}

// tries is how often a call is made whose link breaks.
const tries = 4

// try calls f with a sender, and again when its link breaks under it. What was sent and not confirmed is sent twice then,
// with the same message ID.
func (o *outgoing) try(f func(ctx context.Context, s *azservicebus.Sender) error) error {
	for n := 1; ; n++ {
		c, err := o.l.enter(o.ctx)
		if err == nil {
			err = c.use(func(ctx context.Context) error { return f(ctx, o.l.s) })
			o.l.leave(c, err)
		}
		if err == nil || n == tries || o.ctx.Err() != nil || errors.Is(err, errShut) || isFinal(explain(o.p.entity, rightSend, err)) || errors.Is(err, azservicebus.ErrMessageTooLarge) {
			return err
		}
		t := time.NewTimer(50 * time.Millisecond << n)
		select {
		case <-t.C:
		case <-o.ctx.Done():
			t.Stop()
			return err
		}
	}
}
