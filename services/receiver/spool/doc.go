// Package spool keeps the deliveries of a vendor that never sends twice, while
// the brokers are away: on disk and bounded, until they can be published in the
// order in which they came.
//
// What Append has accepted is fsynced, so it survives kill -9 and the machine's
// loss of power (as far as the disk keeps what it says it has). An entry goes
// only after the brokers acknowledged it; a crash in between publishes it
// again, and the timeline knows duplicates.
//
// The log beneath is github.com/tidwall/wal. Three things it leaves to us: a
// tail torn by a kill is cut off before it opens (repair.go), a failed write is
// followed by a reopening, since the library's memory is then ahead of its file,
// and every entry has its own checksum (codec.go).
package spool
