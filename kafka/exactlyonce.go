package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

// ExactlyOnce makes the subscriber a transactional one: what a runner publishes of its events, their dead letters and the
// group's offsets are one transaction of Kafka, so that whoever reads the results with the isolation level "read
// committed" sees those of each event exactly once, whatever dies on the way. The subscriber itself reads only what is
// committed. Results and dead letters go to publishers of the same [Broker]; the runner has no store and refuses one, and
// the subscriber is its only trigger. Kafka 2.5 or later is needed, and an ACL to Write and Describe the transactional
// IDs, which begin with the group's name and "/".
//
// A flow may still be run more than once for one event: after a crash, a lost partition, an aborted transaction. Only what
// goes through the transaction is there once. Calls to other systems, files, what the flow publishes by itself and an event
// that was published twice to the topic are not covered. Neither is a group of which other consumers do not wait for open
// transactions, as Kafka's own has done since 2.5 and franz-go does.
//
// Results are seen when their transaction ends, some ten milliseconds later than without; results of chunks that end at
// the same time share one. A runner that takes chunks of many events, or several lanes at a time, is the faster for it. A
// result that is too large for its topic aborts its transaction each time; the event is delivered again after a second.
//
// The timeout is how long the cluster waits for a transaction whose process has died: its partitions stand still so long,
// and up to ten seconds more until the cluster looks, unless the process comes back as the same [StaticMember]. A
// transaction lasts for the writing of the results, not for the run; one that takes longer than nine tenths of the timeout
// is aborted. From 1 s to 15 min, which must not be more than the brokers' transaction.max.timeout.ms; 0: 10 s.
func ExactlyOnce(timeout time.Duration) eventflow.SubscriberOption {
	const field = "kafka.ExactlyOnce"
	return subscriberOption{field, func(s *subscription) error {
		if timeout != 0 && (timeout < leastTransaction || timeout > mostTransaction) {
			return &eventflow.ConfigError{Field: field, Value: timeout.String(), Allowed: "1s to 15m, or 0: 10s"}
		}
		s.exactlyOnce, s.committed = cmp.Or(timeout, defaultTransaction), true
		return nil
	}}
}

// ReadCommitted makes a subscriber wait for the end of the transactions in its topic and hand over nothing of those that
// were aborted: whoever takes the results of [ExactlyOnce] wants it. Events that are in no transaction it reads as ever,
// but not past an open one before them. The default reads everything at once. ExactlyOnce implies it.
func ReadCommitted() eventflow.SubscriberOption {
	return subscriberOption{"kafka.ReadCommitted", func(s *subscription) error {
		s.committed = true
		return nil
	}}
}

const (
	defaultTransaction = 10 * time.Second
	leastTransaction   = time.Second
	mostTransaction    = 15 * time.Minute
)

// exactlyOnce is a subscriber with transactions. It is a type of its own because a runner knows one by its methods.
type exactlyOnce struct{ *subscriber }

var _ eventflow.Transactional = exactlyOnce{}

// public gives the subscriber with the methods that its options promise.
func (s *subscriber) public() eventflow.Subscriber {
	if s.tx == nil {
		return s
	}
	return exactlyOnce{s}
}

// Owned reports whether p is a publisher of the same Broker.
func (s exactlyOnce) Owned(p eventflow.Publisher) bool {
	own, ok := p.(*publisher)
	return ok && own.b == s.b
}

// Transact publishes the results and the dead letters and acknowledges the deliveries, in one transaction. It is tried
// again, with the same results, until ctx ends, a lock is lost or trying again would not help. Then nothing of it is
// visible, and what is still ours is still held: the caller releases it. When ctx ends while the cluster decides, the error
// says that the end is not known; the deliveries then stay as they are until it is.
func (s exactlyOnce) Transact(ctx context.Context, t eventflow.Transaction) error {
	u := &unit{acked: t.Acked, note: t.Note}
	defer u.release()
	if err := s.fill(u, &t); err != nil {
		return err
	}
	if len(u.records) == 0 { // an offset alone needs no transaction
		u.settle(eventflow.Ack)
		return nil
	}
	wait := leastPause
	for {
		err := s.try(ctx, u)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil, errors.Is(err, eventflow.ErrLockLost), errors.Is(err, eventflow.ErrClosed):
			return err
		case u.shrink():
			continue
		case eventflow.IsPermanent(err), errors.Is(err, eventflow.ErrFatal), errors.Is(err, errAhead):
			s.pause(ctx, helpless)
			return err
		}
		s.tx.failed(err)
		if !s.pause(ctx, wait) {
			return err
		}
		wait = min(2*wait, mostPause)
	}
}

const (
	leastPause = 50 * time.Millisecond
	mostPause  = 5 * time.Second
	helpless   = time.Second // before what would fail again is run again
)

// pause reports whether the time passed before ctx or the subscriber ended.
func (s *subscriber) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.closing:
	case <-ctx.Done():
	}
	return false
}

// try is one attempt.
func (s exactlyOnce) try(ctx context.Context, u *unit) error {
	for topic := range u.topics {
		if _, err := s.b.toPublish(ctx, topic); err != nil {
			return s.b.explain(opPublish, topic, err, false)
		}
	}
	return s.tx.submit(ctx, u)
}

// unit is what one call of Transact wants in a transaction.
type unit struct {
	records    []kgo.Record   // each attempt sends a copy
	own        map[int]int    // of dead letters, by their record: how many of the last headers are ours
	tooLarge   []int          // records that the last attempt could not write
	topics     map[string]int // of the records, and how many
	publishers []*publisher
	acked      []*eventflow.Delivery
	note       func(*eventflow.Delivery) uint16

	done chan error // has room for the end of one attempt
	err  error      // why this unit, and no other, failed the attempt
}

// fill makes the records.
func (s exactlyOnce) fill(u *unit, t *eventflow.Transaction) error {
	u.topics = map[string]int{}
	for i := range t.Results {
		res := &t.Results[i]
		if len(res.Events) == 0 {
			continue
		}
		if !s.Owned(res.Publisher) {
			return s.wrap(fmt.Errorf("a publisher that is not of this broker: %w", eventflow.ErrFatal))
		}
		p := res.Publisher.(*publisher) //nolint:forcetypeassert // Owned has seen it
		if p.err != nil {
			return p.err
		}
		if _, err := p.begin(); err != nil {
			return err
		}
		u.publishers = append(u.publishers, p)
		u.topics[p.topic] += len(res.Events)
		enc := newEncoder(p.topic, p.set.structured, len(res.Events))
		for j := range res.Events {
			ev := &res.Events[j]
			if ev.ID == "" || ev.Source == "" {
				ev = p.identify(*ev)
			}
			var r kgo.Record
			if err := enc.toRecord(ev, &r); err != nil {
				return eventflow.Permanent(err)
			}
			u.records = append(u.records, r)
		}
	}
	for i := range t.Dead {
		r, ok := t.Dead[i].Delivery.Native.(*kgo.Record)
		switch {
		case s.set.noDeadLetters:
			return eventflow.ErrNoDeadLetters
		case !ok:
			return s.wrap(fmt.Errorf("Delivery.Native was changed: %w", eventflow.ErrFatal))
		}
		dead, own := deadRecord(r, s.set.deadLetterTopic, &t.Dead[i].Failure)
		if u.own == nil {
			u.own = map[int]int{}
		}
		u.own[len(u.records)] = own
		u.topics[s.set.deadLetterTopic]++
		u.records = append(u.records, *dead)
	}
	return nil
}

// release lets the publishers close.
func (u *unit) release() {
	for _, p := range u.publishers {
		p.end()
	}
}

// shrink makes dead letters that were too large smaller: the event itself goes before what we say of it. It is false when
// that does not help.
func (u *unit) shrink() bool {
	large := u.tooLarge
	u.tooLarge = nil
	for _, i := range large {
		if u.own[i] == 0 {
			return false
		}
		u.own[i]--
		hs := u.records[i].Headers
		u.records[i].Headers = hs[: len(hs)-1 : len(hs)-1]
	}
	return len(large) > 0
}

// settle settles the deliveries, with one call for neighbours of one note.
func (u *unit) settle(v eventflow.Verb) {
	for ds := u.acked; len(ds) > 0; {
		n, note := 1, u.noteOf(ds[0])
		for n < len(ds) && u.noteOf(ds[n]) == note {
			n++
		}
		eventflow.SettleAll(ds[:n], eventflow.Settlement{Verb: v, Note: note})
		ds = ds[n:]
	}
}

func (u *unit) noteOf(d *eventflow.Delivery) uint16 {
	if u.note == nil {
		return 0
	}
	return u.note(d)
}
