package strangers

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// peer is a connection of which the address and the end are known.
type peer struct {
	net.Conn
	from   string
	closed bool
}

func (p *peer) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(p.from), 1))
}

func (p *peer) Close() error {
	p.closed = true
	return nil
}

// world is a server's connections, without the server.
type world struct {
	*Connections
	all []*peer
}

func newWorld(o Options) *world {
	o.ClosedOfAddress = prometheus.NewCounter(prometheus.CounterOpts{Name: "address"})
	o.ClosedOfAll = prometheus.NewCounter(prometheus.CounterOpts{Name: "all"})
	return &world{Connections: NewConnections(o)}
}

// connect goes through these states.
func (w *world) connect(from string, states ...http.ConnState) *peer {
	p := &peer{from: from}
	w.all = append(w.all, p)
	w.Track(p, http.StateNew)
	w.become(p, states...)
	return p
}

func (w *world) become(p *peer, states ...http.ConnState) {
	for _, s := range states {
		w.Track(p, s)
	}
}

func (w *world) closed() (all []int) {
	for i, p := range w.all {
		if p.closed {
			all = append(all, i)
		}
	}
	return all
}

func (w *world) counted() (address, all float64) {
	return testutil.ToFloat64(w.o.ClosedOfAddress), testutil.ToFloat64(w.o.ClosedOfAll)
}

// Who comes anew is never the one that is closed: whatever the others have sent.
func TestANewcomerStays(t *testing.T) {
	t.Parallel()
	for what, states := range map[string][]http.ConnState{
		"silent": nil, "idle": {http.StateActive, http.StateIdle}, "idle again": {http.StateActive, http.StateIdle, http.StateActive, http.StateIdle},
	} {
		w := newWorld(Options{Most: 4, PerAddress: 4})
		for i := range 4 {
			w.connect(fmt.Sprintf("192.0.2.%d", i), states...)
		}
		w.connect("198.51.100.1")
		w.connect("198.51.100.2")
		require.Equal(t, []int{0, 1}, w.closed(), what)
		require.EqualValues(t, 4, w.Count())
		_, all := w.counted()
		require.EqualValues(t, 2, all)
	}
}

func TestConnectionsOfOneAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(Options{Most: 100, PerAddress: 2})
	for _, from := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"} {
		w.connect(from)
	}
	require.Equal(t, []int{0, 4}, w.closed())
	address, _ := w.counted()
	require.EqualValues(t, 2, address)
	w.become(w.all[2], http.StateActive) // another bound is for what is being answered
	w.become(w.all[3], http.StateActive)
	w.connect("192.0.2.1")
	require.Equal(t, []int{0, 4}, w.closed())
	for _, p := range w.all {
		w.become(p, http.StateClosed)
	}
	require.Zero(t, w.Count())
	require.Empty(t, w.addresses)
	require.Zero(t, w.strangers.Len()+w.late.Len()+w.spare.Len())
}

func TestTrustedPeers(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"192.0.2.1": true}
	w := newWorld(Options{Most: 3, PerAddress: 1, Trusted: func(peer netip.Addr) bool { return known[peer.String()] }})
	w.connect("192.0.2.1", http.StateActive, http.StateIdle)
	w.connect("192.0.2.1")
	late := w.connect("192.0.2.2", http.StateActive)
	known["192.0.2.2"] = true // a request of it was verified
	w.become(late, http.StateIdle)
	w.connect("192.0.2.3")
	require.Equal(t, []int{1}, w.closed(), "that has sent nothing, since there is no stranger")
	w.connect("192.0.2.4")
	require.Equal(t, []int{1, 3}, w.closed(), "the stranger")
}

// Where nothing else bounds strangers' requests their connections are closed, and never that of somebody who is known.
func TestVouchedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(Options{Most: 5, PerAddress: 2, Busy: true})
	vouch := func(p *peer) { w.Vouch(w.Context(context.Background(), p)) }
	for range 3 {
		w.connect("192.0.2.1", http.StateActive)
	}
	require.Equal(t, []int{0}, w.closed(), "the oldest stranger's of the address")
	signedIn := w.connect("192.0.2.9", http.StateActive)
	vouch(signedIn)
	vouch(signedIn)
	w.become(signedIn, http.StateIdle)
	w.connect("192.0.2.9", http.StateActive)
	w.connect("192.0.2.9", http.StateActive)
	w.connect("192.0.2.9", http.StateActive)
	address, all := w.counted()
	require.EqualValues(t, 1, address, "none of an address from which somebody is signed in")
	require.EqualValues(t, 1, all)
	require.Equal(t, []int{0, 1}, w.closed(), "strangers' before those of somebody who is signed in")
	for _, p := range w.all[4:] {
		w.become(p, http.StateClosed)
	}
	w.become(w.all[2], http.StateClosed)
	for i := range 4 {
		vouch(w.connect(fmt.Sprintf("192.0.2.%d", 10+i), http.StateActive))
	}
	w.connect("192.0.2.4")
	require.Equal(t, []int{0, 1, 3}, w.closed(), "one that nobody waits for, when there is no other")
	w.Vouch(context.Background()) // no connection's

	// A proxy's carries one who is signed in and then one who is not.
	w = newWorld(Options{Most: 2, PerAddress: 2, Busy: true})
	proxy := w.connect("192.0.2.1", http.StateActive)
	vouch(proxy)
	w.become(proxy, http.StateIdle, http.StateActive)
	vouch(w.connect("192.0.2.1", http.StateActive))
	w.connect("192.0.2.1")
	require.Equal(t, []int{0}, w.closed())
}
