// Package vendors plays the vendors: it makes the events that they send, in
// their own shapes and with ids and times of their own, signs them as they do,
// and posts them over HTTP. `throughline send`, the demo story, the bench and
// the whole-system tests use it, so that a vendor's shape stands in one place.
//
// A Simulator makes bodies. The same seed gives the same ids. bodies/ has one
// template for each of a vendor's objects; each vendor's file has the table of
// its types, which are those of docs/event-types.md, and the sources of the
// shapes. A Sender signs and posts them. The package load sends many at a pace,
// with duplicates, out of order and late; the package story is the demo.
//
// Names, e-mail addresses and domains that are made up end in .example.
package vendors
