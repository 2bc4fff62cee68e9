package sqltest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy stands between a server and those who connect to it, and can hold back what they say to each other.
type Proxy struct {
	Addr string // where it listens

	mu     sync.Mutex // guards what follows
	passes sync.Cond
	held   bool
	closed bool
	conns  map[net.Conn]bool
}

// NewProxy starts one to a server's address. It ends with the test.
func NewProxy(t *testing.T, to string) *Proxy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), conns: make(map[net.Conn]bool)}
	p.passes.L = &p.mu
	var all sync.WaitGroup
	all.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			server, err := (&net.Dialer{}).DialContext(context.WithoutCancel(t.Context()), "tcp", to)
			if err != nil {
				_ = from.Close()
				continue
			}
			all.Go(func() { p.pass(server, from) })
			all.Go(func() { p.pass(from, server) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.closed = true
		p.passes.Broadcast()
		for c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		all.Wait()
	})
	return p
}

// Hold holds back everything from now on, or lets it pass.
func (p *Proxy) Hold(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = on
	p.passes.Broadcast()
}

// pass copies one direction until one side ends, and closes both.
func (p *Proxy) pass(to, from net.Conn) {
	p.mu.Lock()
	p.conns[from] = true
	p.mu.Unlock()
	_, _ = io.Copy(&gate{to, p}, from)
	_, _ = to.Close(), from.Close()
	p.mu.Lock()
	delete(p.conns, from)
	p.mu.Unlock()
}

type gate struct {
	io.Writer
	p *Proxy
}

func (g *gate) Write(b []byte) (int, error) {
	g.p.mu.Lock()
	for g.p.held && !g.p.closed {
		g.p.passes.Wait()
	}
	g.p.mu.Unlock()
	return g.Writer.Write(b)
}
