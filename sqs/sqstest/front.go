package sqstest

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// front is the side of a server that the network sees.
type front struct {
	endpoint string
	listener net.Listener
	http     *http.Server
	closing  chan struct{} // closed by shut, so that nobody waits any longer

	// goroutines are the acceptor, one of each connection, and requests that came without one; shut waits for them.
	goroutines *sync.WaitGroup
}

func newFront() front {
	return front{endpoint: "http://in-memory.sqstest", closing: make(chan struct{}), goroutines: &sync.WaitGroup{}}
}

// Endpoint is the server's URL, for a client's endpoint option.
func (f *front) Endpoint() string { return f.endpoint }

func (f *front) listen(addr string, connections int) error {
	ln, err := net.Listen("tcp", addr) //nolint:noctx // it is done at once: the address is loopback's
	if err != nil {
		return err
	}
	f.listener, f.endpoint = &limited{ln, make(chan struct{}, connections), f.closing}, "http://"+ln.Addr().String()
	return nil
}

func (f *front) answerWith(h http.HandlerFunc) {
	f.http = &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ConnState: f.connState}
	f.goroutines.Go(func() { _ = f.http.Serve(f.listener) })
}

// connState counts a connection's goroutine while it is there. The acceptor makes them new, so that shut, which waits
// for the acceptor too, misses none.
func (f *front) connState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		f.goroutines.Add(1)
	case http.StateClosed, http.StateHijacked:
		f.goroutines.Done()
	case http.StateActive, http.StateIdle:
	}
}

// shut cuts all connections and returns when the goroutines have ended.
func (f *front) shut() {
	close(f.closing)
	switch {
	case f.http != nil:
		_ = f.http.Close()
	case f.listener != nil:
		_ = f.listener.Close()
	}
	f.goroutines.Wait()
}

// limited is a listener that accepts no more connections than it may have open.
type limited struct {
	net.Listener

	slots   chan struct{}
	closing <-chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closing:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotted{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// slotted gives its slot back when it is closed.
type slotted struct {
	net.Conn

	free func()
}

func (c *slotted) Close() error {
	defer c.free()
	return c.Conn.Close()
}
