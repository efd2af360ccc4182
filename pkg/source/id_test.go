package source

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestID(t *testing.T) {
	t.Parallel()
	for want, parts := range map[string][]string{
		"a:1":              {"a", "1"},
		"a:7%3A1:2":        {"a", "7:1", "2"},
		"a:7:1%3A2":        {"a", "7", "1:2"},
		"a:7%253A1:2":      {"a", "7%3A1", "2"},
		"a%3Ab:1":          {"a:b", "1"},
		"a:::":             {"a", "", "", ""},
		"1":                {"", "1"},
		"1:2025-10-09 03h": {"", "1", "2025-10-09 03h"},
		"":                 {"", ""},
	} {
		require.Equal(t, want, ID(parts[0], parts[1:]...))
	}
}

// FuzzID: the parts can be read back from an id, so that different ones never
// make the same.
func FuzzID(f *testing.F) {
	f.Add("a", "7:1", "2")
	f.Add("a", "7%3A", "%")
	f.Fuzz(func(t *testing.T, tenant, a, b string) {
		if tenant == "" {
			return
		}
		parts := strings.Split(ID(tenant, a, b), ":")
		for i := range parts {
			parts[i] = strings.NewReplacer("%3A", ":", "%25", "%").Replace(parts[i])
		}
		require.Equal(t, []string{tenant, a, b}, parts)
	})
}
