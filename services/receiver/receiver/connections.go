package receiver

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// connections bounds the open connections, all of them and those of one
// address. Beyond a bound one is closed on which no request is being answered:
// the oldest that has not sent a request yet, of strangers first. What carries a
// request is bounded by the admission.
type connections struct {
	most       int
	perAddress int
	known      *known
	proxies    proxies
	closed     map[cause]counter

	mu        sync.Mutex
	all       map[net.Conn]*connection
	silent    queue[connection] // strangers' before their first request
	idle      queue[connection] // strangers' between two
	late      queue[connection] // known ones', or a proxy's, before their first
	addresses map[netip.Addr]*addressConnections
}

// addressConnections are those of one stranger.
type addressConnections struct {
	open  int
	quiet queue[connection] // silent or idle
}

type connection struct {
	conn      net.Conn
	addr      netip.Addr
	own       *addressConnections // nil: no bound by address
	inAll     node[connection]
	inAddress node[connection]
}

// track is http.Server's ConnState.
func (c *connections) track(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.open(conn)
	case http.StateActive:
		c.become(conn, nil)
	case http.StateIdle:
		c.become(conn, &c.idle)
	case http.StateHijacked, http.StateClosed:
		c.forget(conn)
	}
}

func (c *connections) open(conn net.Conn) {
	peer := parseAddress(conn.RemoteAddr().String())
	of := &connection{conn: conn, addr: network(peer)}
	trusted := c.proxies.contains(peer) || c.known.has(of.addr)
	var excess []*connection
	c.mu.Lock()
	c.all[conn] = of
	if trusted {
		c.late.push(&of.inAll, of)
	} else {
		of.own = c.addresses[of.addr]
		if of.own == nil {
			of.own = &addressConnections{}
			c.addresses[of.addr] = of.own
		}
		of.own.open++
		if of.own.open > c.perAddress && of.own.quiet.n > 0 {
			excess = append(excess, c.take(of.own.quiet.oldest(), causeAddress))
		}
		c.silent.push(&of.inAll, of)
		of.own.quiet.push(&of.inAddress, of)
	}
	if len(c.all) > c.most {
		for _, q := range []*queue[connection]{&c.silent, &c.idle, &c.late} {
			if q.n > 0 {
				excess = append(excess, c.take(q.oldest(), causeRequests))
				break
			}
		}
	}
	c.mu.Unlock()
	for _, e := range excess { // outside: Close may call track
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

// take removes a connection that is to be closed from what is counted.
func (c *connections) take(of *connection, why cause) *connection {
	c.closed[why].Inc()
	c.remove(of)
	return of
}

// become moves a connection to the queue of what it waits for, or to none.
func (c *connections) become(conn net.Conn, to *queue[connection]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.all[conn]
	if of == nil {
		return
	}
	of.inAll.remove()
	of.inAddress.remove()
	if to == nil || of.own == nil {
		return
	}
	if c.known.has(of.addr) {
		c.release(of) // verified meanwhile: it is nobody's to close
		return
	}
	to.push(&of.inAll, of)
	of.own.quiet.push(&of.inAddress, of)
}

func (c *connections) forget(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if of := c.all[conn]; of != nil {
		c.remove(of)
	}
}

func (c *connections) remove(of *connection) {
	delete(c.all, of.conn)
	of.inAll.remove()
	of.inAddress.remove()
	c.release(of)
}

// release ends the count for the connection's address.
func (c *connections) release(of *connection) {
	if of.own == nil {
		return
	}
	of.own.open--
	if of.own.open == 0 {
		delete(c.addresses, of.addr)
	}
	of.own = nil
}

func (c *connections) count() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(len(c.all))
}
