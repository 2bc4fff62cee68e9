package servicebus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"

	"github.com/eventflow-go/eventflow"
)

// link stands before a client's sender or receiver. The client opens AMQP links by itself when it needs them, and opens
// them twice when two calls need them at the same moment: one pair, with its goroutines, is then nobody's until the
// process ends, and so is what the service sends to it. A link therefore lets many calls through while the last one
// worked, and one alone, which opens it, after one that did not. The client finds out first that its links are gone; see
// [call.use].
type link struct {
	open   func(ctx context.Context) error // a call without an effect
	shut   func(ctx context.Context) error
	broken func() // ends the calls that wait for messages; nil: there are none

	looking chan struct{} // one element, of the call that looks up the client's links

	mu      sync.Mutex // guards what follows
	changed *sync.Cond
	calls   int
	opening bool
	sound   bool
	closed  bool
	epoch   context.Context // of the calls that were let through since it was opened
	end     context.CancelFunc
}

// call is one that was let through. Its context ends with the link: a call that fails because of that may have had its effect.
type call struct {
	context.Context

	l     *link
	epoch context.Context
	stop  func() bool
	done  context.CancelFunc
}

func newLink(open, shut func(ctx context.Context) error, broken func()) *link {
	l := &link{open: open, shut: shut, broken: broken, looking: make(chan struct{}, 1)}
	l.changed = sync.NewCond(&l.mu)
	return l
}

var errShut = errors.New("the link is closed")

// enter begins a call. Each that it lets through must leave.
func (l *link) enter(ctx context.Context) (call, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.closed:
			return call{}, errShut
		case l.sound && !l.opening:
			l.calls++
			if l.epoch == nil {
				l.epoch, l.end = context.WithCancel(context.Background()) //nolint:fatcontext // each is of its own, and not of the one before
			}
			c := call{l: l, epoch: l.epoch}
			c.Context, c.done = context.WithCancel(ctx)
			c.stop = context.AfterFunc(l.epoch, c.done)
			return c, nil
		case l.opening || l.calls > 0:
			l.changed.Wait()
			continue
		}
		l.opening = true
		l.mu.Unlock()
		err := l.openNow(ctx)
		l.mu.Lock()
		l.opening, l.sound = false, err == nil
		l.changed.Broadcast()
		if err != nil {
			return call{}, err
		}
	}
}

func (l *link) openNow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reopenTime)
	defer cancel()
	ctx, end := patient(ctx)
	defer end()
	return l.open(ctx)
}

// reopenTime is how long the opening of a link is waited for, before it is tried again.
const reopenTime = 5 * time.Second

// leave ends a call, which came to err. The link is broken when the service or the network said so, and the other calls
// end then, for the client waits for more than they have time. It may be when there was no answer in time: the others
// have a moment to prove the contrary.
func (l *link) leave(c call, err error) {
	c.stop()
	c.done()
	l.mu.Lock()
	l.calls--
	hurt := l.sound && breaks(err)
	if hurt {
		l.hurt(errors.Is(err, context.DeadlineExceeded))
	}
	l.changed.Broadcast()
	l.mu.Unlock()
	if hurt && l.broken != nil {
		l.broken()
	}
}

// suspect has the link opened anew before its next call.
func (l *link) suspect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sound {
		l.hurt(true)
		l.changed.Broadcast()
	}
}

// hurt ends the calls under way, those of a link in doubt in a moment. The caller holds the lock.
func (l *link) hurt(doubt bool) {
	l.sound = false
	end := l.end
	l.epoch, l.end = nil, nil
	switch {
	case end == nil:
	case doubt:
		time.AfterFunc(doubtTime, end)
	default:
		end()
	}
}

// doubtTime is what calls may take whose answers are on their way, when one did not come.
const doubtTime = 250 * time.Millisecond

// breaks reports whether an error may be one of the link: all are, but those that the service answered with.
func breaks(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, azservicebus.ErrMessageTooLarge) {
		return false
	}
	if codeOf(err) == azservicebus.CodeLockLost {
		return false
	}
	e, ok := errors.AsType[*amqp.Error](err)
	if !ok {
		return true
	}
	if _, detached := errors.AsType[*amqp.LinkError](err); detached {
		return true
	}
	return e.Condition == amqp.ErrCondInternalError || e.Condition == amqp.ErrCondConnectionForced
}

func (l *link) isSound() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sound && !l.closed
}

// close ends the link when no call is under way any more. A second call waits too.
func (l *link) close() {
	l.mu.Lock()
	was := l.closed
	l.closed = true
	l.changed.Broadcast()
	for l.calls > 0 || l.opening {
		l.changed.Wait()
	}
	if l.end != nil {
		l.end()
	}
	l.mu.Unlock()
	if was {
		return
	}
	shutOld(l.shut) // nothing is on its way; a link that does not say goodbye ends with its connection
}

// receiver is the link of a subscriber without sessions. Its client's receiver is another one each time that it is
// opened: the client's own way to mend one is not safe while several calls are under way.
type receiver struct {
	*link

	r *azservicebus.Receiver // of a call that was let through; nil before the first
}

// sender is a link of a publisher, or of delayed copies, as receiver.
type sender struct {
	*link

	s *azservicebus.Sender
}

func newSender(b *Broker, entity string) *sender {
	l := &sender{}
	shut := func(ctx context.Context) error {
		if l.s == nil {
			return nil
		}
		return l.s.Close(ctx)
	}
	l.link = newLink(func(ctx context.Context) error {
		shutOld(shut)
		c, err := b.client()
		if err != nil {
			return err
		}
		if l.s, err = c.NewSender(entity, nil); err != nil {
			return err
		}
		_, err = l.s.NewMessageBatch(ctx, nil)
		return err
	}, shut, nil)
	return l
}

// shutOld ends what another one takes the place of.
func shutOld(shut func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	_ = shut(ctx)
}

// isFinal reports whether an error of the client will be the same on the same link for ever.
func isFinal(err error) bool {
	return errors.Is(err, eventflow.ErrFatal) || errors.Is(err, eventflow.ErrClosed)
}
