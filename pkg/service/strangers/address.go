package strangers

import "net/netip"

// ParseAddress reads an address with or without a port; the zero Addr for what is none.
func ParseAddress(text string) netip.Addr {
	if port, err := netip.ParseAddrPort(text); err == nil {
		return port.Addr().Unmap()
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// Network is what limits count as one: an IPv4 address, or an IPv6 /64, which
// is what one customer of a provider has at least.
func Network(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return addr
	}
	prefix, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return addr
	}
	return prefix.Addr()
}
