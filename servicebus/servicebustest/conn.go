package servicebustest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/eventflow-go/eventflow/servicebus/servicebustest/internal/amqp"
)

const (
	frameLimit   = 64 << 10 // of a frame that we read or write
	minFrame     = 512      // which AMQP asks everybody to take
	maxSessions  = 1000     // of a connection
	maxLinks     = 1000     // of a session
	idleTimeout  = 4 * time.Minute
	lastWords    = 10 * time.Second // for what is in out when a connection ends
	highWater    = 1 << 20          // bytes that wait for the network: with more, nothing is delivered and no frame is read
	clientWindow = 1 << 30          // transfers that a client may send before it hears from us
)

// conn is a connection. Its reader handles frame after frame under Server.mu; its writer alone waits for the network.
type conn struct {
	s  *Server
	nc net.Conn

	wake  chan struct{} // there is something for the writer; never blocks
	room  chan struct{} // the writer has written; never blocks
	ended chan struct{} // the writer has ended

	omu     sync.Mutex // guards out and closing; taken after Server.mu, if both are
	out     []byte
	closing bool // the writer closes the connection when out is written

	// Guarded by Server.mu.
	dead     bool // kill was called, or the reader has ended
	stalled  bool // a delivery waits until out is smaller
	maxFrame int  // the client's
	idle     chan time.Duration
	opened   bool
	sessions map[uint16]*session
	claims   map[string]claim // by canonical path
}

func newConn(s *Server, nc net.Conn) *conn {
	return &conn{
		s: s, nc: nc, wake: make(chan struct{}, 1), room: make(chan struct{}, 1), ended: make(chan struct{}), maxFrame: minFrame,
		idle: make(chan time.Duration, 1), sessions: map[uint16]*session{}, claims: map[string]claim{},
	}
}

// kill cuts the connection; what was not yet written is lost. Reader and writer end by it.
func (c *conn) kill() {
	c.dead = true
	_ = c.nc.Close()
}

// finish has what is in out written before the connection is closed.
func (c *conn) finish() {
	c.omu.Lock()
	c.closing = true
	c.omu.Unlock()
	_ = c.nc.SetWriteDeadline(time.Now().Add(lastWords))
	signal(c.wake)
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// write is the writer's life. It ends when the connection is closed, by finish, kill or the client.
func (c *conn) write() {
	defer close(c.ended)
	defer c.nc.Close() //nolint:errcheck // nobody is left to tell
	beat := time.NewTicker(time.Hour)
	defer beat.Stop()
	var b []byte
	for {
		select {
		case <-c.wake:
		case d := <-c.idle:
			beat.Reset(d)
		case <-beat.C:
			c.put(amqp.AppendFrame(nil, amqp.FrameAMQP, 0, nil, nil))
		}
		c.omu.Lock()
		b, c.out = c.out, b[:0]
		closing := c.closing
		c.omu.Unlock()
		if _, err := c.nc.Write(b); err != nil || closing {
			return
		}
		signal(c.room)
		if cap(b) > highWater {
			b = nil
		}
		c.s.mu.Lock()
		if c.stalled {
			c.stalled = false
			c.pump()
		}
		c.s.mu.Unlock()
	}
}

// pump delivers what waited for the connection.
func (c *conn) pump() {
	for _, ses := range c.sessions {
		ses.pump()
	}
}

func (c *conn) put(frames []byte) {
	c.omu.Lock()
	c.out = append(c.out, frames...)
	c.omu.Unlock()
	signal(c.wake)
}

func (c *conn) full() bool {
	c.omu.Lock()
	defer c.omu.Unlock()
	return len(c.out) > highWater
}

// send writes a frame that belongs to no session.
func (c *conn) send(typ byte, code byte, fields ...any) {
	c.put(amqp.AppendFrame(nil, typ, 0, amqp.Composite(code, fields...), nil))
}

// fail closes the connection with an error: the client broke the protocol.
func (c *conn) fail(condition, text string) {
	c.send(amqp.FrameAMQP, amqp.CodeClose, (&refusal{condition, text}).encode())
	c.dead = true
	c.finish()
}

// read is the reader's life. It ends when the connection is closed or the client leaves.
func (c *conn) read() {
	r := bufio.NewReaderSize(c.nc, frameLimit)
	err := c.handshake(r)
	for err == nil {
		var f amqp.Frame
		if f, err = amqp.ReadFrame(r, frameLimit); err != nil {
			break
		}
		c.s.mu.Lock()
		c.s.catchUp()
		c.handle(f)
		if c.dead {
			err = net.ErrClosed
		}
		c.s.mu.Unlock()
		for err == nil && c.full() {
			select {
			case <-c.room:
			case <-c.ended:
				err = net.ErrClosed
			}
		}
	}
	c.s.mu.Lock()
	if errors.Is(err, amqp.ErrMalformed) {
		c.fail("amqp:connection:framing-error", err.Error())
	}
	c.dead = true
	for _, ses := range c.sessions {
		ses.end()
	}
	delete(c.s.conns, c)
	c.s.mu.Unlock()
	c.finish()
}

var (
	amqpHeader = []byte("AMQP\x00\x01\x00\x00")
	saslHeader = []byte("AMQP\x03\x01\x00\x00")
	errHeader  = errors.New("servicebustest: the client speaks another protocol")
)

// handshake exchanges the protocol's headers, and SASL's frames with a client that wants them. The service's two
// mechanisms are one here: who a client is, its tokens say.
func (c *conn) handshake(r io.Reader) error {
	var h [8]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return err
	}
	if bytes.Equal(h[:], saslHeader) {
		c.put(saslHeader)
		c.send(amqp.FrameSASL, amqp.CodeMechanisms, amqp.Array{amqp.Symbol("MSSBCBS"), amqp.Symbol("ANONYMOUS")})
		f, err := amqp.ReadFrame(r, minFrame)
		if err != nil {
			return err
		}
		if f.Code != amqp.CodeSASLInit {
			return errHeader
		}
		c.send(amqp.FrameSASL, amqp.CodeSASLOutcome, uint8(0))
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return err
		}
	}
	c.put(amqpHeader) // to whoever wants another protocol this says which one there is
	if !bytes.Equal(h[:], amqpHeader) {
		return errHeader
	}
	return nil
}

func (c *conn) handle(f amqp.Frame) {
	ses := c.sessions[f.Channel]
	switch {
	case f.Code == 0:
	case f.Code == amqp.CodeOpen && !c.opened:
		c.open(f.Fields)
	case !c.opened:
		c.fail("amqp:not-allowed", "The first frame has to be open.")
	case f.Code == amqp.CodeBegin && ses == nil:
		c.begin(f.Channel, f.Fields)
	case f.Code == amqp.CodeClose:
		c.send(amqp.FrameAMQP, amqp.CodeClose)
		c.dead = true
	case ses == nil:
		c.fail("amqp:connection:framing-error", "The channel has no session.")
	default:
		ses.handle(f)
	}
}

func (c *conn) open(f amqp.List) {
	c.opened = true
	c.maxFrame = frameLimit
	if n, ok := amqp.Opt[uint32](f, 2); ok {
		c.maxFrame = max(min(int(n), frameLimit), minFrame)
	}
	if ms := amqp.At[uint32](f, 4); ms > 0 {
		c.idle <- max(time.Duration(ms)*time.Millisecond/2, time.Millisecond) // once, so there is room
	}
	c.send(amqp.FrameAMQP, amqp.CodeOpen, "servicebustest", nil, uint32(frameLimit), uint16(maxSessions-1), amqp.Milliseconds(idleTimeout))
}

func (c *conn) begin(channel uint16, f amqp.List) {
	if len(c.sessions) >= maxSessions {
		c.fail("amqp:resource-limit-exceeded", "The connection has too many sessions.")
		return
	}
	ses := &session{c: c, channel: channel, links: map[uint32]*link{}, unsettled: map[uint32]*delivery{}}
	ses.nextIn, ses.window = amqp.At[uint32](f, 1), amqp.At[uint32](f, 2)
	c.sessions[channel] = ses
	ses.send(amqp.CodeBegin, channel, ses.nextOut, uint32(clientWindow), uint32(clientWindow), uint32(maxLinks-1))
}
