package zendesk

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
)

// What the steps print as a trigger's body is read here, filled in as Zendesk does.
func TestTriggerBodyIsRead(t *testing.T) {
	t.Parallel()
	var paste string
	for _, step := range New().(source.Connector).Steps("https://hooks.acme.example/webhooks/zendesk") {
		if strings.Contains(step.Paste, "{{") {
			paste = step.Paste
		}
	}
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for line := range strings.Lines(paste) {
		require.Contains(t, string(readme), strings.TrimSpace(strings.ReplaceAll(line, "ACCOUNT_ID", "12514403")), "the README has the same body")
	}
	values := map[string]string{
		"ticket.id": "5159", "ticket.updated_at_with_timestamp": "2025-10-09T08:53:20Z", "ticket.status": "Solved",
		"ticket.requester.id": "8447388090494", "ticket.requester.email": "kim@acme.example", "ticket.organization.external_id": "crm-77",
	}
	body := regexp.MustCompile(`\{\{([^}]*)\}\}`).ReplaceAllStringFunc(strings.ReplaceAll(paste, "ACCOUNT_ID", "12514403"), func(found string) string {
		value, ok := values[found[2:len(found)-2]]
		require.True(t, ok, "Zendesk has no placeholder %s", found)
		return value
	})
	event, err := sourcetest.Describe(New(), source.Record{Value: []byte(body), ReceivedAt: time.Date(2025, 10, 9, 8, 54, 0, 0, time.UTC)})
	require.NoError(t, err)
	require.Equal(t, "ticket.solved", event.Type)
	require.Equal(t, "12514403:solved-5159-2025-10-09T08%3A53%3A20Z", event.ID)
	var keys []string
	for _, r := range event.References {
		keys = append(keys, r.Key())
	}
	require.Equal(t, []string{"zendesk/12514403:organization_external:crm-77", "zendesk/12514403:user:8447388090494", "zendesk:email:kim@acme.example", "zendesk/12514403:ticket:5159"}, keys)
}
