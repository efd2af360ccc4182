// Package network is a bad network between a program and a server on this machine, for tests: it loses packets, is slow, or
// ends connections.
package network

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy passes TCP connections on to a server. Its methods are safe for concurrent use.
type Proxy struct {
	target   string
	lost     atomic.Bool  // what is read goes nowhere
	delay    atomic.Int64 // of each answer
	group    sync.WaitGroup
	stop     context.CancelFunc
	stopped  context.Context //nolint:containedctx // it ends the waits of the connections
	listener net.Listener

	mu    sync.Mutex
	conns []net.Conn
}

// Start listens at an address ("127.0.0.1:0" takes a free port) for a server at target, which need not be there yet. It
// ends with Close.
func Start(listen, target string) (*Proxy, error) {
	p := &Proxy{target: target}
	var err error
	if p.listener, err = net.Listen("tcp", listen); err != nil { //nolint:noctx // Close ends it
		return nil, fmt.Errorf("starting a proxy: %w", err)
	}
	p.stopped, p.stop = context.WithCancel(context.Background())
	p.group.Go(p.accept)
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends it and all its connections.
func (p *Proxy) Close() {
	p.stop()
	p.listener.Close()
	p.Cut()
	p.group.Wait()
}

// Lose lets all packets vanish from now on, and no connection end: the other machine is gone. What was lost stays so
// when the network works again.
func (p *Proxy) Lose(lose bool) { p.lost.Store(lose) }

// Delay lets each answer of the server come so much later.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// Cut ends all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.conns = nil
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target) //nolint:noctx // a port of this machine
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		if p.stopped.Err() != nil {
			closeBoth(client, server)
		}
		p.group.Go(func() { p.pass(server, client, false) })
		p.group.Go(func() { p.pass(client, server, true) })
	}
}

// pass copies until one side ends. A connection of which something was lost passes nothing more.
func (p *Proxy) pass(to, from net.Conn, answers bool) {
	defer func() {
		if !p.lost.Load() { // nobody hears of an end that is lost
			closeBoth(to, from)
		}
	}()
	buffer := make([]byte, 64<<10)
	for broken := false; ; {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if broken = broken || p.lost.Load(); broken {
			continue
		}
		if delay := time.Duration(p.delay.Load()); answers && delay > 0 {
			select {
			case <-time.After(delay):
			case <-p.stopped.Done():
				return
			}
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func closeBoth(a, b net.Conn) {
	_ = a.Close()
	_ = b.Close()
}
