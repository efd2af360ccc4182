// Package sourcetest is the one contract suite that every source passes. A
// source's tests call Run with its secret, Fuzz with its seeds and Bench; most
// of what is asked of them comes from the source's own testdata:
//
//	testdata/<case>.json             the body of one delivery, as the vendor posts it (.xml for one that posts XML)
//	testdata/<case>.golden.json      what the source made of it, written by go test -update
//	testdata/records/<case>.json     one record as a poll or backfill publishes it
//	testdata/pages/<case>.json       a list of the vendor's API, for a source.Lister
//
// What is particular to a vendor (published signature vectors, its library as
// the other end, meaning of its types) stays in the source's own tests.
package sourcetest
