package marketo

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
)

// What the steps print is read here, filled in as Marketo fills it in, whatever a
// stranger has written into a field.
func TestTemplateIsRead(t *testing.T) {
	t.Parallel()
	var paste string
	for _, step := range New().(source.Connector).Steps("https://hooks.acme.example/webhooks/marketo") {
		if strings.Contains(step.Paste, "{{") {
			paste = step.Paste
		}
	}
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for line := range strings.Lines(paste) {
		require.Contains(t, string(readme), strings.TrimSpace(strings.ReplaceAll(line, "MUNCHKIN_ID", "123-ABC-456")), "the README has the same template")
	}
	values := map[string]string{
		"lead.Id": "5414087", "lead.Email Address": "kim@acme.example", "company.Company Name": `Acme "Rockets", {{lead.Id}}`, "company.Website": "acme.example", "campaign.id": "8497",
		"campaign.name": "Spring", "trigger.Trigger Name": "Fills Out Form", "trigger.Name": "Contact us", "trigger.Link": "", "system.dateTime": "2025-10-09 03:53:19", "system.time": "03:53 AM (GMT -0500)",
	}
	token := regexp.MustCompile(`\{\{([^}]*)\}\}`)
	body := token.ReplaceAllStringFunc(strings.ReplaceAll(paste, "MUNCHKIN_ID", "123-ABC-456"), func(found string) string {
		value, ok := values[found[2:len(found)-2]]
		require.True(t, ok, "Marketo has no token %s", found)
		quoted, err := json.Marshal(value)
		require.NoError(t, err)
		return string(quoted)
	})
	event, err := sourcetest.Describe(New(), source.Record{Value: []byte(body), ReceivedAt: time.Date(2025, 10, 9, 8, 54, 0, 0, time.UTC)})
	require.NoError(t, err)
	require.Equal(t, "form.filled", event.Type)
	require.True(t, strings.HasPrefix(event.ID, "123-ABC-456:call:5414087:8497:2025-10-09 03%3A53%3A19:fills.out.form"), event.ID)
	require.Equal(t, time.Date(2025, 10, 9, 8, 53, 19, 0, time.UTC), event.OccurredAt)
	var keys []string
	for _, r := range event.References {
		keys = append(keys, r.Key())
	}
	require.Equal(t, []string{"marketo/123-ABC-456:lead:5414087", "marketo:email:kim@acme.example", "marketo:domain:acme.example"}, keys)
}
