package backend_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// exported gives the file of a query.
func (w *world) exported(q backend.ExportQuery) string {
	w.t.Helper()
	e, err := w.Export(w.operator(), q)
	require.NoError(w.t, err)
	answer := httptest.NewRecorder()
	e.Serve(w.operator(), answer)
	require.Equal(w.t, `attachment; filename="`+e.Name+`"`, answer.Header().Get("Content-Disposition"))
	return answer.Body.String()
}

// exports gives the entries of the audit log about exports, the oldest first.
func (w *world) exports() (list []string) {
	w.t.Helper()
	page, err := w.Audit(w.admin(), "", "", backend.Paging{})
	require.NoError(w.t, err)
	for _, e := range page.Items {
		if e.Action == "export" || e.Action == "beginExport" {
			list = append([]string{e.Who + " " + e.Action + " " + e.Result + " " + e.Target}, list...)
		}
	}
	return list
}

// TestExport: all pages of a list, with numbers and texts as they are, and on record.
func TestExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const big = `12345678901234567890.1234567890`
	_, err := w.pool.Exec(t.Context(), `INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		SELECT $1, 'invoice.paid', 'stripe', 'e' || i, ('{"n": `+big+`, "subject": "=1+' || i || '", "html": "<&\u2028>"}')::jsonb, now() - i * interval '1 minute', now() FROM generate_series(1, 250) AS i`, w.acme)
	require.NoError(t, err)
	w.event(w.pool, w.acme, "charge.refunded", `{}`)
	w.event(w.pool, w.beta, "invoice.paid", `{}`)

	lines := strings.Split(strings.TrimSpace(w.exported(backend.ExportQuery{Format: backend.NDJSON, Timeline: &backend.TimelineQuery{Account: w.acme, Type: "invoice.paid"}})), "\n")
	require.Len(t, lines, 250)
	seen := map[int64]bool{}
	for _, line := range lines {
		var e api.Event
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		require.False(t, seen[e.ID])
		seen[e.ID] = true
		require.Contains(t, string(e.Payload), big)
		require.Equal(t, w.acme, e.AccountID)
	}
	rows, err := csv.NewReader(strings.NewReader(w.exported(backend.ExportQuery{Format: backend.CSV, Timeline: &backend.TimelineQuery{Account: w.acme, Newest: true}}))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 252)
	require.Equal(t, "subject", rows[0][7])
	formulas := 0
	for _, row := range rows[1:] {
		require.NotContains(t, "=+-@\t\r", (row[7] + " ")[:1])
		if strings.HasPrefix(row[7], "'=1+") {
			formulas++
		}
	}
	require.Equal(t, 250, formulas)
	found := w.exported(backend.ExportQuery{Format: backend.CSV, Search: &backend.SearchQuery{Words: "kim@acme.example"}})
	require.Equal(t, 1, strings.Count(found, "\r\n"), "only the header")
	w.quarantined("malformed", "cus_9")
	require.Contains(t, w.exported(backend.ExportQuery{Format: backend.CSV, Quarantine: &backend.QuarantineQuery{Reason: "malformed"}}), "stripe:customer:cus_9")

	by := "user:operator@us.example "
	log := w.exports()
	require.Equal(t, []string{
		by + `beginExport done {"of":"timeline","format":"ndjson","account":"` + w.acme.String() + `","type":"invoice.paid"}`,
		by + `export done {"of":"timeline","format":"ndjson","account":"` + w.acme.String() + `","type":"invoice.paid","rows":250,"complete":true}`,
	}, log[:2])
	require.Equal(t, by+`export done {"of":"quarantine","format":"csv","reason":"malformed","rows":1,"complete":true}`, log[len(log)-1])
	require.NotContains(t, strings.Join(log, "\n"), "kim@", "what somebody searched for is told by its digest")
	require.Contains(t, log[5], `"words":"sha256:`)

	// Who goes in the middle, and a wrong question.
	e, err := w.Export(w.operator(), backend.ExportQuery{Format: backend.NDJSON, Timeline: &backend.TimelineQuery{Account: w.acme}})
	require.NoError(t, err)
	gone, cancel := context.WithCancel(w.operator())
	cancel()
	answer := httptest.NewRecorder()
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { e.Serve(gone, answer) })
	all := strings.Split(strings.TrimSpace(answer.Body.String()), "\n")
	var end struct {
		Incomplete, Next string
		Rows             int
	}
	require.NoError(t, json.Unmarshal([]byte(all[len(all)-1]), &end))
	require.Equal(t, 100, end.Rows)
	require.Equal(t, "ended by an error", end.Incomplete)
	log = w.exports()
	require.Contains(t, log[len(log)-1], `export failed {"of":"timeline","format":"ndjson","account":"`+w.acme.String()+`","rows":100,"complete":false}`)
	rest := w.exported(backend.ExportQuery{Format: backend.NDJSON, Timeline: &backend.TimelineQuery{Account: w.acme, Paging: backend.Paging{Cursor: end.Next}}})
	require.Equal(t, 151, strings.Count(rest, "\n"), "the cursor goes on")
	for field, q := range map[string]backend.ExportQuery{
		"format": {Format: "xls", Timeline: &backend.TimelineQuery{Account: w.acme}}, "cursor": {Format: backend.CSV, Timeline: &backend.TimelineQuery{Account: w.acme, Paging: backend.Paging{Cursor: "x"}}},
		"contains": {Format: backend.CSV, Search: &backend.SearchQuery{}},
	} {
		_, err := w.Export(w.operator(), q)
		require.Equal(t, field, problem.From(err).Field)
	}
	// A bounded number at a time.
	var running []*backend.Export
	for range 4 {
		e, err := w.Export(w.operator(), backend.ExportQuery{Format: backend.CSV, Timeline: &backend.TimelineQuery{Account: w.beta}})
		require.NoError(t, err)
		running = append(running, e)
	}
	_, err = w.Export(w.operator(), backend.ExportQuery{Format: backend.CSV, Timeline: &backend.TimelineQuery{Account: w.beta}})
	require.Equal(t, 503, problem.From(err).Status)
	for _, e := range running {
		e.Serve(w.operator(), httptest.NewRecorder())
	}
	w.exported(backend.ExportQuery{Format: backend.CSV, Timeline: &backend.TimelineQuery{Account: w.beta}})
}

// endless is a timeline without an end.
type endless struct{ backend.Reader }

func (endless) Timeline(_ context.Context, q backend.TimelineQuery) (backend.Page[api.Event], error) {
	return backend.Page[api.Event]{Items: make([]api.Event, q.Limit), Next: "on"}, nil
}

// TestExportIsCut: the last line says that there is more, and how to go on.
func TestExportIsCut(t *testing.T) {
	t.Parallel()
	for format, last := range map[string]string{backend.CSV: "# not complete: cut after 100000 rows; the rest is at the same address with cursor=on,,,,,,,", backend.NDJSON: `{"incomplete":"cut after 100000 rows","rows":100000,"next":"on"}`} {
		whole := true
		e, err := backend.NewExport(t.Context(), endless{}, backend.ExportQuery{Format: format, Timeline: &backend.TimelineQuery{}}, func(rows int, complete bool, err error) {
			require.Equal(t, backend.MaxExport, rows)
			require.NoError(t, err)
			whole = complete
		})
		require.NoError(t, err)
		answer := httptest.NewRecorder()
		e.Serve(t.Context(), answer)
		lines := strings.Split(strings.TrimSpace(answer.Body.String()), "\n")
		require.Equal(t, last, lines[len(lines)-1])
		require.False(t, whole)
	}
}

// TestExportPolicy: who may is a setting, and who may not is on record.
func TestExportPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *backend.Options) { o.Export = backend.ExportOff })
	q := backend.ExportQuery{Format: backend.CSV, Timeline: &backend.TimelineQuery{Account: w.acme}}
	_, err := w.Export(w.admin(), q)
	require.Equal(t, 403, problem.From(err).Status)
	require.False(t, w.MayExport(w.admin()))
	require.Equal(t, []string{`user:admin@us.example export refused {"of":"timeline","format":"csv","account":"` + w.acme.String() + `"}`}, w.exports())
	for policy, may := range map[backend.ExportPolicy][]bool{backend.ExportViewer: {false, true, true, true}, backend.ExportOperator: {false, false, true, true}, backend.ExportOff: {false, false, false, false}, "": {false, false, false, false}} {
		for i, role := range []access.Role{"", access.Viewer, access.Operator, access.Admin} {
			require.Equal(t, may[i], policy.Require(access.Actor{Role: role}) == nil, "%s %s", policy, role)
		}
	}
}

func TestSavedViews(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	mine, err := w.SaveView(w.viewer(), " Refunds ", "/search?q=refund&cursor=x", false)
	require.NoError(t, err)
	require.Equal(t, "Refunds", mine.Name)
	require.Equal(t, "/search?q=refund", mine.Path)
	require.True(t, mine.Own)
	status := func(want int, err error) { t.Helper(); require.Equal(t, want, problem.From(err).Status, "%v", err) }
	_, err = w.SaveView(w.viewer(), "Refunds", "/", false)
	status(409, err)
	require.Equal(t, "name", problem.From(err).Field)
	_, err = w.SaveView(w.viewer(), "For all", "/", true)
	status(403, err)
	for _, name := range []string{"", " ", "a\x00", "a\nb", strings.Repeat("ü", 101), "\xff"} {
		_, err = w.SaveView(w.viewer(), name, "/", false)
		status(400, err)
	}
	_, err = w.SaveView(w.viewer(), "x", "//evil.example", false)
	status(400, err)
	shared, err := w.SaveView(w.operator(), "Refunds", "/quarantine", true)
	require.NoError(t, err)

	list, err := w.SavedViews(w.viewer())
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.True(t, list[0].Own)
	require.False(t, list[1].Own)
	list, err = w.SavedViews(w.admin())
	require.NoError(t, err)
	require.Len(t, list, 1, "what is not shared is nobody else's")

	name, yes := "Other", true
	_, err = w.ChangeView(w.viewer(), shared.ID, &name, nil)
	status(403, err)
	status(403, w.DeleteView(w.viewer(), shared.ID))
	_, err = w.ChangeView(w.admin(), mine.ID, &name, nil)
	status(404, err)
	status(404, w.DeleteView(w.admin(), mine.ID))
	_, err = w.ChangeView(w.viewer(), mine.ID, nil, &yes)
	status(403, err)
	_, err = w.ChangeView(w.viewer(), mine.ID, nil, nil)
	status(400, err)
	changed, err := w.ChangeView(w.viewer(), mine.ID, &name, nil)
	require.NoError(t, err)
	require.Equal(t, "Other", changed.Name)
	changed, err = w.ChangeView(w.admin(), shared.ID, &name, nil)
	require.NoError(t, err)
	require.Equal(t, "user:operator@us.example", changed.Owner)
	require.NoError(t, w.DeleteView(w.admin(), shared.ID))
	require.NoError(t, w.DeleteView(w.viewer(), mine.ID))
	status(404, w.DeleteView(w.viewer(), mine.ID))
	_, err = w.SavedViews(as(t.Context(), ""))
	status(403, err)
	require.Equal(t, 4, w.count("SELECT count(*) FROM audit_log WHERE action IN ('saveView', 'changeView') AND result = 'done'"))
	_, err = w.pool.Exec(t.Context(), "INSERT INTO saved_views (owner, name, path) SELECT 'user:viewer@us.example', 'v' || i, '/' FROM generate_series(1, 100) AS i")
	require.NoError(t, err)
	_, err = w.SaveView(w.viewer(), "one more", "/", false)
	status(409, err)
}
