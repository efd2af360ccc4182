// Package prove holds a run of the whole system against its promise: an event that was acknowledged is on exactly one
// timeline, or in quarantine.
//
// A Ledger is an append-only file of what vendors sent and what they were promised. Check compares it with the database.
// Table writes what a run saw into docs/operations/faults.md. The run itself, with its faults, is in services/e2e
// (`make prove`). Nothing here knows how the system works inside: events are known by a mark that their sender put into
// them, and their content by a digest.
package prove
