// Package renew keeps locks alive: those of SQS messages, Service Bus messages and sessions, whose end their holder
// must put off again and again while it works.
//
// One [Tracker] holds any number of locks in the order of their deadlines, with one goroutine and a few calls at a
// time. A lock is renewed when half of its time is over, together with others that are about to come to that, and again
// and again when that fails. At the local fence, a margin before the lock's end, it is given up: whoever holds it is
// told while nobody else can have it yet. All time is counted from when a request was sent, by the monotonic clock of
// this machine; no server's clock is looked at.
package renew

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow"
)

// Config says how locks of one kind are renewed.
type Config[L any] struct {
	// Renew asks the broker for more time, for 1 to Batch locks, and fills in For or Err of each. An error of its own is
	// that of each lock whose Err it left nil. ctx ends in time for another try, and when the tracker closes. It is
	// called by several goroutines at once when Calls is above 1.
	Renew func(ctx context.Context, rs []Renewal[L]) error
	// Lost is told of locks that are given up, before they end; they are no longer the tracker's. err matches
	// eventflow.ErrLockLost and says why. It is called by the tracker's goroutines and must not block for long, nor call
	// Close.
	Lost func(ls []L, err error)

	Batch int // locks in one call of Renew; default 1
	Calls int // calls of Renew at one time; default 1

	// Margin is how long before its end a lock is given up; it is cut to a quarter of the lock's time. Default 1 s.
	Margin time.Duration
	// Total is how long a lock can be held at most, from the since of Add; 0: no limit. The last renewal before it asks
	// for what is left.
	Total time.Duration
}

// Renewal is one lock in a call of [Config].Renew.
type Renewal[L any] struct {
	Lock L
	Ask  time.Duration // the time to ask for, from now on

	// For is the time that the broker gave, counted from when Renew was called; 0 is what was asked for.
	For time.Duration
	// Err: nil, renewed. One that matches eventflow.ErrLockLost: the lock is gone, Lost follows at once. Any other: asked
	// again until the fence.
	Err error
}

// Lock is one lock in a [Tracker]. It is part of its holder's own record, so that holding one costs no allocation. The
// zero value is a lock that is not held. It must not be copied while it is held.
type Lock[L any] struct {
	record   L
	places   [orders]place
	held     bool
	lasts    time.Duration // what each renewal asks for
	end      time.Duration // when it ends, from the tracker's start
	limit    time.Duration // when it cannot be renewed any more; 0: never
	failures int           // in a row
	cause    error         // of the last failure
	round    uint64        // of its holding: a call's answer for an earlier one is ignored
}

// Tracker renews locks. The zero value is of no use: [New] makes one. All methods may be called by many goroutines.
type Tracker[L any] struct {
	c    Config[L]
	base time.Time

	mu      sync.Mutex // guards what follows and the locks
	queues  [orders]queue[L]
	calls   int
	round   uint64
	armed   time.Duration // when the loop looks next by itself
	poke    chan struct{} // of the running loop; nil: it does not run
	stop    context.CancelFunc
	ctx     context.Context // of the calls
	closed  bool
	running sync.WaitGroup // the loop and the calls
}

// New makes a tracker. It starts nothing: the first Add does.
func New[L any](c Config[L]) *Tracker[L] {
	c.Batch, c.Calls = max(c.Batch, 1), max(c.Calls, 1)
	if c.Margin <= 0 {
		c.Margin = time.Second
	}
	t := &Tracker[L]{c: c, base: time.Now()}
	for i := range t.queues {
		t.queues[i].order = i
	}
	return t
}

func (t *Tracker[L]) now() time.Duration { return time.Since(t.base) }

// fenceOf gives when a lock has to be given up.
func (t *Tracker[L]) fenceOf(l *Lock[L]) time.Duration { return l.end - min(t.c.Margin, l.lasts/4) }

// Add takes in a lock: one that began no earlier than since, the time at which the request was sent that brought it, and
// lasts d. It is false when its fence has passed already, or when the tracker is closed: then it is not held, and
// nobody is told. l must not be held.
func (t *Tracker[L]) Add(l *Lock[L], record L, since time.Time, d time.Duration) bool {
	began := since.Sub(t.base)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	*l = Lock[L]{record: record, lasts: d, end: began + d}
	fence := t.fenceOf(l)
	if t.closed || fence <= now {
		return false
	}
	if t.c.Total > 0 {
		l.limit = began + t.c.Total
	}
	t.round++
	l.held, l.round = true, t.round
	l.places[byDue].index = -1
	t.queues[byEnd].push(l, fence)
	due := began + d/2
	if t.final(l) {
		due = fence
	} else {
		t.queues[byDue].push(l, due)
	}
	t.lookAt(due)
	return true
}

// final reports whether no renewal could move the end of l by as much as a second, the unit of brokers.
func (t *Tracker[L]) final(l *Lock[L]) bool { return l.limit > 0 && l.limit-l.end < time.Second }

// Remove takes l out, because it was settled or is held no longer: it is neither renewed nor lost from now on, and what a
// call under way says of it is ignored. It is false when l was not held: it had been lost or removed.
func (t *Tracker[L]) Remove(l *Lock[L]) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.remove(l)
}

func (t *Tracker[L]) remove(l *Lock[L]) bool {
	if !l.held {
		return false
	}
	l.held = false
	for i := range t.queues {
		t.queues[i].remove(l)
	}
	return true
}

// Held reports whether l is held and its fence lies ahead. It asks the clock: a process that was stopped wakes up past
// the fence before its timers do, and must send nothing for l then.
func (t *Tracker[L]) Held(l *Lock[L]) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return l.held && t.fenceOf(l) > t.now()
}

// Left gives how long l surely lasts yet, by its last confirmed renewal and without its margin; 0 when it is not held.
func (t *Tracker[L]) Left(l *Lock[L]) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !l.held {
		return 0
	}
	return max(t.fenceOf(l)-t.now(), 0)
}

// Len gives how many locks are held.
func (t *Tracker[L]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.queues[byEnd].len()
}

// Close ends the calls under way and waits for the tracker's goroutines. What is still held is forgotten: nobody is
// told, and it lapses. A second Close waits as well.
func (t *Tracker[L]) Close() {
	t.mu.Lock()
	t.closed = true
	for _, l := range t.queues[byEnd].locks {
		l.held = false
		for i := range l.places {
			l.places[i].index = -1
		}
	}
	for i := range t.queues {
		t.queues[i].locks = nil
	}
	if t.stop != nil {
		t.stop()
	}
	t.mu.Unlock()
	t.running.Wait()
}

// lookAt makes the loop look at an instant. The caller holds the lock.
func (t *Tracker[L]) lookAt(at time.Duration) {
	if t.poke == nil {
		// Made here and not by New: a tracker may be used inside a synctest bubble that it was not made in.
		t.poke = make(chan struct{}, 1)
		t.ctx, t.stop = context.WithCancel(context.Background()) //nolint:gosec // Close calls it
		t.armed = at
		t.running.Add(1)
		go t.loop(t.ctx, t.poke)
		return
	}
	if at < t.armed {
		t.armed = at
		select {
		case t.poke <- struct{}{}:
		default:
		}
	}
}

// restTime is how long an idle loop sleeps.
const restTime = time.Hour

// loop is the tracker's goroutine. It ends with Close.
func (t *Tracker[L]) loop(ctx context.Context, poke <-chan struct{}) {
	defer t.running.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-poke:
		case <-ctx.Done():
			return
		}
		t.mu.Lock()
		lost := t.giveUp()
		now := t.now()
		next := t.startCalls(now)
		t.armed = next
		t.mu.Unlock()
		t.tell(lost)
		timer.Reset(next - t.now())
	}
}

// loss is a lock that was given up.
type loss[L any] struct {
	lock  L
	cause error
}

// errUnconfirmed is the cause of a loss where no renewal has failed: the process stood still, or no call was free.
var errUnconfirmed = errors.New("no renewal was confirmed in time")

// errTotal is the cause of the loss of a lock that was held as long as it can be.
var errTotal = errors.New("held for as long as the broker allows")

// giveUp takes out the locks whose fence has come. The caller holds the lock.
func (t *Tracker[L]) giveUp() []loss[L] {
	var lost []loss[L]
	q := &t.queues[byEnd]
	for now := t.now(); q.len() > 0 && q.first() <= now; {
		l := q.locks[0]
		cause := l.cause
		switch {
		case t.final(l):
			cause = errTotal
		case cause == nil:
			cause = errUnconfirmed
		}
		t.remove(l)
		lost = append(lost, loss[L]{l.record, cause})
	}
	return lost
}

// tell calls Lost, once for all neighbours of one cause.
func (t *Tracker[L]) tell(lost []loss[L]) {
	for len(lost) > 0 {
		n := 1
		for n < len(lost) && lost[n].cause == lost[0].cause { //nolint:errorlint,err113 // the same cause, not the same kind
			n++
		}
		ls := make([]L, n)
		for i := range ls {
			ls[i] = lost[i].lock
		}
		t.c.Lost(ls, asLoss(lost[0].cause))
		lost = lost[n:]
	}
}

func asLoss(cause error) error {
	if errors.Is(cause, eventflow.ErrLockLost) {
		return cause
	}
	return fmt.Errorf("%w: %w", eventflow.ErrLockLost, cause)
}

// startCalls starts what is due and gives when to look again. The caller holds the lock.
func (t *Tracker[L]) startCalls(now time.Duration) time.Duration {
	due := &t.queues[byDue]
	for t.calls < t.c.Calls && due.len() > 0 && due.first() <= now {
		t.startCall(now)
	}
	next := now + restTime
	if t.queues[byEnd].len() > 0 {
		next = min(next, t.queues[byEnd].first())
	}
	if t.calls < t.c.Calls && due.len() > 0 { // else the end of a call looks
		next = min(next, due.first())
	}
	return next
}

// call is the renewal of some locks.
type call[L any] struct {
	locks    []*Lock[L]
	rounds   []uint64
	renewals []Renewal[L]
	sent     time.Duration
}

// startCall renews the lock that is due first, and takes along others that come to it soon: locks that came one by one
// find together after a few rounds, and fill their calls from then on. The caller holds the lock.
func (t *Tracker[L]) startCall(now time.Duration) {
	due := &t.queues[byDue]
	c := &call[L]{sent: now}
	soon := now + due.locks[0].lasts/4
	fence := t.fenceOf(due.locks[0])
	for len(c.locks) < t.c.Batch && due.len() > 0 && due.first() <= soon {
		l := due.locks[0]
		due.remove(l)
		ask := l.lasts
		if l.limit > 0 {
			ask = min(ask, l.limit-now)
		}
		fence = min(fence, t.fenceOf(l))
		c.locks = append(c.locks, l)
		c.rounds = append(c.rounds, l.round)
		c.renewals = append(c.renewals, Renewal[L]{Lock: l.record, Ask: ask})
	}
	t.calls++
	t.running.Add(1)
	go t.call(t.ctx, c, max((fence-now)/2, shortest))
}

// shortest is how long a call may take at least, however near the fence is.
const shortest = 20 * time.Millisecond

// call renews some locks. It ends when the broker has answered, when its time is over, or when the tracker closes.
func (t *Tracker[L]) call(ctx context.Context, c *call[L], within time.Duration) {
	defer t.running.Done()
	ctx, cancel := context.WithTimeout(ctx, within)
	err := t.c.Renew(ctx, c.renewals)
	cancel()
	t.mu.Lock()
	t.calls--
	lost := t.answered(c, err)
	lost = append(lost, t.giveUp()...)
	t.lookAt(t.now()) // the loop arms itself anew
	t.mu.Unlock()
	t.tell(lost)
}

// answered takes in what the broker said, and gives the locks that are gone. The caller holds the lock.
func (t *Tracker[L]) answered(c *call[L], err error) (lost []loss[L]) {
	now := t.now()
	for i, l := range c.locks {
		if !l.held || l.round != c.rounds[i] { // settled or given up meanwhile
			continue
		}
		r := &c.renewals[i]
		if r.Err == nil {
			r.Err = err
		}
		switch {
		case r.Err == nil:
			given := r.For
			if given <= 0 {
				given = r.Ask
			}
			l.failures, l.cause = 0, nil
			l.end = c.sent + given
			t.queues[byEnd].move(l, t.fenceOf(l))
			if !t.final(l) {
				t.queues[byDue].push(l, c.sent+given/2)
			}
		case errors.Is(r.Err, eventflow.ErrLockLost):
			t.remove(l)
			lost = append(lost, loss[L]{l.record, r.Err})
		default:
			l.failures++
			l.cause = r.Err
			t.queues[byDue].push(l, now+backoff(l.failures, t.fenceOf(l)-now))
		}
	}
	return lost
}

// backoff gives the wait before the next try: it doubles from a quarter of a second, to four, and is never more than a
// quarter of the time that is left.
func backoff(failures int, left time.Duration) time.Duration {
	wait := 250 * time.Millisecond << min(failures-1, 4)
	return max(min(wait, left/4), time.Millisecond)
}
