package source

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
)

func TestVerifyToken(t *testing.T) {
	t.Parallel()
	ring, err := NewKeyring("new-token", "old-token")
	require.NoError(t, err)
	for given, want := range map[string]int{"new-token": 0, "old-token": 1} {
		key, err := VerifyToken(ring, given, "the header")
		require.NoError(t, err)
		require.Equal(t, want, key)
	}
	for _, given := range []string{"", "new-token ", "new-toke", "NEW-TOKEN"} {
		_, err := VerifyToken(ring, given, "the header")
		require.True(t, fault.IsPermanent(err))
		require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
		require.NotContains(t, err.Error(), "new-tok")
	}
	_, err = VerifyToken(Keyring{}, "", "the header")
	require.Error(t, err)
}
