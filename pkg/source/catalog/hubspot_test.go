package catalog

import (
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// Only who calls HubSpot's API has its settings, and each that is wrong is named.
func TestHubSpotsAPISettings(t *testing.T) {
	t.Parallel()
	parse := func(args []string, opts ...settings.SourceOption) (*settings.SourceSettings, error) {
		s := NewSettings(args, func(string) (string, bool) { return "", false }, opts...)
		parser, err := kong.New(&struct {
			Sources kong.Plugins `embed:""`
		}{s.Plugins()})
		require.NoError(t, err)
		_, err = parser.Parse(args)
		return s, err
	}
	_, err := parse([]string{"--hubspot-api-version=2026-09"})
	require.ErrorContains(t, err, "unknown flag")
	s, err := parse([]string{"--hubspot-api-version=2026-09", "--hubspot-api-portals=1,2", "--hubspot-api-app=3", "--hubspot-api-references=a=stripe:customer"}, settings.WithAPIs("hubspot"))
	require.NoError(t, err)
	_, err = FromSettings(s)
	require.NoError(t, err)
	s, err = parse([]string{"--hubspot-api-version=new", "--hubspot-api-portals=x", "--hubspot-api-app=y", "--hubspot-api-references=a"}, settings.WithAPIs("hubspot"))
	require.NoError(t, err)
	_, err = FromSettings(s)
	for _, want := range []string{"--hubspot-api-version", "--hubspot-api-portals (THROUGHLINE_HUBSPOT_API_PORTALS): \"x\" should be the number of a portal, or all", "--hubspot-api-app", "--hubspot-api-references"} {
		require.ErrorContains(t, err, want)
	}
}
