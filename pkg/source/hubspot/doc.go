// Package hubspot is the source for HubSpot webhooks: the classic subscriptions
// (contact.*, deal.*, …) and those of the newer platform (object.* with an
// objectTypeId), in batches.
//
// Signature: X-HubSpot-Signature-v3, base64 of HMAC-SHA256 with the app's client
// secret over method + public URL + body + X-HubSpot-Request-Timestamp (in
// milliseconds), at most five minutes off, both ways. In the URL twelve escapes
// count as the characters they stand for; HubSpot's libraries do not decode
// them, so either form of the URL is taken.
//
// v1 (X-HubSpot-Signature, SHA-256 of secret + body) and v2 are refused even
// alone. HubSpot sends v1 beside v3: were it enough, whoever sees one request
// could take v3 off and send it again for ever, since v1 and v2 cover no time;
// and a plain hash of secret + text can be continued without the secret. All
// subscriptions carry v3. What a workflow sends unsigned is refused too.
//
// Retries: ten times over 24 h, with jitter, after a failed connection, five
// seconds without answer, or a 4xx or 5xx. The retry is of the whole request, so
// one bad element must not refuse its neighbours. No order, and duplicates.
//
// Identity: portal|type|object|occurredAt|… as identity.go says. HubSpot's
// eventId is not unique and attemptNumber counts deliveries, so neither takes
// part; `object.creation` of 0-1 and `contact.creation` are the same fact.
//
// Unconfirmed: event.completed. No documentation shows its body; it is read as
// having the object that completed it (objectId, objectTypeId) and eventTypeName,
// and has its eventId in its identity.
//
// The past: creations and the changes of stages that the CRM's API tells have the
// identity of the webhook that told them, where createdAt and the history's timestamp
// are its occurredAt to the millisecond, which is unconfirmed. The journal's events
// become the notices that webhooks would have been (journal.go).
//
// Not handled: that an association told by both its sides is one: what is primary belongs to a side, and so does the
// label, so the two tellings are two events, of two types.
//
// Facts: developers.hubspot.com webhooks and request validation;
// @hubspot/api-client 13.5.0 Signature and hubspot-api-python signature.py;
// captured requests for the headers.
package hubspot
