package web

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// Options say what the pages are made of.
type Options struct {
	Backend backend.Backend
	// BasePath is what stands before every path where a browser sees the console: "" or "/console". A request counts
	// with it and without, for proxies that take it away.
	BasePath string
	// SignOut is the path of a POST that ends the session, with BasePath; "": there is no such button.
	SignOut string
	// Log gets a line for each answer of 500 and above. nil: none.
	Log *zap.Logger
	// Program is how the command line is called; "": throughline. Sends: `throughline send` reaches the receivers, with
	// SendFlags.
	Program   string
	Sends     bool
	SendFlags string
	// Now is the time; nil: time.Now.
	Now func() time.Time
}

// policy lets pages load what the console itself serves, and nothing else: no inline script or style either.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// fragmentHeader asks for a page's main part alone. A page of another origin cannot send it without being asked first.
const fragmentHeader = "Throughline-Fragment"

type server struct {
	Options
	assets assets
}

// view makes one page. What it returns is drawn inside of the console's frame.
type view func(*page) (templ.Component, error)

// redirect is the error of a view that has done its work: the browser goes on to another page.
type redirect struct{ to string }

func (r redirect) Error() string { return "see " + r.to }

// New gives the console's pages. Who asks is in the request's context (access.WithActor): the caller sees to signing in.
func New(o Options) http.Handler {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Program = cmp.Or(o.Program, "throughline")
	o.BasePath = strings.TrimRight(o.BasePath, "/")
	s := &server{Options: o, assets: readAssets(o.BasePath)}
	mux := http.NewServeMux()
	for pattern, v := range s.views() {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, v) })
	}
	mux.HandleFunc("GET /assets/{name}", s.assets.serve)
	mux.HandleFunc("GET /live/events", s.liveEvents)
	mux.HandleFunc("GET "+exportTimelinePath("{account}"), s.export(exportTimeline))
	mux.HandleFunc("GET "+exportSearchPath, s.export(exportSearch))
	mux.HandleFunc("GET "+exportQuarantinePath, s.export(exportQuarantine))
	mux.HandleFunc("GET /events/{event}/payload", s.payload)
	mux.HandleFunc("GET /quarantine/{record}/raw", s.rawRecord)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, nowhere) })
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, foreign) }))
	inside := protection.Handler(mux)
	stripped := inside
	if o.BasePath != "" {
		stripped = http.StripPrefix(o.BasePath, inside)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		switch {
		case o.BasePath != "" && r.URL.Path == o.BasePath:
			http.Redirect(w, r, o.BasePath+"/", http.StatusSeeOther)
		case o.BasePath != "" && strings.HasPrefix(r.URL.Path, o.BasePath+"/"):
			stripped.ServeHTTP(w, r)
		default:
			inside.ServeHTTP(w, r)
		}
	})
}

func (s *server) views() map[string]view {
	return map[string]view{
		"GET /{$}":                         s.home,
		"GET /accounts":                    s.accounts,
		"GET /accounts/{account}":          s.timeline,
		"GET /accounts/{account}/links":    s.accountLinks,
		"GET /events/{event}":              s.event,
		"GET /live":                        s.tail,
		"GET /quarantine":                  s.quarantine,
		"GET /quarantine/records":          s.records,
		"GET /quarantine/{record}":         s.record,
		"GET /references":                  s.reference,
		"GET /links":                       s.links,
		"GET /jobs":                        s.jobs,
		"GET /drift":                       s.drift,
		"GET /alerts":                      s.alerts,
		"GET /patterns":                    s.patterns,
		"GET /sources":                     s.sources,
		"GET /sources/{source}":            s.source,
		"GET /audit":                       s.audit,
		"GET /tokens":                      s.tokens,
		"GET /search":                      s.search,
		"GET /palette":                     s.palette,
		"GET /keys":                        s.keysPage,
		"POST /preferences":                s.prefer,
		"GET /decide/link":                 s.askLink,
		"POST /decide/link":                s.doLink,
		"GET /decide/create":               s.askCreate,
		"POST /decide/create":              s.doCreate,
		"GET /decide/unlink":               s.askUnlink,
		"POST /decide/unlink":              s.doUnlink,
		"GET /decide/merge":                s.askMerge,
		"POST /decide/merge":               s.doMerge,
		"GET /decide/change":               s.askChange,
		"POST /decide/change":              s.doChange,
		"GET /decide/suggestion":           s.askSuggestion,
		"POST /decide/suggestion":          s.doSuggestion,
		"GET /decide/{action}/quarantine":  s.askQuarantine,
		"POST /decide/{action}/quarantine": s.doQuarantine,
		"GET /decide/pull":                 s.askPull,
		"POST /decide/pull":                s.doPull,
		"GET /decide/cancel":               s.askCancel,
		"POST /decide/cancel":              s.doCancel,
		"GET /decide/domain":               s.askDomain,
		"POST /decide/domain":              s.doDomain,
		"GET /decide/silence":              s.askSilence,
		"POST /decide/silence":             s.doSilence,
		"GET /decide/unsilence":            s.askUnsilence,
		"POST /decide/unsilence":           s.doUnsilence,
		"GET /decide/drift":                s.askDrift,
		"POST /decide/drift":               s.doDrift,
		"GET /decide/token":                s.askToken,
		"POST /decide/token":               s.doToken,
		"GET /decide/view":                 s.askView,
		"POST /decide/view":                s.doView,
		"GET /decide/unsave":               s.askUnsave,
		"POST /decide/unsave":              s.doUnsave,
		"GET /decide/revoke":               s.askRevoke,
		"POST /decide/revoke":              s.doRevoke,
	}
}

func nowhere(*page) (templ.Component, error) {
	return nil, fault.Permanent(fault.NotFound, errors.New("there is no such page"))
}

func foreign(*page) (templ.Component, error) {
	return nil, fault.Permanent(fault.Forbidden, errors.New("a page of another site sent this form: it was not done. Open the console and do it there"))
}

// serve makes a page whole before it sends the first byte, so that what goes wrong becomes a page that says so.
func (s *server) serve(w http.ResponseWriter, r *http.Request, v view) {
	p := s.page(r)
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	}
	content, err := v(p)
	var to redirect
	if errors.As(err, &to) {
		w.Header().Set("Cache-Control", "no-store")
		for _, c := range p.cookies {
			http.SetCookie(w, c)
		}
		http.Redirect(w, r, to.to, http.StatusSeeOther)
		return
	}
	if err != nil {
		content = p.failed(err)
	}
	var body bytes.Buffer
	if r.Header.Get(fragmentHeader) == "" {
		content = frame(p, content)
	}
	if err := content.Render(r.Context(), &body); err != nil {
		s.Log.Error("drawing a page", zap.String("path", r.Pattern), zap.Error(err))
		http.Error(w, "this page could not be drawn: the log says why", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Encoding, "+fragmentHeader)
	h.Set("Throughline-Title", asciiTitle(p.title))
	compress(w, r, p.status, body.Bytes())
}

// compress sends a body, with gzip where that pays and the client takes it.
func compress(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	if len(body) < 1400 || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.WriteHeader(status)
		w.Write(body)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // the level is valid
	_, err := z.Write(body)
	if err == nil {
		_ = z.Close() // the client is gone
	}
}

// failed makes the page of an error, and sets its status.
func (p *page) failed(err error) templ.Component {
	said := problem.From(err)
	p.status, p.title = said.Status, said.Title
	if said.Status >= http.StatusInternalServerError {
		p.s.Log.Error("a page failed", zap.String("path", p.r.Pattern), zap.Int("status", said.Status), zap.Error(err))
	}
	return errorPage(p, said)
}

// require is for views that show more than a viewer may see, and forms.
func (p *page) require(role access.Role) error { return p.actor.Require(role) }
