package traffic

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
)

// Every event is one that the normalizer takes, of about 1 KB, a fact of its
// own, and points at the account that it is meant to be about.
func TestEvents(t *testing.T) {
	t.Parallel()
	accounts := Accounts(50)
	seen := map[string]bool{}
	for i := range 400 {
		src, rec, described, err := accounts.Raw(i)
		require.NoError(t, err)
		require.NoError(t, source.CheckJSON(rec.Value), "%s", rec.Value)
		require.NoError(t, source.CheckEvent(described, rec.ReceivedAt))
		require.InDelta(t, 1024, len(rec.Value), 160, src.Name())
		id := src.Name() + " " + described.ID
		require.False(t, seen[id], "%s comes twice", id)
		seen[id] = true
		require.NotEmpty(t, described.References)

		again, err := accounts.Event(i)
		require.NoError(t, err)
		require.Equal(t, described.ID, again.SourceEventID)
		require.Equal(t, accounts.id(accounts.of(i)), again.AccountID)
	}
}

func TestStripeNumber(t *testing.T) {
	t.Parallel()
	_, _, described, err := Accounts(50).Raw(8)
	require.NoError(t, err)
	n, ok := StripeNumber(described.ID)
	require.True(t, ok)
	require.Equal(t, 8, n)
	_, ok = StripeNumber("62515|contact.propertyChange||1|2")
	require.False(t, ok)
}

// The links that Insert makes are what events point at.
func TestLinksAreWhatEventsPointAt(t *testing.T) {
	t.Parallel()
	accounts := Accounts(50)
	for i := range 40 {
		_, _, described, err := accounts.Raw(i)
		require.NoError(t, err)
		var linked bool
		for _, k := range links() {
			want := k.reference(accounts.of(i))
			for _, ref := range described.References {
				linked = linked || ref.Source == want.Source && ref.Kind == want.Kind && ref.ID == want.ID
			}
		}
		require.True(t, linked, "%v", described.References)
	}
}
