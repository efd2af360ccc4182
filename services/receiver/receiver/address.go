package receiver

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/throughline-dev/throughline/pkg/service/strangers"
)

// Bounds of what is remembered of addresses.
const (
	maxForwarded = 16          // hops of X-Forwarded-For that are looked at
	maxAddresses = 8192        // in each generation of a memory
	failuresFor  = time.Minute // the window of the rate of failed verifications
)

// proxies are the peers whose X-Forwarded-For is believed.
type proxies []netip.Prefix

// parseProxies reads addresses and prefixes in CIDR notation.
func parseProxies(texts []string) (proxies, error) {
	var all proxies
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
			prefix, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("--trusted-proxies holds %.60q: it should be addresses or prefixes like 10.0.0.0/8", text)
		}
		all = append(all, prefix.Masked())
	}
	return all, nil
}

func (p proxies) contains(addr netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// client gives the address that a request is counted for: the peer's, or what
// the nearest trusted proxy says of its own peer. It is the zero Addr when a
// trusted proxy says nothing: then limits by address cannot apply.
func (p proxies) client(remote string, header http.Header) netip.Addr {
	peer := strangers.ParseAddress(remote)
	if len(p) == 0 || !p.contains(peer) {
		return strangers.Network(peer)
	}
	lines := header["X-Forwarded-For"]
	looked := 0
	for i := len(lines) - 1; i >= 0; i-- {
		rest := lines[i]
		for more := true; more && looked < maxForwarded; looked++ {
			at := strings.LastIndexByte(rest, ',')
			hop := rest[at+1:]
			rest, more = rest[:max(at, 0)], at >= 0
			addr := strangers.ParseAddress(strings.TrimSpace(hop))
			if !addr.IsValid() {
				return netip.Addr{}
			}
			if !p.contains(addr) {
				return strangers.Network(addr)
			}
		}
	}
	return netip.Addr{}
}

// failureKey is an address; where that is not known, a source.
type failureKey struct {
	addr   netip.Addr
	source string
}

// failures counts failed verifications in a window, by address.
type failures struct {
	most  int
	mu    sync.Mutex
	count map[failureKey]int
	began time.Time
}

// add counts one and says how long the client should wait when it had too many;
// 0 while it had not.
func (f *failures) add(addr netip.Addr, source string, at time.Time) (wait time.Duration) {
	key := failureKey{addr: addr}
	if !addr.IsValid() {
		key.source = source
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count == nil || at.Sub(f.began) >= failuresFor || len(f.count) >= maxAddresses {
		f.count, f.began = map[failureKey]int{}, at
	}
	f.count[key]++
	if f.count[key] <= f.most {
		return 0
	}
	return max(time.Second, failuresFor-at.Sub(f.began))
}
