package cli_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/throughline/cli"
)

// What the command line says: the checks, what is wrong with its arguments, and what is not checked for want of a setting.
func TestDoctor(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.golden("doctor", scrubVersion,
		[]string{"doctor", "--list"},
		[]string{"doctor", "--only", "kafka,postgres.schema,registry"},
		[]string{"doctor", "--only", "postgres.keeper", "--strict"},
		[]string{"doctor", "--only", "quarantine", "--json"},
		[]string{"doctor", "--only", "nonsense", "--admin", "ftp://x", "--as", "kim"},
	)
}

// A failure is exit code 1, stands first, and holds no password.
func TestDoctorFails(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.env["THROUGHLINE_SCHEMA_REGISTRY_URL"] = "http://127.0.0.1:1"
	sh.env["THROUGHLINE_SCHEMA_REGISTRY_USER"], sh.env["THROUGHLINE_SCHEMA_REGISTRY_PASSWORD"] = "kim", "hunter2"
	r := sh.run("doctor")
	require.Equal(t, 1, r.code)
	require.True(t, strings.HasPrefix(r.out, "failed       registry.reachable"), r.out)
	require.Contains(t, r.out, "→ check that the registry of THROUGHLINE_SCHEMA_REGISTRY_URL runs")
	require.Equal(t, "throughline: not healthy: see above\n", r.err)
	require.NotContains(t, r.out+r.err, "hunter2")
}

// What was set is checked, also where it is what `make run` would have.
func TestDoctorTakesASettingThatEqualsTheDefault(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.env["THROUGHLINE_KAFKA_BROKERS"] = cli.LocalBroker
	r := sh.run("doctor", "--only", "kafka.reachable,registry.reachable")
	require.NotContains(t, r.out, "not checked  kafka.reachable")
	require.Contains(t, r.out, "not checked  registry.reachable")
}

// Beside `make run` doctor finds what it started, at whatever ports, without a flag.
func TestDoctorBesideMakeRun(t *testing.T) {
	sh := &shell{t: t, env: map[string]string{}}
	t.Chdir(t.TempDir())
	require.NoError(t, os.Mkdir(".throughline", 0o700))
	addresses, err := json.Marshal(map[string]any{"kafka": streamtest.Embedded(t), "schema_registry": "http://127.0.0.1:9", "postgres": postgrestest.URL(t), "admin": "http://127.0.0.1:9"})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cli.LocalAddresses, addresses, 0o600))
	r := sh.run("doctor", "--only", "kafka.reachable,postgres.reachable")
	require.Zero(t, r.code, r.out+r.err)
	r = sh.run("doctor", "--only", "registry.reachable")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.out+r.err, "127.0.0.1:9")
}
