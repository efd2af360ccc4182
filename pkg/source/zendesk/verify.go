package zendesk

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
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
const publicTestSecret = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==" //nolint:gosec // published, and known in order to be refused

// Verify takes a signature of any secret of the ring but Zendesk's public test
// secret, whose timestamp is within an hour of now.
func (zendesk) Verify(d *source.Delivery, keys source.Keyring, now time.Time) (int, error) {
	given, timestamp := d.Header.Get(signatureHeader), d.Header.Get(timestampHeader)
	if given == "" || timestamp == "" {
		return 0, refuse("the header " + signatureHeader + " or " + timestampHeader + " is missing")
	}
	signed, err := time.Parse(time.RFC3339, timestamp)
	if err != nil {
		return 0, refuse("the header " + timestampHeader + " is not an RFC 3339 time")
	}
	key, ok := keys.Match(func(secret string) bool {
		matches := hmac.Equal([]byte(given), []byte(signature(secret, timestamp, d.Body)))
		public := subtle.ConstantTimeCompare([]byte(secret), []byte(publicTestSecret)) == 1
		return matches && !public
	})
	switch {
	case ok && source.InWindow(signed, now, signatureWindow):
		return key, nil
	case ok:
		return 0, refuse("the signature is more than an hour old, or that far ahead of this clock")
	case hmac.Equal([]byte(given), []byte(signature(publicTestSecret, timestamp, d.Body))):
		return 0, refuse("it is signed with the test secret that Zendesk publishes: save the webhook, then test it with its own secret")
	default:
		return 0, refuse("the signature matches no secret")
	}
}

// Sign sets both signature headers.
func (zendesk) Sign(d *source.Delivery, secret string, now time.Time) {
	if d.Header == nil {
		d.Header = http.Header{}
	}
	timestamp := now.UTC().Format(time.RFC3339)
	d.Header.Set(timestampHeader, timestamp)
	d.Header.Set(signatureHeader, signature(secret, timestamp, d.Body))
}

func signature(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp))
	mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func refuse(why string) error { return fault.Permanent(fault.Unauthenticated, errors.New(why)) }
