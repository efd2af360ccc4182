package hubspot

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	signatureHeader = "X-HubSpot-Signature-v3"
	timeHeader      = "X-HubSpot-Request-Timestamp"
	// What HubSpot also sends, and nothing here relies on.
	oldSignatureHeader = "X-HubSpot-Signature"
	oldVersionHeader   = "X-HubSpot-Signature-Version"
)

// Open implements source.Webhook.
func (hubspot) Open(secrets []string) (source.Verifier, error) {
	keys, err := source.NewKeyring(secrets...)
	if err != nil {
		return nil, err
	}
	return verifier{keys}, nil
}

type verifier struct{ keys source.Keyring }

// Verify implements source.Verifier.
func (v verifier) Verify(d *source.Delivery, now time.Time) (int, error) {
	got, at, err := readHeaders(d, now)
	if err != nil {
		return 0, err
	}
	equal := func(_ string, want []byte) bool { return hmac.Equal(want, got) }
	decoded := decodeURL(d.URL)
	key, ok := v.keys.MatchHMAC(source.SHA256, signed(d.Method, decoded, d.Body, at), equal)
	if !ok && decoded != d.URL {
		key, ok = v.keys.MatchHMAC(source.SHA256, signed(d.Method, d.URL, d.Body, at), equal)
	}
	if !ok {
		return 0, source.Unauthenticated("the v3 signature does not match; it covers the public URL, so that setting must be the address HubSpot calls")
	}
	return key, nil
}

// VerifyHeader implements source.HeaderVerifier: the signature's form and time.
func (verifier) VerifyHeader(d *source.Delivery, now time.Time) (complete bool, err error) {
	_, _, err = readHeaders(d, now)
	return false, err
}

// readHeaders gives the signature, decoded, and the time that it covers, of a
// delivery that was signed within the window.
func readHeaders(d *source.Delivery, now time.Time) (signature []byte, at string, err error) {
	header, at := d.Header.Get(signatureHeader), d.Header.Get(timeHeader)
	if header == "" {
		return nil, "", source.Unauthenticated(fmt.Sprintf("there is no %s header", signatureHeader))
	}
	signature, err = base64.StdEncoding.Strict().DecodeString(header)
	if err != nil || len(signature) != sha256.Size || len(header) != base64.StdEncoding.EncodedLen(sha256.Size) { // it skips line breaks
		return nil, "", source.Unauthenticated(fmt.Sprintf("the %s header is not the base64 of a SHA-256", signatureHeader))
	}
	millis, err := strconv.ParseInt(at, 10, 64)
	// Only the plain decimal form: the signature covers the text.
	if err != nil || strconv.FormatInt(millis, 10) != at {
		return nil, "", source.Unauthenticated(fmt.Sprintf("the %s header is not a time in milliseconds", timeHeader))
	}
	if !source.InWindow(time.UnixMilli(millis), now, window) {
		return nil, "", source.Unauthenticated(fmt.Sprintf("the request's time is more than %s from now", window))
	}
	return signature, at, nil
}

// Sign implements source.Signer. Like HubSpot, it sends v1 beside v3.
func (hubspot) Sign(d *source.Delivery, secret string, now time.Time) error {
	d.SetUsual("Content-Type", "application/json")
	at := strconv.FormatInt(now.UnixMilli(), 10)
	mac := source.HMAC(source.SHA256, secret, signed(d.Method, decodeURL(d.URL), d.Body, at))
	d.Header.Set(timeHeader, at)
	d.Header.Set(signatureHeader, base64.StdEncoding.EncodeToString(mac))
	old := sha256.Sum256(append([]byte(secret), d.Body...))
	d.Header.Set(oldSignatureHeader, hex.EncodeToString(old[:]))
	d.Header.Set(oldVersionHeader, "v1")
	return nil
}

// signed is what a v3 signature covers.
func signed(method, url string, body []byte, at string) source.Signed {
	return source.Signed{Before: method + url, Body: body, After: at}
}

// escapes are those that HubSpot's request validation page lists; all others
// stay as they are.
var escapes = strings.NewReplacer(
	"%3A", ":", "%2F", "/", "%3F", "?", "%40", "@", "%21", "!", "%24", "$", "%27", "'",
	"%28", "(", "%29", ")", "%2A", "*", "%2C", ",", "%3B", ";",
	"%3a", ":", "%2f", "/", "%3f", "?", "%2a", "*", "%2c", ",", "%3b", ";",
)

// decodeURL gives the URL in the form that HubSpot signs.
func decodeURL(url string) string { return escapes.Replace(url) }
