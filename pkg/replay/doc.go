// Package replay publishes what a raw topic holds of a period once more, so that it
// goes through the normalizer again: the same bytes and headers. What is on the
// timeline already is known there by its identity.
//
// A replay is a row with its place in each partition. A process that is killed
// publishes at most one batch twice; [Run] goes on from the row.
package replay
