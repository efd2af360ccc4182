// Package segment is the source for Twilio Segment: what a "Webhooks (Actions)"
// destination posts.
//
// Signature: X-Signature is the hex of HMAC-SHA1 with the destination's shared
// secret over the body. Of a batch (an array, up to 4,000) Segment signs the first
// element alone, so that signature is no proof of the others and is not taken: a
// batch needs a secret in the header X-Throughline-Token, which a mapping may set.
// A single event may come with either. A token that is there counts alone.
//
// Retries: 5xx and no answer within 5 seconds, for 4 hours. With several addresses
// in one (classic) destination, one success ends them all.
//
// Identity: messageId, which the sending library makes and which stays the same when
// Segment, the library or a replay sends again; behind the tenant that is set for
// the source. Without one (Segment's sample of a delete): a hash of what the event
// says, without sentAt and receivedAt.
//
// Time: timestamp, which Segment has corrected by the device's clock; else
// originalTimestamp, Segment's own receivedAt, else the receipt. A device whose clock was
// years off has an implausible timestamp: one before 1999, or more than two days
// after Segment's own receivedAt, gives way to that.
//
// References: whoever has a write key writes userId, groupId, traits and even the
// library's name, and a browser's or an app's write key is public. So what an event
// says of its group is taken only where a person has set that every write key is
// secret (Options). A reference to a user or an anonymous id leads to an account only
// by a link, an e-mail address as one from a form does. Words that libraries and
// broken code put in place of an id ("null", "undefined", "[object Object]", zeros)
// are none.
//
// Not handled: bodies that a mapping has given another shape.
//
// Facts: segmentio/segment-docs@747b35d8 (connections/spec, destinations
// actions-webhook and webhooks, functions' samples); @segment/action-destinations
// 3.497.0, which was run.
package segment
