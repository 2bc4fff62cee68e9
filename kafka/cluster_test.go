package kafka_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventflow-go/eventflow/kafka"
)

// cluster is a fake cluster with topics "one" (one partition) and "three" (three).
type cluster struct {
	*kfake.Cluster
	t *testing.T
}

func newCluster(t *testing.T, opts ...kfake.Opt) *cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, "one", "one.dlq"), kfake.SeedTopics(3, "three")}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return &cluster{c, t}
}

var quiet = slog.New(slog.DiscardHandler)

// broker opens the cluster; change may be nil.
func (c *cluster) broker(change func(*kafka.Config)) *kafka.Broker {
	c.t.Helper()
	cfg := kafka.Config{Seeds: c.ListenAddrs(), Logger: quiet}
	if change != nil {
		change(&cfg)
	}
	return open(c.t, cfg)
}

func open(t *testing.T, cfg kafka.Config) *kafka.Broker {
	t.Helper()
	b, err := kafka.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
		defer cancel()
		require.NoError(t, b.Close(ctx))
	})
	return b
}

// listen gives a listener on a free port.
func listen(t *testing.T) net.Listener {
	t.Helper()
	var c net.ListenConfig
	ln, err := c.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// records reads n records of a topic with a client of its own.
func (c *cluster) records(topic string, n int) []*kgo.Record {
	c.t.Helper()
	return c.recordsOf(c.ListenAddrs(), topic, n)
}

// recordsAt is records of the cluster that b knows.
func (c *cluster) recordsAt(b *kafka.Broker, topic string, n int) []*kgo.Record {
	c.t.Helper()
	return c.recordsOf(kafka.Seeds(b), topic, n)
}

func (c *cluster) recordsOf(seeds []string, topic string, n int) []*kgo.Record {
	c.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.ConsumeTopics(topic))
	require.NoError(c.t, err)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(c.t.Context(), 15*time.Second)
	defer cancel()
	var rs []*kgo.Record
	for len(rs) < n {
		fs := cl.PollFetches(ctx)
		require.NoError(c.t, fs.Err())
		rs = append(rs, fs.Records()...)
	}
	return rs
}

func pairs(r *kgo.Record) [][2]string {
	var out [][2]string
	for _, h := range r.Headers {
		out = append(out, [2]string{h.Key, string(h.Value)})
	}
	return out
}

// refuseLogins answers a login as Kafka does, whatever the password is; the fake cluster hangs up.
func (c *cluster) refuseLogins() {
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		res := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		res.ErrorCode = kerr.SaslAuthenticationFailed.Code
		res.ErrorMessage = new("Authentication failed during authentication due to invalid credentials with SASL mechanism")
		return res, nil, true
	})
}

// takeMechanisms answers the handshake of mechanisms that the fake cluster does not know.
func (c *cluster) takeMechanisms(names ...string) {
	c.ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		res := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
		res.SupportedMechanisms = names
		return res, nil, true
	})
}
