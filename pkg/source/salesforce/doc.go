// Package salesforce is the source for Salesforce's Outbound Messages: SOAP that a
// flow or a workflow rule posts when a record has changed.
//
// Signature: none, and Salesforce sets no header. The secret stands in the address
// that an administrator gives it (?token=…), or a proxy that has checked
// Salesforce's client certificate sets X-Throughline-Token, which counts alone. An
// organization's id is no secret; a list of those that may send is a second check
// (Options).
//
// Retries: whatever is not answered with 200 and an Ack of true, with pauses up to
// two hours, for 24 hours; in no order. A message sent again has the record as it
// is by then.
//
// # Records
//
// A message has up to 100 notifications; each becomes one record, which this source
// makes in the shape of the REST API's records, all fields as text, xsi:nil as null:
//
//	{"OrganizationId":…,"ActionId":…,"Notification":{"Id":…,"sObject":{"attributes":{"type":"Account"},"Id":…,…}}}
//
// SessionId, which lets its holder in at Salesforce, and the addresses of its APIs
// are read over: they are in no record, error or log.
//
// The XML is bounded in bytes, depth and notifications; a document type, an entity
// of one's own and another encoding than UTF-8 are refused.
//
// Identity: <organization>:<notification's id>. An id of 15 characters and its form
// of 18 are one (ID).
//
// Time: LastModifiedDate, else SystemModstamp, if the message has one of them; else
// the receipt.
//
// References: by the record's own id and its lookups, whose prefix says of what they
// are. Leads and cases are written by strangers (Web-to-Lead, Web-to-Case), so of
// them only the ids that Salesforce sets and the address count, and account_uuid is
// read of accounts alone.
//
// Not handled: Change Data Capture and platform events (Pub/Sub API).
//
// Facts: Salesforce's SOAP API developer guide ("Outbound Messaging": WSDL, security
// considerations, building a listener).
package salesforce
