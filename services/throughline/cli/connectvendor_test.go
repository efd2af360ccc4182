package cli_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/services/vendors/stripeapi"
)

const hooks = "https://hooks.example.com/webhooks/stripe"

// atStripe gives a shell with a fake of Stripe.
func atStripe(t *testing.T, key string) (*shell, *stripeapi.API) {
	t.Helper()
	fake := stripeapi.New(key)
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	sh := inDatabase(t)
	sh.env["THROUGHLINE_STRIPE_API_URL"] = server.URL
	sh.env["THROUGHLINE_STRIPE_API_KEY"] = key
	sh.env["THROUGHLINE_STRIPE_PUBLIC_URL"] = "https://hooks.example.com"
	sh.env["THROUGHLINE_EGRESS_ALLOW_PRIVATE"] = "true"
	return sh, fake
}

func TestConnectMakesASubscription(t *testing.T) {
	t.Parallel()
	sh, fake := atStripe(t, apiKey)
	r := sh.run("connect", "stripe", "--dry-run")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.out, "Stripe → "+hooks+"\n")
	require.Contains(t, r.out, "received here: no webhook, as far as the newest 100,000 events tell; 0 wait in quarantine\n")
	require.Contains(t, r.out, "to do: create an endpoint for all types\n")
	require.Contains(t, r.err, "1 thing is not right, and nothing was changed")
	require.Empty(t, fake.Endpoints())

	r = sh.run("connect", "stripe", "--yes")
	require.Equal(t, 2, r.code)
	require.Contains(t, r.err, "name a new file for it with --secret-file")
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("mine"), 0o600))
	r = sh.run("connect", "stripe", "--secret-file", secret)
	require.Equal(t, 2, r.code)
	require.Contains(t, r.err, "Make 1 change at Stripe? Standard input is not a terminal: use --yes")
	r = sh.run("connect", "stripe", "--yes", "--secret-file", secret)
	require.NotZero(t, r.code)
	require.Contains(t, r.err, "exists: name a new file")
	require.Empty(t, fake.Endpoints(), "what cannot be kept is not asked for")
	kept, err := os.ReadFile(secret)
	require.NoError(t, err)
	require.Equal(t, "mine", string(kept))

	require.NoError(t, os.Remove(secret))
	sh.tty, sh.input = true, "y\n"
	r = sh.run("connect", "stripe", "--secret-file", secret)
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.err, "Make 1 change at Stripe? [y/N]")
	require.Contains(t, r.out, "done: create an endpoint for all types\n")
	require.Contains(t, r.out, "all is as it should be\n")
	require.Contains(t, r.err, "put it before the others of THROUGHLINE_STRIPE_SECRETS (or into the file of THROUGHLINE_STRIPE_SECRETS_FILE)")
	kept, err = os.ReadFile(secret)
	require.NoError(t, err)
	require.Regexp(t, `^whsec_\d+\n$`, string(kept))
	require.NotContains(t, r.out+r.err, "whsec_", "neither the terminal nor a log has the secret")
	require.NotContains(t, r.out+r.err, apiKey)
	info, err := os.Stat(secret)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.Equal(t, hooks, fake.Endpoints()[0].URL)

	sh.tty = false
	var view api.Connected
	require.NoError(t, json.Unmarshal([]byte(sh.must("connect", "stripe", "--json")), &view))
	require.True(t, view.Right)
	require.True(t, view.Asked)
	require.Empty(t, view.Changes, "nothing is left to do")
	require.Equal(t, []api.Subscription{{ID: "we_0001", Enabled: true, Types: []string{"*"}}}, view.Subscriptions)
	require.Contains(t, view.Received.MissingTypes, "invoice.paid")
}

func TestConnectMendsASubscription(t *testing.T) {
	t.Parallel()
	sh, fake := atStripe(t, apiKey)
	fake.Disable(fake.AddEndpoint(stripeapi.Endpoint{URL: hooks}).ID)
	fake.Deny(http.MethodPost, "/v1/webhook_endpoints")
	r := sh.run("connect", "stripe", "--yes")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "enable we_0001, which is disabled: the API answered 403 Forbidden")
	require.Contains(t, r.err, "give the restricted key the permission Webhook Endpoints: write")
	require.Contains(t, r.out, "to do: enable we_0001")

	sh, fake = atStripe(t, apiKey)
	fake.Disable(fake.AddEndpoint(stripeapi.Endpoint{URL: hooks}).ID)
	fake.Inject(0, 1, stripeapi.TooMany("1"))
	secret := filepath.Join(t.TempDir(), "secret")
	r = sh.run("connect", "stripe", "--yes", "--secret-file", secret)
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.out, "done: enable we_0001, which is disabled")
	require.NoFileExists(t, secret, "no secret was shown")
	require.Equal(t, "enabled", fake.Endpoints()[0].Status)
}

func TestConnectWithAKeyOfTestMode(t *testing.T) {
	t.Parallel()
	sh, fake := atStripe(t, "rk_test_0123456789abcdef")
	fake.AddEndpoint(stripeapi.Endpoint{URL: hooks})
	r := sh.run("connect", "stripe")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.out, "the key is one of Stripe's test mode, whose events wait in quarantine as test_data")
	sh.env["THROUGHLINE_STRIPE_TEST_DATA"] = "accept"
	sh.must("connect", "stripe")
}

// What came here stands beside what the vendor says.
func TestConnectShowsWhatWasReceived(t *testing.T) {
	t.Parallel()
	sh, fake := atStripe(t, apiKey)
	fake.AddEndpoint(stripeapi.Endpoint{URL: hooks})
	_, err := sh.pool().Exec(t.Context(), `
WITH made AS (INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
  SELECT gen_random_uuid(), 'invoice.paid', s, 'evt_' || n, '{}', now(), now() - n * interval '5 hours' FROM generate_series(0, 9) n, unnest('{stripe,zendesk}'::text[]) s RETURNING id, source_event_id)
INSERT INTO account_event_origins SELECT id, '', 'link', CASE source_event_id WHEN 'evt_0' THEN 'backfill' ELSE 'webhook' END, '', 0, 0, -1 FROM made`)
	require.NoError(t, err)
	_, err = sh.pool().Exec(t.Context(), `INSERT INTO quarantine (dedup_key, reason, source, topic, partition, "offset", raw, status_by, headers)
SELECT n::text, 'unresolved_account', 'stripe', 't', 0, n, '', 'x', CASE n WHEN 3 THEN '[]' ELSE '[{"key": "tl-delivery", "value": "d2ViaG9vaw=="}]'::jsonb END FROM generate_series(1, 3) n`)
	require.NoError(t, err)
	out := sh.must("connect", "stripe")
	require.Regexp(t, `received here: the newest webhook at 20[^ ]+Z, 6 in the last 24 hours; 3 wait in quarantine`, out, "4 events and 2 records, without what a backfill brought")
	require.Contains(t, out, "not seen on a timeline lately: subscription.created, ")
	require.NotContains(t, out, "invoice.paid")
}

// Without an API, without its key, and without Postgres there are the steps.
func TestConnectPrintsSteps(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.env["THROUGHLINE_NAMED_SOURCES"] = "orders=cloudevents,billing=standardwebhooks"
	for _, name := range []string{"stripe", "segment", "orders", "billing"} {
		out := sh.must("connect", name, "--url", "https://hooks.example.com")
		require.Contains(t, out, "https://hooks.example.com/webhooks/"+name+"\n")
		require.Contains(t, out, "1. ")
		require.Contains(t, out, "THROUGHLINE_"+strings.ToUpper(name)+"_SECRETS", name)
		var view api.Connected
		require.NoError(t, json.Unmarshal([]byte(sh.must("connect", name, "--json", "--url", "https://hooks.example.com/other")), &view))
		require.False(t, view.Asked)
		require.NotEmpty(t, view.Steps)
		require.Equal(t, "https://hooks.example.com/other", view.Address)
	}
	require.Contains(t, sh.run("connect", "stripe", "--url", "https://hooks.example.com").err, "with THROUGHLINE_STRIPE_API_KEY, or THROUGHLINE_STRIPE_API_KEY_FILE, this command looks at Stripe")
	sh.env["THROUGHLINE_POSTGRES_URL"] = "postgres://nobody@127.0.0.1:1/nothing?sslmode=disable"
	require.Contains(t, sh.must("connect", "segment", "--url", "https://hooks.example.com"), "received here: not known: connecting to Postgres: ")
	for args, want := range map[string]string{
		"connect":                       "source",
		"connect strype":                `"strype" is no source that can be connected by this command: those are stripe, `,
		"connect stripe":                "where is the vendor to send? Set THROUGHLINE_STRIPE_PUBLIC_URL, or --url",
		"connect stripe --url http://x": "should begin with https://",
		"connect stripe --url x":        "--url should be an absolute URL",
	} {
		r := sh.run(strings.Fields(args)...)
		require.Equal(t, 2, r.code, args)
		require.Contains(t, r.err, want)
	}
}
