package settings_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/throughline-dev/throughline/pkg/settings"
)

func TestSecretStrength(t *testing.T) {
	t.Parallel()
	const good = "b5sS-YspobV1-hQIM"
	for secret, says := range map[string]string{
		"":                      "secret 2 of 2 is empty",
		"x":                     "shorter than 16 characters",
		"only-15-charact":       "shorter than 16 characters",
		"aaaaaaaaaaaaaaaaaaa":   "different characters",
		"abcabcabcabcabcabca":   "different characters",
		"your_webhook_secret":   "placeholder",
		"please-change-me-now":  "placeholder",
		"whsec_xxxxxxxxxxxxabc": "placeholder",
		"dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==": "public documentation",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw":       "public documentation",
		"whsec_test_secret":                            "public documentation",
	} {
		err := settings.Secrets{good, secret}.CheckStrength()
		require.ErrorContains(t, err, says, secret)
		require.ErrorContains(t, err, "secret 2 of 2")
		if secret != "" && len(secret) > 1 {
			require.NotContains(t, err.Error(), secret)
		}
	}
	require.NoError(t, settings.Secrets{good, "exactly-16-chars", "d41d8cd9-8f00-4204-a980-0998ecf8427e"}.CheckStrength())
}

// However a secret is written down, its value is not there.
func TestSecretsAreHiddenInEveryEncoding(t *testing.T) {
	t.Parallel()
	const value = "b5sSYspobV1hQIM-value"
	for _, v := range []any{
		settings.Secret(value), settings.Secrets{value}, &[]settings.Secret{value}[0],
		struct{ S settings.Secret }{value}, map[string]settings.Secret{"s": value},
	} {
		asJSON, err := json.Marshal(v)
		require.NoError(t, err)
		asYAML, err := yaml.Marshal(v)
		require.NoError(t, err)
		for _, text := range []string{
			string(asJSON), string(asYAML), fmt.Sprintf("%v %+v %#v %s %q %x %d", v, v, v, v, v, v, v),
		} {
			require.NotContains(t, text, value)
			require.NotContains(t, text, fmt.Sprintf("%x", value))
		}
		require.Contains(t, string(asJSON), "[hidden]")
	}
}
