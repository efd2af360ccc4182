package salesforce

import "github.com/throughline-dev/throughline/pkg/source"

var _ source.Connector = salesforce{}

// Steps implements source.Connector. What Salesforce's Metadata API knows of outbound
// messages it does not tell of their delivery, so a person makes them.
func (salesforce) Steps(address string) []source.Step {
	return []source.Step{
		{Text: "A long random text (openssl rand -hex 32) is the secret: THROUGHLINE_SALESFORCE_SECRETS takes it. Salesforce sets no header and signs nothing, so that it stands in the address."},
		{Text: "Setup → Company Information shows the organization's id (00D…): THROUGHLINE_SALESFORCE_ORGANIZATIONS takes those that may send, and THROUGHLINE_SALESFORCE_TENANT, for every service, the one whose changes are published or queried."},
		{Text: "Setup → Outbound Messages → New: choose the object (Account, Contact, Lead, Opportunity, Case, or one of your own), then this Endpoint URL with the secret in it.", Paste: address + "?token=<the secret>"},
		{Text: "Leave Send Session ID off: it would let its reader in at Salesforce. Protected Component stays off, too."},
		{Text: "Among the fields choose always these, and the lookups (AccountId, ContactId); of an account also Website and your field with the account's UUID.", Paste: "Id, SystemModstamp, LastModifiedDate"},
		{Text: "Setup → Flows → New, a record-triggered flow of the object, for records that are created or updated, with the action Send Outbound Message, and activate it. One message an object."},
		{Text: "If a proxy in front of the receiver checks client certificates: Setup → Certificate and Key Management → API Client Certificate. It may then set X-Throughline-Token, which counts in place of the address."},
		{Text: "Setup → Outbound Messages → View Message Delivery Status shows what was not acknowledged."},
		{Text: "For the past and for learning: Setup → External Client App Manager → New, with OAuth, the scope api, and the Client Credentials Flow run as a user who may read the objects. Its consumer key and secret, with a colon between, are THROUGHLINE_SALESFORCE_API_KEY; THROUGHLINE_SALESFORCE_API_URL is https://<your domain>.my.salesforce.com."},
	}
}
