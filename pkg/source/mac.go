package source

import (
	"crypto/hmac"
	"crypto/sha1" // Intercom signs with HMAC-SHA1 and nothing else
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"
)

// Digest names the hash of an HMAC.
type Digest int

// The digests that vendors sign with.
const (
	SHA256 Digest = iota
	SHA1
	digests
)

func (d Digest) new() hash.Hash {
	if d == SHA1 {
		return sha1.New()
	}
	return sha256.New()
}

// Signed is the message that a vendor signed: the body with text around it.
type Signed struct {
	Before string
	Body   []byte
	After  string
}

// MatchHMAC is Match for a vendor that signs with HMAC: ok gets each secret
// with its HMAC of the message and compares that in constant time. It must not
// keep mac, which the next request overwrites.
func (k Keyring) MatchHMAC(d Digest, message Signed, ok func(secret string, mac []byte) bool) (key int, matched bool) {
	for i := range k.secrets {
		s := &k.secrets[i]
		mac := s.mac(d)
		matched := ok(s.text, mac.of(message))
		s.macs[d].Put(mac)
		if matched {
			return i, true
		}
	}
	return 0, false
}

// HMAC is one secret's HMAC of a message, for Sign and for what has no ring.
func HMAC(d Digest, secret string, message Signed) []byte {
	return (&keyedMAC{hash: hmac.New(d.new, []byte(secret))}).of(message)
}

// DecodeHex reads a digest's hex into sum, which has the digest's size. Only
// lower case is taken, as vendors write it: so no bit of a signature is without
// meaning.
func DecodeHex(sum []byte, text string) (ok bool) {
	if len(text) != hex.EncodedLen(len(sum)) {
		return false
	}
	for i := range len(text) {
		if c := text[i]; !isDigit(c) && (c < 'a' || c > 'f') {
			return false
		}
	}
	_, err := hex.Decode(sum, []byte(text))
	return err == nil
}

// keyedMAC is an HMAC's state after its key. It is kept because that costs more
// to make than most bodies to hash.
type keyedMAC struct {
	hash hash.Hash
	text []byte // room for the message's text, which the hash takes as bytes only
	sum  [sha256.Size]byte
}

// mac gives a state with this secret as its key, a used one if there is one.
func (s *secret) mac(d Digest) *keyedMAC {
	if kept, ok := s.macs[d].Get().(*keyedMAC); ok {
		return kept
	}
	return &keyedMAC{hash: hmac.New(d.new, []byte(s.text))}
}

// of gives the HMAC of message; it is valid until the next call.
func (m *keyedMAC) of(message Signed) []byte {
	m.hash.Reset()
	m.write(message.Before)
	m.hash.Write(message.Body)
	m.write(message.After)
	return m.hash.Sum(m.sum[:0])
}

func (m *keyedMAC) write(text string) {
	if text != "" {
		m.text = append(m.text[:0], text...)
		m.hash.Write(m.text)
	}
}

// secret is one of a ring's, with the HMAC states of it that are not in use.
type secret struct {
	text string
	sum  [sha256.Size]byte // of text, for comparing it in constant time
	macs [digests]sync.Pool
}
