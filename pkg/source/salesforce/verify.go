package salesforce

import (
	"net/url"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	tokenHeader    = "X-Throughline-Token"
	tokenParameter = "token"
)

// Open implements source.Webhook: it refuses what no header can carry.
func (salesforce) Open(secrets []string) (source.Verifier, error) {
	keys, err := source.NewTokenKeyring(secrets...)
	if err != nil {
		return nil, err
	}
	return verifier{keys}, nil
}

type verifier struct{ keys source.Keyring }

// Verify compares the token. Nothing is signed, so neither the body nor the time is
// covered: only identity stops a replay.
func (v verifier) Verify(d *source.Delivery, _ time.Time) (int, error) {
	if _, ok := d.Header[tokenHeader]; ok {
		return v.keys.MatchToken(d.Header.Get(tokenHeader), "the "+tokenHeader+" header")
	}
	_, query, _ := strings.Cut(d.URL, "?")
	values, _ := url.ParseQuery(query) // what is not well formed is left out
	given := ""
	if all := values[tokenParameter]; len(all) == 1 {
		given = all[0]
	}
	return v.keys.MatchToken(given, "the token (?token=… of the endpoint's address, or "+tokenHeader+")")
}

// VerifyHeader implements source.HeaderVerifier: the token is all there is.
func (v verifier) VerifyHeader(d *source.Delivery, now time.Time) (complete bool, err error) {
	_, err = v.Verify(d, now)
	return true, err
}

// Sign sets the token header, as a proxy would.
func (salesforce) Sign(d *source.Delivery, secret string, _ time.Time) error {
	if !isXML(d.Body) {
		d.SetUsual("Content-Type", "application/json")
	}
	d.SetUsual("Content-Type", "text/xml; charset=utf-8")
	d.Header.Set(tokenHeader, secret)
	return nil
}
