package cli_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// docs/operations/settings.md is what the code says. With -update it is written.
func TestSettingsPage(t *testing.T) {
	t.Parallel()
	compare(t, "../../../docs/operations/settings.md", (&shell{t: t}).must("settings", "--markdown"))
}

func TestSettings(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t}
	require.Contains(t, sh.must("settings", "--json"), `"variable":"THROUGHLINE_KAFKA_PASSWORD","file_variable":"THROUGHLINE_KAFKA_PASSWORD_FILE"`)
	table := sh.must("settings")
	require.Contains(t, table, "THROUGHLINE_<SOURCE>_TENANT")
	require.Equal(t, 1, strings.Count(table, "THROUGHLINE_LOG_LEVEL"), "what all services read stands once")
	require.Equal(t, 2, sh.run("settings", "--json", "--markdown").code)
}
