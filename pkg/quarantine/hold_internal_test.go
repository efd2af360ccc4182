package quarantine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHoldOffGrows(t *testing.T) {
	t.Parallel()
	h := DefaultHoldOff()
	for releases, want := range map[int]time.Duration{
		0: 30 * time.Second, 1: 30 * time.Second, 2: time.Minute, 3: 2 * time.Minute, 7: 32 * time.Minute, 8: time.Hour, 9: time.Hour, 1 << 30: time.Hour,
	} {
		require.Equal(t, want, h.after(releases), releases)
	}
	require.Equal(t, time.Second, HoldOff{First: time.Minute, Most: time.Second}.after(1))
}
