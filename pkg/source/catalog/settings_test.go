package catalog

import (
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
)

// What is set for one source's columns reaches that source, whichever service reads the settings.
func TestLookersColumnsAreSettings(t *testing.T) {
	env := map[string]string{"THROUGHLINE_LOOKER_ACCOUNT_COLUMN": "deals.client,other.key", "THROUGHLINE_LOOKER_TIME_COLUMN": "deals.signed"}
	for name, value := range env {
		t.Setenv(name, value)
	}
	for _, opts := range [][]settings.SourceOption{nil, {settings.TenantsOnly()}} {
		s := NewSettings(nil, func(string) (string, bool) { return "", false }, opts...)
		var flags struct {
			Sources kong.Plugins `embed:""`
		}
		flags.Sources = s.Plugins()
		parser, err := kong.New(&flags)
		require.NoError(t, err)
		_, err = parser.Parse(nil)
		require.NoError(t, err)
		set, err := FromSettings(s)
		require.NoError(t, err)
		looker, _ := set.Find("looker")
		got := tellOne(looker, source.Record{ReceivedAt: foundAt, Value: []byte(
			`{"scheduled_plan":{},"row":{"accounts.uuid":"7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01","other.key":"k-1","deals.signed":"2025-10-01"}}`)})
		require.Equal(t, ":account:k-1", got.refs)
		require.Equal(t, "2025-10-01T00:00:00Z", got.at)
		require.Empty(t, s.Get("stripe").Own)
	}
}

// The organizations that may send are a setting, and what is no organization's id is refused.
func TestSalesforcesOrganizations(t *testing.T) {
	for ids, want := range map[string]string{"": "", "00D5g000004xQzL,00D5g000004xQzMEAU": "", "acme": `--salesforce-organizations (THROUGHLINE_SALESFORCE_ORGANIZATIONS): "acme" is not`} {
		t.Setenv("THROUGHLINE_SALESFORCE_ORGANIZATIONS", ids)
		s := NewSettings(nil, func(string) (string, bool) { return "", false })
		var flags struct {
			Sources kong.Plugins `embed:""`
		}
		flags.Sources = s.Plugins()
		parser, err := kong.New(&flags)
		require.NoError(t, err)
		_, err = parser.Parse(nil)
		require.NoError(t, err)
		_, err = FromSettings(s)
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
	}
}

// Whether a group is believed is a setting, and a word that is none is refused.
func TestSegmentsWriteKeys(t *testing.T) {
	for word, want := range map[string]string{"": ":user:u-1", "ignored": ":user:u-1", "trusted": ":group:g-1 :user:u-1", "Trusted": "should be trusted or ignored", "trusted,ignored": "should be trusted or ignored"} {
		t.Setenv("THROUGHLINE_SEGMENT_GROUPS", word)
		s := NewSettings(nil, func(string) (string, bool) { return "", false })
		var flags struct {
			Sources kong.Plugins `embed:""`
		}
		flags.Sources = s.Plugins()
		parser, err := kong.New(&flags)
		require.NoError(t, err)
		_, err = parser.Parse(nil)
		require.NoError(t, err)
		set, err := FromSettings(s)
		if err != nil {
			require.ErrorContains(t, err, want)
			continue
		}
		segment, _ := set.Find("segment")
		got := tellOne(segment, source.Record{ReceivedAt: foundAt, Value: []byte(`{"type":"track","event":"A","messageId":"1","userId":"u-1","context":{"groupId":"g-1"},"timestamp":1760000000}`)})
		require.Equal(t, want, got.refs, word)
	}
}
