package kafka

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

// Event makes the event of a record of a partition.
func Event(cluster string, topicID [16]byte, r *kgo.Record) eventflow.Event {
	var ev eventflow.Event
	fromRecord(r, newOrigin(cluster, r.Topic, topicID, r.Partition), &ev)
	return ev
}

// Events makes the events of records that are read together.
func Events(cluster string, topicID [16]byte, records []*kgo.Record) []eventflow.Event {
	rs := readings(cluster, topicID, records)
	evs := make([]eventflow.Event, len(rs))
	for i := range rs {
		rs[i].ev = &evs[i]
	}
	new(subscriber).read(rs)
	return evs
}

// Together reads records again and again, as a subscriber does.
func Together(cluster string, topicID [16]byte, records []*kgo.Record) func() {
	var s subscriber
	rs := readings(cluster, topicID, records)
	evs := make([]eventflow.Event, len(rs))
	return func() {
		for i := range rs {
			evs[i] = eventflow.Event{}
			rs[i].ev = &evs[i]
		}
		s.read(rs)
	}
}

func readings(cluster string, topicID [16]byte, records []*kgo.Record) []reading {
	rs := make([]reading, len(records))
	for i, r := range records {
		rs[i] = reading{rec: r, offset: r.Offset, origin: newOrigin(cluster, r.Topic, topicID, r.Partition)}
	}
	return rs
}

// Record makes the record of an event.
func Record(topic string, structured bool, ev eventflow.Event) (*kgo.Record, error) {
	var r kgo.Record
	err := newEncoder(topic, structured, 1).toRecord(&ev, &r)
	return &r, err
}

// Check is what Start asks the cluster.
func Check(ctx context.Context, b *Broker, topic, group, deadLetters string) error {
	return b.check(ctx, topic, &subscription{group: group, deadLetterTopic: deadLetters}, deadLetters != "", b.log(nil))
}

// DeadLetter writes a dead letter.
func DeadLetter(ctx context.Context, b *Broker, r *kgo.Record, topic string, f eventflow.Failure) error {
	return b.deadLetter(ctx, r, topic, &f)
}

// Refused are the options that Config.Client may not have.
var Refused = refused

// Reader reads one record again and again, as a partition does.
func Reader(cluster string, topicID [16]byte, r *kgo.Record) func() {
	o := newOrigin(cluster, r.Topic, topicID, r.Partition)
	return func() {
		var ev eventflow.Event
		fromRecord(r, o, &ev)
	}
}

// Seeds are the broker's.
func Seeds(b *Broker) []string { return b.cfg.Seeds }

// Explain makes the typed error.
func Explain(b *Broker, op, topic string, err error, start bool) error {
	return b.explain(op, topic, err, start)
}

// Login is what the broker's mechanism sends first, and TLS whether it is spoken.
func Login(ctx context.Context, b *Broker) string {
	_, first, err := b.cfg.SASL.Authenticate(ctx, b.cfg.Seeds[0])
	if err != nil || b.cfg.TLS == nil {
		return ""
	}
	return string(first)
}

// NewID is an ID that nothing else has.
func NewID() string { return newID() }

// OptValue is an option of the client that publishes.
func OptValue(t *testing.T, b *Broker, opt any) any {
	t.Helper()
	cl, err := b.client()
	if err != nil {
		t.Fatal(err)
	}
	return cl.OptValue(opt)
}

// IsLastCommit reports whether the text is that of a commit that ends a partition cleanly.
func IsLastCommit(text string) bool {
	p, ok := decodeProgress(text)
	return ok && p.starts == 0
}

// GroupSession is the session timeout that the broker gives the members of a group of KIP-848.
func GroupSession(ctx context.Context, cl *kgo.Client, group string) (time.Duration, error) {
	session, _, err := groupTimeouts(ctx, cl, group)
	return session, err
}

// Queued is how many transactions of a subscriber wait for the one under way.
func Queued(t *testing.T, s eventflow.Subscriber) int {
	t.Helper()
	x, ok := s.(exactlyOnce)
	if !ok {
		t.Fatalf("%T makes no transactions", s)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.tx.queue)
}
