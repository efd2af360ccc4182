package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kgo"
)

// An entry is one delivery: CRC-32C of all that follows (4 bytes, big endian),
// a version byte, the number of records, and for each its topic, key, value and
// headers. Numbers are uvarints, texts are a length and their bytes; a key's
// length is one more than its bytes, and 0 is no key.
const (
	crcBytes     = 4
	entryVersion = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged: the entry is not what was written.
var errDamaged = errors.New("the entry is damaged")

// encode makes one entry of a delivery's records.
func encode(records []*kgo.Record) []byte {
	size := crcBytes + 1 + binary.MaxVarintLen32
	for _, r := range records {
		size += len(r.Topic) + len(r.Key) + len(r.Value) + 4*binary.MaxVarintLen32
		for _, h := range r.Headers {
			size += len(h.Key) + len(h.Value) + 2*binary.MaxVarintLen32
		}
	}
	out := make([]byte, crcBytes, size)
	out = append(out, entryVersion)
	out = binary.AppendUvarint(out, uint64(len(records)))
	for _, r := range records {
		out = appendText(out, []byte(r.Topic))
		if r.Key == nil {
			out = binary.AppendUvarint(out, 0)
		} else {
			out = binary.AppendUvarint(out, uint64(len(r.Key))+1)
			out = append(out, r.Key...)
		}
		out = appendText(out, r.Value)
		out = binary.AppendUvarint(out, uint64(len(r.Headers)))
		for _, h := range r.Headers {
			out = appendText(appendText(out, []byte(h.Key)), h.Value)
		}
	}
	return sum(out)
}

// sum writes entry's checksum into its first bytes, and gives entry.
func sum(entry []byte) []byte {
	binary.BigEndian.PutUint32(entry, crc32.Checksum(entry[crcBytes:], castagnoli))
	return entry
}

// decode undoes encode; the records alias entry. An error is errDamaged.
func decode(entry []byte) ([]*kgo.Record, error) {
	if len(entry) < crcBytes+1 || binary.BigEndian.Uint32(entry) != crc32.Checksum(entry[crcBytes:], castagnoli) || entry[crcBytes] != entryVersion {
		return nil, errDamaged
	}
	d := decoder{rest: entry[crcBytes+1:]}
	records := make([]*kgo.Record, 0, d.count())
	for range cap(records) {
		r := &kgo.Record{Topic: string(d.text())}
		if n := d.number(); n > 0 {
			r.Key = d.bytes(n - 1)
		}
		r.Value = d.text()
		r.Headers = make([]kgo.RecordHeader, 0, d.count())
		for range cap(r.Headers) {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(d.text()), Value: d.text()})
		}
		records = append(records, r)
	}
	if d.bad || len(d.rest) > 0 {
		return nil, errDamaged
	}
	return records, nil
}

func appendText(out, text []byte) []byte {
	return append(binary.AppendUvarint(out, uint64(len(text))), text...)
}

// decoder reads on until something is missing, and says so at the end.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.bad = true
		d.rest = nil
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

// count is a number of things that take a byte each at least, so no lie about
// it can ask for more memory than the entry has.
func (d *decoder) count() int {
	n := d.number()
	if n > uint64(len(d.rest)) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) text() []byte { return d.bytes(d.number()) }

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.bad = true
		d.rest = nil
		return nil
	}
	text := d.rest[:n:n]
	d.rest = d.rest[n:]
	return text
}
