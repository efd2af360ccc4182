package cli_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const nimbus = "0f6e9b1c-6f0e-4c5e-9b61-3f6f6d2a0002"

// store puts n events on an account's timeline that found it by this reference.
func (s *shell) store(n int, account, reference string) {
	s.t.Helper()
	_, err := s.pool().Exec(s.t.Context(), `WITH e AS (
		INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		SELECT $2, 'invoice.paid', 'stripe', $3 || i, '{}', '2026-01-01', '2026-01-01' FROM generate_series(1, $1::int) AS i RETURNING id)
		INSERT INTO account_event_origins SELECT id, $3, 'links', 'webhook', 'raw.stripe', 0, id, -1 FROM e`, n, account, reference)
	require.NoError(s.t, err)
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme GmbH", "--id", acme, "--domain", "acme.example")
	sh.must("accounts", "add", "Nimbus", "--id", nimbus)
	sh.must("link", "stripe:cus_1", acme)
	sh.must("link", "stripe:cus_2", acme)
	sh.store(3, acme, "stripe:customer:cus_1")
	sh.store(2, acme, "stripe:customer:cus_2")
	sh.store(4, acme, "hubspot:email:kim@acme.example")
	sh.golden("decisions", scrubTimes,
		[]string{"relink", "stripe:cus_1", "Nimbus", "--dry-run"},
		[]string{"relink", "stripe:cus_1", "Nimbus", "--reason", "wrong company"},
		[]string{"relink", "stripe:cus_1", "Nimbus"},
		[]string{"relink", "stripe:cus_9", "Nimbus"},
		[]string{"unlink", "stripe:cus_1", acme},
		[]string{"unlink", "stripe:cus_2", "--dry-run", "--json"},
		[]string{"unlink", "stripe:cus_2", "--by", "sam"},
		[]string{"unlink", "stripe:cus_2"},
		[]string{"link", "email:kim@acme.example", "Nimbus", "--dry-run"},
		[]string{"links", "deny", "email:kim@acme.example", acme},
		[]string{"links", "deny", "email:kim@acme.example", acme},
		[]string{"unlink", "email:kim@acme.example"},
		[]string{"accounts", "remove", "Nimbus"},
		[]string{"accounts", "merge", "Nimbus", "Nimbus"},
		[]string{"accounts", "merge", "Nimbus", acme},
		[]string{"accounts", "merge", "Nimbus", acme, "--dry-run"},
		[]string{"accounts", "merge", "Nimbus", acme, "--yes"},
		[]string{"accounts", "list"},
		[]string{"timeline", "Nimbus", "--since", "all"},
		[]string{"links"},
		[]string{"links", "log"},
		[]string{"links", "log", "--reference", "stripe:cus_2", "--json"},
		[]string{"links", "log", "Nimbus", "--limit", "1"},
		[]string{"accounts", "moves"},
		[]string{"accounts", "moves", "--pending"},
		[]string{"accounts", "moves", "--resume", "--json"},
	)
}

// A move that is interrupted says how it goes on, and --resume does.
func TestMovesAreResumed(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme GmbH", "--id", acme)
	sh.must("accounts", "add", "Nimbus", "--id", nimbus)
	sh.must("link", "stripe:cus_1", acme)
	sh.store(3, acme, "stripe:customer:cus_1")
	// A writer that is older than the decision holds the move up until the command is interrupted.
	pool := sh.pool()
	writer, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer writer.Rollback(context.WithoutCancel(t.Context()))
	_, err = writer.Exec(t.Context(), "DELETE FROM account_events WHERE id < 0")
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan result, 1)
	go func() { done <- sh.runContext(ctx, "relink", "stripe:cus_1", nimbus) }()
	require.Eventually(t, func() bool {
		var fences int
		return pool.QueryRow(t.Context(), "SELECT count(*) FROM history_moves WHERE fence IS NOT NULL").Scan(&fences) == nil && fences == 1
	}, 30*time.Second, 10*time.Millisecond)
	cancel()
	r := <-done
	require.Equal(t, 130, r.code)
	require.Contains(t, r.out, "relinked from Acme GmbH")
	require.Contains(t, r.err, "throughline accounts moves --resume")
	require.Contains(t, sh.must("accounts", "moves", "--pending"), "stripe:customer:cus_1")
	require.NoError(t, writer.Rollback(t.Context()))
	require.Contains(t, sh.must("accounts", "moves", "--resume", "--json"), `"moved":3`)
	require.Empty(t, sh.must("accounts", "moves", "--pending"))
	require.Contains(t, sh.must("timeline", "Nimbus", "--since", "all"), "invoice.paid")
}
