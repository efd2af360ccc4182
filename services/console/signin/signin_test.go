package signin

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

// issuer is an identity provider that lets everybody in: no vendor's can be had here. It signs as one does.
type issuer struct {
	*httptest.Server
	t      *testing.T
	key    *rsa.PrivateKey
	claims map[string]any // of whoever signs in
	codes  map[string]url.Values
}

func newIssuer(t *testing.T) *issuer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	i := &issuer{t: t, key: key, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.URL, "authorization_endpoint": i.URL + "/auth", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /auth", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		i.codes["code"] = q
		http.Redirect(w, r, q.Get("redirect_uri")+"?code=code&state="+url.QueryEscape(q.Get("state")), http.StatusSeeOther)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		asked := i.codes[r.FormValue("code")]
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || asked.Get("code_challenge_method") != "S256" {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		claims := map[string]any{"iss": i.URL, "aud": "throughline", "sub": "42", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "nonce": asked.Get("nonce")}
		for name, value := range i.claims {
			claims[name] = value
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": i.sign(claims)})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) sign(claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: i.key, KeyID: "1"}}, nil)
	require.NoError(i.t, err)
	text, err := json.Marshal(claims)
	require.NoError(i.t, err)
	signed, err := signer.Sign(text)
	require.NoError(i.t, err)
	compact, err := signed.CompactSerialize()
	require.NoError(i.t, err)
	return compact
}

// site is a console that says who asks.
type site struct {
	*httptest.Server
	store *access.Store
}

func newSite(t *testing.T, store *access.Store, change func(*Config)) *site {
	s := &site{store: store}
	s.Server = httptest.NewUnstartedServer(nil)
	c := Config{PublicURL: settings.URL("http://" + s.Listener.Addr().String() + "/tl"), Login: WithToken}
	change(&c)
	d := New(Options{Config: c, Store: s.store, Log: zap.NewNop(), Render: func(w http.ResponseWriter, _ *http.Request, status int, p Page) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(p)
	}})
	says := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := access.ActorOf(r.Context())
		_, _ = io.WriteString(w, a.Who+" "+string(a.Role)+" "+a.Via)
	})
	mux := http.NewServeMux()
	for _, path := range []string{"/tl/signin", "/tl/signin/", "/tl/signout"} {
		mux.Handle(path, d.Handler())
	}
	mux.Handle("/tl/api/", d.API(says))
	mux.Handle("/tl/", d.Pages(says))
	s.Config.Handler = mux
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func newStore(t *testing.T) *access.Store { return access.NewStore(postgrestest.New(t)) }

// browser has cookies, and goes where it is sent.
func browser(t *testing.T) *http.Client {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport}
}

func ask(t *testing.T, c *http.Client, method, address, form string, header ...string) (status int, body, at string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, strings.TrimSpace(string(text)), resp.Request.URL.RequestURI()
}

func TestSignInWithAToken(t *testing.T) {
	t.Parallel()
	s := newSite(t, newStore(t), func(*Config) {})
	made, err := s.store.CreateToken(t.Context(), access.Actor{Who: "cli:root"}, "ada", access.Operator, time.Time{})
	require.NoError(t, err)
	b := browser(t)

	_, body, at := ask(t, b, http.MethodGet, s.URL+"/tl/accounts?q=a%20b", "")
	require.Contains(t, at, "/tl/signin?next=", "somebody unknown is sent to the page to sign in")
	require.Contains(t, body, `"Next":"/tl/accounts?q=a%20b"`)
	status, body, _ := ask(t, b, http.MethodPost, s.URL+"/tl/signin", url.Values{"token": {"tl_wrong"}, "next": {"/tl/accounts"}}.Encode())
	require.Equal(t, http.StatusUnauthorized, status)
	require.Contains(t, body, "ask an admin")
	status, body, at = ask(t, b, http.MethodPost, s.URL+"/tl/signin", url.Values{"token": {" " + made.Secret + "\n"}, "next": {"/tl/accounts?q=a%20b"}}.Encode())
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "token:ada operator console", body)
	require.Equal(t, "/tl/accounts?q=a%20b", at)

	_, _, at = ask(t, b, http.MethodPost, s.URL+"/tl/signout", "")
	require.Equal(t, "/tl/signin", at)
	_, _, at = ask(t, b, http.MethodGet, s.URL+"/tl/", "")
	require.Contains(t, at, "/tl/signin?next=")

	for name, c := range map[string]struct {
		authorization string
		status        int
		says          string
	}{
		"a token":         {"Bearer " + made.Secret, 200, "token:ada operator api"},
		"in lower case":   {"bearer " + made.Secret, 200, "token:ada operator api"},
		"nothing":         {"", 401, "send an API token"},
		"a wrong token":   {"Bearer tl_wrong", 401, "ask an admin"},
		"another scheme":  {"Basic " + made.Secret, 401, "send an API token"},
		"a very long one": {"Bearer tl_" + strings.Repeat("x", 5000), 401, "send an API token"},
	} {
		status, body, _ := ask(t, browser(t), http.MethodGet, s.URL+"/tl/api/v1/me", "", "Authorization", c.authorization)
		require.Equal(t, c.status, status, name)
		require.Contains(t, body, c.says, name)
	}
}

func TestNobodyHasTo(t *testing.T) {
	t.Parallel()
	s := newSite(t, newStore(t), func(c *Config) { c.Login = None })
	_, body, _ := ask(t, browser(t), http.MethodGet, s.URL+"/tl/", "")
	require.Equal(t, "user:local admin console", body)
}

// Guessing is stopped before the database is asked, and shuts nobody out who is in.
func TestWrongSecretsAreLimited(t *testing.T) {
	t.Parallel()
	s := newSite(t, newStore(t), func(*Config) {})
	made, err := s.store.CreateToken(t.Context(), access.Actor{Who: "cli:root"}, "ada", access.Viewer, time.Time{})
	require.NoError(t, err)
	over, stop := context.WithCancel(t.Context())
	var guessing sync.WaitGroup
	var others atomic.Int64
	for range 32 {
		b := browser(t)
		guessing.Go(func() {
			for n := 0; over.Err() == nil; n++ {
				status, _, _ := ask(t, b, http.MethodGet, s.URL+"/tl/api/v1/me", "", "Authorization", fmt.Sprintf("Bearer tl_wrong%d", n))
				if status != http.StatusUnauthorized {
					others.Add(1)
				}
			}
		})
	}
	defer func() {
		stop()
		guessing.Wait()
		require.Zero(t, others.Load(), "whoever guesses is told so")
	}()
	// Somebody who comes for the first time is let in.
	b, person := browser(t), browser(t)
	status, _, _ := ask(t, b, http.MethodGet, s.URL+"/tl/api/v1/me", "", "Authorization", "Bearer "+made.Secret)
	require.Equal(t, http.StatusOK, status)
	status, _, _ = ask(t, person, http.MethodPost, s.URL+"/tl/signin", url.Values{"token": {made.Secret}}.Encode())
	require.Equal(t, http.StatusOK, status)
	status, body, _ := ask(t, person, http.MethodGet, s.URL+"/tl/", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "token:ada viewer console", body)

	require.NoError(t, s.store.RevokeToken(t.Context(), made.ID))
	status, _, _ = ask(t, b, http.MethodGet, s.URL+"/tl/api/v1/me", "", "Authorization", "Bearer "+made.Secret)
	require.Equal(t, http.StatusUnauthorized, status)
}

func TestSignInAtAProvider(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	for name, c := range map[string]struct {
		claims map[string]any
		who    string // "": refused
		says   string
	}{
		"an operator":                 {map[string]any{"email": "Ada@Example.com", "email_verified": true, "groups": []string{"sales", "ops"}}, "user:ada@example.com operator console", ""},
		"the highest role counts":     {map[string]any{"email": "a@example.com", "email_verified": true, "groups": []string{"ops", "root"}}, "user:a@example.com admin console", ""},
		"one group as text":           {map[string]any{"groups": "root"}, "user:42 admin console", ""},
		"an e-mail nobody verified":   {map[string]any{"email": "ceo@example.com", "groups": []string{"cs"}}, "user:42 viewer console", ""},
		"in no group":                 {map[string]any{"groups": []string{"sales"}}, "", "none of your groups"},
		"without groups":              {map[string]any{}, "", "none of your groups"},
		"groups of another kind":      {map[string]any{"groups": map[string]int{"root": 1}}, "", "none of your groups"},
		"a token of another audience": {map[string]any{"aud": "other", "groups": []string{"root"}}, "", "does not work at the moment"},
		"another nonce":               {map[string]any{"nonce": "x", "groups": []string{"root"}}, "", "does not work at the moment"},
		"expired":                     {map[string]any{"exp": 1, "groups": []string{"root"}}, "", "does not work at the moment"},
		"another issuer":              {map[string]any{"iss": "https://evil.example.com", "groups": []string{"root"}}, "", "does not work at the moment"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			i.claims = c.claims
			s := newSite(t, store, func(o *Config) {
				o.Login, o.Issuer, o.ClientID, o.GroupsClaim, o.Scopes = WithOIDC, i.URL, "throughline", "groups", []string{"openid", "email"}
				o.AdminGroups, o.OperatorGroups, o.ViewerGroups = []string{"root"}, []string{"ops"}, []string{"cs"}
				require.NoError(t, o.Validate())
			})
			b := browser(t)
			_, body, at := ask(t, b, http.MethodGet, s.URL+"/tl/signin/oidc?next=/tl/accounts", "")
			if c.who == "" {
				require.Contains(t, body, c.says)
				_, _, at = ask(t, b, http.MethodGet, s.URL+"/tl/", "")
				require.Contains(t, at, "/tl/signin?next=", "no session was opened")
				return
			}
			require.Equal(t, c.who, body)
			require.Equal(t, "/tl/accounts", at)
			status, body, _ := ask(t, b, http.MethodGet, s.URL+"/tl/signin/callback?code=code&state=x", "")
			require.Equal(t, http.StatusBadRequest, status, "an attempt counts once")
			require.Contains(t, body, "sign in again")
		})
	}
}

func TestWhereItGoesOn(t *testing.T) {
	t.Parallel()
	for next, ok := range map[string]bool{
		"/": true, "/tl/accounts?q=1#x": true, "": false, "accounts": false, "//evil.example.com": false, "/\\evil.example.com": false,
		"https://evil.example.com/": false, "javascript:alert(1)": false, "/a\r\nSet-Cookie: b": false, "/" + strings.Repeat("a", 5000): false,
	} {
		require.Equal(t, ok, local(next) != "", next)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	oidc := Config{Login: WithOIDC, PublicURL: "https://t.example.com/x/", Issuer: "https://i.example.com", ClientID: "c", Scopes: []string{"openid"}, ViewerGroups: []string{"*"}}
	require.NoError(t, oidc.Validate())
	require.Equal(t, "/x", oidc.BasePath())
	for says, change := range map[string]func(*Config){
		"--console-public-url": func(c *Config) { c.PublicURL = "t.example.com" },
		"begin with https":     func(c *Config) { c.PublicURL = "http://t.example.com" },
		"--oidc-issuer":        func(c *Config) { c.Issuer = "http://i.example.com" },
		"--oidc-client-id":     func(c *Config) { c.ClientID = "" },
		"--oidc-scopes":        func(c *Config) { c.Scopes = []string{"email"} },
		"nobody could do":      func(c *Config) { c.ViewerGroups = nil },
	} {
		c := oidc
		change(&c)
		require.ErrorContains(t, c.Validate(), says)
	}
	none := Config{Login: None}
	require.NoError(t, none.CheckListen("127.0.0.1:8088"))
	require.NoError(t, none.CheckListen("[::1]:8088"))
	for _, open := range []string{":8088", "0.0.0.0:8088", "10.0.0.1:8088"} {
		require.ErrorContains(t, none.CheckListen(open), "loopback")
	}
}
