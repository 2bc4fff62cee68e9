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

// TestLinkThatTheClientLostIsOpenedOnce: the client knows before this package that a link is gone. Calls that were let
// through find none when the first one could not open it. Each would open one of its own, of which all but the last stay
// open, with their goroutines, and what the service sends to them stays locked.
func TestLinkThatTheClientLostIsOpenedOnce(t *testing.T) {
	t.Parallel()
	server := servicebustest.New(t, servicebustest.Options{Queues: map[string]servicebustest.Queue{"q": {}}})
	client, err := azservicebus.NewClientFromConnectionString(server.ConnectionString(), &azservicebus.ClientOptions{
		RetryOptions: azservicebus.RetryOptions{MaxRetries: -1},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	defer func() { require.NoError(t, client.Close(ctx)) }()

	r, err := client.NewReceiverForQueue("q", nil)
	require.NoError(t, err)
	peek := func(ctx context.Context) (err error) {
		_, err = r.PeekMessages(ctx, 1, nil)
		return err
	}
	l := servicebus.NewLink(peek, r.Close)
	calls := make([]servicebus.Call, 16)
	for i := range calls {
		calls[i], err = l.Enter(ctx)
		require.NoError(t, err)
	}
	server.DetachLinks("q", "amqp:link:detach-forced")
	ms, err := r.ReceiveMessages(ctx, 1, nil)
	require.NoError(t, err)
	require.Empty(t, ms, "the client has noticed, and says nothing")

	var opened atomic.Int32
	server.Intercept(func(op servicebustest.Operation) (f servicebustest.Fault) {
		if op.Kind == servicebustest.Attach && op.Entity == "q" {
			if opened.Add(1) == 1 {
				f = servicebustest.Fault{Action: servicebustest.Refuse, Delay: 100 * time.Millisecond}
			}
		}
		return f
	})
	var failed atomic.Int32
	var using sync.WaitGroup
	for _, c := range calls {
		using.Go(func() {
			if c.Use(peek) != nil {
				failed.Add(1)
			}
			l.Leave(c)
		})
	}
	using.Wait()
	require.EqualValues(t, 1, failed.Load(), "the one whose link was refused")
	require.EqualValues(t, 1+3, opened.Load(), "one to receive with, and two for requests")
	l.Close()
}
