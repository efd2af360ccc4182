package standardwebhooks

import (
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
)

var _ source.Connector = &named{}

// Steps implements source.Connector, for whatever sender.
func (n *named) Steps(address string) []source.Step {
	secrets, file := settings.SourceVariable(n.name, "SECRETS"), settings.SourceVariable(n.name, "MAPPING")
	return []source.Step{
		{Text: "At the sender (where Svix serves it: Add Endpoint): this address, and the events that you want.", Paste: address},
		{Text: "Reveal the endpoint's signing secret, whsec_…, or the sender's public key, whpk_…, which " + secrets + " takes."},
		{Text: "Say in the file of " + file + " which members name the customer; without it every event waits in quarantine. Pointers start at the body. Every service reads the same file.", Paste: `id: /data/event_id # only if the sender's events carry an id of their own
references:
  - {kind: customer, id: /data/customer/id}
  - {kind: email, id: /data/customer/email}
`},
		{Text: "Send a test event from the sender's page."},
	}
}
