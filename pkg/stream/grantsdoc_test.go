package stream

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The table of rights in the operators' documentation is Grants.
func TestTheDocumentedRightsAreTheGrants(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	table.WriteString("| who | what | on |\n|---|---|---|\n")
	for _, grantee := range Grantees() {
		who := grantee
		var operations []string
		resources := map[string][]string{}
		for _, g := range Grants(grantee, Names{}, []string{"<source>"}) {
			operation, on, _ := strings.Cut(g.String(), " on ")
			if len(resources[operation]) == 0 {
				operations = append(operations, operation)
			}
			kind, name, _ := strings.Cut(strings.Replace(on, "transactional id", "transactional-id", 1), " ")
			resources[operation] = append(resources[operation], fmt.Sprintf("%s `%s`", kind, name))
		}
		for _, operation := range operations {
			fmt.Fprintf(&table, "| %s | `%s` | %s |\n", who, operation, strings.Join(resources[operation], ", "))
			who = ""
		}
	}
	page, err := os.ReadFile("../../docs/operations/connections.md")
	require.NoError(t, err)
	require.Contains(t, string(page), table.String(), "docs/operations/connections.md should have this table:\n%s", table.String())
}
