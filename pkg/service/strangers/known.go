package strangers

import (
	"net/netip"
	"sync"
	"time"
)

const (
	knownFor = 30 * time.Minute // at least
	mostNow  = 8192             // in each generation
)

// Known remembers the addresses (Network) from which somebody came lately who is no
// stranger, for half an hour at least. Two generations bound it. The zero Known is
// ready.
type Known struct {
	mu       sync.RWMutex
	now, old map[netip.Addr]struct{}
	began    time.Time
}

// Has says whether an address is known.
func (k *Known) Has(addr netip.Addr) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	_, ok := k.now[addr]
	if !ok {
		_, ok = k.old[addr]
	}
	return ok
}

// Add remembers addr; the zero Addr is nobody's.
func (k *Known) Add(addr netip.Addr, at time.Time) {
	if !addr.IsValid() {
		return
	}
	k.mu.RLock()
	_, ok := k.now[addr]
	fresh := at.Sub(k.began) < knownFor
	k.mu.RUnlock()
	if ok && fresh {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now == nil || at.Sub(k.began) >= knownFor || len(k.now) >= mostNow {
		k.now, k.old, k.began = map[netip.Addr]struct{}{}, k.now, at
	}
	k.now[addr] = struct{}{}
}
