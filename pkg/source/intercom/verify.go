package intercom

import (
	"crypto/hmac"
	"crypto/sha1" // Intercom signs with HMAC-SHA1 and nothing else
	"encoding/hex"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	signatureHeader = "X-Hub-Signature"
	signaturePrefix = "sha1="
)

// Open implements source.Webhook: any text can be a client secret.
func (intercom) Open(secrets []string) (source.Verifier, error) {
	keys, err := source.NewKeyring(secrets...)
	if err != nil {
		return nil, err
	}
	return verifier{keys}, nil
}

type verifier struct{ keys source.Keyring }

// Verify takes a signature of any secret of the ring. now is not used: the
// scheme signs no time.
func (v verifier) Verify(d *source.Delivery, _ time.Time) (int, error) {
	sum, err := readHeader(d)
	if err != nil {
		return 0, err
	}
	key, ok := v.keys.MatchHMAC(source.SHA1, source.Signed{Body: d.Body}, func(_ string, mac []byte) bool { return hmac.Equal(sum[:], mac) })
	if !ok {
		return 0, source.Unauthenticated("the signature matches no secret")
	}
	return key, nil
}

// VerifyHeader implements source.HeaderVerifier: the signature's form.
func (verifier) VerifyHeader(d *source.Delivery, _ time.Time) (complete bool, err error) {
	_, err = readHeader(d)
	return false, err
}

// readHeader gives the signature, decoded.
func readHeader(d *source.Delivery) (sum [sha1.Size]byte, err error) {
	given, ok := strings.CutPrefix(d.Header.Get(signatureHeader), signaturePrefix)
	if !ok {
		return sum, source.Unauthenticated("the header " + signatureHeader + " is missing, or does not start with " + signaturePrefix)
	}
	if !source.DecodeHex(sum[:], given) {
		return sum, source.Unauthenticated("the header " + signatureHeader + " does not hold the hex of a SHA-1")
	}
	return sum, nil
}

// Sign sets the signature header; now is not used.
func (intercom) Sign(d *source.Delivery, secret string, _ time.Time) error {
	d.SetUsual("Content-Type", "application/json")
	d.Header.Set(signatureHeader, signaturePrefix+hex.EncodeToString(source.HMAC(source.SHA1, secret, source.Signed{Body: d.Body})))
	return nil
}
