package web

import (
	"net/http"

	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/services/console/backend"
)

// exportPaths are where a page's list comes as a file.
const (
	exportSearchPath     = "/search/export"
	exportQuarantinePath = "/quarantine/export"
)

func exportTimelinePath(account string) string { return "/accounts/" + account + "/export" }

// export serves a list as a file. query reads what the page of that list shows from the same parameters.
func (s *server) export(query func(p *page) (backend.ExportQuery, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := s.page(r)
		if r.Method != http.MethodGet { // a HEAD would read all of it
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "this path takes GET", http.StatusMethodNotAllowed)
			return
		}
		q, err := query(p)
		if err == nil {
			q.Format = p.q("format")
			var e *backend.Export
			if e, err = s.Backend.Export(r.Context(), q); err == nil {
				e.Serve(r.Context(), w)
				return
			}
		}
		s.serve(w, r, func(*page) (templ.Component, error) { return nil, err })
	}
}

func exportTimeline(p *page) (backend.ExportQuery, error) {
	id, err := readAccount("account", p.r.PathValue("account"))
	if err != nil {
		return backend.ExportQuery{}, err
	}
	q, _, err := p.timelineQuery(id)
	return backend.ExportQuery{Timeline: &q}, err
}

func exportSearch(p *page) (backend.ExportQuery, error) {
	q := p.searchQuery()
	return backend.ExportQuery{Search: &q}, nil
}

func exportQuarantine(p *page) (backend.ExportQuery, error) {
	q := p.quarantineQuery()
	return backend.ExportQuery{Quarantine: &q}, nil
}

// exportLink gives the address of a page's list as a file, with what the page is filtered by.
func (p *page) exportLink(path, format string) string {
	q := p.r.URL.Query()
	for _, name := range []string{"cursor", "event"} {
		q.Del(name)
	}
	q.Set("format", format)
	return p.s.BasePath + path + "?" + q.Encode()
}

// mayExport says whether the button is drawn.
func (p *page) mayExport() bool { return p.s.Backend.MayExport(p.r.Context()) }

// exportHas says what a file for programs holds.
func exportHas(path string) string {
	if path == exportQuarantinePath {
		return "For programs, with references; a record's own page has its bytes"
	}
	return "For programs, with payloads"
}
