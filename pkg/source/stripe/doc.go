// Package stripe is the source for Stripe webhooks: snapshot events and thin
// events (v2.core.event), of one's own account and of connected accounts.
//
// Signature: Stripe-Signature `t=<unix seconds>,v1=<hex>[,v1=…]`, HMAC-SHA256
// over t + "." + body with the whole `whsec_…` text as key. While a secret is
// rolled there is one v1 per secret (up to 24 h). Other schemes (v0) are
// ignored. The time may be 300 s off either way: Stripe's own libraries bound
// only the past. Space after a comma is refused, as those libraries do.
//
// Retries: any answer but 2xx, for up to three days in live mode, with
// exponential backoff; a permanent refusal is therefore asked again too. No
// order is promised and duplicates happen.
//
// Identity: the event's id, which is unique over all of Stripe, so it is not
// scoped by account. A thin event that also goes out as a snapshot names it in
// snapshot_event, and then that is its id: both are one row. The body under one
// id may differ between deliveries (pending_webhooks, the endpoint's
// api_version), so nothing else of it takes part.
//
// Not handled: two different events of one change (Stripe says to compare type
// and data.object.id) stay two rows; what only a lookup tells (the customer of
// a dispute's charge) is a reference to the charge and waits for its link.
//
// Test data: livemode false. The normalizer dead-letters it unless the setting
// THROUGHLINE_STRIPE_TEST_DATA says accept.
//
// Facts: docs.stripe.com/webhooks, /webhooks/signatures and
// /webhooks/migrate-snapshot-to-thin-events; stripe-go v85.0.0 webhook/client.go;
// stripe/openapi fixtures for the objects.
package stripe
