package receiver

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
)

func noSettings(string) settings.SourceSetting { return settings.SourceSetting{} }

func parse(env map[string]string, args ...string) (*Settings, error) {
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	s := NewSettings(args, lookup)
	var out bytes.Buffer
	_, err := settings.Parse(args, s, settings.WithName("receiver", ""), settings.WithOutput(&out, &out), settings.WithEnv(lookup))
	return s, err
}

func TestEveryProblemIsToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := parse(map[string]string{
		"THROUGHLINE_SOURCES":              "stripe,hubspot,faxes,zendesk",
		"THROUGHLINE_STRIPE_SECRETS":       "",
		"THROUGHLINE_ZENDESK_SECRETS":      ",zd-secret-value",
		"THROUGHLINE_PUBLISH_TIMEOUT":      "0s",
		"THROUGHLINE_RECEIVER_LISTEN":      "8080",
		"THROUGHLINE_KAFKA_SASL_MECHANISM": "plain",
	})
	require.Error(t, err)
	for _, problem := range []string{
		"THROUGHLINE_KAFKA_BROKERS", "THROUGHLINE_KAFKA_USER", "THROUGHLINE_SOURCES", `"faxes"`, "THROUGHLINE_STRIPE_SECRETS",
		"THROUGHLINE_HUBSPOT_SECRETS", "THROUGHLINE_HUBSPOT_PUBLIC_URL", "THROUGHLINE_ZENDESK_SECRETS", "secret 1 of 2 is empty",
		"THROUGHLINE_PUBLISH_TIMEOUT", "THROUGHLINE_RECEIVER_LISTEN",
	} {
		require.ErrorContains(t, err, problem)
	}
	require.NotContains(t, err.Error(), "zd-secret-value")
}

func TestSourcesAreThoseWithSecrets(t *testing.T) {
	t.Parallel()
	env := map[string]string{"THROUGHLINE_KAFKA_BROKERS": "localhost:9092"}
	_, err := parse(env)
	require.ErrorContains(t, err, "nothing to receive")

	env["THROUGHLINE_STRIPE_SECRETS"] = "whsec_the-new-one, whsec_the-old-one"
	env["THROUGHLINE_LOOKER_SECRETS"] = "the-token-of-looker"
	s, err := parse(env)
	require.NoError(t, err)
	endpoints, err := s.endpoints()
	require.NoError(t, err)
	require.Len(t, endpoints, 2)
	require.Equal(t, "stripe", endpoints[0].Source.Name())
	require.Len(t, endpoints[0].Secrets, 2)

	s, err = parse(env, "--sources", "stripe,stripe")
	require.NoError(t, err)
	endpoints, err = s.endpoints()
	require.NoError(t, err)
	require.Len(t, endpoints, 1)

	_, err = parse(env, "--max-in-flight-bytes", "1000")
	require.ErrorContains(t, err, "Looker may send at once")
	_, err = parse(env, "--spool-dir", "")
	require.ErrorContains(t, err, "needs a spool")
	_, err = parse(env, "--drain-delay=20s")
	require.ErrorContains(t, err, "must be below --shutdown-timeout")
	_, err = parse(env, "--trusted-proxies=10.0.0.0/8,load-balancer")
	require.ErrorContains(t, err, `THROUGHLINE_TRUSTED_PROXIES) holds "load-balancer"`)
}

// --validate refuses what anybody can sign with.
func TestWeakSecretsAreRefused(t *testing.T) {
	t.Parallel()
	for secret, says := range map[string]string{
		"x": "shorter than 16 characters", "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==": "anybody can sign with it",
	} {
		_, err := parse(map[string]string{"THROUGHLINE_KAFKA_BROKERS": "localhost:9092", "THROUGHLINE_STRIPE_SECRETS": "the-good-and-long-one," + secret}, "--validate")
		require.ErrorContains(t, err, "THROUGHLINE_STRIPE_SECRETS): secret 2 of 2 ")
		require.ErrorContains(t, err, says)
	}
}

// Load balancers keep connections for up to ten minutes; they must be the ones
// that close.
func TestIdleConnectionsOutliveALoadBalancers(t *testing.T) {
	t.Parallel()
	var c Config
	settings.Defaults(&c)
	require.Greater(t, c.IdleTimeout, 10*time.Minute)
	r := newRig(t, func(o *Options) { o.Config.IdleTimeout = c.IdleTimeout })
	require.Equal(t, c.IdleTimeout, r.receiver.server.IdleTimeout)
}
