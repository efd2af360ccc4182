package postgres

import (
	"encoding/binary"
	"time"
)

// The binary formats of the types that a batch's parameters have: what Postgres' array_recv, jsonb_recv,
// timestamptz_recv and their like read.

// array gives an array of n elements. element appends the i-th to dst; nil stands for NULL.
func array(elementType uint32, n int, element func(dst []byte, i int) []byte) []byte {
	const nullLength = 0xffffffff // -1
	dst := make([]byte, 0, 20+n*32)
	for _, word := range []uint32{1 /* dimensions */, 0 /* flags */, elementType, uint32(n), 1 /* lower bound */} {
		dst = binary.BigEndian.AppendUint32(dst, word)
	}
	for i := range n {
		at := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		length := uint32(nullLength)
		if with := element(dst, i); with != nil {
			dst, length = with, uint32(len(with)-at-4)
		}
		binary.BigEndian.PutUint32(dst[at:], length)
	}
	return dst
}

func appendInt4(dst []byte, n int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(n)) }

func appendInt8(dst []byte, n int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(n)) }

// epoch is Postgres' own, 2000-01-01, in Unix microseconds.
const epoch = 946_684_800_000_000

func appendTime(dst []byte, t time.Time) []byte { return appendInt8(dst, t.UnixMicro()-epoch) }

// appendJSONB appends JSON text in the only version of the format.
func appendJSONB(dst, text []byte) []byte {
	if text == nil {
		return nil
	}
	return append(append(dst, 1), text...)
}
