package traffic

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// A mix holds every source, no event twice but for whole deliveries, and about as much of the unusual as it says.
func TestMix(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	m, err := Accounts(50).Mix(began)
	require.NoError(t, err)
	seen, sources := map[uint64]bool{}, map[string]int{}
	events, unknown, late, twice := 0, 0, 0, 0
	const deliveries = 6000
	for n := range deliveries {
		s, err := m.Delivery(n)
		require.NoError(t, err)
		for _, f := range s.Facts {
			id := Identity(s.Source, f.ID)
			require.False(t, seen[id], "%s of %s is there twice", f.ID, s.Source)
			seen[id] = true
			if f.Account == uuid.Nil {
				unknown++
			}
		}
		events += len(s.Facts)
		late += s.Late
		sources[s.Source] += len(s.Facts)
		if s.Twice {
			twice++
		}
	}
	require.Len(t, sources, 8)
	require.InDelta(t, 0.4, float64(sources["stripe"])/float64(events), 0.03)
	require.InDelta(t, shareUnknown, float64(unknown)/float64(events), 0.005)
	require.InDelta(t, shareLate, float64(late)/float64(events), 0.01)
	require.InDelta(t, shareTwice, float64(twice)/deliveries, 0.01)

	again, err := Accounts(50).Mix(began)
	require.NoError(t, err)
	first, err := m.Delivery(17)
	require.NoError(t, err)
	second, err := again.Delivery(17)
	require.NoError(t, err)
	require.Equal(t, first, second)
}
