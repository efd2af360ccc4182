package segment

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" // Segment signs with HMAC-SHA1 and nothing else
	"encoding/hex"
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	signatureHeader = "X-Signature"
	tokenHeader     = "X-Throughline-Token"
)

// Open implements source.Webhook. Each secret may be the shared secret or the
// header's, so it refuses what no header can carry.
func (segment) Open(secrets []string) (source.Verifier, error) {
	keys, err := source.NewTokenKeyring(secrets...)
	if err != nil {
		return nil, err
	}
	return verifier{keys}, nil
}

type verifier struct{ keys source.Keyring }

// Verify takes the token if there is one, else a signature of the whole body. now is
// not used: the scheme signs no time.
func (v verifier) Verify(d *source.Delivery, _ time.Time) (int, error) {
	if hasToken(d) {
		return v.keys.MatchToken(d.Header.Get(tokenHeader), "the "+tokenHeader+" header")
	}
	sum, err := readSignature(d)
	if err != nil {
		return 0, err
	}
	key, ok := v.keys.MatchHMAC(source.SHA1, source.Signed{Body: d.Body}, func(_ string, mac []byte) bool { return hmac.Equal(sum[:], mac) })
	switch {
	case ok:
		return key, nil
	case isBatch(d.Body):
		return 0, source.Unauthenticated("a batch is signed in its first event only: let the mapping set the header " + tokenHeader)
	default:
		return 0, source.Unauthenticated("the signature matches no secret")
	}
}

// VerifyHeader implements source.HeaderVerifier: the token is all the proof there
// is, of a signature only the form shows.
func (v verifier) VerifyHeader(d *source.Delivery, now time.Time) (complete bool, err error) {
	if hasToken(d) {
		_, err = v.Verify(d, now)
		return true, err
	}
	_, err = readSignature(d)
	return false, err
}

func hasToken(d *source.Delivery) bool {
	_, ok := d.Header[tokenHeader]
	return ok
}

// readSignature gives the signature, decoded.
func readSignature(d *source.Delivery) (sum [sha1.Size]byte, err error) {
	given := d.Header.Get(signatureHeader)
	if given == "" {
		return sum, source.Unauthenticated("the headers " + signatureHeader + " and " + tokenHeader + " are missing: set a shared secret, and the token for batches")
	}
	if !source.DecodeHex(sum[:], given) {
		return sum, source.Unauthenticated("the header " + signatureHeader + " does not hold the hex of a SHA-1")
	}
	return sum, nil
}

func isBatch(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("["))
}

// Sign sets the signature of a single event, and the token of a batch; now is not
// used.
func (segment) Sign(d *source.Delivery, secret string, _ time.Time) error {
	d.SetUsual("Content-Type", "application/json")
	if isBatch(d.Body) {
		d.Header.Set(tokenHeader, secret)
		return nil
	}
	d.Header.Set(signatureHeader, hex.EncodeToString(source.HMAC(source.SHA1, secret, source.Signed{Body: d.Body})))
	return nil
}
