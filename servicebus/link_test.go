package servicebus_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/servicebus"
	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

// lostLink is a link of calls that were let through, before the client or the service has ended what they are made on.
type lostLink struct {
	servicebus.Link

	server *servicebustest.Server
	r      *azservicebus.Receiver
	calls  []servicebus.Call
}

func openLink(t *testing.T) *lostLink {
	t.Helper()
	l := &lostLink{server: servicebustest.New(t, servicebustest.Options{Queues: map[string]servicebustest.Queue{"q": {}}})}
	client, err := azservicebus.NewClientFromConnectionString(l.server.ConnectionString(), &azservicebus.ClientOptions{
		RetryOptions: azservicebus.RetryOptions{MaxRetries: -1},
	})
	require.NoError(t, err)
	l.r, err = client.NewReceiverForQueue("q", nil)
	require.NoError(t, err)
	l.Link = servicebus.NewLink(l.peek, l.r.Close)
	t.Cleanup(func() {
		l.Close()
		require.NoError(t, client.Close(context.WithoutCancel(t.Context())))
	})
	for range 16 {
		c, err := l.Enter(t.Context())
		require.NoError(t, err)
		l.calls = append(l.calls, c)
	}
	return l
}

func (l *lostLink) peek(ctx context.Context) error {
	_, err := l.r.PeekMessages(ctx, 1, nil)
	return err
}

// use makes all calls at once.
func (l *lostLink) use() {
	var using sync.WaitGroup
	for _, c := range l.calls {
		using.Go(func() {
			_ = c.Use(l.peek) // some fail
			l.Leave(c)
		})
	}
	using.Wait()
}

// worksAgain: the next call opens the link; what there was before is closed.
func (l *lostLink) worksAgain(t *testing.T) {
	t.Helper()
	var c servicebus.Call
	require.Eventually(t, func() (ok bool) {
		var err error
		c, err = l.Enter(t.Context())
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, c.Use(l.peek))
	l.Leave(c)
	require.Eventually(t, func() bool { return l.server.Stats("q").Receivers == 1 }, time.Minute, 10*time.Millisecond)
}

// linksOfOne are those that the client opens for a receiver: one to receive with, and two for requests.
const linksOfOne = 3

// TestLinkThatTheClientLostIsOpenedOnce: the client knows before this package that a link is gone. Calls that were let
// through find none when the first one could not open it. Each would open one of its own, of which all but the last stay
// open, with their goroutines, and what the service sends to them stays locked.
func TestLinkThatTheClientLostIsOpenedOnce(t *testing.T) {
	t.Parallel()
	l := openLink(t)
	l.server.DetachLinks("q", "amqp:link:detach-forced")
	ms, err := l.r.ReceiveMessages(t.Context(), 1, nil)
	require.NoError(t, err)
	require.Empty(t, ms, "the client has noticed, and says nothing")
	var opened atomic.Int32
	l.server.Intercept(func(op servicebustest.Operation) (f servicebustest.Fault) {
		if op.Kind == servicebustest.Attach && op.Entity == "q" && opened.Add(1) == 1 {
			f = servicebustest.Fault{Action: servicebustest.Refuse, Delay: 100 * time.Millisecond}
		}
		return f
	})
	l.use()
	require.LessOrEqual(t, opened.Load(), int32(1+linksOfOne))
	l.worksAgain(t)
}

// TestLinkThatIsLostUnderCallsIsOpenedOnce: the client opens a link again from within each call that was made on it.
// While one of them fails to, others that begin find none.
func TestLinkThatIsLostUnderCallsIsOpenedOnce(t *testing.T) {
	t.Parallel()
	l := openLink(t)
	var asked, opened atomic.Int32
	waiting := make(chan struct{})
	stop := l.server.Intercept(func(op servicebustest.Operation) (f servicebustest.Fault) {
		switch {
		case op.Kind == servicebustest.Attach && op.Entity == "q":
			opened.Add(1)
		case op.Kind == servicebustest.Management && op.Name != "put-token":
			switch n := int(asked.Add(1)); {
			case n < len(l.calls):
				f.Action = servicebustest.Silence
			case n == len(l.calls):
				f.Action = servicebustest.Detach
				close(waiting)
			}
		}
		return f
	})
	used := make(chan struct{})
	go func() {
		defer close(used)
		l.use()
	}()
	<-waiting
	for ended := false; !ended; { // calls find out that requests cannot be sent any more, and open the links
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if c, err := l.Enter(ctx); err == nil {
			_ = c.Use(l.peek)
			l.Leave(c)
		}
		cancel()
		select {
		case <-used:
			ended = true
		default:
		}
	}
	stop()
	require.LessOrEqual(t, opened.Load(), int32(2*linksOfOne), "of a call that was under way, and of one that was let in alone")
	l.worksAgain(t)
}

// TestCallsOfASoundLinkLeaveItOpen: what tells that the client opens links must not be seen when it does not.
func TestCallsOfASoundLinkLeaveItOpen(t *testing.T) {
	t.Parallel()
	l := openLink(t)
	var opened atomic.Int32
	l.server.Intercept(func(op servicebustest.Operation) (f servicebustest.Fault) {
		if op.Kind == servicebustest.Attach {
			opened.Add(1)
		}
		return f
	})
	l.use()
	l.worksAgain(t)
	require.Zero(t, opened.Load(), "links that were opened")
}
