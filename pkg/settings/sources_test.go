package settings_test

import (
	"bytes"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// parseSources reads a configuration that has nothing but sources.
func parseSources(t *testing.T, env map[string]string, args []string, opts ...settings.SourceOption) (*settings.SourceSettings, string, error) {
	t.Helper()
	sources := settings.NewSourceSettings(vendors, opts...)
	var out bytes.Buffer
	cfg := struct {
		Sources kong.Plugins `embed:""`
	}{sources.Plugins()}
	_, err := settings.Parse(args, &cfg, settings.WithEnv(lookup(env)), settings.WithOutput(&out, &out))
	return sources, out.String(), err
}

func TestTenantsOnly(t *testing.T) {
	t.Parallel()
	env := map[string]string{"THROUGHLINE_STRIPE_TENANT": "acct_1\n", "THROUGHLINE_STRIPE_SECRETS": "not read"}
	sources, _, err := parseSources(t, env, nil, settings.TenantsOnly())
	require.NoError(t, err)
	require.Equal(t, settings.SourceSetting{Tenant: "acct_1"}, sources.Get("stripe"))
	require.Equal(t, map[string]string{"stripe": "acct_1"}, sources.Tenants())
	_, _, err = parseSources(t, nil, []string{"--stripe-secrets=x"}, settings.TenantsOnly())
	require.ErrorContains(t, err, "unknown flag --stripe-secrets")
}

func TestTestData(t *testing.T) {
	t.Parallel()
	sources, _, err := parseSources(t, map[string]string{"THROUGHLINE_STRIPE_TEST_DATA": "accept", "THROUGHLINE_HUBSPOT_TEST_DATA": "quarantine"}, nil, settings.TenantsOnly())
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"stripe": true}, sources.TestData())
	_, _, err = parseSources(t, map[string]string{"THROUGHLINE_STRIPE_TEST_DATA": "yes"}, nil)
	require.ErrorContains(t, err, "should be accept or quarantine")
}

func TestNamedSourcesHaveSettings(t *testing.T) {
	t.Parallel()
	read := func(env map[string]string, args ...string) (*settings.SourceSettings, string, error) {
		return parseSources(t, env, args, settings.WithNamedSources(formats, args, lookup(env)))
	}
	env := map[string]string{
		"THROUGHLINE_NAMED_SOURCES":   "billing=standardwebhooks,product-events=cloudevents",
		"THROUGHLINE_BILLING_SECRETS": "whsec_a,whsec_b", "THROUGHLINE_PRODUCT_EVENTS_TENANT": "eu",
		"THROUGHLINE_BILLING_MAPPING": "/etc/billing.yaml",
	}
	sources, _, err := read(env)
	require.NoError(t, err)
	require.Equal(t, []string{"stripe", "hubspot", "billing", "product-events"}, sources.Names())
	require.Equal(t, []settings.NamedSource{{Name: "billing", Format: "standardwebhooks"}, {Name: "product-events", Format: "cloudevents"}}, sources.Named())
	require.Len(t, sources.Get("billing").Secrets, 2)
	require.Equal(t, "/etc/billing.yaml", sources.Get("billing").Mapping)
	require.Empty(t, sources.Get("stripe").Mapping, "a vendor has none")
	require.Equal(t, "eu", sources.Get("product-events").Tenant)
	require.Equal(t, map[string]string{"product-events": "eu"}, sources.Tenants())

	sources, _, err = read(env, "--named-sources=x=cloudevents", "--x-tenant=1")
	require.NoError(t, err)
	require.Equal(t, "1", sources.Get("x").Tenant)

	sources, _, err = read(nil, "--config", writeYAML(t, "named-sources: [x=cloudevents]\nx: {tenant: 2, secrets: [a]}\n"))
	require.NoError(t, err)
	require.Equal(t, "2", sources.Get("x").Tenant)

	_, out, err := read(env, "--help")
	require.ErrorIs(t, err, settings.ErrDone)
	require.Contains(t, out, "--billing-secrets")
	require.Contains(t, out, "THROUGHLINE_NAMED_SOURCES")

	// A wrong one takes away neither the right ones' settings nor any problem.
	env["THROUGHLINE_NAMED_SOURCES"] = "billing=standardwebhooks,stripe=cloudevents,y=soap"
	env["THROUGHLINE_BILLING_SECRETS"] = "a,,b"
	_, _, err = read(env)
	require.Equal(t, []string{
		"--billing-secrets (THROUGHLINE_BILLING_SECRETS): secret 2 of 3 is empty",
		`--named-sources (THROUGHLINE_NAMED_SOURCES) has the name "stripe", which is a vendor's`,
		`--named-sources (THROUGHLINE_NAMED_SOURCES) gives "y" the format "soap": the formats are standardwebhooks, cloudevents`,
	}, problemsOf(t, err))
}

// Whoever upgrades with the old variable set would otherwise store events under
// another identity.
func TestRemovedTenantsAreRefused(t *testing.T) {
	t.Parallel()
	const want = "--tenant: THROUGHLINE_TENANTS is no longer read: set THROUGHLINE_<SOURCE>_TENANT for each source instead, like THROUGHLINE_MARKETO_TENANT=123-ABC-456"
	for name, tc := range map[string]struct {
		env  map[string]string
		args []string
	}{
		"environment": {map[string]string{"THROUGHLINE_TENANTS": "marketo=1"}, nil},
		"flag":        {nil, []string{"--tenant=marketo=1"}},
		"file":        {nil, []string{"--config", writeYAML(t, "tenant: marketo=1\n")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, opts := range [][]settings.SourceOption{nil, {settings.TenantsOnly()}} {
				_, _, err := parseSources(t, tc.env, tc.args, opts...)
				require.Equal(t, []string{want}, problemsOf(t, err))
			}
		})
	}
	_, out, err := parseSources(t, map[string]string{"THROUGHLINE_TENANTS": ""}, []string{"--help"})
	require.ErrorIs(t, err, settings.ErrDone)
	require.NotContains(t, out, "THROUGHLINE_TENANTS")
}
