package postgrestest

import (
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Proxy is a network between a program and its database that can lose packets, or be slow. It ends with the test.
type Proxy struct {
	url      string
	target   string
	lost     atomic.Bool  // what is read goes nowhere
	delay    atomic.Int64 // of each answer
	group    sync.WaitGroup
	stopped  context.Context //nolint:containedctx // it ends the waits of the connections
	listener net.Listener

	mu    sync.Mutex
	conns []net.Conn
}

// NewProxy starts a proxy before the database at this address.
func NewProxy(t testing.TB, databaseURL string) *Proxy {
	t.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	p := &Proxy{target: u.Host}
	p.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	u.Host = p.listener.Addr().String()
	p.url = u.String()
	var stop context.CancelFunc
	p.stopped, stop = context.WithCancel(context.Background())
	p.group.Go(p.accept)
	t.Cleanup(func() {
		stop()
		_ = p.listener.Close()
		p.Cut()
		p.group.Wait()
	})
	return p
}

// URL is the database's address by way of the proxy.
func (p *Proxy) URL() string { return p.url }

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
		server, err := net.Dial("tcp", p.target)
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
