package rest

import (
	"context"
	"time"

	"github.com/throughline-dev/throughline/services/console/openapi"
)

// FindPattern is openapi.StrictServerInterface's.
func (s *server) FindPattern(ctx context.Context, r openapi.FindPatternRequestObject) (openapi.FindPatternResponseObject, error) {
	since := time.Now().AddDate(-1, 0, 0)
	if r.Params.Since != nil {
		since = *r.Params.Since
	}
	a, err := s.b.Pattern(ctx, r.Params.Pattern, since, of(r.Params.Limit))
	return openapi.FindPattern200JSONResponse(a), err
}
