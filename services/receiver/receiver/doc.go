// Package receiver takes vendors' webhooks in: one HTTP server for all sources,
// or some, that answers 2xx only after the brokers acknowledged every event of a
// delivery (acks=all).
//
// A POST to /webhooks/<source> passes, in this order: content encoding, content
// type, the signature's header, size, signature, the source's Split, the brokers. The first to fail
// decides the answer, which is always the source's own Reply: the status that
// makes this vendor try again, or stop. Nothing ends in a 500. handler.go is that
// way, from top to bottom.
//
// The body's bytes are passed over twice: by the signature and by one scan, from
// which Split, the check of each event and its key are made.
//
// What is kept back is bounded: requests and bytes in flight, the time to read,
// the time to publish. What is not verified yet has bounds of its own (admission,
// connections), beyond which the oldest stranger's request is cut; beyond those
// of what is verified the vendor is told to come again.
//
// A vendor that never comes again (Profile().NeverRetries) is answered 2xx also
// when the brokers do not acknowledge in time, but only once the delivery is
// fsynced in that source's spool (package spool), which drains in order.
package receiver
