// Package zendesk reads the webhooks of Zendesk: event subscriptions as Zendesk
// writes them, and triggers or automations that send the template of README.md.
//
// Signature: X-Zendesk-Webhook-Signature is base64 of HMAC-SHA256 over the text
// of X-Zendesk-Webhook-Signature-Timestamp followed by the raw body, keyed with
// the signing secret as it is shown, not base64-decoded
// (developer.zendesk.com/documentation/webhooks/verifying/). No other header is
// signed, so the tenant is the body's account_id and never the header's.
//
// Retries: a 409 up to three times, a 429 or 503 whose Retry-After is under a
// minute, and a timeout (12 s) up to five times; any other status, a plain 500
// too, loses the event. Zendesk may also drop or double events by itself
// (developer.zendesk.com/api-reference/webhooks/introduction; the counts are its
// help centre's, the 12 s a community's).
//
// Identity: Zendesk's event id is a UUID that no API gives again, so facts that
// a backfill can meet have an id made of the fact (scoped by account), and only
// the rest have the UUID:
//
//	ticket.created         <account>:ticket:<ticket id>:created
//	ticket.comment_added   <account>:comment:<comment id>
//	user.created           <account>:user:<user id>:created
//	organization.created   <account>:organization:<organization id>:created
//	any other              <account>:<thing>:<its id>:sequence:<id>:<position>, which no
//	                       backfill can meet, else <account>:<event id>
//
// Not handled: XML and form bodies of triggers (refused as not JSON), a trigger's
// own JSON (dead-lettered as unsupported), and what an id alone does not tell: a
// requester's organization and an organization's domains are in Zendesk's API only.
package zendesk
