package servicebustest_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

func TestWrongOptionsAreRefusedByName(t *testing.T) {
	t.Parallel()
	queue := func(q servicebustest.Queue) servicebustest.Options {
		return servicebustest.Options{Queues: map[string]servicebustest.Queue{"q": q}}
	}
	named := func(name string) servicebustest.Options {
		return servicebustest.Options{Queues: map[string]servicebustest.Queue{name: {}}}
	}
	for field, o := range map[string]servicebustest.Options{
		"Options.Addr":           {Addr: "0.0.0.0:0"},
		"Options.MaxMessage":     {MaxMessage: 1},
		"Options.MaxConnections": {MaxConnections: -1},
		"Queue.LockDuration":     queue(servicebustest.Queue{LockDuration: 6 * time.Minute}),
		"Queue.MaxDeliveryCount": queue(servicebustest.Queue{MaxDeliveryCount: -1}),
		"Queue.DefaultTTL":       queue(servicebustest.Queue{DefaultTTL: -1}),
		"Queue.DuplicateWindow":  queue(servicebustest.Queue{DuplicateWindow: 8 * 24 * time.Hour}),
		"Queue.MaxBytes":         queue(servicebustest.Queue{MaxBytes: -1}),
		"Queue":                  named("q/$DeadLetterQueue"),
		"Topic": {
			Queues: map[string]servicebustest.Queue{"x": {}}, Topics: map[string]servicebustest.Topic{"X": {}},
		},
		"CreateSubscription": {Topics: map[string]servicebustest.Topic{"t": {Subscriptions: map[string]servicebustest.Subscription{"a/b": {}}}}},
	} {
		_, err := servicebustest.Start(o)
		var c *eventflow.ConfigError
		require.ErrorAs(t, err, &c, field)
		require.Equal(t, "servicebustest."+field, c.Field)
	}
	_, err := servicebustest.Start(named(""))
	require.Error(t, err)
}

func TestEntitiesComeAndGo(t *testing.T) {
	t.Parallel()
	s := servicebustest.New(t, servicebustest.Options{})
	require.NoError(t, s.CreateQueue("q", servicebustest.Queue{}))
	require.Error(t, s.CreateQueue("Q", servicebustest.Queue{}))
	require.NoError(t, s.CreateTopic("t", servicebustest.Topic{}))
	require.NoError(t, s.CreateSubscription("T", "a", servicebustest.Subscription{}))
	require.Error(t, s.CreateSubscription("t", "A", servicebustest.Subscription{}))
	require.Error(t, s.CreateSubscription("q", "a", servicebustest.Subscription{}))
	require.Error(t, s.Delete("q/$DeadLetterQueue"))
	require.NoError(t, s.Delete("q"))
	require.Error(t, s.Delete("q"))
	require.NoError(t, s.Delete("t/subscriptions/a"))
	require.NoError(t, s.CreateSubscription("t", "a", servicebustest.Subscription{}))
	require.NoError(t, s.Delete("t"))
	require.Error(t, s.Delete("t/Subscriptions/a"))
}

func TestAClosedServerHasNoConnections(t *testing.T) {
	t.Parallel()
	s, err := servicebustest.Start(servicebustest.Options{})
	require.NoError(t, err)
	nc, err := s.Dial(t.Context())
	require.NoError(t, err)
	s.Close()
	s.Close()
	_, err = nc.Read(make([]byte, 1))
	require.Error(t, err)
	_, err = s.Dial(t.Context())
	require.ErrorIs(t, err, servicebustest.ErrClosed)
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	s := servicebustest.New(t, servicebustest.Options{InMemory: true, MaxConnections: 1})
	nc, err := s.Dial(t.Context())
	require.NoError(t, err)
	_, err = s.Dial(t.Context())
	require.Error(t, err)
	require.NoError(t, nc.Close())
	require.Eventually(t, func() bool {
		nc, err := s.Dial(t.Context())
		return err == nil && nc.Close() == nil
	}, patience, time.Millisecond)
	require.Empty(t, s.Addr())
}

func TestNoSecretIsInAnError(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	secret := property(b.server.ConnectionString(), "SharedAccessKey")
	c := b.connect(strings.Replace(b.server.ConnectionString(), "SharedAccessKeyName=", "SharedAccessKeyName=x", 1))
	s, err := c.NewSender("q", nil)
	require.NoError(t, err)
	err = s.SendMessage(b.soon(), text("x"), nil)
	require.Error(t, err)
	require.NotContains(t, err.Error(), secret)
}

// TestADayOfRenewals: client and server in a bubble of virtual time, with a message that is held for 24 hours.
func TestADayOfRenewals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := servicebustest.Start(servicebustest.Options{InMemory: true, Queues: map[string]servicebustest.Queue{"q": {}}})
		require.NoError(t, err)
		defer s.Close()
		c, err := azservicebus.NewClientFromConnectionString(s.ConnectionString(), &azservicebus.ClientOptions{
			NewWebSocketConn: func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) { return s.Dial(ctx) },
		})
		require.NoError(t, err)
		sender, err := c.NewSender("q", nil)
		require.NoError(t, err)
		require.NoError(t, sender.SendMessage(t.Context(), text("x"), nil))
		r, err := c.NewReceiverForQueue("q", nil)
		require.NoError(t, err)
		ms, err := r.ReceiveMessages(t.Context(), 1, nil)
		require.NoError(t, err)
		began := time.Now()
		for time.Since(began) < 24*time.Hour {
			time.Sleep(50 * time.Second)
			require.NoError(t, r.RenewMessageLock(t.Context(), ms[0], nil))
		}
		require.NoError(t, r.CompleteMessage(t.Context(), ms[0], nil))
		require.NoError(t, sender.SendMessage(t.Context(), text("y"), nil))
		ms, err = r.ReceiveMessages(t.Context(), 1, nil)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Equal(t, azservicebus.CodeLockLost, code(r.CompleteMessage(t.Context(), ms[0], nil)))
		require.NoError(t, c.Close(t.Context()))
	})
}

// TestNothingIsLostUnderFaults: 2,000 messages, of whose operations one in twenty fails in one way or another.
func TestNothingIsLostUnderFaults(t *testing.T) {
	t.Parallel()
	const n = 2000
	s := servicebustest.New(t, servicebustest.Options{Queues: map[string]servicebustest.Queue{"q": {LockDuration: 300 * time.Millisecond, MaxDeliveryCount: 1000}}})
	faults := []servicebustest.Fault{
		{Action: servicebustest.Refuse}, {Action: servicebustest.Cut}, {Action: servicebustest.Cut, Applied: true}, {Action: servicebustest.Detach},
		{Action: servicebustest.Detach, Applied: true}, {Delay: 20 * time.Millisecond}, {Action: servicebustest.Silence}, {Action: servicebustest.Silence, Applied: true},
	}
	operations := 0
	s.Intercept(func(op servicebustest.Operation) servicebustest.Fault {
		operations++
		if operations%100 != 0 || op.Kind == servicebustest.Attach || op.Kind == servicebustest.Management {
			return servicebustest.Fault{}
		}
		return faults[operations/100%len(faults)]
	})
	b := &bench{T: t, server: s}
	b.client = b.connect(s.ConnectionString())
	go func() {
		sender := b.sender("q")
		for i := 0; i < n && t.Context().Err() == nil; {
			batch, err := sender.NewMessageBatch(t.Context(), nil)
			if err != nil {
				continue
			}
			for j := i; j < min(i+20, n); j++ {
				id := strconv.Itoa(j)
				_ = batch.AddMessage(&azservicebus.Message{MessageID: &id}, nil)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			if sender.SendMessageBatch(ctx, batch, nil) == nil {
				i += 20
			}
			cancel()
		}
	}()
	r := b.receiver("q")
	seen := map[string]bool{}
	for until := time.Now().Add(2 * time.Minute); ; {
		require.True(t, time.Now().Before(until), "%d of %d, %+v", len(seen), n, s.Stats("q"))
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		ms, _ := r.ReceiveMessages(ctx, 50, nil) // faults are what the test is about
		cancel()
		var settling sync.WaitGroup
		for _, m := range ms {
			seen[m.MessageID] = true
			settling.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				_ = r.CompleteMessage(ctx, m, nil)
			})
		}
		settling.Wait()
		if len(seen) == n && s.Stats("q").Active == 0 {
			return
		}
	}
}

// TestAClientThatDoesNotReadIsNotDeliveredTo: the server's memory does not grow with what such a client asks for.
func TestAClientThatDoesNotReadIsNotDeliveredTo(t *testing.T) {
	t.Parallel()
	s := servicebustest.New(t, servicebustest.Options{InMemory: true, Queues: map[string]servicebustest.Queue{"q": {}}})
	var conns []net.Conn
	dial := func(stuck bool) *bench {
		c, err := azservicebus.NewClientFromConnectionString(s.ConnectionString(), &azservicebus.ClientOptions{
			NewWebSocketConn: func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
				nc, err := s.Dial(ctx)
				if stuck {
					nc = &stuckConn{Conn: nc, most: 100_000, free: make(chan struct{})}
					conns = append(conns, nc)
				}
				return nc, err
			},
		})
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close(context.Background()) }) //nolint:usetesting // the test's context has ended by then
		return &bench{T: t, server: s, client: c}
	}
	const n = 100
	good := dial(false)
	sender := good.sender("q")
	for range n {
		require.NoError(t, sender.SendMessage(good.soon(), &azservicebus.Message{Body: make([]byte, 100_000)}, nil))
	}
	bad := dial(true)
	done := make(chan error)
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		_, err := bad.receiver("q").ReceiveMessages(ctx, n, nil)
		done <- err
	}()
	require.Eventually(t, func() bool { return s.Stats("q").Locked > 0 }, patience, time.Millisecond)
	taken := 0
	for r := good.receiver("q"); s.Stats("q").Active > s.Stats("q").Locked; {
		ms, err := r.ReceiveMessages(good.soon(), n-taken, nil)
		require.NoError(t, err)
		taken += len(ms)
	}
	require.Greater(t, taken, n/2, "the other has what was being written, and a megabyte that waits")
	giveUp()
	require.Error(t, <-done)
	for _, nc := range conns {
		require.NoError(t, nc.Close())
	}
}

// stuckConn stops reading after so many bytes, until it is closed.
type stuckConn struct {
	net.Conn

	most int
	free chan struct{}
	once sync.Once
}

func (c *stuckConn) Read(p []byte) (int, error) {
	if c.most <= 0 {
		<-c.free
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Read(p[:min(len(p), c.most)])
	c.most -= n
	return n, err
}

func (c *stuckConn) Close() error {
	c.once.Do(func() { close(c.free) })
	return c.Conn.Close()
}

// TestMemoryIsGivenBack: what was completed is held by nothing.
func TestMemoryIsGivenBack(t *testing.T) { //nolint:paralleltest // it measures the heap
	s := servicebustest.New(t, servicebustest.Options{Queues: map[string]servicebustest.Queue{"q": {}}})
	b := &bench{T: t, server: s}
	b.client = b.connect(s.ConnectionString())
	r := b.deleting("q")
	round := func() uint64 {
		for range 100 {
			b.send("q", &azservicebus.Message{Body: make([]byte, 100_000)})
		}
		b.take(r, 100)
		runtime.GC()
		var st runtime.MemStats
		runtime.ReadMemStats(&st)
		return st.HeapAlloc
	}
	first := round()
	round()
	require.Less(t, round(), first+5<<20)
}

func TestWhateverAClientSaysTheServerLives(t *testing.T) {
	t.Parallel()
	s := servicebustest.New(t, servicebustest.Options{InMemory: true})
	for name, say := range map[string]string{
		"http":                 "GET / HTTP/1.1\r\n\r\n",
		"tls":                  "AMQP\x02\x01\x00\x00",
		"no open":              "AMQP\x00\x01\x00\x00\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x11\x45",
		"frame of two bytes":   "AMQP\x00\x01\x00\x00\x00\x00\x00\x02\x02\x00\x00\x00",
		"frame of four GB":     "AMQP\x00\x01\x00\x00\xff\xff\xff\xff\x02\x00\x00\x00",
		"garbage for SASL":     "AMQP\x03\x01\x00\x00\x00\x00\x00\x0c\x02\x01\x00\x00\x00\x53\x10\x45",
		"attach of no session": "AMQP\x00\x01\x00\x00\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x10\x45\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x12\x45",
	} {
		nc, err := s.Dial(t.Context())
		require.NoError(t, err)
		go func() { _, _ = nc.Write([]byte(say)) }()
		require.NoError(t, nc.SetReadDeadline(time.Now().Add(patience)))
		for buf := make([]byte, 512); err == nil; {
			_, err = nc.Read(buf)
		}
		require.NotErrorIs(t, err, context.DeadlineExceeded, name)
		require.ErrorContains(t, err, "EOF", "%s: it is closed", name)
		require.NoError(t, nc.Close())
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			s := servicebustest.New(b, servicebustest.Options{Queues: map[string]servicebustest.Queue{"q": {}}})
			c, err := azservicebus.NewClientFromConnectionString(s.ConnectionString(), nil)
			require.NoError(b, err)
			defer c.Close(b.Context()) //nolint:errcheck // it ends with its test
			sender, err := c.NewSender("q", nil)
			require.NoError(b, err)
			r, err := c.NewReceiverForQueue("q", nil)
			require.NoError(b, err)
			b.ReportAllocs()
			for got := 0; got < b.N; {
				batch, err := sender.NewMessageBatch(b.Context(), nil)
				require.NoError(b, err)
				for range min(b.N-got, 20) {
					require.NoError(b, batch.AddMessage(&azservicebus.Message{Body: make([]byte, size)}, nil))
				}
				require.NoError(b, sender.SendMessageBatch(b.Context(), batch, nil))
				for want := int(batch.NumMessages()); want > 0; {
					ms, err := r.ReceiveMessages(b.Context(), want, nil)
					require.NoError(b, err)
					want -= len(ms)
					got += len(ms)
					var settling sync.WaitGroup
					for _, m := range ms {
						settling.Go(func() { _ = r.CompleteMessage(b.Context(), m, nil) })
					}
					settling.Wait()
				}
			}
		})
	}
}
