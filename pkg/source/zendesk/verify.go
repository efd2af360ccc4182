package zendesk

import (
	"crypto/hmac"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	signatureHeader = "X-Zendesk-Webhook-Signature"
	timestampHeader = "X-Zendesk-Webhook-Signature-Timestamp"
)

// publicTestSecret signs the requests of the "Test webhook" button until a
// webhook is saved, in every Zendesk account. It stands in Zendesk's
// documentation, so what it signs is from anybody.
// Source: developer.zendesk.com/documentation/webhooks/verifying/.
const publicTestSecret = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==" // published, and known in order to be refused

// Open implements source.Webhook.
func (zendesk) Open(secrets []string) (source.Verifier, error) {
	for i, secret := range secrets {
		if secret == publicTestSecret {
			return nil, fmt.Errorf("secret %d of %d is the test secret that Zendesk publishes: take the webhook's own", i+1, len(secrets))
		}
	}
	keys, err := source.NewKeyring(secrets...)
	if err != nil {
		return nil, err
	}
	return verifier{keys}, nil
}

type verifier struct{ keys source.Keyring }

// Verify takes a signature of any secret of the ring whose timestamp is within
// an hour of now.
func (v verifier) Verify(d *source.Delivery, now time.Time) (int, error) {
	given, timestamp, signed, err := readHeaders(d)
	if err != nil {
		return 0, err
	}
	message := source.Signed{Before: timestamp, Body: d.Body}
	key, ok := v.keys.MatchHMAC(source.SHA256, message, func(_ string, mac []byte) bool {
		return hmac.Equal([]byte(given), encoded(mac))
	})
	switch {
	case ok && source.InWindow(signed, now, signatureWindow):
		return key, nil
	case ok:
		return 0, errWindow
	case hmac.Equal([]byte(given), encoded(source.HMAC(source.SHA256, publicTestSecret, message))):
		return 0, source.Unauthenticated("it is signed with the test secret that Zendesk publishes: save the webhook, then test it with its own secret")
	default:
		return 0, source.Unauthenticated("the signature matches no secret")
	}
}

// VerifyHeader implements source.HeaderVerifier: the signature's form and time.
func (verifier) VerifyHeader(d *source.Delivery, now time.Time) (complete bool, err error) {
	_, _, signed, err := readHeaders(d)
	if err == nil && !source.InWindow(signed, now, signatureWindow) {
		err = errWindow
	}
	return false, err
}

var errWindow = source.Unauthenticated("the signature is more than an hour old, or that far ahead of this clock")

// readHeaders gives the signature, as it came, and the time that it covers.
func readHeaders(d *source.Delivery) (signature, timestamp string, signed time.Time, err error) {
	signature, timestamp = d.Header.Get(signatureHeader), d.Header.Get(timestampHeader)
	if signature == "" || timestamp == "" {
		return "", "", signed, source.Unauthenticated("the header " + signatureHeader + " or " + timestampHeader + " is missing")
	}
	signed, err = time.Parse(time.RFC3339, timestamp)
	if err != nil {
		return "", "", signed, source.Unauthenticated("the header " + timestampHeader + " is not an RFC 3339 time")
	}
	return signature, timestamp, signed, nil
}

// Sign sets both signature headers.
func (zendesk) Sign(d *source.Delivery, secret string, now time.Time) error {
	d.SetUsual("Content-Type", "application/json")
	timestamp := now.UTC().Format(time.RFC3339)
	d.Header.Set(timestampHeader, timestamp)
	mac := source.HMAC(source.SHA256, secret, source.Signed{Before: timestamp, Body: d.Body})
	d.Header.Set(signatureHeader, string(encoded(mac)))
	return nil
}

// encoded is a signature as its header holds it.
func encoded(mac []byte) []byte { return base64.StdEncoding.AppendEncode(nil, mac) }
