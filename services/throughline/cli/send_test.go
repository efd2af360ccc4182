package cli_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

const secret = "whsec_of_the_test"

// receiver answers as a source's receiver does, and keeps what was posted.
type receiver struct {
	*httptest.Server
	public string // what the source is told the address is; "" is the one called

	mu        sync.Mutex
	delivered []source.Delivery
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	src, ok := catalog.Find(strings.TrimPrefix(req.URL.Path, "/webhooks/"))
	if !ok {
		http.NotFound(w, req)
		return
	}
	body, _ := io.ReadAll(req.Body)
	d := source.Delivery{Method: req.Method, URL: r.public, Header: req.Header, Body: body, ReceivedAt: time.Now()}
	if d.URL == "" {
		d.URL = "http://" + req.Host + req.URL.Path
	}
	r.mu.Lock()
	r.delivered = append(r.delivered, d)
	r.mu.Unlock()
	hook := src.(source.Webhook)
	verifier, err := hook.Open([]string{secret})
	if err == nil {
		_, err = verifier.Verify(&d, time.Now())
	}
	answer := hook.Reply(&d, err)
	w.WriteHeader(answer.Status)
	_, _ = w.Write(answer.Body)
}

func TestSend(t *testing.T) {
	t.Parallel()
	for _, src := range catalog.Sources() {
		t.Run(src.Name(), func(t *testing.T) {
			t.Parallel()
			rec := newReceiver(t)
			env := "THROUGHLINE_" + strings.ToUpper(src.Name()) + "_SECRETS"
			body := `{"id": "evt_1",  "odd":"spacing" }` + "\n"
			sh := &shell{t: t, env: map[string]string{env: secret + ",old"}, input: body}
			out := sh.must("send", src.Name(), "-", "--url", rec.URL)
			require.Contains(t, out, "200 OK  ")
			require.Equal(t, body, string(rec.delivered[0].Body), "byte for byte")
			require.Contains(t, rec.delivered[0].Header.Get("Content-Type"), "application/json")

			tampered := sh.run("send", src.Name(), "-", "--url", rec.URL+"/webhooks/"+src.Name(), "--tamper")
			require.Zero(t, tampered.code, "refused, as it should be: %s", tampered.err)
			require.Contains(t, tampered.out, "401 Unauthorized")
			require.NotEqual(t, body, string(rec.delivered[1].Body), "the body is changed, not only the token")

			wrong := sh.run("send", src.Name(), "-", "--url", rec.URL, "--secret", "another")
			require.Equal(t, 1, wrong.code)
			require.Contains(t, wrong.out, "401 Unauthorized")
			require.Contains(t, wrong.err, "1 of 1 deliveries were refused")
			for _, text := range []string{out, tampered.out, tampered.err, wrong.out, wrong.err} {
				require.NotContains(t, text, secret)
			}
		})
	}
}

func TestSendPublicURL(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t)
	rec.public = "https://hooks.example.com/webhooks/hubspot"
	sh := &shell{t: t, env: map[string]string{"THROUGHLINE_HUBSPOT_SECRETS": secret}, input: "[]"}
	require.Equal(t, 1, sh.run("send", "hubspot", "-", "--url", rec.URL).code)
	sh.must("send", "hubspot", "-", "--url", rec.URL, "--public-url", "https://hooks.example.com")
	sh.env["THROUGHLINE_HUBSPOT_PUBLIC_URL"] = rec.public
	sh.must("send", "hubspot", "-", "--url", rec.URL)
}

func TestSendRepeat(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t)
	sh := &shell{t: t, env: map[string]string{"THROUGHLINE_STRIPE_SECRETS": secret}, input: "{}"}
	out := sh.must("send", "stripe", "-", "--url", rec.URL, "--repeat", "3", "--json", "--header", "X-One: 1", "-H", "User-Agent: a, b")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 3)
	var last struct {
		N, Status int
		Body      string
	}
	require.NoError(t, json.Unmarshal([]byte(lines[2]), &last))
	require.Equal(t, 3, last.N)
	require.Equal(t, 200, last.Status)
	require.JSONEq(t, `{"ok":true}`, last.Body)
	require.Equal(t, "1", rec.delivered[2].Header.Get("X-One"))
	require.Equal(t, "a, b", rec.delivered[2].Header.Get("User-Agent"))
}

func TestSendSecrets(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t)
	body := filepath.Join(t.TempDir(), "body.json")
	require.NoError(t, os.WriteFile(body, []byte("{}"), 0o600))
	secrets := filepath.Join(t.TempDir(), "secrets.json")
	send := []string{"send", "stripe", body, "--url", rec.URL, "--secrets-file", secrets}

	t.Run("none", func(t *testing.T) {
		r := (&shell{t: t}).run(send...)
		require.Equal(t, 2, r.code)
		require.Contains(t, r.err, "no secret to sign with: set THROUGHLINE_STRIPE_SECRETS, or start `make run` here")
	})
	t.Run("local file", func(t *testing.T) {
		require.NoError(t, os.WriteFile(secrets, []byte(`{"stripe":"`+secret+`"}`), 0o600))
		(&shell{t: t}).must(send...)
	})
	t.Run("the variable wins", func(t *testing.T) {
		sh := &shell{t: t, env: map[string]string{"THROUGHLINE_STRIPE_SECRETS": "other"}}
		require.Equal(t, 1, sh.run(send...).code)
	})
	t.Run("a file wins too", func(t *testing.T) {
		mounted := filepath.Join(t.TempDir(), "stripe")
		require.NoError(t, os.WriteFile(mounted, []byte(secret+"\nolder\n"), 0o600))
		require.NoError(t, os.WriteFile(secrets, []byte(`{"stripe":"other"}`), 0o600))
		(&shell{t: t, env: map[string]string{"THROUGHLINE_STRIPE_SECRETS_FILE": mounted}}).must(send...)
	})
	t.Run("an empty variable is a mistake", func(t *testing.T) {
		sh := &shell{t: t, env: map[string]string{"THROUGHLINE_STRIPE_SECRETS": " ,x"}}
		require.Equal(t, 2, sh.run(send...).code)
	})
	t.Run("spoiled file", func(t *testing.T) {
		require.NoError(t, os.WriteFile(secrets, []byte(`{"stripe":"`+secret), 0o600))
		r := (&shell{t: t}).run(send...)
		require.Equal(t, 1, r.code)
		require.NotContains(t, r.err, secret)
	})
}

func TestSendToNobody(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: map[string]string{"THROUGHLINE_STRIPE_SECRETS": secret}, input: "{}"}
	r := sh.run("send", "stripe", "-", "--url", "http://127.0.0.1:1")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "does a receiver listen there?")
	require.Equal(t, 1, sh.run("send", "stripe", "no-such-file.json").code)
}
