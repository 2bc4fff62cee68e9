package servicebus

import (
	"context"
	"sync/atomic"
	"time"
)

// use makes a call of the client that does not wait for messages. No other one of the link begins before it has its links.
// When it opens them, as one does that was under way when they were lost, all others that were let through are ended:
// those that find no links after it would open theirs. The next one to enter opens them alone, for all.
func (c call) use(f func(ctx context.Context) error) error {
	return c.lookUp(&lookup{call: c}, f)
}

// receive makes a call of the client that waits for messages, and may open the client's links. It is the one of its link.
func (c call) receive(f func(ctx context.Context) error) error {
	return c.lookUp(&lookup{call: c, opens: true}, f)
}

func (c call) lookUp(x *lookup, f func(ctx context.Context) error) error {
	select {
	case c.l.looking <- struct{}{}:
	case <-c.Done():
		return c.Err()
	}
	defer x.end()
	if c.epoch.Err() != nil {
		return context.Canceled
	}
	return f(x)
}

// lookup is the context of one call of the client, and tells from what the client asks it how far the call is. The client
// asks nothing before it has found its links or holds the mutex to open them: whoever comes then waits for that. A call
// that does not wait for messages derives a context only to close links, before and while it opens others.
type lookup struct {
	call

	opens bool // it may open links
	found atomic.Bool
	broke atomic.Bool // it opens links, and has ended the others
}

func (x *lookup) asked() {
	if !x.found.Load() && x.found.CompareAndSwap(false, true) {
		<-x.l.looking
	}
}

// end is called when the client's call has returned.
func (x *lookup) end() {
	x.asked()
	if x.broke.Load() && x.l.broken != nil {
		x.l.broken()
	}
}

// Deadline implements [context.Context].
func (x *lookup) Deadline() (time.Time, bool) {
	x.asked()
	return x.Context.Deadline()
}

// Done implements [context.Context].
func (x *lookup) Done() <-chan struct{} {
	x.asked()
	if x.isEnded() {
		return x.epoch.Done()
	}
	return x.Context.Done()
}

// Err implements [context.Context].
func (x *lookup) Err() error {
	x.asked()
	if x.isEnded() {
		return x.epoch.Err()
	}
	return x.Context.Err()
}

// isEnded reports whether another call has ended this one; the context itself learns of it when a goroutine was told.
func (x *lookup) isEnded() bool { return !x.broke.Load() && x.epoch.Err() != nil }

// Value implements [context.Context].
func (x *lookup) Value(key any) any {
	x.asked()
	if !x.opens {
		x.breakOff()
	}
	return x.Context.Value(key)
}

// breakOff ends the other calls that were let through.
func (x *lookup) breakOff() {
	l := x.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch == nil || l.epoch != x.epoch {
		return
	}
	x.stop()
	x.broke.Store(true)
	l.hurt(false)
	l.changed.Broadcast()
}
