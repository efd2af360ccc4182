package cli_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

func (s *shell) pool() *pgxpool.Pool {
	s.t.Helper()
	pool, err := pgxpool.New(s.t.Context(), s.env["THROUGHLINE_POSTGRES_URL"])
	require.NoError(s.t, err)
	s.t.Cleanup(pool.Close)
	return pool
}

// quarantine puts n records into quarantine that wait for this reference.
func (s *shell) quarantine(n int, reason, source, key string) {
	s.t.Helper()
	pool, err := pgxpool.New(s.t.Context(), s.env["THROUGHLINE_POSTGRES_URL"])
	require.NoError(s.t, err)
	defer pool.Close() // a server of tests has few connections
	_, err = pool.Exec(s.t.Context(), `INSERT INTO quarantine (dedup_key, reason, error, source, event_type, source_event_id, topic, partition, "offset", raw, payload, "references", reference_keys, status_by, first_seen, last_seen)
		SELECT $2 || $4 || i, $2, 'no link or account for ' || $4, $3, 'invoice.paid', 'evt_' || i, 'raw.' || $3, 0, i, convert_to('{"n":' || i || '}', 'UTF8'),
			jsonb_build_object('n', i), CASE $3 WHEN '' THEN '[]' ELSE jsonb_build_array(jsonb_build_object('source', $3, 'kind', split_part($4, ':', 2), 'id', split_part($4, ':', 3))) END,
			ARRAY[$4], 'feed', '2026-01-05T08:00:00Z', '2026-01-05T08:00:00Z'
		FROM generate_series(1, $1) AS i`, n, reason, source, key)
	require.NoError(s.t, err)
}

func TestLink(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme GmbH", "--id", acme, "--domain", "acme.example")
	sh.must("accounts", "add", "Nimbus", "--id", "0f6e9b1c-6f0e-4c5e-9b61-3f6f6d2a0002")
	sh.quarantine(3, "unresolved_account", "stripe", "stripe:customer:cus_1")
	sh.quarantine(2, "malformed", "stripe", "stripe:customer:cus_1")
	sh.golden("link", scrubTimes,
		[]string{"link", "stripe:cus_1", "acme.example"},
		[]string{"link", "stripe:customer:cus_1", acme},
		[]string{"link", "stripe:cus_1", "Nimbus"},
		[]string{"link", "hubspot/62515:contact:901", "Nimbus", "--json"},
		[]string{"link", "email:Kim@Acme.example", "Nimbus", "--by", "sam", "--wait"},
		[]string{"link", "stripe:kustomer:cus_1", "Nimbus"},
		[]string{"link", "strype:cus_1", "Nimbus"},
		[]string{"link", "cus_1", "Nimbus"},
		[]string{"link", "stripe:cus_9", "Nobody"},
		[]string{"link", "domain:gmail.com", "Nimbus"},
		[]string{"link", "email:email:kim@acme.example", "Nimbus"},
		[]string{"links"},
		[]string{"links", "--limit", "1", "--json"},
	)
}

func TestLinkWaits(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme GmbH", "--id", acme)
	sh.quarantine(2, "unresolved_account", "stripe", "stripe:customer:cus_1")
	late := sh.run("link", "stripe:cus_1", acme, "--wait", "--timeout", "10ms")
	require.Equal(t, 1, late.code)
	require.Contains(t, late.err, "2 events still in quarantine, and none has left it for 10ms: do the quarantine service")
	late = sh.run("link", "stripe:cus_1", acme, "--wait", "--timeout", "10ms", "--json")
	require.Equal(t, 1, late.code)
	require.Contains(t, late.out, `"waiting":2`)
	require.Contains(t, late.err, "2 events still in quarantine")

	// Those that an earlier link has begun to release are waited for, too.
	pool := sh.pool()
	_, err := pool.Exec(t.Context(), "UPDATE quarantine SET status = 'replaying'")
	require.NoError(t, err)
	late = sh.run("link", "stripe:cus_1", acme, "--wait", "--timeout", "10ms")
	require.Equal(t, 1, late.code)
	require.Contains(t, late.err, "2 events still in quarantine")

	sh.quarantine(2, "unresolved_account", "stripe", "stripe:customer:cus_2")
	done := make(chan result, 1)
	go func() { done <- sh.run("link", "stripe:cus_2", acme, "--wait", "--timeout", "1m") }()
	require.Eventually(t, func() bool { // it has counted once the link is there
		var links int
		return pool.QueryRow(t.Context(), "SELECT count(*) FROM account_links").Scan(&links) == nil && links == 2
	}, 30*time.Second, 10*time.Millisecond)
	_, err = pool.Exec(t.Context(), "UPDATE quarantine SET status = 'resolved', outcome = 'inserted'")
	require.NoError(t, err)
	r := <-done
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.err, "2 events released from quarantine")
}

// A second link is refused with the command that moves the first.
func TestLinkElsewhereIsMoved(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme GmbH", "--id", acme)
	sh.must("accounts", "add", "Nimbus")
	sh.must("link", "hubspot/62515:contact:a b", "Nimbus")
	refused := sh.run("link", "hubspot/62515:contact:a b", acme)
	require.Equal(t, 1, refused.code)
	m := regexp.MustCompile("`throughline (relink [^`]+)`").FindStringSubmatch(refused.err)
	require.NotNil(t, m, refused.err)
	require.Contains(t, sh.must(words(m[1])...), "relinked from Nimbus")
}

// An id that is unique within one tenant is linked with its tenant, which what waits may show.
func TestLinkOfAScopedKind(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme GmbH", "--id", acme)
	pool := sh.pool()
	wait := func(tenant, id string) {
		_, err := pool.Exec(t.Context(), `INSERT INTO quarantine (dedup_key, reason, source, topic, partition, "offset", raw, "references", reference_keys, status_by)
			VALUES ($1 || $2, 'unresolved_account', 'hubspot', 'raw.hubspot', 0, 0, 'x',
			jsonb_build_array(jsonb_build_object('source', 'hubspot', 'tenant', $1::text, 'kind', 'contact', 'id', $2::text)), ARRAY['hubspot:contact:' || $2], 'feed')`, tenant, id)
		require.NoError(t, err)
	}
	wait("62515", "901")
	wait("62515", "902")
	wait("990", "902")
	wait("", "903")
	sh.golden("link_tenant", scrubTimes,
		[]string{"link", "hubspot:contact:900", acme},
		[]string{"link", "hubspot:contact:901", acme},
		[]string{"link", "hubspot:contact:902", acme},
		[]string{"link", "hubspot:contact:903", acme},
		[]string{"link", "hubspot:contact:903", acme, "--every-tenant"},
		[]string{"link", "hubspot/a%2Fb%3Ac:contact:904", acme},
		[]string{"link", "hubspot/100%:contact:904", acme},
		[]string{"links", "deny", "hubspot:contact:905", acme},
		[]string{"links", "deny", "hubspot:contact:905", acme, "--every-tenant"},
		[]string{"links"},
		[]string{"unlink", "hubspot:contact:901"},
		[]string{"unlink", "hubspot/a%2Fb%3Ac:contact:904", "--json"},
	)
}
