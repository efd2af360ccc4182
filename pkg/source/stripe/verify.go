package stripe

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

const signatureHeader = "Stripe-Signature"

// Open implements source.Webhook: any text can be an endpoint's secret.
func (stripe) Open(secrets []string) (source.Verifier, error) {
	keys, err := source.NewKeyring(secrets...)
	if err != nil {
		return nil, err
	}
	return verifier{keys}, nil
}

type verifier struct{ keys source.Keyring }

// Verify implements source.Verifier.
func (v verifier) Verify(d *source.Delivery, now time.Time) (int, error) {
	given, err := readHeader(d, now)
	if err != nil {
		return 0, err
	}
	message := source.Signed{Before: given.time + ".", Body: d.Body}
	key, ok := v.keys.MatchHMAC(source.SHA256, message, func(_ string, want []byte) bool {
		matched := false
		for i := range given.count {
			// No early end: each is compared, so time tells nothing.
			matched = hmac.Equal(want, given.sums[i][:]) || matched
		}
		return matched
	})
	if !ok {
		return 0, fault.Permanent(fault.Unauthenticated, errors.New("no v1 signature matches"))
	}
	return key, nil
}

// VerifyHeader implements source.HeaderVerifier: the signature's form and time.
func (verifier) VerifyHeader(d *source.Delivery, now time.Time) (complete bool, err error) {
	_, err = readHeader(d, now)
	return false, err
}

// readHeader gives the signatures of a delivery that is signed within the window.
func readHeader(d *source.Delivery, now time.Time) (signatures, error) {
	given, err := parseHeader(d.Header.Get(signatureHeader))
	if err != nil {
		return given, fault.Permanent(fault.Unauthenticated, err)
	}
	if signed := time.Unix(given.at, 0); !source.InWindow(signed, now, window) {
		return given, fault.Permanent(fault.Unauthenticated, fmt.Errorf("the signature's time is more than %s from now", window))
	}
	return given, nil
}

// Sign implements source.Signer. The usual headers are those of Stripe's own requests.
func (stripe) Sign(d *source.Delivery, secret string, now time.Time) error {
	d.SetUsual("Content-Type", "application/json; charset=utf-8")
	d.SetUsual("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	at := strconv.FormatInt(now.Unix(), 10)
	mac := source.HMAC(source.SHA256, secret, source.Signed{Before: at + ".", Body: d.Body})
	d.Header.Set(signatureHeader, "t="+at+",v1="+hex.EncodeToString(mac))
	return nil
}

// maxSignatures bounds the work that a header can ask for; Stripe sends two at most.
const maxSignatures = 16

// signatures is what the header says.
type signatures struct {
	at    int64
	time  string // at as the header has it, which is what is signed
	sums  [maxSignatures][sha256.Size]byte
	count int // of sums
}

// parseHeader reads the time and the v1 signatures, leaving out other schemes
// and what is not hex. Its errors quote nothing of the header.
func parseHeader(header string) (out signatures, err error) {
	if header == "" {
		return out, errors.New("there is no " + signatureHeader + " header")
	}
	for more := true; more; {
		var pair string
		pair, header, more = strings.Cut(header, ",")
		scheme, value, ok := strings.Cut(pair, "=")
		if !ok {
			return out, errors.New("the " + signatureHeader + " header is not a list of name=value")
		}
		switch scheme {
		case "t":
			if out.time != "" || !out.setTime(value) {
				return out, errors.New("the " + signatureHeader + " header has no plain time")
			}
		case "v1":
			out.addSum(value)
		}
	}
	switch {
	case out.time == "":
		return out, errors.New("the " + signatureHeader + " header has no time")
	case out.count == 0:
		return out, errors.New("the " + signatureHeader + " header has no v1 signature")
	}
	return out, nil
}

// setTime takes only the plain decimal form: the signature covers the text.
func (s *signatures) setTime(text string) (ok bool) {
	at, err := strconv.ParseInt(text, 10, 64)
	var plain [20]byte // the longest
	if err != nil || string(strconv.AppendInt(plain[:0], at, 10)) != text {
		return false
	}
	s.at, s.time = at, text
	return true
}

// addSum adds a signature, if it is one and there is room.
func (s *signatures) addSum(text string) {
	if s.count < maxSignatures && source.DecodeHex(s.sums[s.count][:], text) {
		s.count++
	}
}
