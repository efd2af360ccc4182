package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kgo"
)

// An entry is one delivery: CRC-32C of all that follows (4 bytes, big endian),
// a version byte, and its records in the compact encoding of Kafka's protocol:
// an array of {topic string, key nullable bytes, value nullable bytes, headers
// array of {key string, value nullable bytes}}.
const (
	crcBytes     = 4
	entryVersion = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged: the entry is not what was written.
var errDamaged = errors.New("the entry is damaged")

// encode makes one entry of a delivery's records; it keeps none of their bytes.
func encode(records []*kgo.Record) []byte {
	size := crcBytes + 1 + binary.MaxVarintLen32
	for _, r := range records {
		size += len(r.Topic) + len(r.Key) + len(r.Value) + 4*binary.MaxVarintLen32
		for _, h := range r.Headers {
			size += len(h.Key) + len(h.Value) + 2*binary.MaxVarintLen32
		}
	}
	out := append(make([]byte, crcBytes, size), entryVersion)
	out = kbin.AppendCompactArrayLen(out, len(records))
	for _, r := range records {
		out = kbin.AppendCompactString(out, r.Topic)
		out = kbin.AppendCompactNullableBytes(out, r.Key)
		out = kbin.AppendCompactNullableBytes(out, r.Value)
		out = kbin.AppendCompactArrayLen(out, len(r.Headers))
		for _, h := range r.Headers {
			out = kbin.AppendCompactString(out, h.Key)
			out = kbin.AppendCompactNullableBytes(out, h.Value)
		}
	}
	return sum(out)
}

// sum writes entry's checksum into its first bytes, and gives entry.
func sum(entry []byte) []byte {
	binary.BigEndian.PutUint32(entry, crc32.Checksum(entry[crcBytes:], castagnoli))
	return entry
}

// decode undoes encode; the records alias entry, and take memory in proportion
// to it whatever it says. An error is errDamaged.
func decode(entry []byte) ([]*kgo.Record, error) {
	if len(entry) < crcBytes+1 || binary.BigEndian.Uint32(entry) != crc32.Checksum(entry[crcBytes:], castagnoli) || entry[crcBytes] != entryVersion {
		return nil, errDamaged
	}
	in := kbin.Reader{Src: entry[crcBytes+1:]}
	var records []*kgo.Record
	for range in.CompactArrayLen() { // at most as many as bytes are left
		r := &kgo.Record{Topic: in.CompactString(), Key: in.CompactNullableBytes(), Value: in.CompactNullableBytes()}
		for range in.CompactArrayLen() {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: in.CompactString(), Value: in.CompactNullableBytes()})
		}
		if !in.Ok() {
			return nil, errDamaged
		}
		records = append(records, r)
	}
	if in.Complete() != nil || len(in.Src) > 0 {
		return nil, errDamaged
	}
	return records, nil
}
