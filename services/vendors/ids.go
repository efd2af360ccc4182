package vendors

import (
	"encoding/hex"
	"strconv"
)

// Ids are made of numbers: an event's serial, or a customer's key. Each kind of
// id spreads the numbers in its own way, and no two numbers give one id: where
// an id has fewer bits than 64, two numbers below its 1<<bits.

const (
	spread1 = 0xbf58476d1ce4e5b9
	spread2 = 0x94d049bb133111eb
	golden  = 0x9e3779b97f4a7c15
)

// mix maps the numbers of 64 bits onto each other, neighbours far apart (the
// finalizer of splitmix64).
func mix(n uint64) uint64 {
	n += golden
	n = (n ^ n>>30) * spread1
	n = (n ^ n>>27) * spread2
	return n ^ n>>31
}

// unmix is mix backwards.
func unmix(n uint64) uint64 {
	n = (n ^ n>>31 ^ n>>62) * inverse(spread2)
	n = (n ^ n>>27 ^ n>>54) * inverse(spread1)
	return (n ^ n>>30 ^ n>>60) - golden
}

// inverse gives the number that odd multiplies with to 1, modulo 1<<64.
func inverse(odd uint64) uint64 {
	x := odd // right in its last 3 bits; each step doubles how many are
	for range 5 {
		x *= 2 - odd*x
	}
	return x
}

// permute is mix on the numbers below 1<<bits.
func permute(n, offset uint64, bits int) uint64 {
	mask := uint64(1)<<bits - 1
	n = (n + offset) & mask
	n = ((n ^ n>>(bits/2)) * spread1) & mask
	n = ((n ^ n>>(bits/2)) * spread2) & mask
	return n ^ n>>(bits/2)
}

// hash tells labels apart (FNV-1a).
func hash(label string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(label) {
		h = (h ^ uint64(label[i])) * 1099511628211
	}
	return h
}

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// significant is how many digits of base 62 hold any number of 64 bits.
const significant = 11

// appendBase62 appends count characters, of which the first eleven are n. With
// fewer, two numbers may look alike.
func appendBase62(dst []byte, n uint64, count int) []byte {
	for fill := n; count > 0; count -= significant {
		for range min(count, significant) {
			dst = append(dst, base62[fill%62])
			fill /= 62
		}
		fill = mix(n + uint64(count))
	}
	return dst
}

// parseBase62 gives the number that the first eleven characters of text are.
func parseBase62(text string) (n uint64, ok bool) {
	if len(text) < significant {
		return 0, false
	}
	for i := significant - 1; i >= 0; i-- {
		digit := -1
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			digit = int(c - '0')
		case c >= 'A' && c <= 'Z':
			digit = int(c-'A') + 10
		case c >= 'a' && c <= 'z':
			digit = int(c-'a') + 36
		}
		if digit < 0 {
			return 0, false
		}
		n = n*62 + uint64(digit)
	}
	return n, true
}

// appendUUID appends a version 4 UUID's text.
func appendUUID(dst []byte, n uint64) []byte {
	var id [16]byte
	low := mix(n)
	for i := range 8 {
		id[i], id[8+i] = byte(n>>(56-8*i)), byte(low>>(56-8*i))
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	for _, part := range [][]byte{id[:4], id[4:6], id[6:8], id[8:10]} {
		dst = append(hex.AppendEncode(dst, part), '-')
	}
	return hex.AppendEncode(dst, id[10:])
}

// appendHex appends 24 hex digits, as MongoDB's ids have.
func appendHex(dst []byte, n uint64) []byte {
	dst = append(dst, "6318db7d"...)
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[n>>shift&15])
	}
	return dst
}

func appendNumber(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }
