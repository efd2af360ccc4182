package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

const churn = "charge.dispute.created, then 30 days without conversation.*, then subscription.deleted within 120 days"

func TestFind(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	for i, name := range []string{"Acme GmbH", "Beta Bolts", "Gamma\u202e Gears"} {
		sh.must("accounts", "add", name, "--id", strings.TrimSuffix(acme, "1")+string(rune('1'+i)))
	}
	beta, gamma := strings.TrimSuffix(acme, "1")+"2", strings.TrimSuffix(acme, "1")+"3"
	sh.tell(acme, "2026-01-05T08:00:00Z", "intercom", "conversation.created", `{}`)
	sh.tell(acme, "2026-01-10T08:00:00Z", "stripe", "charge.dispute.created", `{"data": {"object": {"amount": 250000}}}`)
	sh.tell(acme, "2026-03-01T08:00:00Z", "stripe", "subscription.deleted", `{}`)
	sh.tell(beta, "2026-01-11T08:00:00Z", "stripe", "charge.dispute.created", `{"data": {"object": {"amount": 100}}}`)
	sh.tell(beta, "2026-01-12T08:00:00Z", "zendesk", "conversation.created", `{}`)
	sh.tell(beta, "2026-03-02T08:00:00Z", "stripe", "subscription.deleted", `{}`)
	sh.tell(gamma, "2026-02-01T08:00:00Z", "stripe", "charge.dispute.created", `{}`)
	sh.golden("find", nil,
		[]string{"find", churn, "--since", "all"},
		[]string{"find", churn, "--since", "all", "--json"},
		[]string{"find", churn, "--since", "2026-01-11"},
		[]string{"find", "*.dispute.*, then subscription.deleted", "--since", "all"},
		[]string{"find", "*.dispute.*, then subscription.deleted", "--since", "all", "--limit", "1", "--json"},
		[]string{"find", "charge.dispute.created where payload.data.object.amount > 1000", "--since", "all"},
		[]string{"find", "*.dispute.*, then subscription.deleted", "--since", "all", "--by-month"},
		[]string{"find", "*.dispute.*, then subscription.deleted", "--since", "all", "--by-month", "--json"},
		[]string{"find", "*.dispute.*, then subscription.deleted", "--since", "all", "--now"},
		[]string{"find", "nothing.like.it", "--by-month", "--since", "all"},
		[]string{"find", "*.dispute.*, then", "--since", "all"},
		[]string{"find", "a, then b", "--now", "--by-month", "--limit", "0", "--timeout", "1us"},
	)
	explained := sh.must("find", churn, "--explain")
	require.Contains(t, explained, "-- "+churn)
	require.Contains(t, explained, `= "charge.dispute.created"`)
	require.Regexp(t, `(?i)index|scan`, explained)
}

// The commands of the page do on the page's story what the page says.
func TestTheChurnStory(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, "docs/operations/patterns.md"))
	require.NoError(t, err)
	sh := inDatabase(t)
	ago := func(days int) string { return time.Now().AddDate(0, 0, -days).UTC().Format(time.RFC3339) }
	story := func(name string, events ...any) {
		id := uuid.NewString()
		sh.must("accounts", "add", name, "--id", id)
		for i := 0; i < len(events); i += 2 {
			sh.tell(id, ago(events[i].(int)), "stripe", events[i+1].(string), `{}`)
		}
	}
	story("Lost", 100, "charge.dispute.created", 50, "subscription.deleted")
	story("At risk", 45, "conversation.created", 40, "charge.dispute.created")
	story("Talked to", 40, "charge.dispute.created", 39, "conversation.created")
	story("Too long ago", 130, "charge.dispute.created")
	ran := 0
	for _, block := range shellBlock.FindAllStringSubmatch(string(page), -1) {
		for line := range strings.Lines(block[1]) {
			command, ok := strings.CutPrefix(strings.TrimSpace(line), "bin/throughline ")
			if !ok {
				continue
			}
			ran++
			out := sh.must(words(command)...)
			if !strings.Contains(command, churn) {
				continue
			}
			risk := strings.Contains(command, "--now")
			require.Equal(t, risk, strings.Contains(out, "At risk"), command)
			require.Equal(t, !risk && !strings.Contains(command, "--by-month"), strings.Contains(out, "Lost"), command)
			require.NotContains(t, out, "Talked to")
			require.NotContains(t, out, "Too long ago")
		}
	}
	require.Greater(t, ran, 5)
}
