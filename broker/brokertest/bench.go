package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
)

// bench is what one rule works with: a broker, its topic, and the consumers that it opened.
type bench struct {
	T
	h        Harness
	f        *Fixture
	features eventflow.Features
	topic    string
	lock     time.Duration // how long a lock lasts here

	spawned sync.WaitGroup

	mu   sync.Mutex                     // guards what follows
	pubs map[string]eventflow.Publisher // by topic
	subs []eventflow.Subscriber
}

// open opens a broker for one rule and closes it when the rule ends.
func open(t T, h Harness, s Setup) *bench {
	t.Helper()
	f := h.Open(t, s)
	if f == nil || f.Broker == nil || len(f.Topics) < s.Topics {
		t.Fatalf("Harness.Open gave no broker, or fewer than %d topics", s.Topics)
	}
	b := &bench{T: t, h: h, f: f, features: f.Broker.Features(), topic: f.Topics[0], lock: f.Lock, pubs: map[string]eventflow.Publisher{}}
	if b.lock == 0 {
		b.lock = s.Lock
	}
	t.Cleanup(b.close)
	return b
}

// close closes what is still open; that closing works is for the rules about closing to say. It then waits for the
// goroutines of the rule, which must not speak of a test that is over.
func (b *bench) close() {
	ctx, cancel := context.WithTimeout(context.Background(), b.h.Patience)
	defer cancel()
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

	ended := make(chan struct{})
	go func() {
		b.spawned.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		b.Errorf("a call into the broker did not return after its context had ended and everything was closed")
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

// await waits for a channel to be closed.
func (b *bench) await(done <-chan struct{}, what string) {
	b.Helper()
	t := time.NewTimer(b.h.Patience)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		b.Fatalf("waited %v for %s", b.h.Patience, what)
	}
}

// sleep waits for time itself: a lock or a delay to end.
func (b *bench) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.Context().Done():
	}
}

// soon is how long "at once" may take: less than a lock, so that nothing came back because its lock had ended.
func (b *bench) soon() time.Duration {
	if b.features.MaxLock > 0 {
		return min(b.h.Patience, b.lock/2)
	}
	return b.h.Patience
}

// delay is what rules give to Nack and Release.
func (b *bench) delay() time.Duration { return min(b.h.Delay, b.features.MaxNack) }

// keys gives n different keys, of different lanes where the topic has so many.
func (b *bench) keys(n int) []string {
	if b.f.Keys != nil {
		return b.f.Keys(b.topic, n)
	}
	ks := make([]string, n)
	for i := range ks {
		ks[i] = fmt.Sprintf("key-%d", i+1)
	}
	return ks
}

// events makes n events with IDs "e-1" to "e-n", each of a key of its own, so that brokers which hand over a lane
// piecemeal can hand over all of them.
func (b *bench) events(n int) []eventflow.Event {
	evs := make([]eventflow.Event, n)
	for i, k := range b.keys(n) {
		evs[i] = newEvent(fmt.Sprintf("e-%d", i+1), k)
	}
	return evs
}

// lane makes n events of one key, with IDs "NAME-1" to "NAME-n".
func (b *bench) lane(name, key string, n int) []eventflow.Event {
	evs := make([]eventflow.Event, n)
	for i := range evs {
		evs[i] = newEvent(fmt.Sprintf("%s-%d", name, i+1), key)
	}
	return evs
}

func newEvent(id, key string) eventflow.Event {
	return eventflow.Event{ID: id, Source: "brokertest", Type: "brokertest.event", Key: key, Data: []byte("data of " + id)}
}

// publisher gives the rule's publisher of a topic.
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

// publish publishes to the rule's topic and fails the rule when an event was not taken.
func (b *bench) publish(evs ...eventflow.Event) {
	b.Helper()
	ctx, cancel := b.within(b.h.Patience)
	defer cancel()
	if err := b.publisher(b.topic).Publish(ctx, evs...); err != nil {
		b.Fatalf("Publish of %d events: %v", len(evs), err)
	}
}

// options gives what every subscriber of a group is opened with.
func (b *bench) options(group string) []eventflow.SubscriberOption {
	opts := slices.Clone(b.f.SubscriberOptions)
	if b.features.Groups {
		opts = append(opts, eventflow.Group(group))
	}
	return opts
}

// open opens a subscriber without starting it.
func (b *bench) open(topic, group string) eventflow.Subscriber {
	b.Helper()
	s, err := b.f.Broker.OpenSubscriber(topic, b.options(group)...)
	if err != nil {
		b.Fatalf("OpenSubscriber: %v", err)
	}
	b.mu.Lock()
	b.subs = append(b.subs, s)
	b.mu.Unlock()
	return s
}

// stable waits until the consumers of a group share it in peace.
func (b *bench) stable(group string, consumers int) {
	b.Helper()
	if b.f.Stable == nil {
		return
	}
	ctx, cancel := b.within(b.h.Patience)
	defer cancel()
	if err := b.f.Stable(ctx, b.topic, group, consumers); err != nil {
		b.Fatalf("%d consumers do not share group %q in peace: %v", consumers, group, err)
	}
}

// expect fails the rule unless the deliveries are those of the IDs, in any order.
func (b *bench) expect(what string, ds []*eventflow.Delivery, ids ...string) {
	b.Helper()
	got := idsOf(ds)
	slices.Sort(got)
	want := slices.Sorted(slices.Values(ids))
	if !slices.Equal(got, want) {
		b.Fatalf("%s: got %s, want %s", what, list(got), list(want))
	}
}

func idsOf(ds []*eventflow.Delivery) []string {
	ids := make([]string, len(ds))
	for i, d := range ds {
		ids[i] = d.Event.ID
	}
	return ids
}

func idsIn(evs []eventflow.Event) []string {
	ids := make([]string, len(evs))
	for i := range evs {
		ids[i] = evs[i].ID
	}
	return ids
}

func list(ids []string) string {
	const most = 20
	if len(ids) > most {
		return fmt.Sprintf("[%s and %d more]", strings.Join(ids[:most], " "), len(ids)-most)
	}
	return "[" + strings.Join(ids, " ") + "]"
}

// byID orders deliveries as their events were made: a rule that speaks of "the third" means the event.
func byID(ds []*eventflow.Delivery, evs []eventflow.Event) []*eventflow.Delivery {
	out := make([]*eventflow.Delivery, 0, len(ds))
	for i := range evs {
		for _, d := range ds {
			if d.Event.ID == evs[i].ID {
				out = append(out, d)
			}
		}
	}
	return out
}

func ack(ds ...*eventflow.Delivery) {
	eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
}

// ended reports whether err is of a context that is over.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
