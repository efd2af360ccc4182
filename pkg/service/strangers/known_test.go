package strangers

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAddressesAreForgotten(t *testing.T) {
	t.Parallel()
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	at := time.Now()
	k := &Known{}
	k.Add(netip.Addr{}, at)
	require.False(t, k.Has(netip.Addr{}))
	for i := range 3 * mostNow {
		k.Add(addr(i), at)
		require.True(t, k.Has(addr(i)))
	}
	require.LessOrEqual(t, len(k.now)+len(k.old), 2*mostNow)
	k.Add(addr(0), at.Add(knownFor))
	require.True(t, k.Has(addr(3*mostNow-1)), "known for as long again")
	k.Add(addr(0), at.Add(2*knownFor))
	require.False(t, k.Has(addr(3*mostNow-1)))
	require.True(t, k.Has(addr(0)))
}
