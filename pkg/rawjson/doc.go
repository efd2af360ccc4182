// Package rawjson is the one reader of vendors' JSON.
//
// One scan of a document's bytes checks the grammar, the nesting, UTF-8, lone
// surrogates, NUL, the bounds of numbers and duplicate names, and notes where
// each member lies. A source reads its fields from that index: nothing is
// scanned twice, and nothing is copied that is not asked for.
//
//	var doc rawjson.Doc // reused: a scan then allocates nothing
//	event, err := doc.Parse(raw)
//	customer := event.At("data", "object", "customer").Text()
//
// Doc.Parse is strict: it takes what the timeline can store. Doc.ParseBody is
// lenient: a receiver must not refuse what its vendor signed and would only
// send again, and one bad element of a page must not spoil the others, so that
// there Value.Check judges each part by itself.
//
// # Memory
//
// A Doc's index has 24 bytes for each value (in an array that doubles) and two to
// four bytes for each byte of the document. Ordinary JSON has a value in some 20
// bytes, so its index is three to six times its size. The worst record (1 MiB of `[1,1,…`) has an
// index of 15 MB, and the worst body of 8 MiB one of 21 MB (MaxIndexBytes),
// because no more than MaxRecordBytes/2 values are noted: what lies beyond is
// found by reading its bytes again when it is asked for. All work is linear in
// the bytes; names are hashed with a secret seed, so that a sender cannot make
// them collide.
package rawjson

// The bounds of a document. They are checked here and nowhere else.
const (
	// MaxRecordBytes bounds one event's bytes. A raw topic's max.message.bytes
	// leaves room above it for the key and the headers.
	MaxRecordBytes = 1 << 20
	// MaxPageBytes bounds a delivery's body, and one raw record that is a page
	// of events.
	MaxPageBytes = 8 << 20
	// MaxDepth bounds the nesting of arrays and objects.
	MaxDepth = 128
	// MaxNumberDigits bounds the digits of one number, as written and as Postgres
	// writes it out: 1e300 has 301, 1e-300 has 301 too. Every float64 fits (5e-324
	// and 17 significant digits make 341).
	MaxNumberDigits = 400
	// MaxGrowth bounds by how many bytes all numbers of a document together grow
	// when they are written out without an exponent, as JSONB does. Without it
	// a record of 1 MiB could become 50 MB of text.
	MaxGrowth = MaxRecordBytes
	// MaxIndexBytes is the largest index that a Doc holds.
	MaxIndexBytes = maxNodes*nodeBytes + maxSlots*8
)
