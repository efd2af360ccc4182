package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/web"
	"github.com/throughline-dev/throughline/services/console/web/webtest"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// console is the pages over a backend in memory, with who asks.
type console struct {
	*webtest.Fake
	t    *testing.T
	h    http.Handler
	role access.Role
}

func open(t *testing.T, role access.Role, base string) *console {
	t.Helper()
	fake, err := webtest.New(webtest.Options{Now: noon, Many: 300})
	require.NoError(t, err)
	return &console{Fake: fake, t: t, role: role, h: web.New(web.Options{Backend: fake, BasePath: base, Now: func() time.Time { return noon }})}
}

func (c *console) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r.WithContext(access.WithActor(r.Context(), access.Actor{Who: "user:kim@throughline.example", Role: c.role, Via: "console"})))
	return w
}

func (c *console) get(path string) *httptest.ResponseRecorder {
	return c.do(httptest.NewRequest(http.MethodGet, path, nil))
}

func (c *console) post(path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return c.do(r)
}

const nimbus = "0badc0de-0000-4000-8000-000000000004"

// pages are all that a person can open.
func pages() []string {
	return []string{
		"/", "/accounts", "/accounts?q=acme", "/accounts?q=nobody+at+all", "/accounts/" + webtest.Acme.String(), "/accounts/" + webtest.Acme.String() + "?event=1001", "/accounts/" + webtest.Acme.String() + "?order=asc",
		"/accounts/" + webtest.Acme.String() + "?at=2026-09-30&source=hubspot", "/accounts/" + webtest.Hostile.String(), "/accounts/" + webtest.Quiet.String(), "/accounts/" + webtest.Many.String(),
		"/accounts/" + webtest.Acme.String() + "/links", "/events/1001", "/live", "/quarantine", "/quarantine?reason=malformed", "/quarantine/records", "/quarantine/records?status=all", "/quarantine/1", "/quarantine/99",
		"/references?ref=stripe:customer:cus_NimbusLab", "/references?ref=stripe:customer:cus_Tz1Acme", "/links", "/links?view=decisions", "/links?view=suggestions", "/jobs", "/drift", "/drift?status=all", "/alerts", "/alerts?state=all", "/alerts?state=resolved", "/patterns", "/patterns?pattern=a.b,+then+c.d+within+3+days", "/patterns?pattern=now+a.b,+then+c.d", "/patterns?pattern=a,+then&since=all", "/links?view=domains", "/sources", "/sources/stripe",
		"/search", "/search?q=charged", "/palette?q=ac", "/keys", "/decide/suggestion?id=1", "/decide/view?path=/search", "/decide/view?id=1", "/decide/unsave?id=1",
	}
}

// asks are pages that ask before something is done, for operators.
func asks() []string {
	return []string{
		"/decide/link?reference=stripe:customer:cus_NimbusLab", "/decide/link?reference=stripe:customer:cus_NimbusLab&account=" + nimbus, "/decide/link", "/decide/link?account=" + nimbus, "/decide/create", "/decide/create?reference=stripe:customer:cus_NimbusLab", "/decide/silence", "/decide/silence?rule=drift&source=stripe", "/decide/unsilence?id=1",
		"/decide/unlink?reference=stripe:customer:cus_Tz1Acme", "/decide/merge?from=" + nimbus, "/decide/merge?from=" + nimbus + "&into=" + webtest.Acme.String(), "/decide/change?account=" + nimbus,
		"/decide/discard/quarantine?reason=malformed", "/decide/release/quarantine?id=1&id=2", "/decide/pull", "/decide/cancel?id=1", "/decide/drift?id=1", "/decide/domain", "/decide/domain?domain=webagentur-muenchen.example",
	}
}

func adminPages() []string {
	return []string{"/audit", "/tokens", "/decide/token", "/decide/revoke?id=1"}
}

func TestEveryPage(t *testing.T) {
	c := open(t, access.Admin, "")
	for _, path := range append(append(pages(), asks()...), adminPages()...) {
		w := c.get(path)
		require.Equal(t, 200, w.Code, "%s: %s", path, w.Body)
		require.Equal(t, "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'", w.Header().Get("Content-Security-Policy"))
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		require.NotRegexp(t, `(?i)<script(?: type="module" src="[^"]+"></script>)?[^>]*>[^<]|<script>| style=| on\w+="`, w.Body.String(), path)
		if !strings.HasPrefix(path, "/palette") {
			require.Equal(t, 1, strings.Count(w.Body.String(), "<h1"), path)
		}
	}
}

// TestExport: the buttons lead to files with the page's filters, and are there only for who may.
func TestExport(t *testing.T) {
	c := open(t, access.Viewer, "/console")
	acme := "/accounts/" + webtest.Acme.String()
	for page, file := range map[string]string{
		acme + "?type=invoice.paid&cursor=1": acme + "/export?format=csv&type=invoice.paid", "/quarantine/records?status=all": "/quarantine/export?format=csv&status=all", "/search?q=charged": "/search/export?format=csv&q=charged",
	} {
		require.Contains(t, c.get("/console"+page).Body.String(), `href="/console`+strings.ReplaceAll(file, "&", "&amp;")+`"`, page)
		w := c.get("/console" + file)
		require.Equal(t, 200, w.Code, file)
		require.Equal(t, "text/csv; charset=utf-8; header=present", w.Header().Get("Content-Type"))
		require.Regexp(t, `^attachment; filename="throughline-[a-z0-9-]+\.csv"$`, w.Header().Get("Content-Disposition"))
		require.Regexp(t, "^id,", w.Body.String())
		require.Equal(t, 405, c.do(httptest.NewRequest(http.MethodHead, "/console"+file, nil)).Code)
	}
	hostile := c.get("/console/accounts/" + webtest.Hostile.String() + "/export?format=ndjson").Body.String()
	require.Contains(t, hostile, webtest.Big)
	require.Equal(t, 400, c.get("/console"+acme+"/export?format=xls").Code)
	require.Equal(t, 400, c.get("/console/accounts/x/export?format=csv").Code)
	require.NotEmpty(t, c.Audited())

	fake, err := webtest.New(webtest.Options{Now: noon, Export: backend.ExportOff})
	require.NoError(t, err)
	off := &console{Fake: fake, t: t, role: access.Admin, h: web.New(web.Options{Backend: fake, Now: func() time.Time { return noon }})}
	require.NotContains(t, off.get(acme).Body.String(), "/export?")
	require.Equal(t, 403, off.get(acme+"/export?format=csv").Code)
}

// TestSavedViews: a page is saved under a name, found on the first page and in the palette, renamed and deleted, with
// forms alone.
func TestSavedViews(t *testing.T) {
	c := open(t, access.Viewer, "/console")
	require.Contains(t, c.get("/console/quarantine?reason=malformed&cursor=1").Body.String(), `href="/console/decide/view?path=%2Fquarantine%3Freason%3Dmalformed"`)
	ask := c.get("/console/decide/view?path=" + url.QueryEscape("/quarantine?reason=malformed")).Body.String()
	require.Contains(t, ask, `name="path" value="/quarantine?reason=malformed"`)
	require.NotContains(t, ask, `name="shared"`)
	w := c.post("/console/decide/view", url.Values{"path": {"/quarantine?reason=malformed"}, "name": {"<b>Broken</b>"}})
	require.Equal(t, 303, w.Code)
	require.Equal(t, "/console/quarantine?reason=malformed", w.Header().Get("Location"))
	for _, page := range []string{"/console/", "/console/palette?q=broken"} {
		body := c.get(page).Body.String()
		require.Contains(t, body, `href="/console/quarantine?reason=malformed"`, page)
		require.NotContains(t, body, "<b>Broken", page)
	}
	views, err := c.SavedViews(access.WithActor(t.Context(), access.Actor{Who: "user:kim@throughline.example", Role: access.Viewer}))
	require.NoError(t, err)
	id := fmt.Sprint(views[len(views)-1].ID)
	require.Equal(t, 303, c.post("/console/decide/view", url.Values{"id": {id}, "name": {"Broken ones"}}).Code)
	require.Contains(t, c.get("/console/").Body.String(), "Broken ones")
	require.Equal(t, 200, c.get("/console/decide/unsave?id="+id).Code)
	require.Equal(t, 303, c.post("/console/decide/unsave", url.Values{"id": {id}}).Code)
	require.NotContains(t, c.get("/console/").Body.String(), "Broken ones")
	require.Equal(t, 404, c.get("/console/decide/unsave?id="+id).Code)
	for _, path := range []string{"//evil.example", "https://evil.example/", "/search#x", "/signout"} {
		require.Equal(t, 400, c.get("/console/decide/view?path="+url.QueryEscape(path)).Code, path)
		require.Equal(t, 400, c.post("/console/decide/view", url.Values{"path": {path}, "name": {"x"}}).Code, path)
	}
	require.Equal(t, 403, c.post("/console/decide/view", url.Values{"path": {"/"}, "name": {"x"}, "shared": {"1"}}).Code)
	operator := open(t, access.Operator, "")
	require.Contains(t, operator.get("/decide/view?path=/").Body.String(), `name="shared"`)
}

// TestHostileText: what strangers wrote is text, on every page that shows it.
func TestHostileText(t *testing.T) {
	c := open(t, access.Admin, "")
	for _, path := range []string{"/accounts", "/accounts/" + webtest.Hostile.String(), "/quarantine/99", "/drift?status=all", "/links?view=domains", "/patterns?pattern=" + url.QueryEscape(webtest.HostileTexts[0]), "/patterns?pattern=a,+then+b", "/search?q=" + url.QueryEscape(webtest.HostileTexts[0]), "/accounts?q=" + url.QueryEscape(webtest.HostileTexts[1]), "/live?source=" + url.QueryEscape(webtest.HostileTexts[1])} {
		body := c.get(path).Body.String()
		require.NotContains(t, body, "<script>document", path)
		require.NotContains(t, body, "<img", path)
		for _, hidden := range []string{"\u202e", "\x1b", "\u200b", "\x00", "\u00ad"} {
			require.NotContains(t, body, hidden, path)
		}
		require.Less(t, len(body), 400_000, "%s: long names are cut", path)
	}
	body := c.get("/accounts/" + webtest.Hostile.String()).Body.String()
	require.Contains(t, body, `<span class="ctl">U+202E</span>`)
	require.Contains(t, body, `<span class="ctl">␛</span>`)
	require.Contains(t, body, "<bdi>שלום — فاتورة رقم ١٢٣</bdi>")
}

// TestNumbersStay: no number of a payload changes on the way to the page, and members that come twice are both shown.
func TestNumbersStay(t *testing.T) {
	c := open(t, access.Viewer, "")
	hostile := c.get("/accounts/" + webtest.Hostile.String()).Body.String()
	id := regexp.MustCompile(`data-id="(\d+)"`).FindStringSubmatch(hostile)[1]
	body := c.get("/events/" + id).Body.String()
	require.Contains(t, body, `<span class="n"><bdi>`+webtest.Big+`</bdi></span>`)
	require.Equal(t, 2, strings.Count(body, "&#34;twice&#34;"))
}

func TestLargePayload(t *testing.T) {
	c := open(t, access.Viewer, "")
	list := c.get("/accounts/" + webtest.Hostile.String() + "?source=zendesk").Body.String()
	id := regexp.MustCompile(`data-id="(\d+)"`).FindStringSubmatch(list)[1]
	page := c.get("/events/" + id)
	require.Less(t, page.Body.Len(), 600_000)
	require.Contains(t, page.Body.String(), "Load the rest")
	whole := c.get("/events/" + id + "/payload?download=1")
	require.Greater(t, whole.Body.Len(), 5<<20-100)
	require.Equal(t, `attachment; filename="event-`+id+`.json"`, whole.Header().Get("Content-Disposition"))
	require.Equal(t, "application/octet-stream", whole.Header().Get("Content-Type"))
	require.Equal(t, "nosniff", whole.Header().Get("X-Content-Type-Options"))
	rest := c.get("/events/" + id + "/payload?from=65536")
	require.Equal(t, "text/plain; charset=utf-8", rest.Header().Get("Content-Type"))
	require.Equal(t, whole.Body.Bytes()[65536:], rest.Body.Bytes())
	require.Equal(t, 400, c.get("/events/"+id+"/payload?from=x").Code)
}

// TestViewer: who may only read sees no button that decides, and is refused where he knows its address.
func TestViewer(t *testing.T) {
	c := open(t, access.Viewer, "")
	for _, path := range pages() {
		w := c.get(path)
		require.Equal(t, 200, w.Code, path)
		for _, act := range []string{"Discard", "Unlink", "New account", "Link to an account", "Yes, link", "Acknowledge<", "Backfill a source", "Cancel<", "API tokens"} {
			require.NotContains(t, w.Body.String(), act, path)
		}
	}
	for _, path := range append(asks(), adminPages()...) {
		require.Equal(t, 403, c.get(path).Code, path)
	}
	for path, form := range posts() {
		require.Equal(t, 403, c.post(path, form).Code, path)
	}
	refused := 0
	for _, e := range c.Audited() {
		if e.Result == "refused" && e.Who == "user:kim@throughline.example" {
			refused++
		}
	}
	require.Equal(t, len(posts()), refused, "each is in the audit log")
}

func posts() map[string]url.Values {
	return map[string]url.Values{
		"/decide/link":               {"reference": {"stripe:customer:cus_NimbusLab"}, "account": {nimbus}},
		"/decide/create":             {"name": {"Fresh"}},
		"/decide/unlink":             {"reference": {"stripe:customer:cus_Tz1Acme"}},
		"/decide/merge":              {"from": {nimbus}, "into": {webtest.Acme.String()}},
		"/decide/change":             {"account": {nimbus}, "name": {"Nimbus"}},
		"/decide/suggestion":         {"id": {"1"}, "decide": {"reject"}},
		"/decide/discard/quarantine": {"id": {"99"}},
		"/decide/release/quarantine": {"id": {"99"}},
		"/decide/pull":               {"source": {"stripe"}, "since": {"2026-01-01T00:00"}},
		"/decide/cancel":             {"id": {"1"}},
		"/decide/drift":              {"id": {"1"}},
		"/decide/silence":            {"rule": {"drift"}, "source": {"stripe"}, "minutes": {"120"}, "comment": {"Stripe knows"}},
		"/decide/unsilence":          {"id": {"1"}},
		"/decide/domain":             {"domain": {"webagentur-muenchen.example"}, "decision": {"public"}},
		"/decide/token":              {"name": {"x"}, "role": {"viewer"}, "days": {"1"}},
		"/decide/revoke":             {"id": {"1"}},
	}
}

// A form that is sent twice asks the puller once, and what was asked can be cancelled on the page until it has ended.
func TestPullRequests(t *testing.T) {
	c := open(t, access.Operator, "")
	key := regexp.MustCompile(`name="key" value="([^"]+)"`).FindStringSubmatch(c.get("/decide/pull").Body.String())
	require.NotNil(t, key)
	form := url.Values{"source": {"zendesk"}, "since": {"2026-01-01T00:00"}, "dry_run": {"1"}, "key": {key[1]}}
	for range 2 {
		require.Equal(t, 303, c.post("/decide/pull", form).Code)
	}
	page := c.get("/jobs").Body.String()
	require.Contains(t, page, "Waits for the puller")
	require.Contains(t, page, `href="/decide/cancel?id=2"`)
	require.NotContains(t, page, `id="request-3"`)
	require.Equal(t, 303, c.post("/decide/cancel", url.Values{"id": {"2"}}).Code)
	page = c.get("/jobs").Body.String()
	require.Contains(t, page, "cancelled by user:kim@throughline.example")
	require.NotContains(t, page, `href="/decide/cancel?id=2"`)
}

func TestDecisions(t *testing.T) {
	for path, form := range posts() {
		c := open(t, access.Admin, "")
		w := c.post(path, form)
		if path == "/decide/token" {
			require.Equal(t, 200, w.Code)
			require.Contains(t, w.Body.String(), "tl_made_for_a_test")
			continue
		}
		require.Equal(t, 303, w.Code, "%s: %s", path, w.Body)
		require.Equal(t, 200, c.get(w.Header().Get("Location")).Code, path)
		last := c.Audited()[len(c.Audited())-1]
		require.Equal(t, "done", last.Result, path)
		require.False(t, last.DryRun, path)
	}
}

// A form that makes a second account of a name is asked about again, with all that was written.
func TestSimilarAccounts(t *testing.T) {
	c := open(t, access.Operator, "")
	form := url.Values{"name": {"nimbus LAB"}, "domain": {"nimbus.example"}}
	w := c.post("/decide/create", form)
	require.Equal(t, 409, w.Code)
	page := w.Body.String()
	require.Contains(t, page, "There is Nimbus Lab")
	for _, field := range []string{`name="name" value="nimbus LAB"`, `name="domain" value="nimbus.example"`, `name="anyway" value="1"`, "Make a second one"} {
		require.Contains(t, page, field)
	}
	form.Set("anyway", "1")
	require.Equal(t, 303, c.post("/decide/create", form).Code)
	change := url.Values{"account": {webtest.Acme.String()}, "name": {"Nimbus Lab"}}
	require.Equal(t, 409, c.post("/decide/change", change).Code)
	change.Set("anyway", "1")
	require.Equal(t, 303, c.post("/decide/change", change).Code)
}

// Alerts are seen from the first page, silenced and told again.
func TestAlerts(t *testing.T) {
	c := open(t, access.Operator, "")
	require.Contains(t, c.get("/").Body.String(), "1 alert fires", "the other is silenced")
	page := c.get("/alerts").Body.String()
	for _, text := range []string{"133 records wait", "no event of zendesk for 3 h", "&lt;script&gt;", "A release of all of them runs", "unexpected status code 404", "pending", `href="/decide/silence?rule=source_silent&amp;source=zendesk"`} {
		require.Contains(t, page, text)
	}
	require.NotContains(t, page, "2 events of hubspot", "it is over")
	require.Contains(t, c.get("/alerts?state=all").Body.String(), "2 events of hubspot")
	require.Equal(t, 303, c.post("/decide/silence", url.Values{"rule": {"source_silent"}, "source": {"zendesk"}, "minutes": {"120"}, "comment": {"holiday"}}).Code)
	require.NotContains(t, c.get("/").Body.String(), "alert fires")
	require.Contains(t, c.get("/alerts").Body.String(), "source silent of zendesk")
	require.Equal(t, 303, c.post("/decide/unsilence", url.Values{"id": {"2"}}).Code)
	require.Contains(t, c.get("/").Body.String(), "1 alert fires")
	require.Equal(t, 400, c.post("/decide/silence", url.Values{"minutes": {"0"}}).Code)
	require.NotContains(t, page, "Nobody is told of alerts")
	require.Contains(t, page, "for longer than 72h", "a bound, and no name of a setting")
	require.NotContains(t, page, "`above`")
	c.TellNobody()
	require.Contains(t, c.get("/alerts").Body.String(), "Nobody is told of alerts: no receiver is configured")
	require.Equal(t, 400, c.get("/live?source=nosuch").Code)
	viewer := open(t, access.Viewer, "").get("/alerts").Body.String()
	require.NotContains(t, viewer, "/decide/silence")
	require.NotContains(t, viewer, "/decide/unsilence")
}

// The commands of a source's page can be typed as they stand.
func TestCommandsOfASource(t *testing.T) {
	page := open(t, access.Viewer, "").get("/sources/stripe").Body.String()
	require.Contains(t, page, "throughline connect stripe --url https://hooks.example.com<")
	require.NotContains(t, page, "throughline send", "it is not known where the receivers are")
	fake, err := webtest.New(webtest.Options{})
	require.NoError(t, err)
	local := web.New(web.Options{Backend: fake, Program: "bin/throughline", Sends: true, SendFlags: "--url http://127.0.0.1:9999"})
	w := httptest.NewRecorder()
	local.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/sources/stripe", nil).WithContext(access.WithActor(t.Context(), access.Actor{Who: "user:kim", Role: access.Viewer})))
	require.Contains(t, w.Body.String(), "<code>bin/throughline connect stripe --url https://hooks.example.com</code>")
	require.Contains(t, w.Body.String(), "<code>bin/throughline send stripe --url http://127.0.0.1:9999</code>")
}

// TestDryRun: what asks for a decision changes nothing, and says what would be.
func TestDryRun(t *testing.T) {
	c := open(t, access.Operator, "")
	before := c.get("/quarantine").Body.String()
	for _, path := range asks() {
		require.Equal(t, 200, c.get(path).Code, path)
	}
	require.Equal(t, before, c.get("/quarantine").Body.String())
	require.Contains(t, c.get("/decide/link?reference=stripe:cus_NimbusLab&account="+nimbus).Body.String(), "3 events leave the quarantine and come onto the timeline of Nimbus Lab.")
	require.Contains(t, c.get("/decide/discard/quarantine?reason=malformed").Body.String(), "Discard 1 record?")
	require.Contains(t, c.get("/decide/unlink?reference=stripe:customer:cus_Tz1Acme").Body.String(), "3 events leave the timeline")
}

func TestForeignForms(t *testing.T) {
	c := open(t, access.Admin, "")
	for path, form := range posts() {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		require.Equal(t, 403, c.do(r).Code, path)
	}
}

func TestBadInput(t *testing.T) {
	c := open(t, access.Admin, "")
	for path, status := range map[string]int{
		"/nowhere": 404, "/accounts/1": 400, "/accounts/0badc0de-0000-4000-8000-00000000ffff": 404, "/accounts?cursor=x": 400, "/accounts/" + webtest.Acme.String() + "?at=yesterday": 400, "/events/x": 400, "/events/9": 404,
		"/accounts/" + webtest.Acme.String() + "?event=-1": 400, "/quarantine/0": 400, "/references?ref=": 400, "/sources/none": 404, "/decide/discard/quarantine": 400, "/decide/burn/quarantine?id=1": 404, "/decide/cancel?id=%00": 400,
		"/live/events?account=x": 400, "/assets/app.css": 404, "/quarantine/99/raw?from=-1": 400,
	} {
		require.Equal(t, status, c.get(path).Code, path)
	}
	require.Equal(t, 200, c.get("/search?contains=%7B").Code, "what is wrong with a search is said beside it")
	require.Contains(t, c.get("/search?contains=%7B").Body.String(), "this is not JSON")
	require.Equal(t, 404, c.do(httptest.NewRequest(http.MethodPost, "/", nil)).Code, "no page takes a POST that is no form of it")
}

func TestBackendFails(t *testing.T) {
	c := open(t, access.Viewer, "")
	c.Fail(fault.Transient(fault.Unavailable, errors.New("dialing db.internal:5432")))
	w := c.get("/")
	require.Equal(t, 503, w.Code)
	require.NotContains(t, w.Body.String(), "db.internal")
	require.Contains(t, w.Body.String(), "Try again")
	require.Equal(t, "5", c.get("/live/events").Header().Get("Retry-After"))
}

// TestArrival: a source is fresh by when its last event came, and that is the time beside it.
func TestArrival(t *testing.T) {
	c := open(t, access.Viewer, "")
	states, err := c.Sources(access.WithActor(t.Context(), access.Actor{Who: "user:kim@throughline.example", Role: access.Viewer}))
	require.NoError(t, err)
	for _, path := range []string{"/", "/sources"} {
		body := c.get(path).Body.String()
		for _, s := range states {
			if s.LastEvent != nil {
				require.Contains(t, body, s.LastEvent.IngestedAt.UTC().Format(time.RFC3339), "%s %s", path, s.Source)
			}
		}
	}
}

// TestBasePath: every address on a page begins with the prefix, and requests count with it and without.
func TestBasePath(t *testing.T) {
	c := open(t, access.Admin, "/tools/console/")
	once := regexp.MustCompile(`name="key" value="[^"]+"`) // each form has one of its own
	addresses := regexp.MustCompile(`(?:href|src|action|formaction|data-live|data-copy-from)="(/[^"]*)"`)
	for _, path := range append(append(pages(), asks()...), adminPages()...) {
		w := c.get("/tools/console" + path)
		require.Equal(t, 200, w.Code, path)
		for _, m := range addresses.FindAllStringSubmatch(w.Body.String(), -1) {
			require.True(t, strings.HasPrefix(m[1], "/tools/console/"), "%s has %s", path, m[1])
		}
		require.Equal(t, once.ReplaceAllString(w.Body.String(), ""), once.ReplaceAllString(c.get(path).Body.String(), ""), path)
	}
	require.Equal(t, "/tools/console/", c.get("/tools/console").Header().Get("Location"))
	w := c.post("/tools/console/preferences", url.Values{"theme": {"dark"}, "back": {"/tools/console/jobs?x=1"}})
	require.Equal(t, "/tools/console/jobs?x=1", w.Header().Get("Location"))
}

func TestPreferences(t *testing.T) {
	c := open(t, access.Viewer, "")
	for _, to := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "javascript:alert(1)", "jobs", ""} {
		require.Equal(t, "/", c.post("/preferences", url.Values{"theme": {"dark"}, "back": {to}}).Header().Get("Location"), to)
	}
	require.Equal(t, 400, c.post("/preferences", url.Values{"zone": {"../../etc/passwd"}}).Code)
	w := c.post("/preferences", url.Values{"zone": {"Europe/Vienna"}, "back": {"/jobs"}})
	require.Equal(t, 303, w.Code)
	r := httptest.NewRequest(http.MethodGet, "/events/1003", nil)
	r.AddCookie(w.Result().Cookies()[0])
	require.Contains(t, c.do(r).Body.String(), "14:00:00", "noon in UTC is two in the afternoon of a summer in Vienna")
}

// TestJump: an id that is pasted leads to its account, or to what waits for it.
func TestJump(t *testing.T) {
	c := open(t, access.Viewer, "")
	require.Equal(t, "/accounts/"+webtest.Acme.String(), c.get("/search?q=cus_Tz1Acme").Header().Get("Location"))
	require.Equal(t, "/references?ref=stripe%3Acustomer%3Acus_NimbusLab", c.get("/search?q=cus_NimbusLab").Header().Get("Location"))
	require.Contains(t, c.get("/references?ref=stripe:cus_NimbusLab").Body.String(), "3 events wait for it in quarantine.")
}

// TestWeight: a page without data is under 150 KB with all that it loads.
func TestWeight(t *testing.T) {
	c := open(t, access.Admin, "")
	body := c.get("/accounts/" + webtest.Quiet.String()).Body.String()
	plain, sent := len(body), 0
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, err := io.WriteString(w, body)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	sent += z.Len()
	for _, m := range regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllStringSubmatch(body, -1) {
		r := httptest.NewRequest(http.MethodGet, m[1], nil)
		r.Header.Set("Accept-Encoding", "gzip")
		asset := c.do(r)
		require.Equal(t, 200, asset.Code)
		require.Contains(t, asset.Header().Get("Cache-Control"), "immutable")
		plain, sent = plain+c.get(m[1]).Body.Len(), sent+asset.Body.Len()
	}
	t.Logf("%d bytes, %d with gzip", plain, sent)
	require.Less(t, plain, 150_000)
}

// TestLive: rows with their ids, what was skipped, and no stream left behind.
func TestLive(t *testing.T) {
	c := open(t, access.Viewer, "")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.h.ServeHTTP(w, r.WithContext(access.WithActor(r.Context(), access.Actor{Who: "user:kim", Role: access.Viewer})))
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/live/events", nil)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	var got lines
	done := make(chan struct{})
	go func() { _, _ = io.Copy(&got, answer.Body); close(done) }()
	require.Eventually(t, func() bool { return c.Tails() == 1 }, 10*time.Second, 5*time.Millisecond)
	c.Store(webtest.Acme, "stripe", "invoice.paid", "line one\r\ndata: forged\n\nid: 9", noon, `{}`)
	c.Skip(12)
	require.Eventually(t, func() bool { return strings.Contains(got.String(), "12 events skipped") }, 10*time.Second, 5*time.Millisecond)
	for _, block := range strings.Split(strings.TrimSpace(got.String()), "\n\n") {
		for _, l := range strings.Split(block, "\n") {
			require.Regexp(t, `^(id|event|data|retry):`, l)
		}
		require.LessOrEqual(t, strings.Count(block, "data:"), 1+strings.Count(block, "data: forged"))
	}
	require.Equal(t, 1, strings.Count(got.String(), "\nevent: row\n"))
	cancel()
	<-done
	require.Eventually(t, func() bool { return c.Tails() == 0 }, 10*time.Second, 5*time.Millisecond)
}

// lines is a buffer that is written and read at the same time.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
