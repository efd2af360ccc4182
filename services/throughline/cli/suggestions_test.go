package cli_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSuggestions(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme GmbH", "--id", acme, "--domain", "acme.com")
	sh.quarantine(3, "unresolved_account", "stripe", "stripe:customer:cus_1")
	_, err := sh.pool().Exec(t.Context(), `WITH r AS (INSERT INTO learned_references (source, kind, external_id, state) VALUES
			('stripe', 'customer', 'cus_1', 'answered'), ('stripe', 'charge', 'ch_1', 'linked'), ('hubspot', 'contact', '901', 'asking') RETURNING id, external_id)
		INSERT INTO learned_leads (reference_id, origin, n, source, kind, external_id, by, field) SELECT id, 'api', 0, 'email', 'email', 'kim@acme.com', 'person', 'email' FROM r WHERE external_id = 'cus_1'`)
	require.NoError(t, err)
	_, err = sh.pool().Exec(t.Context(), `INSERT INTO link_suggestions (source, tenant, kind, external_id, account_id, rule, level, why, created_at, updated_at) VALUES
		('stripe', '', 'customer', 'cus_1', $1, 7, 'medium', 'kim@acme.com has the account''s domain acme.com', '2026-01-05', '2026-01-05'),
		('hubspot', '62515', 'contact', '901', $1, 10, 'weak', 'its name, "Acme Inc", is like the account''s', '2026-01-05', '2026-01-05')`, acme)
	require.NoError(t, err)
	_, err = sh.pool().Exec(t.Context(), `INSERT INTO learning_sources (source, calls, answers, asked_at, failing_since, error) VALUES ('hubspot', 7, 600, '2026-01-05', '2026-01-06', 'the API answered 503 Service Unavailable')`)
	require.NoError(t, err)
	sh.golden("suggestions", scrubTimes,
		[]string{"learning"},
		[]string{"suggestions"},
		[]string{"suggestions", "why", "1"},
		[]string{"suggestions", "accept", "1", "--by", "sam"},
		[]string{"suggestions", "accept", "1", "--by", "sam"},
		[]string{"suggestions", "reject", "1"},
		[]string{"suggestions", "reject", "2", "--by", "sam", "--reason", "a namesake", "--json"},
		[]string{"suggestions", "accept", "2"},
		[]string{"suggestions", "why", "3"},
		[]string{"suggestions"},
		[]string{"suggestions", "--status", "rejected", "--source", "hubspot", "--json"},
		[]string{"suggestions", "--status", "mine"},
		[]string{"links"},
	)
}

func TestLearningDomains(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme GmbH", "--id", acme, "--domain", "acme.com")
	_, err := sh.pool().Exec(t.Context(), "INSERT INTO suspect_domains (domain, accounts, examples) VALUES ('agency.com', 4, ARRAY[$1::uuid])", acme)
	require.NoError(t, err)
	sh.golden("learning_domains", scrubTimes,
		[]string{"learning", "domains"},
		[]string{"learning", "domains", "decide", "Agency.com", "private", "--by", "sam", "--reason", "they write for themselves"},
		[]string{"learning", "domains", "decide", "mail.example", "public", "--by", "sam", "--json"},
		[]string{"learning", "domains", "decide", "agency.com", "mine"},
		[]string{"learning", "domains", "decide", "agency", "public"},
		[]string{"learning", "domains"},
	)
}
