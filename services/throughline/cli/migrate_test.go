package cli_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var schemaVersion = regexp.MustCompile(`version \d+`)

// scrubVersion takes out the schema's version, which every migration raises.
func scrubVersion(text string) string { return schemaVersion.ReplaceAllString(text, "version N") }

// Domains of an earlier version are found by events after migrate, which lists
// what a person has to decide.
func TestMigrateNormalizesDomains(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	for n, domain := range []string{"bücher.example", "Münster.example", "xn--mnster-3ya.example", "www.globex.example", "not a domain", "plain.example"} {
		_, err := sh.pool().Exec(t.Context(), "INSERT INTO accounts (id, name, domain) VALUES (('00000000-0000-4000-8000-00000000000' || $1::int)::uuid, 'Account ' || $1::int, $2)", n, domain)
		require.NoError(t, err)
	}
	sh.golden("migrate_domains", scrubVersion, []string{"migrate"}, []string{"migrate"}, []string{"accounts", "list"})
	require.Empty(t, sh.must("timeline", "bücher.example", "--json"), "it is found")
}
