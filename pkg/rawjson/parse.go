package rawjson

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// Doc is a scanned JSON document. Its zero value is ready. Reuse it: a scan
// then allocates nothing (a very large index is let go of at the next small
// document). It aliases the bytes that it has scanned, which must not change
// while Values of it are in use. A Doc and its Values belong to one goroutine
// at a time.
type Doc struct {
	src    []byte
	nodes  []node
	levels int // values in more containers are not noted; -1: none is

	frames [MaxDepth]frame // the open containers while scanning
	unread node            // stands for values that are not noted

	secret [2]uint64 // of the hash of names
	slots  []uint64  // names, by their object and hash: see names.go
	shift  uint32    // of the view of slots in use
	base   uint32    // stamps up to it are of earlier documents
	plain  []byte    // a name without its escapes, while scanning

	notes    []note // what the strict reading refuses, in order of place
	overflow bool   // there was more than notes holds
	growth   int    // by how much the numbers grow when written out
	failure  string // why the scan stopped

	scratch *Doc // for Check of what the index does not cover
}

// node is a noted value. Its descendants follow it, up to next.
type node struct {
	key, keyEnd uint32 // the member's name between its quotes; 0, 0 in arrays
	start, end  uint32
	next        uint32
	flags       uint8
}

const (
	nodeBytes = 24
	maxNodes  = MaxRecordBytes/2 + 1 // a value and its separator take two bytes
	noNode    = ^uint32(0)

	keyOdd  = 1 << 0 // the name is not ASCII without escapes, so it may differ from its text
	textOdd = 1 << 1 // likewise the string
	cut     = 1 << 2 // the container's members are not noted
	inner   = 1 << 3 // a container below is cut
)

// frame is an open container.
type frame struct {
	node   uint32 // noNode when it is not noted
	object bool
}

// What a Doc keeps between documents is small enough for thousands of Docs.
const (
	keepNodes = 1 << 14
	keepSlots = 1 << 15
)

// Parse scans one record and holds it against what the timeline can store: one
// JSON object of at most MaxRecordBytes, nested at most MaxDepth deep, without
// duplicate names, which JSONB takes. It gives the object.
//
// A failure is Permanent: Oversized for the bytes, Malformed for what is not
// such JSON, and Unstorable for JSON that Postgres refuses (NUL, invalid UTF-8,
// lone surrogates) or that its numbers would blow up (MaxNumberDigits, MaxGrowth).
//
// Source of what JSONB refuses: PostgreSQL 15 documentation, 8.14 "JSON Types".
func (d *Doc) Parse(raw []byte) (Value, error) {
	if len(raw) > MaxRecordBytes {
		return Value{}, oversized(len(raw))
	}
	if i := space(raw, 0); i < len(raw) && kinds[raw[i]] != Object && kinds[raw[i]] != Missing {
		return Value{}, notObject(kinds[raw[i]])
	}
	top, err := d.parse(raw, MaxDepth)
	if err != nil {
		return Value{}, err
	}
	if len(d.notes) > 0 {
		return Value{}, d.verdict(0, len(raw))
	}
	return top, nil
}

// ParseBody scans a delivery's body or a page, and gives its top value, of any
// kind. It takes what has JSON's grammar and at most MaxDepth, whatever its
// strings, names and numbers are: Value.Check tells what Parse would have said
// of a part. depth bounds how deep members are noted (0: at all levels; 1: only
// those of the top value). Deeper ones can be read all the same, by reading
// their bytes again.
//
// A failure is Permanent: Oversized over MaxPageBytes, otherwise Malformed.
func (d *Doc) ParseBody(body []byte, depth int) (Value, error) {
	if depth <= 0 || depth > MaxDepth {
		depth = MaxDepth
	}
	return d.parseBody(body, depth)
}

// Grammar holds a body against JSON's grammar and MaxDepth, as ParseBody does,
// and notes nothing.
func Grammar(body []byte) error {
	var d Doc
	_, err := d.parseBody(body, -1)
	return err
}

func (d *Doc) parseBody(body []byte, levels int) (Value, error) {
	if len(body) > MaxPageBytes {
		return Value{}, fault.Permanent(fault.Oversized, fmt.Errorf("the body has %d bytes, the bound is %d", len(body), MaxPageBytes))
	}
	return d.parse(body, levels)
}

// parse scans src, whose size has been checked.
func (d *Doc) parse(src []byte, levels int) (Value, error) {
	d.begin(src, levels)
	end := d.scan()
	if end < 0 {
		return Value{}, fault.Permanent(fault.Malformed, errors.New(d.failure))
	}
	if rest := space(src, end); rest < len(src) {
		return Value{}, fault.Permanent(fault.Malformed, fmt.Errorf("more data follows the JSON value at byte %d", end))
	}
	if levels < 0 {
		return Value{}, nil
	}
	return d.value(0), nil
}

// begin forgets the document before.
func (d *Doc) begin(src []byte, levels int) {
	d.src, d.notes, d.overflow, d.growth = src, d.notes[:0], false, 0
	used := uint32(len(d.nodes))
	d.nodes, d.levels = d.nodes[:0], levels
	if levels < 0 {
		return
	}
	if cap(d.nodes) > keepNodes && len(src) < keepNodes {
		d.nodes = nil
	}
	if cap(d.nodes) == 0 {
		d.nodes = make([]node, 0, max(16, len(src)/16))
	}
	d.beginNames(used)
}

func oversized(n int) error {
	return fault.Permanent(fault.Oversized, fmt.Errorf("the event has %d bytes, the bound is %d", n, MaxRecordBytes))
}

func notObject(k Kind) error {
	return fault.Permanent(fault.Malformed, fmt.Errorf("the event is a JSON %s, not an object", k))
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// stopped describes why the scan of src ended at i, where want should have been.
func stopped(src []byte, i int, want string) string {
	switch {
	case len(bytes.Trim(src, whiteSpace)) == 0:
		return "not valid JSON: it is empty"
	case bytes.HasPrefix(src, byteOrderMark):
		return "not valid JSON: it starts with a byte order mark, which JSON does not have"
	case i >= len(src):
		return fmt.Sprintf("not valid JSON: it ends at byte %d, where %s should be", len(src), want)
	}
	return fmt.Sprintf("not valid JSON at byte %d: character %q where %s should be", i, firstRune(src[i:]), want)
}
