// Package spool keeps the deliveries of a vendor that never sends twice, while
// the brokers are away: on disk and bounded, until they can be published in the
// order in which they came.
//
// What Append has accepted is fsynced, so it survives kill -9 and the machine's
// loss of power (as far as the disk keeps what it says it has). An entry goes
// only after the brokers acknowledged it; a crash in between publishes it
// again, and the timeline knows duplicates.
//
// Beneath is one go.etcd.io/bbolt file, spool.db: its transactions make a crash
// or a failed write harmless, its Batch lets concurrent calls of Append share an
// fsync, and its lock keeps a second process out. The file grows to the most
// that ever waited, in steps of 1 MiB; freed pages are used again, and hold
// their old bytes until then; Open makes a file in which nothing waits anew.
package spool
