package cli_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

const clerkSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"

// withClerk names a source whose mapping says where its users and organizations lie.
func withClerk(t *testing.T, sh *shell) {
	t.Helper()
	if sh.env == nil {
		sh.env = map[string]string{}
	}
	mapping := filepath.Join(t.TempDir(), "clerk.yaml")
	require.NoError(t, os.WriteFile(mapping, []byte(`
id: /data/id
tenant: /data/instance
references:
  - {kind: user, id: /data/user/id, prefix: user_}
  - {kind: organization, id: /data/organization/id, prefix: org_}
types: {user.created: user.signed.up}
`), 0o600))
	sh.env["THROUGHLINE_NAMED_SOURCES"] = "clerk=standardwebhooks"
	sh.env["THROUGHLINE_CLERK_MAPPING"] = mapping
}

// What the settings name is a source for every command.
func TestNamedSourceIsLinked(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	withClerk(t, sh)
	sh.must("accounts", "add", "Acme", "--id", acme)
	sh.must("accounts", "add", "Nimbus", "--id", "0f6e9b1c-6f0e-4c5e-9b61-3f6f6d2a0002")
	sh.quarantine(2, "unresolved_account", "clerk", "clerk:user:user_1")
	sh.golden("named", scrubTimes,
		[]string{"link", "clerk:user_1", "Acme"},
		[]string{"link", "clerk:organization:7", "Acme"},
		[]string{"link", "clerk:team:7", "Acme"},
		[]string{"link", "clark:user_1", "Acme"},
		[]string{"relink", "clerk:user_1", "Nimbus"},
		[]string{"links", "deny", "clerk:user_2", "Nimbus"},
		[]string{"links", "--source", "clerk"},
		[]string{"links", "--source", "clark"},
		[]string{"links", "log", "--reference", "clark:user_1"},
		[]string{"unlink", "clerk:user_1"},
		[]string{"unlink", "clark:user_1"},
		[]string{"quarantine", "list", "--source", "clark"},
		[]string{"event-types", "--source", "clerk"},
		[]string{"event-types", "--source", "clark"},
		[]string{"send", "clark"},
		[]string{"topics", "apply", "--sources", "stripe,clark"},
	)
	sh.input = "name,clerk:user\nGlobex,user_9\n"
	require.Contains(t, sh.must("accounts", "import", "-"), "1 account added, 0 changed; 1 link added")
	require.NotContains(t, sh.must("event-types", "--markdown"), "clerk", "the page is of the vendors")
}

func TestNamedSourceHasATopic(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: map[string]string{"THROUGHLINE_KAFKA_BROKERS": streamtest.Embedded(t)[0]}}
	withClerk(t, sh)
	require.Contains(t, sh.must("topics", "apply"), "raw.clerk ")
}

// Settings of sources come from flags and the file too, as those of the services.
func TestNamedSourceOfAFile(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme")
	file := filepath.Join(t.TempDir(), "throughline.yaml")
	require.NoError(t, os.WriteFile(file, []byte("named-sources: [clerk=standardwebhooks]\nclerk-secrets: [x]\nstripe: {tenant: acct_1}\n"), 0o600))
	require.Contains(t, sh.must("--config", file, "link", "clerk:7", "Acme"), "linked clerk:customer:7 to Acme")
	require.Contains(t, sh.must("link", "--named-sources", "billing=standardwebhooks", "billing:7", "Acme"), "linked billing:customer:7 to Acme")
}

// A wrong setting of sources is a problem of the commands that read it.
func TestWrongSourceSettings(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme")
	sh.env["THROUGHLINE_NAMED_SOURCES"] = "clerk=soap"
	sh.env["THROUGHLINE_STRIPE_SECRETS"] = " ,x"
	sh.env["THROUGHLINE_HUBSPOT_SECRETS_FILE"] = "/no/such/file"
	sh.must("accounts", "list")
	sh.must("version")
	r := sh.run("link", "stripe:cus_1", "Acme")
	require.Equal(t, 2, r.code)
	require.Contains(t, r.err, `--named-sources (THROUGHLINE_NAMED_SOURCES) gives "clerk" the format "soap": the formats are standardwebhooks`)
	require.NotContains(t, r.err, "SECRETS")
	sh.env["THROUGHLINE_NAMED_SOURCES"] = "clerk=standardwebhooks"
	sh.env["THROUGHLINE_CLERK_MAPPING"] = "/no/such/file"
	require.Contains(t, sh.run("link", "stripe:cus_1", "Acme", "--validate").err, "--clerk-mapping (THROUGHLINE_CLERK_MAPPING): open")
	require.Contains(t, sh.run("send", "stripe").err, "--stripe-secrets")
}

// Made events of a named source are events of their own, signed as its sender
// signs, and about a customer that the command says how to link.
func TestSendOfANamedSource(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	withClerk(t, sh)
	rec := newReceiver(t)
	set, err := catalog.With([]catalog.Named{{Name: "clerk", Format: "standardwebhooks", Mapping: sh.env["THROUGHLINE_CLERK_MAPPING"]}})
	require.NoError(t, err)
	rec.sources, rec.secret = set, clerkSecret
	sh.env["THROUGHLINE_CLERK_SECRETS"] = clerkSecret
	r := sh.run("send", "clerk", "user.created", "--count", "20", "--duplicate", "10%", "--url", rec.URL, "--clerk-tenant", "ins_1")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.out, "200 OK       22 × ")
	require.Regexp(t, "`throughline link clerk/ins_1:user:user_[0-9A-Za-z]+ ACCOUNT` releases them", r.err)
	ids := map[string]bool{}
	src, _ := set.Find("clerk")
	for _, d := range rec.delivered {
		_, event, err := source.Keyed(src, source.Record{Value: d.Body, ReceivedAt: d.ReceivedAt})
		require.NoError(t, err)
		require.Equal(t, []string{"user.signed.up", "ins_1"}, []string{event.Type, event.Tenant})
		ids[event.ID] = true
	}
	require.Len(t, ids, 20)

	sh.must("accounts", "add", "Acme")
	sh.must("link", "clerk:user_7", "Acme")
	sh.must("send", "clerk", "session.ended", "--account", "Acme", "--url", rec.URL)
	require.Contains(t, string(rec.delivered[22].Body), `"type":"session.ended"`)
	require.Contains(t, string(rec.delivered[22].Body), `"id":"user_7"`)
	require.Zero(t, sh.run("send", "clerk", "--tamper", "--url", rec.URL).code)
	sh.env["THROUGHLINE_CLERK_SECRETS"] = "whsec_b3RoZXIga2V5LCBvdGhlciBrZXk="
	require.Equal(t, 1, sh.run("send", "clerk", "--url", rec.URL).code, "another secret is refused")
	require.Contains(t, sh.run("send", "clerk", "--url", rec.URL, "--secret", "whpk_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").err, "is a public key, which signs nothing: take whsk_…")
}
