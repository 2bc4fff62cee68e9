package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eventflow-go/eventflow"
)

// A transactor makes the transactions of one subscriber, one at a time, in a goroutine that lives while there are some:
// what comes while one is under way shares the next.
//
// The client's own session of a group and a producer polls and commits by itself, so this is a producer beside the
// consumer. It sends the offsets with the consumer's membership (KIP-447): the group refuses them of a member that is none
// any more, and lets nobody begin at offsets of a transaction whose end is open. So what was sent while the partitions were
// ours may be committed after they have gone.
//
// A transaction that fails takes its client along. The next one begins with the same transactional ID, which ends
// whatever the last has left open. Of a commit whose answer is missing, the group's offsets then tell whether it was one.
//
// Nil methods do nothing: there are no transactions.
type transactor struct {
	s       *subscriber
	id      string
	timeout time.Duration

	life context.Context // of the clients
	kill context.CancelFunc

	// Guarded by the subscriber's mu:
	cl      *kgo.Client // nil: to be made
	queue   []*unit
	closed  bool
	idle    chan struct{}           // not nil while the goroutine lives, which closes it
	in      map[*partition][]uint64 // what is in the transaction under way
	cancel  context.CancelCauseFunc // of its first part, up to the offsets
	failing bool

	scratch []entry // of the goroutine
}

// transacted is the verb of deliveries whose transaction was committed: there is nothing to mark any more.
const transacted eventflow.Verb = 1 << 7

// mostTogether is how many records a transaction has at most, unless one unit alone has more.
const mostTogether = 10_000

var (
	errSlow    = errors.New("the transaction took too long: raise the timeout of kafka.ExactlyOnce, or let chunks be smaller")
	errOpenEnd = errors.New("it is not known yet whether the transaction was committed")
	errAhead   = errors.New("more is settled out of order than a commit's metadata holds; the events are run again later")
	errOld     = errors.New("the cluster is older than Kafka 2.5, which does not fence transactions by their consumer group")
)

func newTransactor(s *subscriber) *transactor {
	name := s.set.instance
	if name == "" {
		name = newID()
	}
	x := &transactor{s: s, id: s.set.group + "/" + s.topic + "/" + name, timeout: s.set.exactlyOnce}
	x.life, x.kill = context.WithCancel(context.Background())
	return x
}

// check asks at start for what would fail later, and ends what an earlier process of the same name has left open.
func (x *transactor) check(ctx context.Context, l *eventflow.Listening) error {
	if x == nil {
		return nil
	}
	s := x.s
	if s.set.noDeadLetters && !l.DeadLetters && l.MaxAttempts > 0 {
		return &eventflow.ConfigError{Field: "kafka.NoDeadLetters", Value: "with kafka.ExactlyOnce",
			Allowed: "a place for dead letters: their events share transactions with others (runner.DeadLetterTo, or no NoDeadLetters)"}
	}
	err := s.b.ask(ctx, func(ctx context.Context) error {
		_, err := x.client(ctx)
		return err
	})
	if errors.Is(err, kerr.InvalidTransactionTimeout) {
		return &eventflow.ConfigError{Field: "kafka.ExactlyOnce", Value: x.timeout.String(), Allowed: "at most the brokers' transaction.max.timeout.ms"}
	}
	return s.b.atStart(ctx, s.topic, err, s.b.log(l.Logger))
}

// client gives the client, with a producer ID.
func (x *transactor) client(ctx context.Context) (*kgo.Client, error) {
	s := x.s
	s.mu.Lock()
	cl, log := x.cl, s.listening.Logger
	s.mu.Unlock()
	if cl != nil {
		return cl, nil
	}
	cl, err := kgo.NewClient(slices.Concat(s.b.options(log), s.b.producerOptions(), []kgo.Opt{
		kgo.TransactionalID(x.id), kgo.TransactionTimeout(x.timeout), kgo.WithContext(x.life),
	})...)
	if err != nil {
		return nil, optionsError(err)
	}
	if _, _, err = cl.ProducerID(ctx); err == nil {
		err = x.keep(cl)
	}
	if err != nil {
		cl.Close()
		return nil, err
	}
	return cl, nil
}

// keep makes cl the client, unless there is no need for one any more.
func (x *transactor) keep(cl *kgo.Client) error {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	if x.closed || x.cl != nil {
		return x.s.wrap(eventflow.ErrClosed)
	}
	x.cl = cl
	return nil
}

// renew ends whatever is open by beginning anew.
func (x *transactor) renew(ctx context.Context) error {
	x.s.mu.Lock()
	cl := x.cl
	x.cl = nil
	x.s.mu.Unlock()
	if cl != nil {
		cl.Close()
	}
	_, err := x.client(ctx)
	return err
}

// close aborts what is under way, before its offsets were sent, and waits for what is behind that until ctx ends.
func (x *transactor) close(ctx context.Context) {
	if x == nil {
		return
	}
	s := x.s
	s.mu.Lock()
	x.closed = true
	queue, idle := x.queue, x.idle
	x.queue = nil
	if x.cancel != nil {
		x.cancel(eventflow.ErrClosed)
	}
	s.mu.Unlock()
	for _, u := range queue {
		u.done <- s.wrap(eventflow.ErrClosed)
	}
	if idle != nil {
		select {
		case <-idle:
		case <-ctx.Done():
			x.kill()
			<-idle
		}
	}
	x.kill()
	s.mu.Lock()
	cl := x.cl
	x.cl = nil
	s.mu.Unlock()
	if cl != nil {
		cl.Close()
	}
}

// submit puts a unit into the next transaction and waits for its end.
func (x *transactor) submit(ctx context.Context, u *unit) error {
	s := x.s
	u.done, u.err = make(chan error, 1), nil
	s.mu.Lock()
	if x.closed || s.cl == nil {
		s.mu.Unlock()
		return s.wrap(eventflow.ErrClosed)
	}
	x.queue = append(x.queue, u)
	if x.idle == nil {
		x.idle = make(chan struct{})
		s.workers.Go(x.work)
	}
	s.mu.Unlock()
	select {
	case err := <-u.done:
		return err
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(x.queue, u)
	if i >= 0 {
		x.queue = slices.Delete(x.queue, i, i+1)
	}
	s.mu.Unlock()
	if i >= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(unknownWait)
	defer t.Stop()
	select {
	case err := <-u.done:
		return err
	case <-t.C:
	}
	return s.wrap(fmt.Errorf("%w: %w", errOpenEnd, context.Cause(ctx)))
}

// failed says the first of several failures.
func (x *transactor) failed(err error) {
	x.s.mu.Lock()
	before := x.failing
	x.failing = true
	x.s.mu.Unlock()
	if !before {
		x.s.logger().Warn("kafka: a transaction was aborted; it is tried again with the same results", "subscriber", x.s.String(), "error", err)
	}
}

// work makes transactions of what is queued, until nothing is.
func (x *transactor) work() {
	s := x.s
	for {
		s.mu.Lock()
		us := x.next()
		if len(us) == 0 {
			close(x.idle)
			x.idle = nil
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		x.attempt(us)
	}
}

// next takes what goes into the next transaction off the queue. The caller holds mu.
func (x *transactor) next() (us []*unit) {
	n, records := 0, 0
	for n < len(x.queue) && (n == 0 || records+len(x.queue[n].records) <= mostTogether) {
		records += len(x.queue[n].records)
		n++
	}
	us = slices.Clone(x.queue[:n])
	x.queue = slices.Delete(x.queue, 0, n)
	return us
}

// attempt makes one transaction and tells its units.
func (x *transactor) attempt(us []*unit) {
	ctx, cancel := context.WithCancelCause(x.life)
	defer cancel(nil)
	us = x.enter(us, cancel)
	ctx, stop := context.WithTimeoutCause(ctx, x.timeout-x.timeout/sessionMargin, errSlow)
	defer stop()
	if len(us) == 0 {
		x.aborted(nil, nil)
		return
	}
	cl, err := x.produce(ctx, us)
	if err == nil {
		err = x.commit(ctx, cl, us)
	}
	if err == nil {
		return
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, errOpenEnd) {
		err = cause
	}
	x.abort()
	x.aborted(us, err)
}

// enter makes the units' deliveries part of the transaction; those whose locks are gone are told. It gives the others.
func (x *transactor) enter(us []*unit, cancel context.CancelCauseFunc) []*unit {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	x.in, x.cancel = map[*partition][]uint64{}, cancel
	if x.closed {
		cancel(eventflow.ErrClosed)
	}
	return slices.DeleteFunc(us, func(u *unit) bool {
		for i, d := range u.acked {
			p, e := s.find(d)
			if e == nil || e.in || !d.Open() {
				for _, d := range u.acked[:i] {
					x.expel(d)
				}
				u.done <- s.lost("the event was another's before its transaction began")
				return true
			}
			e.in = true
			x.in[p] = append(x.in[p], d.Token())
		}
		return false
	})
}

// find gives where a delivery is held. The caller holds mu.
func (s *subscriber) find(d *eventflow.Delivery) (*partition, *entry) {
	r, ok := d.Native.(*kgo.Record)
	if !ok {
		return nil, nil
	}
	p := s.parts[r.Partition]
	if p == nil || !p.has(d.Token()) {
		return nil, nil
	}
	e := p.at(d.Token())
	if e.d != d || e.state != entryHeld {
		return nil, nil
	}
	return p, e
}

// expel undoes enter.
func (x *transactor) expel(d *eventflow.Delivery) {
	p, e := x.s.find(d)
	e.in = false
	seqs := x.in[p]
	if seqs = seqs[:len(seqs)-1]; len(seqs) == 0 {
		delete(x.in, p)
		return
	}
	x.in[p] = seqs
}

// fenced is told when a partition goes: a transaction that has something of it is aborted, unless its offsets were sent.
// The caller holds mu.
func (x *transactor) fenced(p *partition) {
	if x != nil && x.cancel != nil && x.in[p] != nil {
		x.cancel(x.s.lost("the partition went before its transaction was committed"))
	}
}

// leaving aborts, as fenced does, what has taken longer than partitions can be kept.
func (x *transactor) leaving(ps []*partition) {
	if x == nil {
		return
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	for _, p := range ps {
		x.fenced(p)
	}
}

// produce begins the transaction and writes the records. Its error is nil when the cluster has all of them.
func (x *transactor) produce(ctx context.Context, us []*unit) (*kgo.Client, error) {
	cl, err := x.client(ctx)
	if err == nil {
		err = cl.BeginTransaction()
	}
	if err != nil {
		return nil, err
	}
	n := 0
	for _, u := range us {
		n += len(u.records)
	}
	c := newCall(n)
	n = 0
	for _, u := range us {
		n += copy(c.records[n:], u.records)
	}
	c.produce(ctx, cl)
	failed := c.wait(ctx, nil)
	if len(failed) == 0 {
		return cl, nil
	}
	at, i := 0, 0
	for _, u := range us {
		for ; i < len(failed) && failed[i].Index < at+len(u.records); i++ {
			u.blame(x.s.b, cl, failed[i].Index-at, failed[i].Err)
		}
		at += len(u.records)
	}
	return nil, failed[0].Err
}

// blame notes that a record cannot be written, when that is its own fault or its topic's and not the transaction's.
func (u *unit) blame(b *Broker, cl *kgo.Client, i int, err error) {
	topic := u.records[i].Topic
	err = b.explain(opPublish, topic, err, false)
	if errors.Is(err, eventflow.ErrTooLarge) {
		u.tooLarge = append(u.tooLarge, i)
	}
	for _, own := range []error{eventflow.ErrTooLarge, eventflow.ErrNoTopic, ErrNotAuthorised, kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.PolicyViolation} {
		if errors.Is(err, own) {
			u.err = b.published(cl, topic, err)
		}
	}
}

// committed tells the units that all is done, and the tracker. The caller has the committing token.
func (x *transactor) committed(us []*unit) {
	s := x.s
	for _, u := range us { // first: nobody settles them otherwise when they are out of the transaction
		u.settle(transacted)
	}
	var acked []*eventflow.Delivery // by somebody else, meanwhile
	s.mu.Lock()
	for p, seqs := range x.in {
		if p.fenced {
			continue
		}
		for _, seq := range seqs {
			e := p.at(seq)
			if e.freed == eventflow.Ack {
				acked = append(acked, e.d)
			}
			l := e.lane
			p.done(seq, e)
			p.replace(l)
		}
	}
	x.in, x.cancel, x.failing = nil, nil, false
	s.mu.Unlock()
	s.tellSettled(acked, nil)
	for _, u := range us {
		u.done <- nil
	}
}

// aborted gives the deliveries back to whoever holds them, and tells the units: the one whose fault it was, or each whose
// partitions are gone, and then the others come into the next transaction; or else all.
func (x *transactor) aborted(us []*unit, err error) {
	s := x.s
	err = s.b.explain("transact", s.topic, err, false)
	var lost []*eventflow.Delivery
	s.mu.Lock()
	for p, seqs := range x.in {
		if p.fenced {
			continue
		}
		for _, seq := range seqs {
			p.freed(p.at(seq))
		}
	}
	guilty := false
	for _, u := range us {
		for _, d := range u.acked {
			if p, _ := s.find(d); p == nil && d.Lose() {
				lost = append(lost, d)
			}
		}
		if u.err == nil && slices.ContainsFunc(u.acked, (*eventflow.Delivery).Lost) {
			u.err = s.lost("the partition went before its transaction was committed")
		}
		guilty = guilty || u.err != nil
	}
	var again []*unit
	for _, u := range us {
		switch {
		case u.err != nil:
			u.done <- u.err
		case guilty && !x.closed:
			again = append(again, u)
		default:
			u.done <- err
		}
	}
	x.queue = append(again, x.queue...)
	x.in, x.cancel = nil, nil
	s.mu.Unlock()
	s.tellLost(lost, s.lost("the partition went before its transaction was committed"))
}

// freed takes a record out of a transaction that was aborted, and does what a settlement has said meanwhile. The caller
// holds mu.
func (p *partition) freed(e *entry) {
	verb, d := e.freed, e.d
	e.in, e.freed = false, 0
	switch verb {
	case 0: // held as before
	case eventflow.Ack:
		l := e.lane
		p.finish(d.Token(), e)
		p.replace(l)
		p.pending = append(p.pending, d)
		p.s.unconfirmed++
	case eventflow.Nack:
		p.fail(e)
		p.touch()
		p.takeBack(d, 0)
	case eventflow.Abandon:
		p.abandon(d)
	default:
		p.takeBack(d, 0)
	}
}
