package resolve

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
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

// The list is searched as it is, so it must be sorted, and in the form that is looked up.
func TestDomainsAreClean(t *testing.T) {
	t.Parallel()
	var last string
	lines, disposable := 0, 0
	for line := range strings.Lines(domainsText) {
		if line[0] == '#' {
			require.Zero(t, lines, "a comment among the domains")
			continue
		}
		domain, mark, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		require.Less(t, last, domain, "not sorted, or twice")
		normal, ok := source.Domain(domain)
		require.True(t, ok && normal == domain, "%q is not in the form that is looked up", domain)
		listed, throwaway := builtin(domain)
		require.True(t, listed, domain)
		require.Equal(t, mark == "d", throwaway, domain)
		lines++
		if throwaway {
			disposable++
		}
		last = domain
	}
	require.Greater(t, lines, 10_000)
	require.Greater(t, disposable, 5_000)
	for _, absent := range []string{"", "#", "a", "acme.example", "zzzz.zz", "gmail.con", "gmail.com ", "0"} {
		listed, _ := builtin(absent)
		require.False(t, listed, absent)
	}
	for _, ours := range []string{"telmex.com", "privaterelay.appleid.com", "zen.co.uk"} {
		listed, throwaway := builtin(ours)
		require.True(t, listed && !throwaway, ours)
	}
	_, throwaway := builtin("mailinator.com")
	require.True(t, throwaway)
}

func TestSites(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"eu.mail.acme.com": "acme.com", "acme.co.uk": "acme.co.uk", "shop.acme.co.uk": "acme.co.uk", "co.uk": "", "com": "",
		"acme.github.io": "", "foo.vercel.app": "", "shop.myshopify.com": "", "x.acme.example": "",
	} {
		require.Equal(t, want, Site(host), host)
	}
	require.True(t, IsShared("acme.github.io"))
	require.True(t, IsShared("co.uk"))
	require.False(t, IsShared("acme.co.uk"))
	require.False(t, IsShared("acme.example"))
}

func TestRoles(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"billing@acme.example": true, "Accounts-Payable@acme.example": true, "no-reply+7@acme.example": true, "support": false,
		"kim@acme.example": false, "infosec.kim@acme.example": false,
	} {
		require.Equal(t, want, IsRole(address), address)
	}
}

func TestDomainFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "more.txt")
	require.NoError(t, os.WriteFile(path, []byte("# ours\nCampus.Example # students\n"), 0o600))
	c := Config{RuleList: RuleNames(), PublicDomains: path}
	require.NoError(t, c.Validate())
	r, err := New(nil, c)
	require.NoError(t, err)
	require.True(t, r.freemail.has("campus.example"))
	require.True(t, r.freemail.has("gmail.com"), "the built-in list stays")

	require.NoError(t, os.WriteFile(path, []byte("nonsense\n"), 0o600))
	require.ErrorContains(t, c.Validate(), "not a domain: nonsense")

	require.NoError(t, os.WriteFile(path, []byte("rogers.com\n"), 0o600))
	r, err = New(nil, Config{CompanyDomains: path, PublicDomains: path})
	require.NoError(t, err)
	require.False(t, r.Freemail("rogers.com"), "the company's file is right")
	require.True(t, r.Freemail("sky.com"))
}
