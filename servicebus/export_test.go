package servicebus

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/eventflow-go/eventflow"
)

// SettleCalls is how many settlements are under way at one time, and SettleTime what one may take.
const (
	SettleCalls = settleCalls
	SettleTime  = settleTime
)

// Decode is what a subscriber with these options makes of a message.
func Decode(m *azservicebus.ReceivedMessage, opts ...eventflow.SubscriberOption) eventflow.Event {
	set := subscription{}
	for _, o := range opts {
		if err := o.ApplySubscriber(&eventflow.SubscriberConfig{Native: &set}); err != nil {
			panic(err)
		}
	}
	return decode(m, "servicebus/test/q", &set)
}

// CopyOf is what a delayed copy of a message is, after so many failed attempts.
func CopyOf(m *azservicebus.ReceivedMessage, attempts int, at time.Time) *azservicebus.AMQPAnnotatedMessage {
	h := &held{event: Decode(m)}
	h.receive(m)
	h.attempts = attempts
	return copyOf(h, at)
}

// SizeOf is what a message counts for while it is held.
func SizeOf(m *azservicebus.ReceivedMessage) int {
	h := &held{event: Decode(m)}
	h.receive(m)
	return h.size
}

// Encode is what a publisher makes of an event.
func Encode(ev *eventflow.Event, structured bool) (*azservicebus.AMQPAnnotatedMessage, error) {
	return encode(ev, &publication{structured: structured}, time.Time{})
}

// Crash ends a subscriber as the death of its process would: nothing is renewed, written or handed back.
func (s *Subscriber) Crash() {
	s.b.open.Remove(s)
	s.mu.Lock()
	s.closed = true
	s.listening = eventflow.Listening{}
	if s.linger != nil {
		s.linger.Stop()
	}
	if s.begun {
		s.endLife()
	}
	s.signal()
	s.rouse()
	s.mu.Unlock()
	s.tracker.Close()
	s.running.Wait()
	s.closeLinks()
}

// Link is what stands before a client's sender or receiver.
type Link struct{ l *link }

// Call is a call that a link let through.
type Call struct{ c call }

// NewLink makes a link.
func NewLink(open, shut func(ctx context.Context) error) Link { return Link{newLink(open, shut, nil)} }

// Enter begins a call.
func (l Link) Enter(ctx context.Context) (Call, error) {
	c, err := l.l.enter(ctx)
	return Call{c}, err
}

// Leave ends a call that worked.
func (l Link) Leave(c Call) { l.l.leave(c.c, nil) }

// Close ends the link.
func (l Link) Close() { l.l.close() }

// Use makes a call of the client.
func (c Call) Use(f func(ctx context.Context) error) error { return c.c.use(f) }
