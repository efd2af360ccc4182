// Package signin is how people and programs come in: API tokens, sessions of the console, and an OpenID Connect
// provider. Behind it every request's context knows who acts (access.ActorOf).
package signin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/services/console/problem"
)

const (
	// unknownAtOnce is how many tokens and sessions that were never right are looked up at once, all senders together. The
	// others wait in their order, so guessing costs the database no more than this, and shuts nobody out who comes anew. How
	// many wait is bounded by the connections of those who are not signed in (package strangers).
	unknownAtOnce  = 2
	maxSecretBytes = 200
	maxFormBytes   = 8 << 10
	// lookWithin bounds what the database may take to say who somebody is.
	lookWithin = 5 * time.Second
)

// Page is what a page to sign in shows.
type Page struct {
	Action  string // where its form posts the token to; with WithOIDC the link that begins
	Login   string // WithToken or WithOIDC
	Next    string // where it goes on
	Problem string // what went wrong; "" at first
}

// Options are what a Door is made of.
type Options struct {
	Config Config
	Store  *access.Store
	Log    *zap.Logger
	// Render answers with the page to sign in.
	Render func(w http.ResponseWriter, r *http.Request, status int, p Page)
}

// Door is the way in.
type Door struct {
	o        Options
	base     string
	secure   bool
	provider *provider
	unknown  *semaphore.Weighted
	right    secrets
}

// New makes it. It calls nobody: the identity provider is asked when somebody signs in.
func New(o Options) *Door {
	d := &Door{o: o, base: o.Config.BasePath(), secure: strings.HasPrefix(string(o.Config.PublicURL), "https://"), unknown: semaphore.NewWeighted(unknownAtOnce)}
	if o.Config.Login == WithOIDC {
		d.provider = newProvider(o.Config)
	}
	return d
}

// Handler serves the paths to sign in and out: /signin, /signin/oidc, /signin/callback and /signout, behind the base
// path.
func (d *Door) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+d.base+"/signin", func(w http.ResponseWriter, r *http.Request) {
		d.page(w, r, http.StatusOK, local(r.URL.Query().Get("next")), "")
	})
	mux.HandleFunc("POST "+d.base+"/signin", d.token)
	mux.HandleFunc("POST "+d.base+"/signout", d.signOut)
	if d.provider != nil {
		mux.HandleFunc("GET "+d.base+"/signin/oidc", d.begin)
		mux.HandleFunc("GET "+d.base+"/signin/callback", d.callback)
	}
	return mux
}

// API lets requests with a token or a session through to next, and answers others with a problem.
func (d *Door) API(next http.Handler) http.Handler {
	return d.guard(next, "api", func(w http.ResponseWriter, _ *http.Request, err error) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="throughline"`)
		p := problem.From(err)
		wait := time.Duration(0)
		if p.Status == http.StatusServiceUnavailable {
			wait = time.Second
		}
		problem.Write(w, p, wait)
	})
}

// Pages lets requests with a session through to next, and shows others the page to sign in.
func (d *Door) Pages(next http.Handler) http.Handler {
	return d.guard(next, "console", func(w http.ResponseWriter, r *http.Request, err error) {
		if !fault.IsPermanent(err) {
			w.Header().Set("Retry-After", "1")
			d.page(w, r, http.StatusServiceUnavailable, local(r.URL.RequestURI()), busyText)
			return
		}
		to := d.base + "/signin"
		if r.Method == http.MethodGet {
			to += "?next=" + url.QueryEscape(r.URL.RequestURI())
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	})
}

func (d *Door) guard(next http.Handler, via string, refuse func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := d.who(r)
		if err != nil {
			refuse(w, r, err)
			return
		}
		a.Via = via
		next.ServeHTTP(w, r.WithContext(access.WithActor(r.Context(), a)))
	})
}

var errNobody = fault.Permanent(fault.Unauthenticated, errors.New("sign in, or send an API token as Authorization: Bearer tl_…"))

// who finds out who asks. A token goes before a cookie.
func (d *Door) who(r *http.Request) (access.Actor, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") || len(token) > maxSecretBytes {
			return access.Actor{}, errNobody
		}
		token = strings.TrimSpace(token)
		return d.limited(r.Context(), token, d.o.Store.ByToken)
	}
	if d.o.Config.Login == None {
		return access.Actor{Who: "user:local", Role: access.Admin}, nil
	}
	cookie, err := r.Cookie(d.cookieName())
	if err != nil || cookie.Value == "" || len(cookie.Value) > maxSecretBytes {
		return access.Actor{}, errNobody
	}
	return d.limited(r.Context(), cookie.Value, d.o.Store.BySession)
}

var errBusy = problem.Shown(fault.Transient(fault.Unavailable, errors.New("too many wrong tokens are being tried: try again in a few seconds")))

// limited looks a secret up: one that was right before at once, others in their turn. So whoever guesses shuts nobody
// out.
func (d *Door) limited(ctx context.Context, secret string, look func(ctx context.Context, secret string) (access.Actor, error)) (access.Actor, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	if !d.right.has(secret) {
		if d.unknown.Acquire(ctx, 1) != nil {
			return access.Actor{}, errBusy
		}
		defer d.unknown.Release(1)
	}
	a, err := look(ctx, secret)
	switch {
	case err == nil:
		d.right.add(secret)
	case fault.ReasonOf(err) == fault.Unauthenticated && fault.IsPermanent(err):
		d.right.remove(secret)
	}
	return a, err
}

// mostRight bounds the secrets that are known to have been right.
const mostRight = 10_000

// secrets is a set of them, by their hashes.
type secrets struct {
	mu  sync.Mutex
	set map[[sha256.Size]byte]struct{}
}

func (s *secrets) has(secret string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.set[sha256.Sum256([]byte(secret))]
	return ok
}

func (s *secrets) add(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.set) >= mostRight || s.set == nil {
		s.set = map[[sha256.Size]byte]struct{}{} // those in use come again
	}
	s.set[sha256.Sum256([]byte(secret))] = struct{}{}
}

func (s *secrets) remove(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.set, sha256.Sum256([]byte(secret)))
}

// token opens a session for whoever gives a token in the form.
func (d *Door) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		d.page(w, r, http.StatusBadRequest, "", "the form could not be read: try again")
		return
	}
	next := local(r.PostForm.Get("next"))
	var session string
	token := strings.TrimSpace(r.PostForm.Get("token"))
	_, err := d.limited(r.Context(), token, func(ctx context.Context, token string) (a access.Actor, err error) {
		session, a, err = d.o.Store.SignInWithToken(ctx, token)
		return a, err
	})
	switch {
	case err == nil:
		d.welcome(w, r, session, next)
	case fault.IsPermanent(err):
		d.page(w, r, http.StatusUnauthorized, next, "this token is unknown, expired or revoked: ask an admin for another one")
	default:
		d.failed(w, r, next, err)
	}
}

// busyText is told where the database or the identity provider does not answer.
const busyText = "signing in does not work at the moment: try again in a while"

func (d *Door) failed(w http.ResponseWriter, r *http.Request, next string, err error) {
	d.o.Log.Warn("somebody could not sign in", zap.Error(err))
	d.page(w, r, http.StatusServiceUnavailable, next, busyText)
}

// welcome sets the session's cookie and goes on.
func (d *Door) welcome(w http.ResponseWriter, r *http.Request, session, next string) {
	d.right.add(session)
	http.SetCookie(w, d.cookie(d.cookieName(), session, access.SessionLife))
	if next == "" {
		next = d.base + "/"
	}
	http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // G710: a path of this server (local)
}

func (d *Door) signOut(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(d.cookieName()); err == nil && len(cookie.Value) <= maxSecretBytes {
		ctx, cancel := context.WithTimeout(r.Context(), lookWithin)
		defer cancel()
		if err := d.o.Store.SignOut(ctx, cookie.Value); err != nil {
			d.failed(w, r, "", err)
			return
		}
	}
	http.SetCookie(w, d.cookie(d.cookieName(), "", -1))
	http.Redirect(w, r, d.base+"/signin", http.StatusSeeOther)
}

func (d *Door) page(w http.ResponseWriter, r *http.Request, status int, next, problem string) {
	p := Page{Action: d.base + "/signin", Login: d.o.Config.Login, Next: next, Problem: problem}
	if p.Login == WithOIDC {
		p.Action = d.base + "/signin/oidc?next=" + url.QueryEscape(next)
	}
	w.Header().Set("Cache-Control", "no-store")
	d.o.Render(w, r, status, p)
}

// cookieName has the prefix by which a browser takes it from this host alone and over TLS alone.
func (d *Door) cookieName() string {
	if d.secure {
		return "__Host-throughline"
	}
	return "throughline"
}

func (d *Door) cookie(name, value string, life time.Duration) *http.Cookie {
	//nolint:gosec // G124: not Secure only where the public URL is http, which is for one's own machine
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second), HttpOnly: true, Secure: d.secure, SameSite: http.SameSiteLaxMode}
}

// local gives a path of this server, or "": what somebody put into a link must not lead elsewhere.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") || len(next) > 4096 {
		return ""
	}
	return next
}

// roleOf gives the highest role that somebody's groups have.
func (c Config) roleOf(groups []string) (access.Role, error) {
	for _, r := range []struct {
		role access.Role
		of   []string
	}{{access.Admin, c.AdminGroups}, {access.Operator, c.OperatorGroups}, {access.Viewer, c.ViewerGroups}} {
		for _, g := range r.of {
			if g != "" && slices.Contains(groups, g) || g == "*" && r.role == access.Viewer {
				return r.role, nil
			}
		}
	}
	return "", fmt.Errorf("you are signed in at the identity provider, and none of your groups may use Throughline: ask whoever runs it")
}
