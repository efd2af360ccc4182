package accounts_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

// Whoever may connect can take the ledger's lock, a reader too. Decisions do not wait for ever, and say whom they wait for.
func TestAStrangerHoldsTheLedgersLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.account("Acme", "acme.example")
	store := w.store.Waiting(10 * time.Millisecond)
	stranger, err := pgx.Connect(t.Context(), postgrestest.Logins(t, w.pool.Config().ConnString())[postgres.RoleReader])
	require.NoError(t, err)
	_, err = stranger.Exec(t.Context(), "SELECT pg_advisory_lock(8388080129014197348)")
	require.NoError(t, err)
	link := accounts.Decision{Verb: accounts.VerbLink, Reference: ref("stripe:customer:cus_1"), To: acme, EveryTenant: true, Author: "ada"}
	_, decided := store.Decide(t.Context(), link)
	_, imported := store.Import(t.Context(), strings.NewReader("name,stripe\nAcme,cus_1\n"), accounts.ImportOptions{Anyway: true, By: "ada"})
	for _, err := range []error{decided, imported} {
		require.ErrorContains(t, err, fmt.Sprintf("the lock of the link ledger is held by process %d of role ", stranger.PgConn().PID()))
		require.False(t, fault.IsPermanent(err))
		require.Contains(t, fault.Advice(err), fmt.Sprintf("SELECT pg_terminate_backend(%d)", stranger.PgConn().PID()))
	}
	require.NoError(t, stranger.Close(t.Context()))
	effect, err := store.Waiting(time.Minute).Decide(t.Context(), link)
	require.NoError(t, err)
	require.True(t, effect.Changed)
}
