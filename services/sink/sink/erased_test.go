package sink_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/erase"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// Events that were on account-events when their account, or a person whom they mention, was erased are not stored, no
// matter when they come.
func TestEventsOnTheirWayOfWhatWasErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store, eraser := accounts.NewStore(w.pool, catalog.Set().Kinds), erase.New(w.pool, catalog.Set())
	other, err := store.AddAccount(t.Context(), accounts.Account{Name: "Other"}, "test")
	require.NoError(t, err)
	ofAcme, ofOther := events(0, 3), events(10, 16)
	for i := range ofOther {
		ofOther[i].AccountID, ofOther[i].Reference = other.ID, "stripe:customer:cus_2"
		email, text := "bob@other.example", ""
		switch i {
		case 1:
			email = "Kim@far.example"
		case 2:
			text = "ask kim%40far.example"
		case 5: // of whoever publishes to account-events
			ofOther[i].Tenant = "kim@far.example"
		}
		ofOther[i].Payload = fmt.Appendf(nil, `{"id":"%s","object":"event","created":1761955200,"livemode":true,"type":"invoice.paid","data":{"object":{"object":"invoice","customer":"cus_2","customer_email":"%s","description":"%s"}}}`, ofOther[i].SourceEventID, email, text)
	}
	w.start(t)
	w.publish(t, events(100, 101)) // the sink knows Acme
	w.requireRows(t, 1)

	for _, target := range []erase.Target{{Account: acme}, {References: []source.Reference{{Source: "email", Kind: "email", ID: "kim@far.example"}}}} {
		_, err := eraser.Begin(t.Context(), target, "test", "")
		require.NoError(t, err)
	}
	require.NoError(t, eraser.Run(t.Context(), nil))
	require.Zero(t, w.rows(t))
	w.publish(t, append(ofAcme, ofOther...))
	w.requireRows(t, 3)
	w.requireLetters(t, 0)
	var told int
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT count(*) FROM account_changes WHERE to_account IS NULL").Scan(&told))
	require.Equal(t, 7, told, "consumers of account-events have seen them, and are told to delete them: one that was stored, six that were not")
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT events FROM suppressed_events WHERE source = 'stripe'").Scan(&told))
	require.Equal(t, 6, told, "`throughline erasures list` counts them")
	require.Zero(t, func() (n int) {
		require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT count(*) FROM account_events WHERE account_id = $1 OR payload::text ILIKE '%kim@far%'", acme).Scan(&n))
		return n
	}())
}
