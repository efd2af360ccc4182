package traffic

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func newTraffic(t *testing.T) *Traffic {
	t.Helper()
	events, err := Accounts(50).Traffic()
	require.NoError(t, err)
	return events
}

// Every event is one that the normalizer takes, of about 1.2 KB, a fact of its
// own, and points at the account that it is meant to be about.
func TestEvents(t *testing.T) {
	t.Parallel()
	accounts := newTraffic(t)
	seen, bytes := map[string]bool{}, 0
	for i := range 400 {
		src, rec, described, err := accounts.Raw(i)
		require.NoError(t, err)
		bytes += len(rec.Value)
		id := src.Name() + " " + described.ID
		require.False(t, seen[id], "%s comes twice", id)
		seen[id] = true
		require.NotEmpty(t, described.References)

		again, err := accounts.Event(i)
		require.NoError(t, err)
		require.Equal(t, described.ID, again.SourceEventID)
		require.Equal(t, accounts.id(accounts.of(i)), again.AccountID)
	}
	require.InDelta(t, 1200, bytes/400, 100)
}

func TestStripeNumber(t *testing.T) {
	t.Parallel()
	events := newTraffic(t)
	_, _, described, err := events.Raw(8)
	require.NoError(t, err)
	n, ok := events.StripeNumber(described.ID)
	require.True(t, ok)
	require.Equal(t, 8, n)
	_, ok = events.StripeNumber("62515|contact.propertyChange||1|2")
	require.False(t, ok)
}

// The links that Insert makes are what events point at.
func TestLinksAreWhatEventsPointAt(t *testing.T) {
	t.Parallel()
	accounts := newTraffic(t)
	for i := range 40 {
		_, _, described, err := accounts.Raw(i)
		require.NoError(t, err)
		var linked bool
		for at := range accounts.kinds {
			want := accounts.link(at, accounts.of(i))
			for _, ref := range described.References {
				linked = linked || ref.Source == want.Source && ref.Kind == want.Kind && ref.ID == want.ID
			}
		}
		require.True(t, linked, "%v", described.References)
		e, err := accounts.Event(i)
		require.NoError(t, err)
		require.Equal(t, accounts.link(i%len(accounts.kinds), accounts.of(i)).Key(), e.Reference)
	}
}

// The bodies must not be what is measured: see services/vendors for their own cost.
func BenchmarkRaw(b *testing.B) {
	events, err := Accounts(10_000).Traffic()
	require.NoError(b, err)
	for i := 0; b.Loop(); i++ {
		if _, _, _, err := events.Raw(i); err != nil {
			b.Fatal(err)
		}
	}
}
