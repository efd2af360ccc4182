package source

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
)

func TestMatchToken(t *testing.T) {
	t.Parallel()
	ring, err := NewKeyring("new-token", "old-token")
	require.NoError(t, err)
	for given, want := range map[string]int{"new-token": 0, "old-token": 1} {
		key, err := ring.MatchToken(given, "the header")
		require.NoError(t, err)
		require.Equal(t, want, key)
	}
	for _, given := range []string{"", "new-token ", "new-toke", "NEW-TOKEN"} {
		_, err := ring.MatchToken(given, "the header")
		require.True(t, fault.IsPermanent(err))
		require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
		require.NotContains(t, err.Error(), "new-tok")
	}
	_, err = Keyring{}.MatchToken("", "the header")
	require.Error(t, err)
}

func TestNewTokenKeyring(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", " ", " padded", "padded ", "two\nlines", "NUL\x00", "latin\xe9"} {
		_, err := NewTokenKeyring("good-token", bad)
		require.ErrorContains(t, err, "secret 2 of 2", "%q", bad)
		require.NotContains(t, err.Error(), "padded")
	}
	ring, err := NewTokenKeyring("good-token", "with a blank")
	require.NoError(t, err)
	require.Equal(t, 2, ring.Len())
}
