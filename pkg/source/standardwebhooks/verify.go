package standardwebhooks

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The prefixes of secrets, and the versions of signatures that they check.
const (
	secretPrefix  = "whsec_" // HMAC, v1
	publicPrefix  = "whpk_"  // Ed25519, v1a
	privatePrefix = "whsk_"  // its other half, which only the sender has

	symmetric  = "v1"
	asymmetric = "v1a"

	minKeyBytes = 16
	maxKeyBytes = 1 << 10
)

// The work that a stranger's header can ask for.
const (
	maxSignatures = 16
	maxAsymmetric = 4
)

// Open implements source.Webhook.
func (n *named) Open(secrets []string) (source.Verifier, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no secret is set")
	}
	var v verifier
	var shared []string
	for i, secret := range secrets {
		key, public, err := parseSecret(secret)
		if err != nil {
			return nil, fmt.Errorf("secret %d of %d %w", i+1, len(secrets), err)
		}
		if public {
			v.public = append(v.public, publicKey{i, key})
			continue
		}
		shared, v.places = append(shared, string(key)), append(v.places, i)
	}
	if len(shared) > 0 {
		var err error
		if v.shared, err = source.NewKeyring(shared...); err != nil {
			return nil, err
		}
	}
	return &v, nil
}

// parseSecret gives a secret's key. Its errors continue "secret 1 of 2".
func parseSecret(secret string) (key []byte, public bool, err error) {
	secret = strings.TrimSpace(secret)
	if secret == "" {
		return nil, false, errors.New("is empty")
	}
	if strings.HasPrefix(secret, privatePrefix) {
		return nil, false, errors.New("is a private key (" + privatePrefix + "…), which only the sender should have: set the public one, " + publicPrefix + "…")
	}
	text, public := strings.CutPrefix(secret, publicPrefix)
	key, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(text, secretPrefix))
	switch {
	case err != nil: // whose text would quote it
		return nil, false, fmt.Errorf("is not %s or %s and base64", secretPrefix, publicPrefix)
	case public && len(key) != ed25519.PublicKeySize:
		return nil, false, fmt.Errorf("is a public key of %d bytes: Ed25519 has %d", len(key), ed25519.PublicKeySize)
	case len(key) < minKeyBytes || len(key) > maxKeyBytes:
		return nil, false, fmt.Errorf("has a key of %d bytes: it should have %d to %d", len(key), minKeyBytes, maxKeyBytes)
	}
	return key, public, nil
}

// verifier holds a source's keys and where each stands among its secrets.
type verifier struct {
	shared source.Keyring
	places []int // of the ring's keys
	public []publicKey
}

type publicKey struct {
	place int
	key   ed25519.PublicKey
}

// message is what the headers say of a delivery.
type message struct {
	id, time, signatures string
}

// Verify implements source.Verifier.
func (v *verifier) Verify(d *source.Delivery, now time.Time) (int, error) {
	m, err := readHeaders(d, now)
	if err != nil {
		return 0, err
	}
	given := parseSignatures(m.signatures)
	if place, ok := v.matchShared(&given, m, d.Body); ok {
		return place, nil
	}
	if place, ok := v.matchPublic(&given, m, d.Body); ok {
		return place, nil
	}
	return 0, refuse("no signature matches")
}

// VerifyHeader implements source.HeaderVerifier: the headers' form and time.
func (*verifier) VerifyHeader(d *source.Delivery, now time.Time) (complete bool, err error) {
	_, err = readHeaders(d, now)
	return false, err
}

// readHeaders gives what the headers say of a delivery sent within the window.
func readHeaders(d *source.Delivery, now time.Time) (message, error) {
	m, err := readMessage(d.Header)
	if err != nil {
		return m, err
	}
	seconds, err := strconv.ParseInt(m.time, 10, 64)
	// Only the plain decimal form: the signature covers the text.
	if err != nil || strconv.FormatInt(seconds, 10) != m.time {
		return m, refuse("the timestamp header is not a time in seconds")
	}
	if !source.InWindow(time.Unix(seconds, 0), now, window) {
		return m, refuse(fmt.Sprintf("the delivery's time is more than %s from now", window))
	}
	return m, nil
}

// readMessage reads the headers of either name; all three are of one.
func readMessage(h http.Header) (message, error) {
	for _, names := range [...][3]string{
		{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}, {"Svix-Id", "Svix-Timestamp", "Svix-Signature"},
	} {
		m := message{h.Get(names[0]), h.Get(names[1]), h.Get(names[2])}
		if m.id != "" && m.time != "" && m.signatures != "" {
			return m, nil
		}
	}
	return message{}, refuse("webhook-id, webhook-timestamp or webhook-signature is missing")
}

func (v *verifier) matchShared(given *signatures, m message, body []byte) (place int, ok bool) {
	if given.shared == 0 || len(v.places) == 0 {
		return 0, false
	}
	signed := source.Signed{Before: m.id + "." + m.time + ".", Body: body}
	key, ok := v.shared.MatchHMAC(source.SHA256, signed, func(_ string, want []byte) bool {
		matched := false
		for i := range given.shared {
			// No early end: each is compared, so time tells nothing.
			matched = hmac.Equal(want, given.sums[i][:]) || matched
		}
		return matched
	})
	if !ok {
		return 0, false
	}
	return v.places[key], true
}

func (v *verifier) matchPublic(given *signatures, m message, body []byte) (place int, ok bool) {
	if given.public == 0 || len(v.public) == 0 {
		return 0, false
	}
	signed := toSign(m.id, m.time, body)
	for _, k := range v.public {
		for i := range given.public {
			if ed25519.Verify(k.key, signed, given.signed[i][:]) {
				return k.place, true
			}
		}
	}
	return 0, false
}

// signatures are those of a header that may match.
type signatures struct {
	sums   [maxSignatures][sha256.Size]byte
	shared int // of sums
	signed [maxAsymmetric][ed25519.SignatureSize]byte
	public int // of signed
}

// parseSignatures leaves out other versions and what is no signature.
func parseSignatures(header string) (out signatures) {
	for one := range strings.SplitSeq(header, " ") {
		version, text, _ := strings.Cut(one, ",")
		switch {
		case version == symmetric && out.shared < maxSignatures && decode(out.sums[out.shared][:], text):
			out.shared++
		case version == asymmetric && out.public < maxAsymmetric && decode(out.signed[out.public][:], text):
			out.public++
		}
	}
	return out
}

// decode reads base64 of just so many bytes, strictly: no bit is without meaning.
func decode(into []byte, text string) bool {
	if len(text) != base64.StdEncoding.EncodedLen(len(into)) {
		return false
	}
	out, err := base64.StdEncoding.Strict().DecodeString(text)
	return err == nil && len(out) == len(into) && copy(into, out) > 0
}

// Sign implements source.Signer, with a whsec_ or a whsk_ secret. The id is made
// of the body, so that the same event has the same.
func (n *named) Sign(d *source.Delivery, secret string, now time.Time) error {
	d.SetUsual("Content-Type", "application/json")
	sum := sha256.Sum256(d.Body)
	id, at := "msg_"+hex.EncodeToString(sum[:12]), strconv.FormatInt(now.Unix(), 10)
	signature, err := sign(secret, toSign(id, at, d.Body))
	if err != nil {
		return fault.Permanent(fault.Malformed, fmt.Errorf("the secret %w", err))
	}
	d.Header.Set("Webhook-Id", id)
	d.Header.Set("Webhook-Timestamp", at)
	d.Header.Set("Webhook-Signature", signature)
	return nil
}

func sign(secret string, message []byte) (string, error) {
	if text, private := strings.CutPrefix(strings.TrimSpace(secret), privatePrefix); private {
		key, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(key) != ed25519.SeedSize && len(key) != ed25519.PrivateKeySize {
			return "", errors.New("is not " + privatePrefix + " and the base64 of an Ed25519 key")
		}
		signature := ed25519.Sign(ed25519.NewKeyFromSeed(key[:ed25519.SeedSize]), message)
		return asymmetric + "," + base64.StdEncoding.EncodeToString(signature), nil
	}
	key, public, err := parseSecret(secret)
	switch {
	case err != nil:
		return "", err
	case public:
		return "", errors.New("is a public key, which signs nothing: take " + privatePrefix + "…")
	}
	mac := source.HMAC(source.SHA256, string(key), source.Signed{Body: message})
	return symmetric + "," + base64.StdEncoding.EncodeToString(mac), nil
}

// toSign is what a signature covers.
func toSign(id, at string, body []byte) []byte {
	out := make([]byte, 0, len(id)+len(at)+len(body)+len(".."))
	out = append(append(out, id...), '.')
	return append(append(append(out, at...), '.'), body...)
}

func refuse(why string) error { return fault.Permanent(fault.Unauthenticated, errors.New(why)) }
