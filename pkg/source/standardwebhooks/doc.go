// Package standardwebhooks is the format of senders that keep to the Standard
// Webhooks specification (Svix, Clerk, Resend, Polar, OpenAI and others). It is
// no source by itself: a person names one for each sender, which then has its
// own topic, path, secrets and mapping.
//
// Signature: `webhook-signature`, a list of `<version>,<base64>` separated by
// spaces, over webhook-id + "." + webhook-timestamp + "." + body. v1 is
// HMAC-SHA256 with the bytes that `whsec_<base64>` holds; v1a is Ed25519, whose
// public key is `whpk_<base64>`. Other versions are ignored. The time may be
// five minutes off either way, as in the reference libraries. Senders older than
// the specification name the same headers svix-….
//
// Retries: any answer but 2xx, by the sender's own schedule; 410 ends the
// subscription, so that it is never answered.
//
// Events: one JSON object a delivery, of any shape. The specification recommends
// {"type", "timestamp", "data"}; where the rest lies, a mapping.Mapping says.
//
// Identity: what the mapping's id leads to. webhook-id is a header and thus not
// in the event, so that the same event from a backfill would not have it;
// without an id in the body the identity is a hash of the body, of what it says
// and not of how it is written. It is not scoped by tenant: a sender's ids are
// taken to be unique.
//
// Not handled: a sender's thin events, whose data only its API tells.
//
// Facts: github.com/standard-webhooks/standard-webhooks
// spec/standard-webhooks.md and libraries/go v0.0.1; svix-webhooks v1.44.0.
package standardwebhooks
