package marketo

import "github.com/throughline-dev/throughline/pkg/source"

var _ source.Connector = marketo{}

// template is the payload of the flow step's webhook: call reads it. Its tokens are
// bare, because the request token encoding JSON quotes them. MUNCHKIN_ID is for a
// person to fill in. Sources: Adobe's product documentation, "Create a Webhook", "Tokens
// Overview", "System Tokens Glossary", "Trigger Tokens for Interesting Moments".
const template = `{
  "leadId": {{lead.Id}},
  "email": {{lead.Email Address}},
  "company": {{company.Company Name}},
  "website": {{company.Website}},
  "campaignId": {{campaign.id}},
  "campaignName": {{campaign.name}},
  "triggerName": {{trigger.Trigger Name}},
  "triggerAsset": {{trigger.Name}},
  "triggerLink": {{trigger.Link}},
  "systemDate": {{system.dateTime}},
  "systemTime": {{system.time}},
  "munchkinId": "MUNCHKIN_ID"
}`

// Steps implements source.Connector. Marketo's API neither shows webhooks nor makes
// them.
func (marketo) Steps(address string) []source.Step {
	return []source.Step{
		{Text: "For everything that happens to leads: Admin → Users & Roles → a role with Read-Only Activity and Read-Only Person, and an API-only user of it; Admin → LaunchPoint → New Service, Custom, of that user. View Details shows the id and the secret: THROUGHLINE_MARKETO_API_KEY=CLIENT_ID:CLIENT_SECRET."},
		{Text: "Admin → Web Services shows the REST endpoint: THROUGHLINE_MARKETO_API_URL is that without /rest, https://123-ABC-456.mktorest.com. Admin → Munchkin shows the instance's id: THROUGHLINE_MARKETO_TENANT, for every service."},
		{Text: "Only for single moments at once, and not for what is polled: choose a long random text, give it to the receiver as THROUGHLINE_MARKETO_SECRETS, and go to Admin → Webhooks → New Webhook: request type POST, request token encoding JSON, response type JSON, and this URL.", Paste: address},
		{Text: "Its payload template is this, with your instance's id for MUNCHKIN_ID.", Paste: template},
		{Text: "Webhooks Actions → Set Custom Header: this header, and the secret as its value.", Paste: tokenHeader},
		{Text: "Add Call Webhook to the flow of a trigger campaign; batch campaigns cannot call."},
	}
}
