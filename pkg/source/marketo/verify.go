package marketo

import (
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
)

// tokenHeader is the custom header in which the flow step's webhook sends the
// secret.
const tokenHeader = "X-Throughline-Token"

// Open implements source.Webhook: it refuses what no header can carry.
func (marketo) Open(secrets []string) (source.Verifier, error) {
	keys, err := source.NewTokenKeyring(secrets...)
	if err != nil {
		return nil, err
	}
	return verifier{keys}, nil
}

type verifier struct{ keys source.Keyring }

// Verify compares the token header. Marketo signs nothing, so neither the body
// nor the time is covered: only identity stops a replay.
func (v verifier) Verify(d *source.Delivery, _ time.Time) (int, error) {
	return v.keys.MatchToken(d.Header.Get(tokenHeader), "the "+tokenHeader+" header")
}

// VerifyHeader implements source.HeaderVerifier: the token is all there is.
func (v verifier) VerifyHeader(d *source.Delivery, now time.Time) (complete bool, err error) {
	_, err = v.Verify(d, now)
	return true, err
}

// Sign sets the token header.
func (marketo) Sign(d *source.Delivery, secret string, _ time.Time) error {
	d.SetUsual("Content-Type", "application/json")
	d.Header.Set(tokenHeader, secret)
	return nil
}
