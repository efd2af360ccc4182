package cloudevents

import (
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
)

var _ source.Connector = &named{}

// Steps implements source.Connector, for whatever sender.
func (n *named) Steps(address string) []source.Step {
	secrets, file := settings.SourceVariable(n.name, "SECRETS"), settings.SourceVariable(n.name, "MAPPING")
	return []source.Step{
		{Text: "Make a long random text (openssl rand -hex 32), which " + secrets + " takes."},
		{Text: "At the sender: CloudEvents 1.0 over HTTP, structured, batched or binary mode, data in JSON, sent to this address.", Paste: address},
		{Text: "The text goes with each request in this header; where the sender wants a header of its own, in X-Throughline-Token. Never in the address.", Paste: "Authorization: Bearer <the random text>"},
		{Text: "Say in the file of " + file + " which members name the customer; without it every event waits in quarantine. Pointers start at the event. Every service reads the same file.", Paste: `references:
  - {kind: customer, id: /data/customer/id}
  - {kind: email, id: /data/customer/email}
`},
		{Text: "A sender that asks first (OPTIONS with WebHook-Request-Origin, as Azure Event Grid does) is answered by itself, once the receiver runs with these settings."},
	}
}
