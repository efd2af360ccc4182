// Package salesforce is the source for Salesforce: Outbound Messages (SOAP that a flow
// posts when a record has changed), Change Data Capture (what a subscriber of its
// Pub/Sub API posts or publishes as JSON), and records that its REST API's queries give.
//
// Signature: none, and Salesforce sets no header. The secret stands in the address
// that an administrator gives it (?token=…), or a proxy that has checked
// Salesforce's client certificate, or a subscriber, sets X-Throughline-Token, which
// counts alone. An organization's id is no secret; a list of those that may send is a
// second check of outbound messages (Options).
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
// A change event stands as its subscriber decoded it, {"payload":{"ChangeEventHeader":
// …},"event":{"EventUuid":…}}; one of several recordIds becomes one record for each,
// in which recordIds has this one alone. So does one that is published raw (List). A
// record of the REST API stands as it came.
//
// # Identity
//
//   - A record at a time, whether a message or a query told it:
//     <organization>:<record>:<SystemModstamp in milliseconds>. So a message that comes
//     again with a later state is that state's own event.
//   - A message without SystemModstamp: <organization>:<notification>.
//   - A change: <organization>:change:<EventUuid>:<record>. A replay id is none: it is
//     not unique after an organization has moved. Without EventUuid (a payload alone):
//     transactionKey and sequenceNumber in its place.
//
// An id of 15 characters and its form of 18 are one (ID). The organization of what does
// not name it is the tenant that is set (THROUGHLINE_SALESFORCE_TENANT).
//
// # Time
//
// SystemModstamp, else LastModifiedDate, else the receipt. Of a change its
// commitTimestamp, and a microsecond for each sequenceNumber before it in its
// transaction, so that a timeline has them in their order.
//
// # Types
//
// account.changed is a record as it is by then; account.created, updated, deleted and
// undeleted are changes. account.gap.updated and the like are gap events, which say that
// a record changed and not how; account.gap.overflow does not even say which record
// (more than 100,000 changes in one transaction) and so waits in quarantine. Both are
// told to be fetched: by a backfill of the object for that time.
//
// # References
//
// By the record's own id and its lookups, whose prefix says of what they are. Leads and
// cases are written by strangers (Web-to-Lead, Web-to-Case), so of them only the ids
// that Salesforce sets and the address count, and account_uuid is read of accounts
// alone.
//
// # API
//
// Records are queried by keyset (Streams, Page) and asked about by their ids (Learn).
// A query tells a record as it is now, deleted ones too for 15 days, and never what it
// was before.
//
// Not handled: platform events of one's own; Avro (a subscriber decodes it).
//
// Facts: Salesforce's SOAP API developer guide ("Outbound Messaging": WSDL, security
// considerations, building a listener), Change Data Capture developer guide ("Change
// Event Header Fields", "Gap Events", "Overflow Events") and REST API developer guide
// ("Query", "QueryAll").
package salesforce
