package rest

import (
	"context"
	"time"

	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/openapi"
)

// ListAlerts is openapi.StrictServerInterface's.
func (s *server) ListAlerts(ctx context.Context, r openapi.ListAlertsRequestObject) (openapi.ListAlertsResponseObject, error) {
	a, err := s.b.Alerts(ctx, string(of(r.Params.State)))
	return openapi.ListAlerts200JSONResponse(a), err
}

// ListSilences is openapi.StrictServerInterface's.
func (s *server) ListSilences(ctx context.Context, r openapi.ListSilencesRequestObject) (openapi.ListSilencesResponseObject, error) {
	list, err := s.b.Silences(ctx, of(r.Params.Ended))
	return openapi.ListSilences200JSONResponse{Items: list}, err
}

// SilenceAlerts is openapi.StrictServerInterface's.
func (s *server) SilenceAlerts(ctx context.Context, r openapi.SilenceAlertsRequestObject) (openapi.SilenceAlertsResponseObject, error) {
	made, err := s.b.SilenceAlerts(ctx, backend.NewSilence{Rule: of(r.Body.Rule), Source: of(r.Body.Source), For: time.Duration(r.Body.Minutes) * time.Minute, Comment: r.Body.Comment})
	return openapi.SilenceAlerts201JSONResponse(made), err
}

// UnsilenceAlerts is openapi.StrictServerInterface's.
func (s *server) UnsilenceAlerts(ctx context.Context, r openapi.UnsilenceAlertsRequestObject) (openapi.UnsilenceAlertsResponseObject, error) {
	return openapi.UnsilenceAlerts204Response{}, s.b.UnsilenceAlerts(ctx, r.Silence)
}
