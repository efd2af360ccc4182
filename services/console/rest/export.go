package rest

import (
	"context"
	"net/http"

	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/openapi"
)

// export is the answer of the operations that export.
type export func(w http.ResponseWriter)

// VisitExportTimelineResponse is openapi.ExportTimelineResponseObject's.
func (e export) VisitExportTimelineResponse(w http.ResponseWriter) error { e(w); return nil }

// VisitExportSearchResponse is openapi.ExportSearchResponseObject's.
func (e export) VisitExportSearchResponse(w http.ResponseWriter) error { e(w); return nil }

// VisitExportQuarantineResponse is openapi.ExportQuarantineResponseObject's.
func (e export) VisitExportQuarantineResponse(w http.ResponseWriter) error { e(w); return nil }

func (s *server) export(ctx context.Context, q backend.ExportQuery) (export, error) {
	e, err := s.b.Export(ctx, q)
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter) { e.Serve(ctx, w) }, nil
}

// ExportTimeline is openapi.StrictServerInterface's.
func (s *server) ExportTimeline(ctx context.Context, r openapi.ExportTimelineRequestObject) (openapi.ExportTimelineResponseObject, error) {
	q := r.Params
	return s.export(ctx, backend.ExportQuery{Format: string(q.Format), Timeline: &backend.TimelineQuery{Account: r.Account, Newest: of(q.Order) == "desc", Source: of(q.Source), Type: of(q.Type),
		Since: of(q.Since), Until: of(q.Until), Paging: paging(q.Cursor, nil)}})
}

// ExportSearch is openapi.StrictServerInterface's.
func (s *server) ExportSearch(ctx context.Context, r openapi.ExportSearchRequestObject) (openapi.ExportSearchResponseObject, error) {
	q := r.Params
	return s.export(ctx, backend.ExportQuery{Format: string(q.Format), Search: &backend.SearchQuery{Contains: of(q.Contains), Path: of(q.Path), Words: of(q.Words), Source: of(q.Source), Type: of(q.Type),
		Account: of(q.Account), Since: of(q.Since), Paging: paging(q.Cursor, nil)}})
}

// ExportQuarantine is openapi.StrictServerInterface's.
func (s *server) ExportQuarantine(ctx context.Context, r openapi.ExportQuarantineRequestObject) (openapi.ExportQuarantineResponseObject, error) {
	q := r.Params
	return s.export(ctx, backend.ExportQuery{Format: string(q.Format), Quarantine: &backend.QuarantineQuery{Reason: of(q.Reason), Source: of(q.Source), Reference: of(q.Reference), Status: string(of(q.Status)),
		Since: of(q.Since), Paging: paging(q.Cursor, nil)}})
}
