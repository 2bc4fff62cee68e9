package runnertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker/brokertest"
	"github.com/eventflow-go/eventflow/store"
)

// bench is what one rule works with: a broker, a store, the processes that run on them, and the record of what those
// did.
type bench struct {
	T
	h        Harness
	f        *brokertest.Fixture
	features eventflow.Features
	topics   []string
	lock     time.Duration // how long a lock lasts here
	lease    time.Duration // and a claim
	store    store.Store
	log      *journal

	spawned sync.WaitGroup

	mu   sync.Mutex // guards what follows
	pubs map[string]eventflow.Publisher
	subs []eventflow.Subscriber
}

// open opens a broker and a store for one rule and closes them when it ends.
func open(t T, h Harness, r *rule) *bench {
	t.Helper()
	s := r.setup(h)
	f := h.Broker.Open(t, s)
	if f == nil || f.Broker == nil || len(f.Topics) < s.Topics {
		t.Fatalf("Harness.Broker.Open gave no broker, or fewer than %d topics", s.Topics)
	}
	b := &bench{T: t, h: h, f: f, features: f.Broker.Features(), topics: f.Topics, lock: f.Lock, lease: r.lease(h),
		store: h.Store(t), log: newJournal(), pubs: map[string]eventflow.Publisher{}}
	if b.lock == 0 {
		b.lock = s.Lock
	}
	t.Cleanup(b.close)
	return b
}

// close waits for the runners, whose context has ended, and closes what is still open.
func (b *bench) close() {
	ctx, cancel := context.WithTimeout(context.Background(), b.h.Broker.Patience)
	defer cancel()
	runnersGone := b.joined(ctx)
	b.mu.Lock()
	subs, pubs := b.subs, b.pubs
	b.mu.Unlock()
	for _, s := range subs {
		_ = s.Close(ctx)
	}
	for _, p := range pubs {
		_ = p.Close(ctx)
	}
	_ = b.f.Broker.Close(ctx)
	if !runnersGone && !b.joined(ctx) {
		b.Errorf("a runner did not return %v after its context had ended, or a flow of it", b.h.Broker.Patience)
	}
}

// joined waits for the goroutines of the rule.
func (b *bench) joined(ctx context.Context) bool {
	gone := make(chan struct{})
	go func() {
		b.spawned.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return true
	case <-ctx.Done():
		return false
	}
}

// spawn runs f in a goroutine that the rule's end waits for. It must not call Fatal.
func (b *bench) spawn(f func()) <-chan struct{} {
	done := make(chan struct{})
	b.spawned.Go(func() {
		defer close(done)
		f()
	})
	return done
}

// within gives a context for something that must happen in that time.
func (b *bench) within(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.Context(), d)
}

// sleep waits for time itself: a lock or a lease to end.
func (b *bench) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.Context().Done():
	}
}

func (b *bench) patience() time.Duration { return b.h.Broker.Patience }

// lapse is how long it may take until what a dead process held runs elsewhere: its lock ends, and its lease, one after
// the other at worst.
func (b *bench) lapse() time.Duration { return b.lock + 2*b.lease + b.patience() }

// pause is the runners' backoff: what a rule waits for between two attempts.
func (b *bench) pause() time.Duration {
	if b.h.Broker.Virtual {
		return time.Second
	}
	return 20 * time.Millisecond
}

// grace is long enough for a run that ends, and for a long poll.
func (b *bench) grace() time.Duration { return b.patience() / 3 }

// until waits for a change of the record that makes cond true.
func (b *bench) until(within time.Duration, what string, cond func() bool) {
	b.Helper()
	if !b.happens(within, cond) {
		b.Fatalf("waited %v for this: %s. What happened:%s", within, what, b.log.tail())
	}
}

func (b *bench) happens(within time.Duration, cond func() bool) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		changed := b.log.watch()
		if cond() {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return cond()
		case <-b.Context().Done():
			return false
		}
	}
}

// await waits for a channel to be closed.
func (b *bench) await(done <-chan struct{}, what string) {
	b.Helper()
	t := time.NewTimer(b.patience())
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		b.Fatalf("waited %v for %s. What happened:%s", b.patience(), what, b.log.tail())
	}
}

// keys gives n different keys, of different lanes where the topic has so many.
func (b *bench) keys(n int) []string {
	if b.f.Keys != nil {
		return b.f.Keys(b.topics[0], n)
	}
	ks := make([]string, n)
	for i := range ks {
		ks[i] = fmt.Sprintf("key-%d", i+1)
	}
	return ks
}

// events makes n events with IDs "e-1" to "e-n", each of a key of its own. Their data is their ID.
func (b *bench) events(n int) []eventflow.Event {
	evs := make([]eventflow.Event, n)
	for i, k := range b.keys(n) {
		evs[i] = newEvent(fmt.Sprintf("e-%d", i+1), k)
	}
	return evs
}

// lane makes n events of one key, with IDs "NAME-1" to "NAME-n".
func lane(name, key string, n int) []eventflow.Event {
	evs := make([]eventflow.Event, n)
	for i := range evs {
		evs[i] = newEvent(fmt.Sprintf("%s-%d", name, i+1), key)
	}
	return evs
}

func newEvent(id, key string) eventflow.Event {
	return eventflow.Event{ID: id, Source: "runnertest", Type: "runnertest.event", Key: key, Data: []byte(id)}
}

// publisher gives the rule's own publisher of a topic.
func (b *bench) publisher(topic string) eventflow.Publisher {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.pubs[topic]; p != nil {
		return p
	}
	p, err := b.f.Broker.OpenPublisher(topic, b.f.PublisherOptions...)
	if err != nil {
		b.Fatalf("OpenPublisher: %v", err)
	}
	b.pubs[topic] = p
	return p
}

// publish publishes to the rule's first topic.
func (b *bench) publish(evs ...eventflow.Event) {
	b.Helper()
	b.publishTo(b.topics[0], evs...)
}

func (b *bench) publishTo(topic string, evs ...eventflow.Event) {
	b.Helper()
	ctx, cancel := b.within(b.patience())
	defer cancel()
	if err := b.publisher(topic).Publish(ctx, evs...); err != nil {
		b.Fatalf("Publish of %d events: %v", len(evs), err)
	}
}

// subscriber opens a consumer of a topic.
func (b *bench) subscriber(topic, group string) eventflow.Subscriber {
	b.Helper()
	opts := slices.Clone(b.f.SubscriberOptions)
	if b.features.Groups {
		opts = append(opts, eventflow.Group(group))
	}
	s, err := b.f.Broker.OpenSubscriber(topic, opts...)
	if err != nil {
		b.Fatalf("OpenSubscriber: %v", err)
	}
	b.mu.Lock()
	b.subs = append(b.subs, s)
	b.mu.Unlock()
	return s
}

// consume opens a plain consumer of a topic, without a runner, and gives what it has been handed over and has
// acknowledged when enough says so, or when the time is over. It closes the consumer.
func (b *bench) consume(topic string, within time.Duration, enough func([]*eventflow.Delivery) bool) []*eventflow.Delivery {
	b.Helper()
	s := b.subscriber(topic, group)
	starting, cancelStart := b.within(b.patience())
	defer cancelStart()
	if err := s.Start(starting, eventflow.Listening{}); err != nil {
		b.Fatalf("Start: %v", err)
	}
	ctx, cancel := b.within(within)
	defer cancel()
	var got []*eventflow.Delivery
	for !enough(got) {
		ds, err := s.Next(ctx, eventflow.Want{Events: 100})
		for _, d := range ds {
			d.Ack()
		}
		got = append(got, ds...)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, eventflow.ErrFatal), errors.Is(err, eventflow.ErrClosed), errors.Is(err, eventflow.ErrEnd):
			b.Fatalf("Next: %v", err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	closing, cancelClose := b.within(b.patience())
	defer cancelClose()
	if err := s.Close(closing); err != nil {
		b.Fatalf("Close: %v", err)
	}
	return got
}

// nothingLeft fails the rule when a topic still has something for a consumer.
func (b *bench) nothingLeft(topic, why string) {
	b.Helper()
	for _, d := range b.consume(topic, b.h.Broker.Quiet, func([]*eventflow.Delivery) bool { return false }) {
		b.Errorf("%s, and yet %s was handed over again. What happened:%s", why, d.Event.ID, b.log.tail())
	}
}

// results reads a topic of results: the events by their data, which is the ID of the input. It waits for one of each
// input, and a while for more.
func (b *bench) results(topic string, inputs int) map[string][]eventflow.Event {
	b.Helper()
	out := map[string][]eventflow.Event{}
	add := func(ds []*eventflow.Delivery) {
		clear(out)
		for _, d := range ds {
			out[string(d.Event.Data)] = append(out[string(d.Event.Data)], d.Event)
		}
	}
	first := b.consume(topic, b.patience(), func(ds []*eventflow.Delivery) bool {
		add(ds)
		return len(out) >= inputs
	})
	more := b.consume(topic, b.h.Broker.Quiet, func([]*eventflow.Delivery) bool { return false })
	add(append(first, more...))
	return out
}

// oneResultEach fails the rule unless there are results of exactly these inputs, with one ID of each.
func (b *bench) oneResultEach(topic string, evs []eventflow.Event) {
	b.Helper()
	got := b.results(topic, len(evs))
	for _, ev := range evs {
		ids := map[string]bool{}
		for _, r := range got[ev.ID] {
			ids[r.ID] = true
		}
		if len(ids) != 1 {
			b.Errorf("%s has %d results with %d different IDs, want one ID. What happened:%s", ev.ID, len(got[ev.ID]), len(ids), b.log.tail())
		}
		delete(got, ev.ID)
	}
	for data := range got {
		b.Errorf("there is a result %q that nothing should have had", data)
	}
}

// text gives an attribute as text: brokers differ in the types they keep.
func text(as eventflow.Attributes, name string) string {
	for _, a := range as {
		if a.Name == name {
			return fmt.Sprint(a.Value)
		}
	}
	return ""
}
