package sink_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// An event whose link was moved while the event was on account-events is stored
// where the ledger says now.
func TestAnEventOnItsWayFollowsTheLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := accounts.NewStore(w.pool, catalog.Set().Kinds)
	_, err := store.AddAccount(t.Context(), accounts.Account{ID: acme, Name: "Acme"}, "test")
	require.NoError(t, err)
	other, err := store.AddAccount(t.Context(), accounts.Account{Name: "Other"}, "test")
	require.NoError(t, err)
	customer := source.Reference{Source: "stripe", Kind: "customer", ID: "cus_1"}
	_, err = store.AddLink(t.Context(), accounts.Link{Reference: customer, AccountID: acme, CreatedBy: "test"})
	require.NoError(t, err)
	w.publish(t, events(0, 3))
	_, err = store.Decide(t.Context(), accounts.Decision{Verb: accounts.VerbRelink, Reference: customer, To: other.ID, Author: "test"})
	require.NoError(t, err)

	w.start(t)
	w.requireRows(t, 3)
	for _, id := range []string{"evt_000000", "evt_000001", "evt_000002"} {
		ev, _ := w.stored(t, id)
		require.Equal(t, other.ID, ev.AccountID)
	}
	var told int
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT count(*) FROM account_changes WHERE to_account = $1", other.ID).Scan(&told))
	require.Equal(t, 3, told)
}
