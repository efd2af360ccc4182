// Package receiver is the door through which vendors' webhooks come in: one HTTP
// server for all sources, or some, that answers 2xx only after the brokers
// acknowledged every event of a delivery (acks=all).
//
// A POST to /webhooks/<source> passes, in this order: method, content encoding,
// content type, size, signature, JSON grammar, the source's Split, the brokers.
// The first to fail decides the answer, which is always the source's own Reply:
// the status that makes this vendor try again, or stop. Nothing ends in a 500.
//
// What is kept back is bounded: requests and bytes in flight, the time to read,
// the time to publish. Beyond a bound the vendor is told to come again.
//
// A vendor that never comes again (Profile().NeverRetries) is answered 2xx also
// when the brokers do not acknowledge in time, but only once the delivery is
// fsynced in that source's spool (package spool), which drains in order.
package receiver
