package rest

import (
	"context"

	"github.com/throughline-dev/throughline/services/console/openapi"
)

// ListViews is openapi.StrictServerInterface's.
func (s *server) ListViews(ctx context.Context, _ openapi.ListViewsRequestObject) (openapi.ListViewsResponseObject, error) {
	list, err := s.b.SavedViews(ctx)
	return openapi.ListViews200JSONResponse{Items: list}, err
}

// SaveView is openapi.StrictServerInterface's.
func (s *server) SaveView(ctx context.Context, r openapi.SaveViewRequestObject) (openapi.SaveViewResponseObject, error) {
	v, err := s.b.SaveView(ctx, r.Body.Name, r.Body.Path, of(r.Body.Shared))
	return openapi.SaveView201JSONResponse(v), err
}

// ChangeView is openapi.StrictServerInterface's.
func (s *server) ChangeView(ctx context.Context, r openapi.ChangeViewRequestObject) (openapi.ChangeViewResponseObject, error) {
	v, err := s.b.ChangeView(ctx, r.View, r.Body.Name, r.Body.Shared)
	return openapi.ChangeView200JSONResponse(v), err
}

// DeleteView is openapi.StrictServerInterface's.
func (s *server) DeleteView(ctx context.Context, r openapi.DeleteViewRequestObject) (openapi.DeleteViewResponseObject, error) {
	return openapi.DeleteView204Response{}, s.b.DeleteView(ctx, r.View)
}
