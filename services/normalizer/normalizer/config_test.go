package normalizer_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/services/normalizer/normalizer"
)

// run is the service's main function with this environment.
func run(env map[string]string, args ...string) (code int, out, errs string) {
	var cfg normalizer.Config
	var stdout, stderr bytes.Buffer
	code = service.Main("normalizer", "Resolves.", &cfg, args, cfg.Run, settings.WithOutput(&stdout, &stderr),
		settings.WithEnv(func(name string) (string, bool) { v, ok := env[name]; return v, ok }))
	return code, stdout.String(), stderr.String()
}

func TestHelpNamesEverySetting(t *testing.T) {
	t.Parallel()
	code, out, _ := run(nil, "--help")
	require.Equal(t, settings.ExitOK, code)
	for _, name := range []string{
		"THROUGHLINE_KAFKA_BROKERS", "THROUGHLINE_POSTGRES_URL", "THROUGHLINE_SCHEMA_REGISTRY_URL", "THROUGHLINE_RESOLVE_RULES",
		"THROUGHLINE_TENANTS", "THROUGHLINE_NORMALIZER_WORKERS", "THROUGHLINE_NORMALIZER_BATCH_RECORDS", "THROUGHLINE_NORMALIZER_BATCH_WAIT",
	} {
		require.Contains(t, strings.Join(strings.Fields(out), ""), name) // kong wraps long names
	}
}

func TestValidateTellsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	t.Run("nothing is set", func(t *testing.T) {
		t.Parallel()
		code, _, errs := run(nil, "--validate")
		require.Equal(t, settings.ExitConfig, code)
		for _, name := range []string{"THROUGHLINE_KAFKA_BROKERS", "THROUGHLINE_POSTGRES_URL", "THROUGHLINE_SCHEMA_REGISTRY_URL"} {
			require.Contains(t, errs, name)
		}
	})
	t.Run("all is wrong", func(t *testing.T) {
		t.Parallel()
		code, _, errs := run(map[string]string{
			"THROUGHLINE_KAFKA_BROKERS": "kafka", "THROUGHLINE_POSTGRES_URL": "mysql://u:hunter2@h/d", "THROUGHLINE_SCHEMA_REGISTRY_URL": "registry",
			"THROUGHLINE_RESOLVE_RULES": "links,guess", "THROUGHLINE_TENANTS": "fax=1", "THROUGHLINE_NORMALIZER_WORKERS": "0", "THROUGHLINE_NORMALIZER_BATCH_RECORDS": "-1",
		}, "--validate")
		require.Equal(t, settings.ExitConfig, code)
		for _, name := range []string{
			"THROUGHLINE_KAFKA_BROKERS", "THROUGHLINE_POSTGRES_URL", "THROUGHLINE_SCHEMA_REGISTRY_URL", `"guess"`, `"fax"`,
			"THROUGHLINE_NORMALIZER_WORKERS", "THROUGHLINE_NORMALIZER_BATCH_RECORDS",
		} {
			require.Contains(t, errs, name)
		}
		require.NotContains(t, errs, "hunter2")
	})
	t.Run("all is right", func(t *testing.T) {
		t.Parallel()
		code, out, errs := run(map[string]string{
			"THROUGHLINE_KAFKA_BROKERS": "kafka:9092", "THROUGHLINE_POSTGRES_URL": "postgres://u@h/d", "THROUGHLINE_SCHEMA_REGISTRY_URL": "http://registry:8081",
			"THROUGHLINE_TENANTS": "marketo=123-ABC-456",
		}, "--validate")
		require.Equal(t, settings.ExitOK, code, errs)
		require.Contains(t, out, "valid")
	})
}
