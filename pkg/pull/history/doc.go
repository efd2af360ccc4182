// Package history reads the past events of a source from a file, as a source.Pager,
// so that they go the way that a vendor's API's go: page, publish, acknowledgement,
// checkpoint (pkg/pull).
//
// A file is JSON Lines, of which each line is what a raw topic takes as a value (an
// event, an array of them, or the vendor's own list), or a CSV file, whose column
// payload holds that, or of which each row is an event as an object of its cells.
// Either may be compressed with gzip.
//
// Whoever wrote the file is not trusted: a line, what lies between two events, and what
// a page holds are bounded, whatever the file decompresses to. What is wrong is told
// with its line; what came before it is published.
package history
