package kafka_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// line is the network of one process: connections of it hang up, now and then or when they are to answer certain requests.
type line struct {
	// deaf gives what becomes of a request: nil or 0: it is sent and answered.
	deaf func(key int16) fate

	mu    sync.Mutex // guards conns
	conns map[*lined]struct{}
}

// fate of a request.
type fate int

const (
	unanswered fate = iota + 1 // it is sent, and the line hangs up instead of giving the answer
	unsent
)

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	x := &lined{Conn: c, l: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		l.conns = map[*lined]struct{}{}
	}
	l.conns[x] = struct{}{}
	return x, nil
}

// hangUp closes one of the connections, but none on which a member waits for its group: it would have to begin anew, for
// ever.
func (l *line) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	skip := rand.IntN(len(l.conns) + 1)
	for c := range l.conns {
		key := int16(c.key.Load())
		if skip--; skip > 0 || key == kmsg.JoinGroup.Int16() || key == kmsg.SyncGroup.Int16() {
			continue
		}
		_ = c.Conn.Close()
		return
	}
}

// lined is a connection of a line.
type lined struct {
	net.Conn
	l    *line
	key  atomic.Int32 // of the last request
	deaf atomic.Bool
}

func (c *lined) Write(b []byte) (int, error) {
	if len(b) >= 6 {
		key := int16(binary.BigEndian.Uint16(b[4:]))
		c.key.Store(int32(key))
		if deaf := c.l.deaf; deaf != nil {
			switch deaf(key) {
			case unsent:
				_ = c.Conn.Close()
			case unanswered:
				c.deaf.Store(true)
			}
		}
	}
	return c.Conn.Write(b)
}

func (c *lined) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.deaf.Load() {
		_ = c.Conn.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *lined) Close() error {
	c.l.mu.Lock()
	delete(c.l.conns, c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}
