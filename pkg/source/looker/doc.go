// Package looker is the source for Looker.
//
// Looker sends what people schedule: the rows of a Look or an Explore, without an
// event's id, type or time. So a row of a report is the event here
// (usage.reported), and the rows of System Activity (who ran which query) are
// events of Looker's own.
//
// Signature: none. The webhook token of the instance comes as itself, in
// X-Looker-Webhook-Token, or, from an action, in Authorization: Token token="…".
//
// Retries: none are documented, so the receiver keeps a spool (NeverRetries).
// Looker reads {"looker":{"success":true}} as success and shows the message of a
// failure in the schedule's history. Bodies are chunked and can be large.
//
// # Records
//
// A delivery of rows in JSON (attachment.data, or data, as an array or as the
// text of one) becomes one record a row. A row alone has lost its plan, so this
// source makes the record, which no other does:
//
//	{"type":…,"scheduled_plan":…,"received_on":"2025-10-09","row":…}
//
// type, plan and row are the exact bytes of the delivery; received_on is the UTC
// day of its receipt, so that a record stands for the same event when it is
// published again later. A row that is no object is a record that Describe
// refuses; its neighbours are not touched. Since each record repeats the plan, the
// plan and all records of a delivery together are bounded (maxFrameBytes,
// maxRecordsBytes); beyond it the delivery is refused as oversized.
//
// The rows of the other formats become objects first: of a CSV (its header names
// the columns, an empty cell is null), of a dashboard's zip (one CSV a tile, whose
// name is the column tile), of "JSON — Detailed" (each cell's value). The same row
// in two formats may differ, as CSV has formatted values.
//
// A delivery that has no rows we can read (xlsx, pdf, an image) is not lost: it is one record, which Describe
// refuses as unsupported with a text that says what to choose in the schedule,
// and waits in quarantine. One larger than source.MaxRecordBytes cannot wait there
// and is refused as oversized.
//
// Rows of System Activity can also be published bare, one a record, as
// queries/run/json gives them (history.id or event.id tells them), or posted as
// an array.
//
// # Identity
//
//   - A row: <instance>:plan:<plan>:<view>:<row>, or query:<query> in place of a
//     plan that has no id, where row is the first half of the SHA-256 of the row's
//     canonical JSON (rawjson.Canonical: neither the order of columns nor 72.0 for
//     72 makes another). A row without a time of its own has the day of its receipt
//     as well: the same numbers tomorrow are another report, the same delivery
//     twice a day is not. Equal rows of one report are one event. A colon in a part
//     is %3A (source.ID).
//   - System Activity: <instance>:history:<history.id>, <instance>:event:<event.id>,
//     the same when a schedule sent it.
//
// The instance is the domain of scheduled_plan.url, else the tenant that is set
// for the source (THROUGHLINE_LOOKER_TENANT), cut to its domain in the same way.
// No header of a delivery has a part in it, X-Looker-Instance neither, as the same
// row may come as a record without.
//
// # Time
//
// A row happened at the latest of its date and time columns, whatever their names:
// texts such as 2025-10-09, 2025-10-09 08, 2025-10-09 08:53 or RFC 3339; zoneless
// means UTC. Not counted are columns of a customer (accounts.created_date: when it
// signed up, not when it was active), those of a contract, a subscription or a
// period (period_end_date) and days after the receipt's in UTC; a time later on
// that day counts as the receipt. A column named occurred_at decides alone. Without
// any: the receipt. A column that is a time by its name but holds none that can be
// read makes the row malformed.
//
// # References
//
//	account_uuid  name contains account, uuid or external; the value is a UUID
//	account       <account, company, customer or organization>.id, …_id
//	group         external_group_id (embedding: the host application's customer)
//	user          user.id (System Activity: a user of Looker)
//	external_user external_user_id (embedding: the host application's user)
//	email         email, email_address, …_email
//	domain        domain, …_domain, website
//
// A name that a CSV has for people is read alike ("Accounts UUID", "Users Email").
// Columns of somebody beside the customer (parent, csm, owner, sales_rep, partner)
// do not count, and those of an account's view come before all others. Where two
// that are left name different customers, the row is refused as a conflict. A
// column that is set (Columns) names the account alone, whatever the others do.
//
// # API
//
// System Activity is walked by id (Streams, Page), users are asked whose they are
// (Learn), and scheduled plans are looked at and never changed (Look).
//
// Not handled: number formats ("1,204" stays text), month and week columns
// (2025-10), pivots, cell actions.
//
// Facts: looker-open-source/actions (docs/action_api.md, action_request.ts) and
// Google's Looker API reference ("Run Scheduled Plan Once": formats json,
// json_detail, inline_json; "ScheduledPlan").
package looker
