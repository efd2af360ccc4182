// Package api is the JSON that Throughline shows to programs: what --json prints, one object a line, and what the HTTP
// API answers. Field names are stable: a field may be added, none is renamed or removed. Times are RFC 3339 in UTC,
// ids of accounts UUIDs in lower case, references the text that the command line reads (source.Reference.String).
//
// Each type has a function that makes it of what the packages below know. It imports them; they do not import it.
package api
