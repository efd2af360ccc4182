package sourcetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

func verifyChecks() []check {
	return []check{
		{"verify/round trip", (*suite).checkRoundTrip},
		{"verify/rotation", (*suite).checkRotation},
		{"verify/headers", (*suite).checkHeaders},
		{"verify/every bit of the signature", (*suite).checkSignatureBits},
		{"verify/every bit of the body", (*suite).checkBodyBits},
		{"verify/other secret", (*suite).checkOtherSecret},
		{"verify/body", (*suite).checkBody},
		{"verify/url", (*suite).checkURL},
		{"verify/window", (*suite).checkWindow},
	}
}

func (s *suite) open(t require.TestingT, secrets ...string) source.Verifier {
	v, err := s.src.Open(secrets)
	require.NoError(t, err)
	return v
}

func (s *suite) verify(t require.TestingT, d *source.Delivery) (int, error) {
	return s.open(t, s.cfg.Secret).Verify(d, s.cfg.Now)
}

func (s *suite) signed(t require.TestingT, body []byte, secret string, at time.Time) *source.Delivery {
	d := s.delivery(body)
	signer, ok := s.src.(source.Signer)
	require.True(t, ok, "%s is no source.Signer", s.src.Name())
	require.NoError(t, signer.Sign(d, secret, at))
	return d
}

func (s *suite) checkRoundTrip(t require.TestingT) {
	for _, c := range s.deliveries {
		d := s.signed(t, c.body, s.cfg.Secret, s.cfg.Now)
		require.Equal(t, c.body, d.Body, "%s: Sign changed the body", c.name)
		key, err := s.verify(t, d)
		require.NoError(t, err, c.name)
		require.Zero(t, key, c.name)
		require.Equal(t, c.body, d.Body, "%s: Verify changed the body", c.name)
	}
}

func (s *suite) checkRotation(t require.TestingT) {
	d := s.signed(t, s.deliveries[0].body, s.cfg.Secret, s.cfg.Now)
	for want, secrets := range [][]string{{s.cfg.Secret, s.cfg.OtherSecret}, {s.cfg.OtherSecret, s.cfg.Secret}} {
		key, err := s.open(t, secrets...).Verify(d, s.cfg.Now)
		require.NoError(t, err)
		require.Equal(t, want, key, "which key of the ring matched")
	}
}

// signedHeaders are those that Sign sets and Verify needs.
func (s *suite) signedHeaders(t require.TestingT) []string {
	bare := s.delivery(s.deliveries[0].body)
	needless := append([]string{"Content-Type", "User-Agent"}, s.cfg.Unsigned...)
	var names []string
	for name := range s.signed(t, bare.Body, s.cfg.Secret, s.cfg.Now).Header {
		if bare.Header.Get(name) == "" && !slices.ContainsFunc(needless, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, name)
		}
	}
	require.NotEmpty(t, names, "Sign sets no header")
	return names
}

// checkHeaders takes away, empties and spoils each header that Sign sets.
func (s *suite) checkHeaders(t require.TestingT) {
	body := s.deliveries[0].body
	s.requireRefused(t, s.delivery(body), "no signature at all")
	for _, name := range s.signedHeaders(t) {
		d := s.signed(t, body, s.cfg.Secret, s.cfg.Now)
		d.Header.Del(name)
		s.requireRefused(t, d, "no "+name)
		for _, value := range []string{
			"", " ", "garbage", "=", ",", "t=,v1=", "sha1=", "0", "-1", "99999999999999999999", "\x00\xff",
			strings.Repeat("a", 100_000), strings.Repeat("=,", 1_000),
		} {
			d := s.signed(t, body, s.cfg.Secret, s.cfg.Now)
			d.Header[name] = []string{value}
			s.requireRefused(t, d, name+" is garbage")
		}
	}
}

// checkSignatureBits: no bit of a signature or its time is without meaning.
func (s *suite) checkSignatureBits(t require.TestingT) {
	d := s.signed(t, s.smallest().body, s.cfg.Secret, s.cfg.Now)
	for _, name := range s.signedHeaders(t) {
		value := d.Header.Get(name)
		for bit := range 8 * len(value) {
			flipped := []byte(value)
			flipped[bit/8] ^= 1 << (bit % 8)
			d.Header[http.CanonicalHeaderKey(name)] = []string{string(flipped)}
			s.requireRefused(t, d, fmt.Sprintf("%s: bit %d of byte %d is flipped", name, bit%8, bit/8))
		}
		d.Header[http.CanonicalHeaderKey(name)] = []string{value}
	}
	_, err := s.verify(t, d)
	require.NoError(t, err, "as it was signed")
}

// checkBodyBits flips every bit of the smallest delivery, and one of each byte
// of the others.
func (s *suite) checkBodyBits(t require.TestingT) {
	if s.cfg.BareToken {
		return
	}
	verifier, smallest := s.open(t, s.cfg.Secret), s.smallest()
	for _, c := range s.deliveries {
		d := s.signed(t, c.body, s.cfg.Secret, s.cfg.Now)
		step := 9
		if c.name == smallest.name {
			step = 1
		}
		for bit := 0; bit < 8*len(d.Body); bit += step {
			d.Body[bit/8] ^= 1 << (bit % 8)
			if _, err := verifier.Verify(d, s.cfg.Now); err == nil {
				require.Fail(t, "taken", "%s: bit %d of byte %d is flipped", c.name, bit%8, bit/8)
			}
			d.Body[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// smallest is the delivery that costs least to sign.
func (s *suite) smallest() file {
	return slices.MinFunc(s.deliveries, func(a, b file) int { return len(a.body) - len(b.body) })
}

func (s *suite) checkOtherSecret(t require.TestingT) {
	d := s.signed(t, s.deliveries[0].body, s.cfg.OtherSecret, s.cfg.Now)
	s.requireRefused(t, d, "signed with another secret")
	for _, secrets := range [][]string{nil, {""}, {s.cfg.Secret, " "}} {
		_, err := s.src.Open(secrets)
		require.Error(t, err, "opened with an empty secret, or none")
		require.NotContains(t, err.Error(), s.cfg.Secret)
	}
}

// checkBody: one byte more or less or other white space, and it is not what the
// vendor signed.
func (s *suite) checkBody(t require.TestingT) {
	if s.cfg.BareToken {
		return
	}
	for _, c := range s.deliveries {
		bodies := map[string][]byte{
			"one byte more":   append(bytes.Clone(c.body), ' '),
			"one byte less":   c.body[:len(c.body)-1],
			"an empty body":   {},
			"a second object": append(bytes.Clone(c.body), c.body...),
		}
		var indented bytes.Buffer
		if json.Indent(&indented, c.body, "", "\t") == nil && !bytes.Equal(indented.Bytes(), c.body) {
			bodies["indented anew"] = indented.Bytes()
		}
		for what, body := range bodies {
			d := s.signed(t, c.body, s.cfg.Secret, s.cfg.Now)
			d.Body = body
			s.requireRefused(t, d, c.name+": "+what)
		}
	}
}

func (s *suite) checkURL(t require.TestingT) {
	if !s.src.Profile().NeedsPublicURL {
		return
	}
	d := s.signed(t, s.deliveries[0].body, s.cfg.Secret, s.cfg.Now)
	d.URL += "/elsewhere"
	s.requireRefused(t, d, "another URL")
}

func (s *suite) checkWindow(t require.TestingT) {
	window := s.src.Profile().SignatureWindow
	if window == 0 {
		return
	}
	body := s.deliveries[0].body
	for _, skew := range []time.Duration{-window, window} {
		_, err := s.verify(t, s.signed(t, body, s.cfg.Secret, s.cfg.Now.Add(skew)))
		require.NoError(t, err, "signed %s from now, on the bound", skew)
		beyond := skew + time.Second
		if skew < 0 {
			beyond = skew - time.Second
		}
		s.requireRefused(t, s.signed(t, body, s.cfg.Secret, s.cfg.Now.Add(beyond)), "signed "+beyond.String()+" from now")
	}
}

// requireRefused: Permanent(Unauthenticated), and silent about what is secret.
func (s *suite) requireRefused(t require.TestingT, d *source.Delivery, what string) {
	key, err := s.verify(t, d)
	requireUnauthenticated(t, err, what)
	require.Zero(t, key, what)
	require.NotContains(t, err.Error(), s.cfg.Secret, what)
	for _, values := range d.Header {
		for _, part := range strings.FieldsFunc(strings.Join(values, ","), func(r rune) bool { return strings.ContainsRune(",= ;", r) }) {
			const shortest = 32 // any digest is longer, any time and scheme name shorter
			if len(part) >= shortest {
				require.NotContains(t, err.Error(), part, what)
			}
		}
	}
	require.Less(t, len(err.Error()), 400, "%s: the text is as long as the header", what)
}

func requireUnauthenticated(t require.TestingT, err error, what string) {
	require.Error(t, err, what)
	require.True(t, fault.IsPermanent(err), "%s: %v is not Permanent", what, err)
	require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err), what)
}

func requirePermanent(t require.TestingT, err error) {
	require.True(t, fault.IsPermanent(err), "%v is not Permanent", err)
}
