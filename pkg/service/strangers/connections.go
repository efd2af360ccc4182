// Package strangers bounds what those hold of a server who have not shown who
// they are: their connections, all of them and those of one address, so that
// those who have are served all the same.
package strangers

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are what Connections are made of.
type Options struct {
	Most       int // of all
	PerAddress int // of one address, strangers'
	// Trusted says that a peer is no stranger: its connections have no bound of their
	// own, and are nobody's to close after a request. nil: nobody is.
	Trusted func(peer netip.Addr) bool
	// Busy closes strangers' connections whose requests are being answered, too. Without
	// it something else bounds such requests.
	Busy bool
	// These count what was closed to keep within PerAddress, and within Most.
	ClosedOfAddress, ClosedOfAll prometheus.Counter
}

// Connections bounds a server's open connections. Beyond a bound the newest is never
// refused, because it may be of somebody who is no stranger: the one is closed on
// which nothing has begun or ended for the longest time, of strangers first. It knows
// one request a connection, so it is for servers without HTTP/2.
type Connections struct {
	o Options

	known Known // addresses of those for whom Vouch was called

	mu        sync.Mutex
	all       map[net.Conn]*connection
	strangers Queue[connection] // theirs that may be closed
	late      Queue[connection] // trusted ones' before their first request
	spare     Queue[connection] // between two requests, the last of which was vouched for
	addresses map[netip.Addr]*addressConnections
}

// addressConnections are those of one stranger.
type addressConnections struct {
	open   int
	closed Queue[connection] // that may be
}

type connection struct {
	conn      net.Conn
	peer      netip.Addr
	addr      netip.Addr
	own       *addressConnections // nil: no bound by address
	vouched   bool                // its last request
	inAll     Node[connection]
	inAddress Node[connection]
}

// NewConnections makes them. A server needs Track, and Context where Vouch is called.
func NewConnections(o Options) *Connections {
	if o.Trusted == nil {
		o.Trusted = func(netip.Addr) bool { return false }
	}
	return &Connections{o: o, all: map[net.Conn]*connection{}, addresses: map[netip.Addr]*addressConnections{}}
}

type contextKey struct{}

// Context is http.Server's ConnContext.
func (c *Connections) Context(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, contextKey{}, conn)
}

// Vouch says, with a request's context, that its sender is no stranger. Until it is
// answered nobody closes its connection, and afterwards strangers' are closed before.
// Its address has no bound of its own for a while: it may be a proxy's, which is
// everybody's.
func (c *Connections) Vouch(ctx context.Context) {
	conn, ok := ctx.Value(contextKey{}).(net.Conn)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.all[conn]
	if of == nil || of.vouched {
		return
	}
	of.vouched = true
	c.known.Add(of.addr, time.Now())
	of.inAll.Remove()
	of.inAddress.Remove()
	c.release(of)
}

// Track is http.Server's ConnState.
func (c *Connections) Track(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.open(conn)
	case http.StateActive:
		c.active(conn)
	case http.StateIdle:
		c.rest(conn)
	case http.StateHijacked, http.StateClosed:
		c.forget(conn)
	}
}

func (c *Connections) open(conn net.Conn) {
	peer := ParseAddress(conn.RemoteAddr().String())
	of := &connection{conn: conn, peer: peer, addr: Network(peer)}
	trusted := c.o.Trusted(peer)
	var excess []*connection
	c.mu.Lock()
	if !trusted && !c.known.Has(of.addr) {
		of.own = c.addresses[of.addr]
		if of.own == nil {
			of.own = &addressConnections{}
			c.addresses[of.addr] = of.own
		}
		of.own.open++
		if of.own.open > c.o.PerAddress {
			excess = c.take(excess, c.o.ClosedOfAddress, &of.own.closed)
		}
	}
	if len(c.all) >= c.o.Most {
		excess = c.take(excess, c.o.ClosedOfAll, &c.strangers, &c.late, &c.spare)
	}
	c.all[conn] = of // only now, or it could be the one that is closed
	if trusted {
		c.late.Push(&of.inAll, of)
	} else {
		c.closable(of)
	}
	c.mu.Unlock()
	for _, e := range excess { // outside: Close may call Track
		giveUp(e.conn)
	}
}

// giveUp closes a connection without a word: to say goodbye in TLS would wait for a
// peer that does not read, and the acceptor with it.
func giveUp(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_ = conn.Close()
}

// take adds the oldest of the first queue that has one to those that are to be
// closed, and removes it from what is counted.
func (c *Connections) take(excess []*connection, closed prometheus.Counter, from ...*Queue[connection]) []*connection {
	for _, q := range from {
		if of := q.Oldest(); of != nil {
			closed.Inc()
			c.remove(of)
			return append(excess, of)
		}
	}
	return excess
}

// closable makes a stranger's connection the last to be closed.
func (c *Connections) closable(of *connection) {
	c.strangers.Push(&of.inAll, of)
	if of.own != nil {
		of.own.closed.Push(&of.inAddress, of)
	}
}

// active: a request has come.
func (c *Connections) active(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.unqueued(conn)
	if of == nil {
		return
	}
	of.vouched = false
	if c.o.Busy && !c.o.Trusted(of.peer) {
		c.closable(of)
	}
}

// unqueued takes a connection out of the order in which they are closed; nil: it was closed.
func (c *Connections) unqueued(conn net.Conn) *connection {
	of := c.all[conn]
	if of != nil {
		of.inAll.Remove()
		of.inAddress.Remove()
	}
	return of
}

// rest: its request was answered.
func (c *Connections) rest(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.unqueued(conn)
	if of == nil {
		return
	}
	switch {
	case of.vouched:
		c.spare.Push(&of.inAll, of)
	case c.o.Trusted(of.peer):
		c.release(of) // verified meanwhile, or before: it is nobody's to close
	default:
		c.closable(of)
	}
}

func (c *Connections) forget(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if of := c.all[conn]; of != nil {
		c.remove(of)
	}
}

func (c *Connections) remove(of *connection) {
	delete(c.all, of.conn)
	of.inAll.Remove()
	of.inAddress.Remove()
	c.release(of)
}

// release ends the count for the connection's address.
func (c *Connections) release(of *connection) {
	if of.own == nil {
		return
	}
	of.own.open--
	if of.own.open == 0 {
		delete(c.addresses, of.addr)
	}
	of.own = nil
}

// Count is how many are open.
func (c *Connections) Count() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(len(c.all))
}
