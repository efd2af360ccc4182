package looker

import (
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
)

// tokenHeader is the header of a scheduled delivery. Source:
// looker-open-source/actions, src/hub/action_request.ts and docs/action_api.md.
const tokenHeader = "X-Looker-Webhook-Token"

// Open implements source.Webhook: it refuses what no header can carry.
func (looker) Open(secrets []string) (source.Verifier, error) {
	keys, err := source.NewTokenKeyring(secrets...)
	if err != nil {
		return nil, err
	}
	return verifier{keys}, nil
}

type verifier struct{ keys source.Keyring }

// Verify compares the token. Looker signs nothing, so neither the body nor the
// time is covered: only identity stops a replay.
func (v verifier) Verify(d *source.Delivery, _ time.Time) (int, error) {
	if _, ok := d.Header[tokenHeader]; ok {
		return v.keys.MatchToken(d.Header.Get(tokenHeader), "the "+tokenHeader+" header")
	}
	return v.keys.MatchToken(actionToken(d.Header.Get("Authorization")),
		`the token (X-Looker-Webhook-Token, or Authorization: Token token="…")`)
}

// VerifyHeader implements source.HeaderVerifier: the token is all there is.
func (v verifier) VerifyHeader(d *source.Delivery, now time.Time) (complete bool, err error) {
	_, err = v.Verify(d, now)
	return true, err
}

// Sign sets the token header of a scheduled delivery.
func (looker) Sign(d *source.Delivery, secret string, _ time.Time) error {
	d.SetUsual("Content-Type", "application/json")
	d.SetUsual("User-Agent", "LookerOutgoingWebhook/7.3.0") // as that repository's tests have it
	d.Header.Set(tokenHeader, secret)
	return nil
}

// actionToken is the token of an action's Authorization header, or "".
func actionToken(header string) string {
	const prefix = `Token token="`
	if len(header) <= len(prefix) || !strings.EqualFold(header[:len(prefix)], prefix) {
		return ""
	}
	token, rest, ok := strings.Cut(header[len(prefix):], `"`)
	if !ok || strings.TrimSpace(rest) != "" {
		return ""
	}
	return token
}
