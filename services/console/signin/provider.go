package signin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/throughline-dev/throughline/pkg/access"
)

const (
	providerPatience = 10 * time.Second
	attemptLife      = 10 * time.Minute // to sign in at the provider
)

// provider is the identity provider. What it says of itself is read when it is needed first, and again after a failure.
type provider struct {
	config Config
	client *http.Client

	mu     sync.Mutex
	found  *oidc.Provider
	oauth2 oauth2.Config
}

func newProvider(c Config) *provider {
	return &provider{config: c, client: &http.Client{Timeout: providerPatience}}
}

func (p *provider) discover(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil {
		// The keys are fetched again for as long as the provider is kept, so not with the request's context.
		found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), p.config.Issuer)
		if err != nil {
			return nil, nil, fmt.Errorf("asking the identity provider about itself: %w", err)
		}
		p.found = found
		p.oauth2 = oauth2.Config{
			ClientID: p.config.ClientID, ClientSecret: string(p.config.ClientSecret), Endpoint: found.Endpoint(),
			RedirectURL: strings.TrimRight(string(p.config.PublicURL), "/") + "/signin/callback", Scopes: p.config.Scopes,
		}
	}
	return p.found, &p.oauth2, nil
}

// attempt is what a browser keeps while somebody signs in at the provider.
type attempt struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Next     string `json:"x"`
}

func (d *Door) attemptCookie() string { return d.cookieName() + "-signin" }

// begin sends a browser to the provider.
func (d *Door) begin(w http.ResponseWriter, r *http.Request) {
	next := local(r.URL.Query().Get("next"))
	_, config, err := d.provider.discover(r.Context())
	if err != nil {
		d.failed(w, r, next, err)
		return
	}
	a := attempt{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(), Next: next}
	text, err := json.Marshal(a)
	if err != nil || len(text) > 3000 { // a browser takes 4 KB
		a.Next = ""
		text, _ = json.Marshal(a)
	}
	http.SetCookie(w, d.cookie(d.attemptCookie(), base64.RawURLEncoding.EncodeToString(text), attemptLife))
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, config.AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), http.StatusSeeOther)
}

func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// callback is where the provider sends the browser back to.
func (d *Door) callback(w http.ResponseWriter, r *http.Request) {
	a, ok := d.attempt(r)
	http.SetCookie(w, d.cookie(d.attemptCookie(), "", -1))
	query := r.URL.Query()
	if !ok || subtle.ConstantTimeCompare([]byte(a.State), []byte(query.Get("state"))) != 1 {
		d.page(w, r, http.StatusBadRequest, "", "this attempt to sign in was not begun here, or took longer than 10 minutes: sign in again")
		return
	}
	if query.Get("error") != "" {
		// The provider's words may be anybody's: they came through the browser.
		d.page(w, r, http.StatusForbidden, a.Next, "the identity provider did not let you in: try again, or ask whoever runs it")
		return
	}
	who, err := d.provider.identify(r.Context(), a, query.Get("code"))
	var refused *refusal
	if errors.As(err, &refused) {
		d.page(w, r, http.StatusForbidden, a.Next, refused.Error())
		return
	}
	if err != nil {
		d.failed(w, r, a.Next, hideURL(err))
		return
	}
	session, err := d.o.Store.SignIn(r.Context(), who)
	if err != nil {
		d.failed(w, r, a.Next, err)
		return
	}
	d.welcome(w, r, session, a.Next)
}

func (d *Door) attempt(r *http.Request) (a attempt, ok bool) {
	cookie, err := r.Cookie(d.attemptCookie())
	if err != nil {
		return attempt{}, false
	}
	text, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || json.Unmarshal(text, &a) != nil || a.State == "" || a.Nonce == "" {
		return attempt{}, false
	}
	a.Next = local(a.Next)
	return a, true
}

// refusal is an error whose text the person may read.
type refusal struct{ error }

// identify changes the code for an ID token and reads who it is.
func (p *provider) identify(ctx context.Context, a attempt, code string) (access.Actor, error) {
	found, config, err := p.discover(ctx)
	if err != nil {
		return access.Actor{}, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return access.Actor{}, fmt.Errorf("changing the code for a token: %w", err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := found.Verifier(&oidc.Config{ClientID: p.config.ClientID}).Verify(ctx, raw)
	if err != nil {
		return access.Actor{}, fmt.Errorf("verifying the ID token: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) != 1 {
		return access.Actor{}, errors.New("the ID token has another nonce")
	}
	return p.actor(id)
}

// actor reads who an ID token is about, and what they may. An e-mail that the provider has not verified could be
// anybody's: the subject stands for its owner then.
func (p *provider) actor(id *oidc.IDToken) (access.Actor, error) {
	var claims map[string]json.RawMessage
	if err := id.Claims(&claims); err != nil {
		return access.Actor{}, fmt.Errorf("reading the ID token: %w", err)
	}
	var email string
	var verified bool
	_ = json.Unmarshal(claims["email"], &email)
	_ = json.Unmarshal(claims["email_verified"], &verified)
	var groups []string
	if json.Unmarshal(claims[p.config.GroupsClaim], &groups) != nil {
		var one string
		if json.Unmarshal(claims[p.config.GroupsClaim], &one) == nil {
			groups = []string{one}
		}
	}
	role, err := p.config.roleOf(groups)
	if err != nil {
		return access.Actor{}, &refusal{err}
	}
	who := "user:" + id.Subject
	if verified && email != "" {
		who = "user:" + strings.ToLower(email)
	}
	return access.Actor{Who: who, Role: role}, nil
}

// hideURL takes the address out of an error of the HTTP client: it may hold the code.
func hideURL(err error) error {
	var called *url.Error
	if errors.As(err, &called) {
		return called.Err
	}
	return err
}
