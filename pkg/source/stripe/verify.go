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

// Verify implements source.Source.
func (stripe) Verify(d *source.Delivery, keys source.Keyring, now time.Time) (int, error) {
	at, signatures, err := parseHeader(d.Header.Get(signatureHeader))
	if err != nil {
		return 0, fault.Permanent(fault.Unauthenticated, err)
	}
	if signed := time.Unix(at, 0); !source.InWindow(signed, now, window) {
		return 0, fault.Permanent(fault.Unauthenticated, fmt.Errorf("the signature's time is more than %s from now", window))
	}
	key, ok := keys.Match(func(secret string) bool {
		want := sign(secret, at, d.Body)
		matched := false
		for _, got := range signatures {
			// No early end: each is compared, so time tells nothing.
			matched = hmac.Equal(want, got) || matched
		}
		return matched
	})
	if !ok {
		return 0, fault.Permanent(fault.Unauthenticated, errors.New("no v1 signature matches"))
	}
	return key, nil
}

// Sign implements source.Source.
func (stripe) Sign(d *source.Delivery, secret string, now time.Time) {
	at := now.Unix()
	d.Header.Set(signatureHeader, fmt.Sprintf("t=%d,v1=%s", at, hex.EncodeToString(sign(secret, at, d.Body))))
}

func sign(secret string, at int64, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(strconv.AppendInt(nil, at, 10))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return mac.Sum(nil)
}

// maxSignatures bounds the work that a header can ask for; Stripe sends two at most.
const maxSignatures = 16

// parseHeader reads the time and the v1 signatures, leaving out other schemes
// and what is not hex. Its errors quote nothing of the header.
func parseHeader(header string) (at int64, signatures [][]byte, err error) {
	if header == "" {
		return 0, nil, errors.New("there is no " + signatureHeader + " header")
	}
	timed := false
	for pair := range strings.SplitSeq(header, ",") {
		scheme, value, ok := strings.Cut(pair, "=")
		if !ok {
			return 0, nil, errors.New("the " + signatureHeader + " header is not a list of name=value")
		}
		switch scheme {
		case "t":
			at, err = strconv.ParseInt(value, 10, 64)
			// Only the plain decimal form: the signature covers the text.
			if err != nil || timed || strconv.FormatInt(at, 10) != value {
				return 0, nil, errors.New("the " + signatureHeader + " header has no plain time")
			}
			timed = true
		case "v1":
			if sig, err := hex.DecodeString(value); err == nil && len(sig) == sha256.Size && len(signatures) < maxSignatures {
				signatures = append(signatures, sig)
			}
		}
	}
	switch {
	case !timed:
		return 0, nil, errors.New("the " + signatureHeader + " header has no time")
	case len(signatures) == 0:
		return 0, nil, errors.New("the " + signatureHeader + " header has no v1 signature")
	}
	return at, signatures, nil
}
