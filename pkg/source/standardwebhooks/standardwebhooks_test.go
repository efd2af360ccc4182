package standardwebhooks

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	reference "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
)

// Secrets of the specification's form. The first is the one in its examples.
const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	older  = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

func newSource(t testing.TB) source.Webhook {
	t.Helper()
	mapping, err := os.ReadFile("testdata/mapping/billing.yaml")
	require.NoError(t, err)
	s, err := New("billing", mapping)
	require.NoError(t, err)
	return s
}

// plain has no mapping: its events are known by what they say.
func plain(t testing.TB) source.Webhook {
	t.Helper()
	s, err := New("plain", nil)
	require.NoError(t, err)
	return s
}

func TestContract(t *testing.T) {
	t.Parallel()
	sourcetest.Run(t, newSource(t), sourcetest.Config{Secret: secret, OtherSecret: older, TypeField: "/type"})
}

func FuzzStandardWebhooks(f *testing.F) { sourcetest.Fuzz(f, newSource(f)) }

func BenchmarkStandardWebhooks(b *testing.B) { sourcetest.Bench(b, newSource(b)) }

func verify(t *testing.T, s source.Webhook, d *source.Delivery, now time.Time, secrets ...string) (int, error) {
	t.Helper()
	verifier, err := s.Open(secrets)
	require.NoError(t, err)
	return verifier.Verify(d, now)
}

// TestWithTheReferenceLibraries: what they sign verifies here, and what is signed
// here verifies there.
func TestWithTheReferenceLibraries(t *testing.T) {
	t.Parallel()
	body, now := []byte(`{"type":"a.b","data":{"é":1}}`), time.Now()
	theirs, err := reference.NewWebhook(secret)
	require.NoError(t, err)
	older, err := svix.NewWebhook(secret)
	require.NoError(t, err)

	ours := &source.Delivery{Body: body, Header: http.Header{}}
	require.NoError(t, source.Sign(plain(t), ours, secret, now))
	require.NoError(t, theirs.Verify(body, ours.Header))
	require.NoError(t, older.Verify(body, ours.Header))

	signers := map[string]func(string, time.Time, []byte) (string, error){"webhook": theirs.Sign, "svix": older.Sign}
	for prefix, sign := range signers {
		signature, err := sign("msg_1", now, body)
		require.NoError(t, err)
		d := &source.Delivery{Body: body, Header: http.Header{}}
		d.Header.Set(prefix+"-id", "msg_1")
		d.Header.Set(prefix+"-timestamp", strconv.FormatInt(now.Unix(), 10))
		d.Header.Set(prefix+"-signature", "v2,AAAA "+signature+" v1a,AAAA")
		key, err := verify(t, plain(t), d, now, secret)
		require.NoError(t, err, prefix)
		require.Zero(t, key)
		d.Header.Del(prefix + "-id")
		_, err = verify(t, plain(t), d, now, secret)
		require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err), prefix)
	}
}

// keys of Ed25519 in the specification's form, of a fixed seed.
func keys(seed string) (private, public string) {
	sum := sha256.Sum256([]byte(seed))
	key := ed25519.NewKeyFromSeed(sum[:])
	return "whsk_" + base64.StdEncoding.EncodeToString(key), "whpk_" + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
}

func TestAsymmetric(t *testing.T) {
	t.Parallel()
	private, public := keys("ours")
	_, other := keys("another's")
	now := time.Unix(1_760_000_000, 0)
	d := &source.Delivery{Body: []byte(`{"type":"a"}`), Header: http.Header{}}
	require.NoError(t, source.Sign(plain(t), d, private, now))
	require.True(t, strings.HasPrefix(d.Header.Get("Webhook-Signature"), "v1a,"))

	key, err := verify(t, plain(t), d, now, secret, other, public)
	require.NoError(t, err)
	require.Equal(t, 2, key, "its place among all secrets")
	for _, secrets := range [][]string{{other}, {secret}} {
		_, err = verify(t, plain(t), d, now, secrets...)
		require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
	}
	_, err = verify(t, plain(t), d, now.Add(window+time.Second), public)
	require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))

	// Both at once, as while a sender changes over: the shared secret's place counts.
	both := d.Header.Get("Webhook-Signature")
	require.NoError(t, source.Sign(plain(t), d, older, now))
	d.Header.Set("Webhook-Signature", both+" "+d.Header.Get("Webhook-Signature"))
	key, err = verify(t, plain(t), d, now, public, older)
	require.NoError(t, err)
	require.Equal(t, 1, key)

	d.Header.Set("Webhook-Signature", both)
	for bit := range 8 * len(both) {
		flipped := []byte(both)
		flipped[bit/8] ^= 1 << (bit % 8)
		d.Header["Webhook-Signature"] = []string{string(flipped)}
		_, err := verify(t, plain(t), d, now, public)
		require.Error(t, err, "bit %d", bit)
	}
	d.Header.Set("Webhook-Signature", strings.Repeat("v1a,"+strings.Repeat("A", 86)+"== ", maxAsymmetric)+both)
	_, err = verify(t, plain(t), d, now, public)
	require.Error(t, err, "behind more than is tried")
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	private, public := keys("ours")
	for says, secrets := range map[string][]string{
		"no secret is set":                       nil,
		"secret 2 of 2 is empty":                 {secret, " "},
		"secret 1 of 1 is a private key":         {private},
		"secret 1 of 2 is not whsec_ or whpk_":   {"whsec_not base64!", secret},
		"secret 2 of 2 has a key of 3 bytes":     {public, "whsec_AAAA"},
		"secret 1 of 1 is a public key of 16":    {"whpk_" + base64.StdEncoding.EncodeToString(make([]byte, 16))},
		"secret 1 of 1 has a key of 2048 bytes:": {base64.StdEncoding.EncodeToString(make([]byte, 2048))},
	} {
		_, err := plain(t).Open(secrets)
		require.ErrorContains(t, err, says)
		for _, s := range secrets {
			if text := strings.TrimSpace(s); text != "" {
				require.NotContains(t, err.Error(), text)
			}
		}
	}
	_, err := plain(t).Open([]string{strings.TrimPrefix(secret, "whsec_"), public})
	require.NoError(t, err, "the prefix may be left out, as in the libraries")
	for _, bad := range []string{"", public, "whsk_AAAA", "whsec_?"} {
		err := source.Sign(plain(t), &source.Delivery{Header: http.Header{}}, bad, time.Now())
		require.True(t, fault.IsPermanent(err), bad)
	}
}

// Without an id in the body, an event is what it says, however it is written.
func TestIdentityWithoutID(t *testing.T) {
	t.Parallel()
	s, err := New("plain", []byte(`{"volatile": ["/data/attempt"]}`))
	require.NoError(t, err)
	id := func(value string) string {
		event, err := sourcetest.Describe(s, source.Record{Value: []byte(value), ReceivedAt: time.Unix(1_760_000_000, 0)})
		require.NoError(t, err)
		return event.ID
	}
	one := id(`{"type":"a","timestamp":1760000000,"data":{"n":1,"attempt":1}}`)
	require.Equal(t, one, id("{ \"data\": {\"attempt\":\"2nd\", \"n\":1.0},\n\"timestamp\":1760000000,\"type\":\"\\u0061\"}"))
	require.NotEqual(t, one, id(`{"type":"a","timestamp":1760000000,"data":{"n":2,"attempt":1}}`))
	require.Len(t, one, len("sha256:")+2*sha256.Size)
}
