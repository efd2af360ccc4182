package cloudevents

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
)

// tokenHeader is for senders that let one choose a header; it counts before
// Authorization, which a proxy may have set.
const tokenHeader = "X-Throughline-Token"

// Open implements source.Webhook: it refuses what no header can carry.
func (*named) Open(secrets []string) (source.Verifier, error) {
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
	given := d.Header.Get("Authorization")
	if given == "" && inAddress(d.URL) {
		return 0, source.Unauthenticated("the token is in the address (access_token), which proxies log: send it as Authorization: Bearer")
	}
	return v.keys.MatchToken(bearer(given), "the token (Authorization: Bearer, or "+tokenHeader+")")
}

// VerifyHeader implements source.HeaderVerifier: the token is all there is.
func (v verifier) VerifyHeader(d *source.Delivery, now time.Time) (complete bool, err error) {
	_, err = v.Verify(d, now)
	return true, err
}

// bearer is the token of an Authorization header, or "".
func bearer(header string) string {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

func inAddress(address string) bool {
	_, query, _ := strings.Cut(address, "?")
	values, _ := url.ParseQuery(query) // what is not well formed is left out
	return values.Has("access_token")
}

// Sign sets the token header, and the content type of an event or of several.
func (*named) Sign(d *source.Delivery, secret string, _ time.Time) error {
	media := cloudEvents + "+json"
	if bytes.HasPrefix(bytes.TrimSpace(d.Body), []byte("[")) {
		media = cloudEvents + "-batch+json"
	}
	d.SetUsual("Content-Type", media)
	d.Header.Set(tokenHeader, secret)
	return nil
}

// Handshake implements source.Handshaker: the validation of "HTTP 1.1 Web Hooks for
// Event Delivery", 4. The origin is a host's name; nobody asks for it again.
func (*named) Handshake(r *http.Request) (source.Response, bool) {
	origin := r.Header.Get("Webhook-Request-Origin")
	if r.Method != http.MethodOptions || origin == "" {
		return source.Response{}, false
	}
	if !isOrigin(origin) {
		return source.DefaultReply(source.Malformed("WebHook-Request-Origin is not a host's name")), true
	}
	header := http.Header{"Allow": {http.MethodPost}, "Webhook-Allowed-Origin": {origin}, "Webhook-Allowed-Rate": {"*"}}
	return source.Response{Status: http.StatusOK, Header: header}, true
}

// isOrigin: text has the letters of a host's name, as DNS and URLs have them.
func isOrigin(text string) bool {
	const longest = 253
	return len(text) <= longest && strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz0123456789.-_:") == ""
}
