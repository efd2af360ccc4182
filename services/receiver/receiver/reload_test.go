package receiver

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// A secret's file is read again without a restart and without closing a
// connection; a new file that is broken leaves every secret as it was.
func TestSecretFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	stripe, looker := filepath.Join(t.TempDir(), "stripe"), filepath.Join(t.TempDir(), "looker")
	write := func(path, secrets string) { require.NoError(t, os.WriteFile(path, []byte(secrets), 0o600)) }
	write(stripe, secretOf("stripe")+"\n")
	write(looker, secretOf("looker"))
	environment := map[string]string{
		"THROUGHLINE_STRIPE_SECRETS_FILE": stripe, "THROUGHLINE_LOOKER_SECRETS_FILE": looker, "THROUGHLINE_KAFKA_BROKERS": "127.0.0.1:1",
	}
	lookup := func(name string) (string, bool) { v, ok := environment[name]; return v, ok }
	s := NewSettings(nil, lookup)
	_, err := settings.Parse(nil, s, settings.WithEnv(lookup))
	require.NoError(t, err)
	r := newRig(t, func(o *Options) {
		o.Endpoints, err = s.endpoints()
		require.NoError(t, err)
	})
	require.Equal(t, 200, r.post("stripe", example(t, "stripe")).status)
	require.EqualValues(t, 1, r.metric("connections"))

	const next, other = "the-next-secret-0123456789", "another-secret-0123456789"
	write(stripe, next+","+secretOf("stripe"))
	require.NoError(t, s.reload(r.receiver))
	require.Equal(t, 200, r.do(r.signedAt("stripe", next, time.Now())).status)
	require.Equal(t, 200, r.post("stripe", example(t, "stripe")).status, "the older one is still there")
	require.EqualValues(t, 1, r.metric("connections"), "none was closed")

	write(stripe, next)
	for what, broken := range map[string]func(){
		"empty":   func() { write(looker, "") },
		"blank":   func() { write(looker, other+", ") },
		"short":   func() { write(looker, "short") },
		"missing": func() { require.NoError(t, os.Remove(looker)) },
	} {
		broken()
		err := s.reload(r.receiver)
		require.ErrorContains(t, err, "THROUGHLINE_LOOKER_SECRETS", what)
		require.NotContains(t, err.Error(), other, what)
		require.Equal(t, 200, r.post("looker", example(t, "looker")).status, what)
		require.Equal(t, 200, r.post("stripe", example(t, "stripe")).status, "%s: all or nothing", what)
	}
	write(looker, other)
	require.NoError(t, s.reload(r.receiver))
	require.Equal(t, 200, r.do(r.signedAt("looker", other, time.Now())).status)
	require.Equal(t, 401, r.post("looker", example(t, "looker")).status)
	require.Equal(t, 401, r.post("stripe", example(t, "stripe")).status)
	require.EqualValues(t, 1, r.metric("connections"), "none was closed")
}
