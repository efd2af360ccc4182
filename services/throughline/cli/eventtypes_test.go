package cli_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/throughline/cli"
)

// docs/event-types.md is what the code says. With -update it is written.
func TestEventTypesPage(t *testing.T) {
	t.Parallel()
	page := (&shell{t: t}).must("event-types", "--markdown")
	require.Equal(t, cli.EventTypesMarkdown(), page)
	compare(t, "../../../docs/event-types.md", page)
}

func TestEventTypes(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t}
	all := 0
	for _, src := range catalog.Set().Sources() {
		all += len(src.Profile().Types)
	}
	require.Equal(t, all, strings.Count(sh.must("event-types", "--json"), "\n"))
	require.Contains(t, sh.must("event-types", "--source", "stripe"), "stripe  customer.subscription.deleted")
	require.NotContains(t, sh.must("event-types", "--source", "stripe"), "hubspot")
	require.Equal(t, 2, sh.run("event-types", "--source", "stripe", "--markdown").code)
}
