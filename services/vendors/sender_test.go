package vendors

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

const secret = "whsec_of_the_test"

// verify says whether the source takes a delivery that should be signed with secret.
func verify(src source.Source, d *source.Delivery, now time.Time) error {
	verifier, err := src.(source.Webhook).Open([]string{secret})
	if err != nil {
		return err
	}
	_, err = verifier.Verify(d, now)
	return err
}

// What is posted is what the source verifies, at the address that the vendor
// believes to call.
func TestPostIsWhatTheSourceVerifies(t *testing.T) {
	t.Parallel()
	const public = "https://hooks.example.com"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		src, ok := catalog.Set().Find(r.URL.Path[len("/webhooks/"):])
		if !ok {
			http.NotFound(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		d := &source.Delivery{Method: r.Method, URL: public + r.URL.Path, Header: r.Header, Body: body}
		answer := src.(source.Webhook).Reply(d, verify(src, d, time.Now()))
		w.WriteHeader(answer.Status)
		_, _ = w.Write(append(answer.Body, '\n'))
	}))
	defer server.Close()
	s := newSimulator(t, 1)
	for _, name := range simulated(t) {
		src, _ := catalog.Set().Find(name)
		sender := Sender{Sources: catalog.Set(), URL: server.URL, PublicURL: public, Secrets: map[string]string{src.Name(): secret}, Client: server.Client()}
		d, err := s.Delivery(src.Name())
		require.NoError(t, err)
		answer, err := sender.Post(t.Context(), d)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.Status, "%s: %s", src.Name(), answer.Body)
		require.NotContains(t, string(answer.Body), "\n")
		require.Positive(t, answer.Took)

		sender.Secrets[src.Name()] = "another"
		answer, err = sender.Post(t.Context(), d)
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, answer.Status)
	}
}

func TestSign(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(-time.Hour)
	sender := Sender{Sources: catalog.Set(), URL: "http://127.0.0.1:8080/webhooks/stripe", Secrets: map[string]string{"stripe": secret}, Now: func() time.Time { return at }}
	signed, err := sender.Sign(Delivery{Source: "stripe", Body: []byte("{}"), Header: http.Header{"x-one": {"1"}, "User-Agent": {"me"}}})
	require.NoError(t, err)
	require.Equal(t, "http://127.0.0.1:8080/webhooks/stripe", signed.URL)
	require.Equal(t, "1", signed.Header.Get("X-One"))
	require.Equal(t, "me", signed.Header.Get("User-Agent"))
	src, _ := catalog.Set().Find("stripe")
	require.NoError(t, verify(src, signed, at))
	require.Error(t, verify(src, signed, time.Now()), "signed an hour ago")

	_, err = sender.Sign(Delivery{Source: "nobody"})
	require.ErrorContains(t, err, `"nobody" is not a source`)
	_, err = (&Sender{Sources: catalog.Set(), URL: "http://127.0.0.1:1"}).Post(t.Context(), Delivery{Source: "stripe"})
	require.ErrorContains(t, err, "posting to the receiver")
}

// A tampered delivery is refused by every source, for its body where one is signed.
func TestTamper(t *testing.T) {
	t.Parallel()
	s := newSimulator(t, 1)
	for _, name := range simulated(t) {
		src, _ := catalog.Set().Find(name)
		sender := Sender{Sources: catalog.Set(), URL: "http://127.0.0.1:8080", Secrets: map[string]string{src.Name(): secret}}
		d, err := s.Delivery(src.Name())
		require.NoError(t, err)
		tampered, err := sender.Tamper(d)
		require.NoError(t, err)
		require.NotEqual(t, d.Body, tampered.Body)
		require.Equal(t, string(d.Body)+" ", string(tampered.Body), "the same to a reader")
		require.Error(t, verify(src, tampered, time.Now()), src.Name())
	}
}

// The usual headers of each vendor name its account where a body may not.
func TestUsualHeaders(t *testing.T) {
	t.Parallel()
	s := newSimulator(t, 1)
	for name, header := range map[string]string{"looker": "X-Looker-Instance", "zendesk": "X-Zendesk-Account-Id"} {
		d, err := s.Delivery(name)
		require.NoError(t, err)
		require.Equal(t, d.Tenant, usualHeaders(d).Get(header))
	}
}
