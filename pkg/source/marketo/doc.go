// Package marketo is the source for Adobe Marketo Engage.
//
// Marketo has no webhook of its own for what happens to a lead: whoever wants
// the whole story polls the activities API. So events come in two shapes, and
// Describe tells them apart by their keys.
//
// A call is the body of a "Call Webhook" flow step: JSON made by an
// administrator's template (README.md has it), sent by trigger campaigns only.
//
//   - Signature: none. The secret is a custom header, X-Throughline-Token.
//   - Retries: none are documented, and an empty answer is error 1001, so Reply
//     always has a body and the receiver keeps a spool (NeverRetries).
//   - Identity: Marketo gives a call no id. It is
//     call:<lead>:<campaign>:<system date as it came>, and, where the template
//     has them, the trigger's name and a digest of its asset and link: a mail
//     scanner that follows two links in one second makes two events. A colon in a
//     part is %3A (source.ID).
//   - Time: {{system.dateTime}} is in the instance's zone but does not say it.
//     {{system.time}} does ("04:34 PM (GMT -0700)"), so the template takes both.
//     Without it occurred_at is the receipt: Marketo calls while the flow runs,
//     so that is seconds off, where a guessed zone would be hours off.
//
// An activity is ONE element of the result of activities.json, leadchanges.json
// or deletedleads.json, or one line of a bulk export as a JSON object, published
// by a poller, a backfill job or a third party. A whole page of the API may be
// posted to the receiver or published as one raw record: List takes it apart.
//
//   - Identity: marketoGUID, else id. Never the attributes: a bulk export writes
//     them as text of a JSON object, the REST API as an array.
//   - Time: activityDate, with Z or +0000.
//
// Both identities are unique within one Marketo instance only, so the tenant (the
// instance's munchkin id) stands before them: munchkinId in the body, else the
// tenant that is set for the source (THROUGHLINE_MARKETO_TENANT). No header of a
// delivery has a part in it, as the same activity may come as a record without.
//
// Not handled: a merge (activity 32) does not move the losing leads' links;
// custom activities (100000 and up) are activity.<number>, as names would need
// types.json; the same form fill sent by a call and polled as an activity is two
// events.
//
// Facts: Adobe's Marketo developer guide (webhooks; activities; bulk activity
// extract) and product documentation ("Tokens Overview", "System Tokens
// Glossary", "Trigger Tokens for Interesting Moments").
package marketo
