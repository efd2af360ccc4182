package resolve

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	var c Config
	parser, err := kong.New(&c)
	require.NoError(t, err)
	_, err = parser.Parse(nil)
	require.NoError(t, err)
	require.NoError(t, c.Validate())
	rules, err := c.Rules()
	require.NoError(t, err)
	require.Equal(t, AllRules(), rules)
	require.Equal(t, "links,account_uuid,email,domain", rules.String())

	_, err = parser.Parse([]string{"--resolve-rules", "links,email"})
	require.NoError(t, err)
	rules, err = c.Rules()
	require.NoError(t, err)
	require.Equal(t, Rules{Links: true, Email: true}, rules)
}

func TestFreemailListIsClean(t *testing.T) {
	t.Parallel()
	list := domains{}
	require.Empty(t, list.add(freemailText))
	require.Greater(t, len(list), 500)
	lines := 0
	for line := range strings.Lines(freemailText) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			require.True(t, list.has(line), "%q is not in the form that is looked up", line)
			lines++
		}
	}
	require.Len(t, list, lines, "no line twice")
}

func TestFreemailFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "more.txt")
	require.NoError(t, os.WriteFile(path, []byte("# ours\nCampus.Example # students\n"), 0o600))
	c := Config{RuleList: RuleNames(), FreemailFile: path}
	require.NoError(t, c.Validate())
	r, err := New(nil, c)
	require.NoError(t, err)
	require.True(t, r.freemail.has("campus.example"))
	require.True(t, r.freemail.has("gmail.com"), "the built-in list stays")

	require.NoError(t, os.WriteFile(path, []byte("nonsense\n"), 0o600))
	require.ErrorContains(t, c.Validate(), "not a domain: nonsense")
}
