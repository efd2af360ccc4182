package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/settings/settingstest"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// validEnvironment is one with which every service would start.
var validEnvironment = map[string]string{
	"THROUGHLINE_KAFKA_BROKERS":       "kafka:9092",
	"THROUGHLINE_POSTGRES_URL":        "postgres://u:p@db/t",
	"THROUGHLINE_SCHEMA_REGISTRY_URL": "http://registry:8081",
	"THROUGHLINE_STRIPE_SECRETS":      "whsec_of_the_newest,whsec_of_the_oldest",
	"THROUGHLINE_LOOKER_SECRETS":      "a-long-token-of-looker",
}

func TestServicesConfigurations(t *testing.T) {
	t.Parallel()
	for _, service := range services() {
		t.Run(service.name, func(t *testing.T) {
			t.Parallel()
			settingstest.Check(t, service.settings, validEnvironment)
		})
	}
}

// What the services share, they share in every word: one with another default
// or another name would be a second setting.
func TestSharedSettingsAreOneSetting(t *testing.T) {
	t.Parallel()
	views, err := allSettings()
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, v := range views {
		require.NotEmpty(t, v.Variable, v.Flag)
		require.NotEmpty(t, v.Help, v.Flag)
		require.False(t, seen[v.Variable], "%s is described twice in different words", v.Variable)
		seen[v.Variable] = true
	}
}

// documented is a variable in a text, and tableRow one that stands in a table
// with its default beside it.
var (
	documented = regexp.MustCompile(`THROUGHLINE_[A-Z0-9_]*[A-Z0-9]|THROUGHLINE_<SOURCE>_[A-Z0-9_]*[A-Z0-9]`)
	tableRow   = regexp.MustCompile("^\\| `(THROUGHLINE_[A-Z0-9_<>]+)` \\| *([^ |]*) *\\|")
)

// What the pages say of settings is what the code has: names and defaults.
func TestDocumentsNameSettingsThatThereAre(t *testing.T) {
	t.Parallel()
	// The command line's, the tests', and the start of those of the pages' named source.
	defaults := map[string]string{"THROUGHLINE_BY": "", "THROUGHLINE_TEST_POSTGRES_URL": "", "THROUGHLINE_BILLING": "", "THROUGHLINE_QUARANTINE_RETENTION": "0", "THROUGHLINE_FINDINGS_RETENTION": "0", "THROUGHLINE_AUDIT_RETENTION": "0", "THROUGHLINE_EGRESS_ALLOW_PRIVATE": "",
		"THROUGHLINE_<SOURCE>_API_KEY": "", "THROUGHLINE_<SOURCE>_API_URL": ""}
	views, err := allSettings()
	require.NoError(t, err)
	for _, v := range views {
		for variable := range strings.SplitSeq(v.Variable, ", ") {
			defaults[variable] = v.Default
		}
		defaults[v.FileVariable] = ""
	}
	anySource := func(variable string) string {
		if _, own := defaults[variable]; own { // of one source alone
			return variable
		}
		for _, name := range append(catalog.Set().Names(), "billing") {
			if setting, ok := strings.CutPrefix(variable, settings.SourceVariable(name, "")); ok {
				return settings.SourceVariable("<source>", setting)
			}
		}
		return variable
	}
	for _, page := range pages(t) {
		content, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, variable := range documented.FindAllString(string(content), -1) {
			require.Contains(t, defaults, anySource(variable), "%s names %s", page, variable)
		}
		for line := range strings.SplitSeq(string(content), "\n") {
			if row := tableRow.FindStringSubmatch(line); row != nil && row[2] != "" && !strings.Contains(page, "settings.md") {
				require.Equal(t, defaults[anySource(row[1])], strings.Trim(row[2], "`"), "%s gives the default of %s", page, row[1])
			}
		}
	}
}

// pages gives the Markdown files for operators: the README, docs and the
// services' own.
func pages(t *testing.T) []string {
	t.Helper()
	root := "../../.."
	all := []string{filepath.Join(root, "README.md")}
	for _, folder := range []string{"docs", "services"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && filepath.Ext(path) == ".md" {
				all = append(all, path)
			}
			return err
		}))
	}
	require.Greater(t, len(all), 10)
	return all
}
