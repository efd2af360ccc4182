package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/openapi"
	"github.com/throughline-dev/throughline/services/console/problem"
	"github.com/throughline-dev/throughline/services/console/rest"
)

var update = flag.Bool("update", false, "write the golden files")

const acme, beta = "01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002"

// seed is what the answers are of.
const seed = `
INSERT INTO accounts (id, name, domain, owner, created_by, created_at, updated_at) VALUES
  ('` + acme + `', 'Acme Anvils', 'acme.example', 'kim@us.example', 'test', '2026-01-01', '2026-01-01'), ('` + beta + `', 'Beta Bolts', NULL, '', 'test', '2026-01-02', '2026-01-02');
INSERT INTO link_decisions (verb, source, kind, external_id, to_account, learned, author, reason, at) VALUES ('link', 'stripe', 'customer', 'cus_1', '` + acme + `', 'operator', 'ada', 'said so', '2026-01-03');
INSERT INTO account_links (source, kind, external_id, account_id, learned, created_by, created_at, decision_id) VALUES ('stripe', 'customer', 'cus_1', '` + acme + `', 'operator', 'ada', '2026-01-03', 1);
INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
  SELECT '` + acme + `', CASE i % 2 WHEN 0 THEN 'invoice.paid' ELSE 'charge.refunded' END, 'stripe', 'evt_' || i, jsonb_build_object('id', 'evt_' || i, 'n', 12345678901234567890.10, 'subject', 'Event ' || i),
  '2026-02-01'::timestamptz + i * interval '1 day', '2026-02-01'::timestamptz + i * interval '1 day 1 second' FROM generate_series(1, 5) AS i;
INSERT INTO account_event_origins (event_id, reference, rule, delivery, raw_topic, raw_partition, raw_offset, raw_index) SELECT id, 'stripe:customer:cus_1', 'links', 'webhook', 'raw.stripe', 0, id, -1 FROM account_events;
INSERT INTO quarantine (dedup_key, reason, source, source_event_id, event_type, topic, partition, "offset", raw, payload, "references", reference_keys, status_by, status_at, first_seen, last_seen)
  SELECT 'q' || i, 'unresolved_account', 'stripe', 'evt_q' || i, 'invoice.paid', 'raw.stripe', 0, i, '{"id":1}', '{"id":1}', '[{"source":"stripe","kind":"customer","id":"cus_2"}]', '{stripe:customer:cus_2}', 'quarantine', '2026-03-01', '2026-03-01', '2026-03-02'
  FROM generate_series(1, 3) AS i;
INSERT INTO link_suggestions (source, kind, external_id, account_id, rule, level, why, created_at, updated_at) VALUES ('stripe', 'customer', 'cus_2', '` + beta + `', 7, 'medium', 'the same domain', '2026-03-01', '2026-03-01')`

// rig is the API on a database.
type rig struct {
	t       testing.TB
	pool    *pgxpool.Pool
	handler http.Handler
	doc     *openapi3.T
}

func newRig(t testing.TB) *rig {
	t.Helper()
	pool := postgrestest.New(t)
	_, err := pool.Exec(t.Context(), seed)
	require.NoError(t, err)
	b := backend.New(backend.Options{Pool: pool, Export: backend.ExportViewer, Sources: catalog.Set(), Access: access.NewStore(pool), TailEvery: 10 * time.Millisecond})
	t.Cleanup(b.Close)
	h, err := rest.New(b)
	require.NoError(t, err)
	doc, err := openapi3.NewLoader().LoadFromData(openapi.YAML)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
	return &rig{t, pool, h, doc}
}

// send sends a request as somebody with the role, and holds the answer against the description.
func (g *rig) send(role access.Role, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	g.t.Helper()
	r := httptest.NewRequest(method, rest.Base+target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return g.do(role, r)
}

func (g *rig) do(role access.Role, r *http.Request) *httptest.ResponseRecorder {
	g.t.Helper()
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r.WithContext(access.WithActor(r.Context(), access.Actor{Who: "user:kim@us.example", Role: role, Via: "api"})))
	if route, ok := g.route(r); ok {
		err := openapi3filter.ValidateResponse(g.t.Context(), &openapi3filter.ResponseValidationInput{RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: route},
			Status: w.Code, Header: w.Header(), Body: io.NopCloser(strings.NewReader(w.Body.String())), Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: route.Path == "/openapi.yaml" || strings.HasSuffix(route.Path, "/export")}})
		require.NoError(g.t, err, "%s %s: %d %s", r.Method, r.URL, w.Code, w.Body)
	}
	return w
}

// route finds the operation of a path, by its segments.
func (g *rig) route(r *http.Request) (*routers.Route, bool) {
	got := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), rest.Base), "/")
	for path, item := range g.doc.Paths.Map() {
		want := strings.Split(path, "/")
		matches := len(want) == len(got) && item.GetOperation(r.Method) != nil
		for i := 0; matches && i < len(want); i++ {
			matches = want[i] == got[i] || strings.HasPrefix(want[i], "{") && g.doc.Paths.Find(strings.Join(got, "/")) == nil
		}
		if matches {
			return &routers.Route{Spec: g.doc, Path: path, PathItem: item, Method: r.Method, Operation: item.GetOperation(r.Method)}, true
		}
	}
	return nil, false
}

func problemOf(t testing.TB, w *httptest.ResponseRecorder) problem.Problem {
	t.Helper()
	require.Equal(t, problem.ContentType, w.Header().Get("Content-Type"), "%s", w.Body)
	var p problem.Problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	require.Equal(t, w.Code, p.Status)
	return p
}

// What is different each time.
var changing = regexp.MustCompile(`"(at|updated_at|created_at|next|spark)":("[^"]*"|\[[^\]]*\])`)

// What is wrong with a request is said in words about it, and not in those of the validator.
func TestRefusals(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for target, want := range map[string]string{
		"/accounts?limit=0": "limit: minimum: got 0, want 1", "/quarantine?since=yesterday": "since is not a time like 2026-11-27T10:00:00Z",
		"/quarantine?status=closed": "status: value must be one of",
	} {
		p := problemOf(t, g.send(access.Viewer, http.MethodGet, target, ""))
		require.Equal(t, http.StatusBadRequest, p.Status, target)
		require.Contains(t, p.Detail, want, target)
		require.NotContains(t, p.Detail, "schema", target)
	}
	for body, want := range map[string]string{`{"dry_run": true, "dry_run": false, "reason": "malformed"}`: "duplicate name at byte 18 (/dry_run)", `{"dry_run": true, "note": "a\ud800"}`: "a text with a lone surrogate at byte 28 (/note)", `{"reason": "malformed"}`: "missing property 'dry_run'", `{"dry_run": true, "x": 1}`: "additional properties 'x' not allowed", `{"dry_run": true, "note": "` + strings.Repeat("x", 501) + `"}`: "note: maxLength"} {
		p := problemOf(t, g.send(access.Operator, http.MethodPost, "/quarantine/discard", body))
		require.Equal(t, http.StatusBadRequest, p.Status, body)
		require.Contains(t, p.Detail, want, body)
		require.NotContains(t, p.Detail, "schema", body)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for name, target := range map[string]string{
		"accounts": "/accounts?q=anv", "account": "/accounts/" + acme, "timeline": "/accounts/" + acme + "/events?order=desc&limit=2", "timeline-lines": "/accounts/" + acme + "/events?fields=line&type=invoice.paid",
		"density": "/accounts/" + acme + "/density?spans=4", "account-links": "/accounts/" + acme + "/links", "event": "/events/1", "passport": "/events/1/passport", "payload": "/events/1/payload",
		"search": "/search?contains=" + url.QueryEscape(`{"id": "evt_3"}`), "quarantine": "/quarantine?limit=1", "quarantine-groups": "/quarantine/groups", "quarantine-record": "/quarantine/1",
		"links": "/links", "reference": "/references/stripe:customer:cus_2", "decisions": "/decisions", "moves": "/moves", "suggestions": "/suggestions", "suggestion": "/suggestions/1",
		"pulls": "/pulls", "gaps": "/gaps", "drift": "/drift", "alerts": "/alerts?state=all", "silences": "/alerts/silences", "domains": "/domains", "pattern": "/patterns?pattern=" + url.QueryEscape("invoice.paid, then invoice.paid within 400 days"), "bad-pattern": "/patterns?pattern=" + url.QueryEscape("invoice.paid,\nthen then"), "feed": "/feed", "me": "/me", "overview": "/overview", "sources": "/sources",
		"export-timeline": "/accounts/" + acme + "/events/export?format=csv&order=desc&type=invoice.paid", "export-search": "/search/export?format=ndjson&contains=" + url.QueryEscape(`{"id": "evt_3"}`), "export-quarantine": "/quarantine/export?format=csv", "views": "/views",
		"not-found": "/events/99", "no-path": "/nothing", "bad-cursor": "/moves?cursor=x",
	} {
		w := g.send(access.Viewer, http.MethodGet, target, "")
		if name == "sources" || name == "overview" {
			require.Equal(t, 200, w.Code, "%s", w.Body)
			continue // how long ago things are changes by the hour
		}
		got := fmt.Sprintf("GET %s\n%d %s\n%s", target, w.Code, w.Header().Get("Content-Type"), changing.ReplaceAll(w.Body.Bytes(), []byte(`"$1":"…"`)))
		file := filepath.Join("testdata", name+".txt")
		if *update {
			require.NoError(t, os.MkdirAll("testdata", 0o755))
			require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), got, name)
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, tt := range []struct {
		role           access.Role
		method, target string
		body           string
		want           int
	}{
		{access.Operator, "POST", "/accounts", `{"name": "Gamma Gears", "domain": "gamma.example"}`, 201},
		{access.Operator, "POST", "/accounts", `{"name": "Gamma", "domain": "no domain"}`, 400},
		{access.Operator, "PATCH", "/accounts/" + acme, `{"owner": "lee@us.example"}`, 200},
		{access.Operator, "POST", "/links", `{"reference": "stripe:cus_2", "account_id": "` + beta + `", "dry_run": true}`, 200},
		{access.Viewer, "POST", "/links", `{"reference": "stripe:cus_2", "account_id": "` + beta + `"}`, 403},
		{access.Operator, "POST", "/links", `{"reference": "stripe:cus_1", "account_id": "` + beta + `"}`, 409},
		{access.Operator, "POST", "/links/unlink", `{"reference": "stripe:cus_1", "dry_run": false}`, 200},
		{access.Operator, "POST", "/suggestions/1/reject", `{"reason": "another one"}`, 200},
		{access.Operator, "POST", "/suggestions/1/accept", `{}`, 409},
		{access.Operator, "POST", "/quarantine/release", `{"ids": [1], "dry_run": true}`, 200},
		{access.Operator, "POST", "/quarantine/discard", `{"reason": "unresolved_account", "dry_run": false, "note": "not ours"}`, 200},
		{access.Operator, "POST", "/accounts/" + beta + "/merge", `{"into": "` + acme + `", "dry_run": true}`, 200},
		{access.Operator, "POST", "/pulls", `{"source": "stripe", "since": "2026-01-01T00:00:00Z"}`, 400},
		{access.Operator, "POST", "/drift/1/acknowledge", `{}`, 404},
		{access.Viewer, "GET", "/alerts?state=firing", "", 200},
		{access.Viewer, "GET", "/alerts?state=ok", "", 400},
		{access.Viewer, "POST", "/alerts/silences", `{"rule": "drift", "minutes": 120, "comment": "known"}`, 403},
		{access.Operator, "POST", "/alerts/silences", `{"rule": "drift", "source": "stripe", "minutes": 120, "comment": "known"}`, 201},
		{access.Operator, "POST", "/alerts/silences", `{"rule": "nothing", "minutes": 120, "comment": "known"}`, 400},
		{access.Operator, "POST", "/alerts/silences", `{"source": "strype", "minutes": 120, "comment": "known"}`, 400},
		{access.Operator, "POST", "/alerts/silences", `{"minutes": 120, "comment": "known"}`, 400},
		{access.Operator, "POST", "/alerts/silences", `{"rule": "drift", "minutes": 0, "comment": "known"}`, 400},
		{access.Viewer, "GET", "/alerts/silences?ended=true", "", 200},
		{access.Viewer, "DELETE", "/alerts/silences/1", "", 403},
		{access.Operator, "DELETE", "/alerts/silences/1", "", 204},
		{access.Operator, "DELETE", "/alerts/silences/1", "", 404},
		{access.Operator, "POST", "/domains/decide", `{"domain": "Agency.example", "decision": "public"}`, 200},
		{access.Operator, "POST", "/domains/decide", `{"domain": "no domain", "decision": "public"}`, 400},
		{access.Viewer, "POST", "/domains/decide", `{"domain": "agency.example", "decision": "public"}`, 403},
		{access.Viewer, "POST", "/views", `{"name": "Refunds", "path": "/search?q=refund"}`, 201},
		{access.Viewer, "POST", "/views", `{"name": "Refunds", "path": "/search?q=refund"}`, 409},
		{access.Viewer, "POST", "/views", `{"name": "Away", "path": "https://evil.example/"}`, 400},
		{access.Viewer, "POST", "/views", `{"name": "Long", "path": "/search?words=` + strings.Repeat("ä", 1000) + `"}`, 400},
		{access.Viewer, "POST", "/views", `{"name": "All", "path": "/", "shared": true}`, 403},
		{access.Viewer, "PATCH", "/views/1", `{"name": "Refunds of May"}`, 200},
		{access.Viewer, "DELETE", "/views/1", "", 204},
		{access.Viewer, "DELETE", "/views/1", "", 404},
		{access.Viewer, "GET", "/search/export", "", 400},
		{access.Viewer, "HEAD", "/quarantine/export?format=csv", "", 405},
		{"", "GET", "/quarantine/export?format=csv", "", 403},
		{access.Operator, "POST", "/tokens", `{"name": "ci", "role": "viewer"}`, 403},
		{access.Admin, "POST", "/tokens", `{"name": "ci", "role": "viewer"}`, 201},
		{access.Admin, "DELETE", "/tokens/1", "", 204},
		{access.Viewer, "GET", "/audit", "", 403},
		{access.Admin, "GET", "/audit?limit=2", "", 200},
		{access.Admin, "GET", "/tokens", "", 200},
		{access.Viewer, "GET", "/openapi.yaml", "", 200},
		{"", "GET", "/me", "", 403},
		{access.Viewer, "PUT", "/accounts", "", 405},
		{access.Operator, "POST", "/accounts", `{"name": "Orphan", "parent_id": "00000000-0000-0000-0000-000000000000"}`, 400},
	} {
		w := g.send(tt.role, tt.method, tt.target, tt.body)
		require.Equal(t, tt.want, w.Code, "%s %s %s: %s", tt.method, tt.target, tt.body, w.Body)
		if tt.want >= 400 {
			problemOf(t, w)
		}
	}
}

// A second account of a name or a domain is made, and a name given twice, by who insists.
func TestSimilarAccounts(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	require.Equal(t, 201, g.send(access.Operator, "POST", "/accounts", `{"name": "Gamma Gears", "domain": "gamma.example"}`).Code)
	for method, body := range map[string]string{"POST /accounts": `{"name": "gamma gears"%s}`, "POST  /accounts": `{"name": "Other", "domain": "https://gamma.example"%s}`, "PATCH /accounts/" + beta: `{"name": "GAMMA gears"%s}`} {
		method, target, _ := strings.Cut(method, " ")
		target = strings.TrimSpace(target)
		p := problemOf(t, g.send(access.Operator, method, target, fmt.Sprintf(body, "")))
		require.Equal(t, 409, p.Status)
		require.Equal(t, "anyway", p.Field)
		require.Contains(t, p.Detail, `"anyway": true`)
		require.Len(t, p.Similar, 1)
		require.Equal(t, "Gamma Gears", p.Similar[0].Name)
		require.Equal(t, "gamma.example", p.Similar[0].Domain)
	}
	require.Equal(t, 201, g.send(access.Operator, "POST", "/accounts", `{"name": "Other", "domain": "gamma.example", "anyway": true}`).Code)
	require.Equal(t, 200, g.send(access.Operator, "PATCH", "/accounts/"+beta, `{"name": "Gamma gears", "anyway": true}`).Code)
}

// The puller is asked once for a key, and a request can be cancelled.
func TestPullRequests(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	const body = `{"source": "stripe", "since": "2026-01-01T00:00:00Z", "types": ["invoice.paid"]}`
	p := problemOf(t, g.send(access.Operator, "POST", "/pulls", body))
	require.Equal(t, 400, p.Status)
	require.Contains(t, p.Detail, "set THROUGHLINE_STRIPE_API_KEY for the puller")
	_, err := g.pool.Exec(t.Context(), "INSERT INTO pull_leases (name, holder, until) VALUES ($1, gen_random_uuid(), now())", pull.RequestLease("stripe", "acct_1"))
	require.NoError(t, err)
	ask := func(want int, role access.Role, body string, headers ...string) (r api.PullRequest) {
		w := g.send(role, "POST", "/pulls", body, headers...)
		require.Equal(t, want, w.Code, "%s: %s", body, w.Body)
		if want < 400 {
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &r))
		}
		return r
	}
	ask(403, access.Viewer, body)
	first := ask(202, access.Operator, body, "Idempotency-Key", "one")
	require.Equal(t, "requested", first.State)
	require.Equal(t, first.ID, ask(202, access.Operator, body, "Idempotency-Key", "one").ID)
	ask(409, access.Operator, strings.Replace(body, "2026", "2025", 1), "Idempotency-Key", "one")
	second := ask(202, access.Operator, body)
	require.NotEqual(t, first.ID, second.ID)
	for field, body := range map[string]string{
		"source": `{"source": "segment", "since": "2026-01-01T00:00:00Z"}`, "stream": `{"source": "stripe", "stream": "x", "since": "2026-01-01T00:00:00Z"}`,
		"until": `{"source": "stripe", "since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}`, "since": `{"source": "stripe"}`,
		"types": `{"source": "stripe", "since": "2026-01-02T00:00:00Z", "types": [""]}`,
	} {
		w := g.send(access.Operator, "POST", "/pulls", body)
		require.Equal(t, 400, w.Code, "%s", w.Body)
		if field != "since" { // a member that is missing is the body's
			require.Equal(t, field, problemOf(t, w).Field)
		}
	}
	path := fmt.Sprintf("/pulls/requests/%d/cancel", first.ID)
	require.Equal(t, 403, g.send(access.Viewer, "POST", path, "").Code)
	require.Equal(t, 200, g.send(access.Operator, "POST", path, "").Code)
	require.Equal(t, 409, g.send(access.Operator, "POST", path, "").Code)
	require.Equal(t, 404, g.send(access.Operator, "POST", "/pulls/requests/99/cancel", "").Code)
	var list struct{ Items []api.PullRequest }
	require.NoError(t, json.Unmarshal(g.send(access.Viewer, "GET", "/pulls/requests?open=true&source=stripe", "").Body.Bytes(), &list))
	require.Len(t, list.Items, 1)
	require.Equal(t, second.ID, list.Items[0].ID)
	var audit struct{ Items []api.AuditEntry }
	require.NoError(t, json.Unmarshal(g.send(access.Admin, "GET", "/audit?action=cancelPull", "").Body.Bytes(), &audit))
	var results []string
	for _, e := range audit.Items {
		results = append(results, e.Target+" "+e.Result)
	}
	require.Equal(t, []string{"99 refused", fmt.Sprint(first.ID, " refused"), fmt.Sprint(first.ID, " done"), fmt.Sprint(first.ID, " refused")}, results)
}

func TestETag(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	w := g.send(access.Viewer, "GET", "/events/1", "")
	tag := w.Header().Get("ETag")
	require.NotEmpty(t, tag)
	for _, match := range []string{tag, `"other", ` + tag, "*"} {
		w = g.send(access.Viewer, "GET", "/events/1", "", "If-None-Match", match)
		require.Equal(t, http.StatusNotModified, w.Code)
		require.Zero(t, w.Body.Len())
	}
	require.Equal(t, 200, g.send(access.Viewer, "GET", "/events/1", "", "If-None-Match", `W/"other"`).Code)
	require.Empty(t, g.send(access.Viewer, "GET", "/events/99", "").Header().Get("ETag"))
}

func TestLive(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.handler.ServeHTTP(w, r.WithContext(access.WithActor(r.Context(), access.Actor{Who: "user:kim@us.example", Role: access.Viewer})))
	}))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+rest.Base+"/live?account="+acme, nil)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	lines := bufio.NewScanner(answer.Body)
	require.True(t, lines.Scan())
	require.Equal(t, ": live", lines.Text())
	require.Equal(t, 400, g.send(access.Viewer, "GET", "/live", "", "Last-Event-ID", "nonsense").Code)
	cancel()
	http.DefaultClient.CloseIdleConnections()
}

// hostile are values that have broken APIs.
var hostile = []string{"\x00", "a\x00b", "\xff\xfe", "\xed\xa0\x80", "'", `"`, "\\", "%", "%00", "-1", "0", "1e308", "99999999999999999999", "9223372036854775807", "-9223372036854775808", "NaN", "null",
	"true", "[]", "{}", "{\"a\":", `{"a":"\u0000"}`, `{"a":1e99999}`, strings.Repeat("[", 2000), strings.Repeat("a", 300), strings.Repeat("ü", 150), "$", "$.a ? (@ like_regex \"(\")", "$.**", "2026-02-30T00:00:00Z",
	"0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "2026-01-01", "\u202e\u0007", "stripe:", ":", "stripe/%:customer:x", "stripe:customer:" + strings.Repeat("x", 500), "email:@", "account_uuid:x", "../..", "e30", "eyJ2IjoxfQ"}

// Whatever stands in whatever parameter, the answer is no fault of the server.
func TestHostileParameters(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	// Each parameter gets an eighth of the values, and the two worst; FuzzParameters has all.
	at := 0
	some := func() []string {
		values := []string{"\x00", "\xff\xfe"}
		for i := at; i < len(hostile); i += 8 {
			values = append(values, hostile[i])
		}
		at = (at + 1) % 8
		return values
	}
	for path, item := range g.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if path == "/live" {
				continue
			}
			for _, p := range operation.Parameters {
				for _, value := range some() {
					g.hostile(method, path, p.Value.In, p.Value.Name, value)
				}
			}
			for _, value := range some()[:4] {
				g.hostile(method, path, "query", value, value)
				if operation.RequestBody == nil {
					continue
				}
				g.hostile(method, path, "body", "", value)
				for name := range operation.RequestBody.Value.Content.Get("application/json").Schema.Value.Properties {
					text, _ := json.Marshal(value)
					g.hostile(method, path, "body", name, `{"`+name+`":`+string(text)+`}`)
					g.hostile(method, path, "body", name, `{"`+name+`":`+value+`}`)
				}
			}
		}
	}
}

// hostile sends a request whose parameter has the value, and gives the status.
func (g *rig) hostile(method, path, in, name, value string) int {
	g.t.Helper()
	target, body := path, ""
	if in == "path" && value != "" {
		target = strings.Replace(target, "{"+name+"}", url.PathEscape(value), 1)
	}
	target = strings.NewReplacer("{account}", acme, "{reference}", "stripe:cus_1").Replace(target)
	target = regexp.MustCompile(`\{\w+\}`).ReplaceAllString(target, "1")
	r := httptest.NewRequest(method, rest.Base+"/x", nil)
	u, err := url.Parse(rest.Base + target)
	if err != nil {
		return 0
	}
	r.URL = u
	switch in {
	case "query":
		r.URL.RawQuery = url.QueryEscape(name) + "=" + url.QueryEscape(value)
	case "header":
		r.Header.Set(name, value)
	case "body":
		body = value
		r.Header.Set("Content-Type", "application/json")
	}
	r.Body = io.NopCloser(strings.NewReader(body))
	if strings.HasPrefix(path, "/accounts/{account}/merge") || path == "/feed" && name == "wait" {
		return 0 // what is asked for may be done: one account less, or a wait
	}
	w := g.do(access.Viewer, r)
	require.Less(g.t, w.Code, 500, "%s %s %q=%q: %s", method, target, name, value, w.Body)
	if w.Code >= 400 && w.Code != http.StatusForbidden && w.Code != http.StatusNotFound {
		p := problemOf(g.t, w)
		if in == "query" && w.Code == 400 && name != value {
			require.NotEmpty(g.t, p.Field, "%s %s %q=%q: %s", method, target, name, value, w.Body)
		}
	}
	return w.Code
}

func FuzzParameters(f *testing.F) {
	g := newRig(f)
	var operations []struct{ method, path, in, name string }
	for path, item := range g.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			for _, p := range operation.Parameters {
				if path != "/live" {
					operations = append(operations, struct{ method, path, in, name string }{method, path, p.Value.In, p.Value.Name})
				}
			}
		}
	}
	for i, value := range hostile {
		f.Add(i, value)
	}
	f.Fuzz(func(t *testing.T, n int, value string) {
		o := operations[uint(n)%uint(len(operations))]
		other := *g
		other.t = t
		other.hostile(o.method, o.path, o.in, o.name, value)
	})
}

// A filter by what there is not is no empty list, and no live tail that waits for ever.
func TestUnknownFilters(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, err := g.pool.Exec(t.Context(), "INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at) VALUES ($1, 'x', 'was_here', 'evt_old', '{}', now(), now())", acme)
	require.NoError(t, err)
	for _, path := range []string{"/live", "/feed", "/accounts/" + acme + "/events", "/accounts/" + acme + "/density", "/accounts/" + acme + "/events/export?format=csv", "/search?words=event", "/search/export?format=csv&words=event",
		"/quarantine", "/quarantine/groups", "/quarantine/export?format=csv", "/links", "/suggestions", "/pulls", "/pulls/requests", "/drift"} {
		join := "?"
		if strings.Contains(path, "?") {
			join = "&"
		}
		p := problemOf(t, g.ended(access.Operator, http.MethodGet, path+join+"source=nosuch", ""))
		require.Equal(t, http.StatusBadRequest, p.Status, path)
		require.Equal(t, "source", p.Field, path)
		require.Contains(t, p.Detail, "there is no such source: they are stripe, ", path)
		if path != "/live" { // which goes on
			require.Equal(t, http.StatusOK, g.send(access.Operator, http.MethodGet, path+join+"source=was_here", "").Code, path)
		}
	}
	for _, path := range []string{"/quarantine", "/quarantine/groups"} {
		p := problemOf(t, g.send(access.Viewer, http.MethodGet, path+"?reason=nosuch", ""))
		require.Equal(t, http.StatusBadRequest, p.Status, path)
		require.Equal(t, "reason", p.Field, path)
		require.Contains(t, p.Detail, "unresolved_account", path)
	}
	p := problemOf(t, g.send(access.Operator, http.MethodPost, "/quarantine/discard", `{"source": "nosuch", "dry_run": true}`))
	require.Equal(t, "source", p.Field)
	p = problemOf(t, g.ended(access.Viewer, http.MethodGet, "/live?account=01900000-0000-7000-8000-00000000000f", ""))
	require.Equal(t, http.StatusNotFound, p.Status)
	require.Equal(t, "account", p.Field)
}

// Who may not do a thing is told that, whatever they ask, and the audit log says what it was about.
func TestTheRoleComesFirst(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, tt := range [][3]string{
		{"POST", "/accounts", `{"name": 7}`}, {"POST", "/accounts", "{"}, {"POST", "/quarantine/release", `{"ids": ["x"]}`}, {"PATCH", "/accounts/" + acme, `{"x": 1}`}, {"PATCH", "/accounts/no-id", `{"name": 7}`},
		{"POST", "/alerts/silences", `{"minutes": 0}`}, {"POST", "/tokens", `{}`}, {"GET", "/audit?limit=0", ""}, {"DELETE", "/tokens/x", ""},
		{"POST", "/quarantine/discard", `{"ids": [2, 3], "dry_run": false}`}, {"POST", "/quarantine/release", `{"reason": "malformed", "source": "stripe", "dry_run": false}`},
	} {
		p := problemOf(t, g.send(access.Viewer, tt[0], tt[1], tt[2]))
		require.Equal(t, http.StatusForbidden, p.Status, tt)
	}
	var audit struct{ Items []api.AuditEntry }
	require.NoError(t, json.Unmarshal(g.send(access.Admin, "GET", "/audit", "").Body.Bytes(), &audit))
	var said []string
	for _, e := range audit.Items {
		require.Equal(t, access.Refused, e.Result)
		said = append(said, e.Action+" "+e.Target)
	}
	require.Equal(t, []string{"releaseQuarantine reason=malformed source=stripe reference=", "discardQuarantine ids=2 3", "revokeToken x", "createToken ", "silenceAlerts ",
		"changeAccount no-id", "changeAccount " + acme, "releaseQuarantine ", "createAccount ", "createAccount "}, said)
}

// What openapi.yaml says of a length is so: the longest text is not too long for anybody behind it, whatever its alphabet, and
// one character more is refused with the field.
func TestLengthsAreThoseOfTheDescription(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	tooLong := regexp.MustCompile(`(?i)long|at most|maxLength|bytes|characters`)
	values := map[string]any{"name": "Lee", "into": beta, "dry_run": true, "reference": "stripe:customer:cus_1", "domain": "lee.example", "decision": "public", "minutes": 5, "comment": "known", "rule": "drift",
		"source": "stripe", "since": "2026-01-01T00:00:00Z", "ids": []int{1}, "role": "viewer", "path": "/", "account_id": acme, "types": []string{"invoice.paid"}}
	params := map[string]string{"account": acme, "event": "1", "record": "1", "suggestion": "1", "finding": "1", "token": "1", "view": "1", "silence": "1", "request": "1", "reference": "stripe:customer:cus_1"}
	checked := 0
	check := func(what, field string, bound uint64, ask func(text string) *httptest.ResponseRecorder) {
		checked++
		for _, letter := range []string{"a", "𝄞"} {
			if field == "path" && letter != "a" { // an address, which is longer as a URL writes it
				continue
			}
			w := ask(strings.Repeat(letter, int(bound)))
			if field == "pattern" { // its words are shorter
				w = ask("invoice.paid" + strings.Repeat(" ", int(bound)-len("invoice.paid")))
			}
			require.Less(t, w.Code, 500, "%s: %s", what, w.Body)
			if w.Code == http.StatusBadRequest {
				require.NotRegexp(t, tooLong, problemOf(t, w).Detail, "%s of %d times %s", what, bound, letter)
			}
			p := problemOf(t, ask(strings.Repeat(letter, int(bound)+1)))
			require.Equal(t, http.StatusBadRequest, p.Status, what)
			require.Equal(t, field, p.Field, what)
		}
	}
	for path, item := range g.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			filled := func(but, text string) string {
				return regexp.MustCompile(`\{(\w+)\}`).ReplaceAllStringFunc(path, func(name string) string {
					if name = strings.Trim(name, "{}"); name == but {
						return url.PathEscape(text)
					}
					require.NotEmpty(t, params[name], "a value for %s of %s", name, path)
					return params[name]
				})
			}
			body := map[string]any{}
			var schema *openapi3.Schema
			if operation.RequestBody != nil {
				schema = operation.RequestBody.Value.Content.Get("application/json").Schema.Value
				for _, name := range schema.Required {
					require.Contains(t, values, name, "a value for %s of %s", name, path)
					body[name] = values[name]
				}
			}
			encoded := func(body map[string]any) string {
				if schema == nil {
					return ""
				}
				text, err := json.Marshal(body)
				require.NoError(t, err)
				return string(text)
			}
			required := url.Values{}
			for _, p := range operation.Parameters {
				if p.Value.Required && p.Value.In == openapi3.ParameterInQuery {
					required.Set(p.Value.Name, map[string]string{"format": "csv", "pattern": "invoice.paid"}[p.Value.Name])
				}
			}
			for _, p := range operation.Parameters {
				s := p.Value.Schema.Value
				if s.MaxLength == nil {
					continue
				}
				check(method+" "+path+" "+p.Value.Name, p.Value.Name, *s.MaxLength, func(text string) *httptest.ResponseRecorder {
					query, target, headers := url.Values{}, filled("", ""), []string(nil)
					for name := range required {
						query.Set(name, required.Get(name))
					}
					switch p.Value.In {
					case openapi3.ParameterInPath:
						target = filled(p.Value.Name, text)
					case openapi3.ParameterInHeader:
						headers = []string{p.Value.Name, text}
					default:
						query.Set(p.Value.Name, text)
					}
					if len(query) > 0 {
						target += "?" + query.Encode()
					}
					return g.ended(access.Admin, method, target, encoded(body), headers...)
				})
			}
			if schema == nil {
				continue
			}
			for name, property := range schema.Properties {
				s, list := property.Value, false
				if s.Items != nil {
					s, list = s.Items.Value, true
				}
				if s.MaxLength == nil {
					continue
				}
				check(method+" "+path+" "+name, name, *s.MaxLength, func(text string) *httptest.ResponseRecorder {
					asked := maps.Clone(body)
					if asked[name] = text; list {
						asked[name] = []string{text}
					}
					if name == "path" {
						asked[name] = "/search?words=" + text[len("/search?words="):]
					}
					switch name { // what has to be there, too
					case "note":
						asked["ids"] = []int{1}
					case "comment":
						asked["rule"] = "drift"
					}
					return g.ended(access.Admin, method, filled("", ""), encoded(asked))
				})
			}
		}
	}
	require.Greater(t, checked, 60)
}

// ended is send for a request whose answer may be a stream, which ends with its first byte.
func (g *rig) ended(role access.Role, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	ctx, cancel := context.WithCancel(g.t.Context())
	defer cancel()
	r := httptest.NewRequest(method, rest.Base+target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(&leaving{w, cancel}, r.WithContext(access.WithActor(ctx, access.Actor{Who: "user:kim@us.example", Role: role, Via: "api"})))
	return w
}

// leaving is a client that leaves when an event stream begins.
type leaving struct {
	*httptest.ResponseRecorder
	leave func()
}

func (l *leaving) WriteHeader(status int) {
	l.ResponseRecorder.WriteHeader(status)
	if l.Header().Get("Content-Type") == "text/event-stream" {
		l.leave()
	}
}
