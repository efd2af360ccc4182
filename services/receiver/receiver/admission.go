package receiver

import (
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/throughline-dev/throughline/pkg/service/strangers"
)

// errLimited: a request was cut because it took too much of what is kept for
// requests that are not verified yet.
var errLimited = errors.New("too much that is not verified is in flight")

// cause is why a limit on what is unverified struck, the label `cause` of
// throughline_receiver_limited_total.
type cause string

const (
	causeAddress  cause = "address"  // requests of one address
	causeRequests cause = "requests" // requests of all
	causeBytes    cause = "bytes"    // bytes of all
	causeFailures cause = "failures" // failed verifications of one address
)

func causes() []cause { return []cause{causeAddress, causeRequests, causeBytes, causeFailures} }

// admission holds the requests whose sender is not verified yet, and bounds
// them: by number, by bytes that have come, and by number for each address.
//
// Beyond a bound it is never the newcomer that is refused, because it may be a
// vendor's: the oldest request is cut, since a vendor's body follows its headers
// while a stranger's stands. It is cut in the source that holds most, so that
// one source's flood is not another's loss; requests of addresses from which a
// delivery was verified lately go last, and the bound for each address does not
// apply to them: a proxy's address is everybody's.
type admission struct {
	most       int
	mostBytes  int64
	perAddress int
	known      *strangers.Known
	failures   *failures

	mu        sync.Mutex
	requests  int
	bytes     int64
	lines     []*line
	addresses map[netip.Addr]*strangers.Queue[unverified]
}

// line holds one source's requests.
type line struct {
	strangers, knowns group
	limited           map[cause]counter
}

// group is a queue with what its requests hold.
type group struct {
	strangers.Queue[unverified]
	bytes int64
}

// unverified is a request in the admission. It is an account: of its body.
type unverified struct {
	admission *admission
	line      *line
	group     *group
	addr      netip.Addr
	writer    http.ResponseWriter
	inLine    strangers.Node[unverified]
	inAddress strangers.Node[unverified]
	bytes     int64
	cut       cause // "" while it is not
}

func (a *admission) newLine(limited map[cause]counter) *line {
	l := &line{limited: limited}
	a.lines = append(a.lines, l)
	return l
}

// enter admits a request. It must leave before its handler returns.
func (a *admission) enter(u *unverified, l *line, addr netip.Addr, w http.ResponseWriter) {
	stranger := !a.known.Has(addr)
	a.mu.Lock()
	defer a.mu.Unlock()
	u.admission, u.line, u.addr, u.writer, u.bytes, u.cut = a, l, addr, w, 0, ""
	if stranger && addr.IsValid() {
		a.bound(addr)
		own := a.addresses[addr]
		if own == nil {
			own = &strangers.Queue[unverified]{}
			a.addresses[addr] = own
		}
		own.Push(&u.inAddress, u)
	}
	for a.requests >= a.most {
		a.end(a.victim(func(g *group) int64 { return int64(g.Len()) }), causeRequests)
	}
	a.requests++
	u.group = &l.strangers
	if !stranger {
		u.group = &l.knowns
	}
	u.group.Push(&u.inLine, u)
}

// bound makes room for one more of this address.
func (a *admission) bound(addr netip.Addr) {
	if own := a.addresses[addr]; own != nil && own.Len() >= a.perAddress {
		a.end(own.Oldest(), causeAddress)
	}
}

// victim gives the request that goes first, by what a group holds. There is one
// while requests > 0.
func (a *admission) victim(holds func(*group) int64) *unverified {
	var unknowns, knowns *group
	for _, l := range a.lines {
		if l.strangers.Len() > 0 && (unknowns == nil || holds(&l.strangers) > holds(unknowns)) {
			unknowns = &l.strangers
		}
		if l.knowns.Len() > 0 && (knowns == nil || holds(&l.knowns) > holds(knowns)) {
			knowns = &l.knowns
		}
	}
	if unknowns != nil && (knowns == nil || holds(unknowns) > 0) {
		return unknowns.Oldest()
	}
	return knowns.Oldest()
}

// end cuts a request: what waits for its body is woken, and what it held is
// free. It may have been verified meanwhile: then it goes on as if nothing were.
func (a *admission) end(u *unverified, why cause) {
	u.cut = why
	u.line.limited[why].Inc()
	a.forget(u)
	if w, ok := u.writer.(interface{ SetReadDeadline(t time.Time) error }); ok {
		_ = w.SetReadDeadline(time.Unix(1, 0)) // an error: the connection is gone
	}
}

// forget takes a request out of all queues and gives back what it holds.
func (a *admission) forget(u *unverified) {
	if u.inLine.In() == nil {
		return
	}
	a.requests--
	a.hold(u, -u.bytes)
	u.inLine.Remove()
	if u.inAddress.In() != nil {
		own := u.inAddress.In()
		u.inAddress.Remove()
		if own.Len() == 0 {
			delete(a.addresses, u.addr)
		}
	}
}

// leave takes the request out, if it is in, and says why it was cut, if it was.
func (u *unverified) leave() cause {
	if u.admission == nil {
		return ""
	}
	a := u.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(u)
	u.admission, u.writer = nil, nil
	return u.cut
}

// take implements account. It cuts others to make room, and gives false only
// when the request itself was cut.
func (u *unverified) take(n int64) bool {
	a := u.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	for u.cut == "" && a.bytes+n > a.mostBytes {
		a.end(a.victim(func(g *group) int64 { return g.bytes }), causeBytes)
	}
	if u.cut != "" {
		return false
	}
	a.hold(u, n)
	return true
}

// give implements account.
func (u *unverified) give(n int64) {
	if u.admission == nil {
		return
	}
	a := u.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	if u.inLine.In() != nil { // else it was cut, and holds nothing
		a.hold(u, -n)
	}
}

func (a *admission) hold(u *unverified, n int64) {
	a.bytes += n
	u.bytes += n
	u.group.bytes += n
}

func (a *admission) heldRequests() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return int64(a.requests)
}

func (a *admission) heldBytes() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bytes
}
